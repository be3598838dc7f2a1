from __future__ import annotations

from torch import Tensor

from vidattn.backbones.staged import StagedNetwork, Step, WindowAverage, at_positions, check_classes

MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)


class VideoResNet(StagedNetwork):
    """torchvision's r3d_18, mc3_18 and r2plus1d_18.

    Stages: stem, layer1 … layer4. All kernels are odd and padded by half their size: every
    feature is centred on a multiple of its stride.
    Source: Tran et al., CVPR 2018.

    Args:
        variant: "r3d_18", "mc3_18" or "r2plus1d_18".
        classes: size of the source's head; None for no head.
        temporal_stride: total stride along T; None keeps the source's (8; mc3_18: 1).
    """

    mean = MEAN
    std = STD

    def __init__(
        self, variant: str, *, classes: int | None = None, temporal_stride: int | None = None
    ) -> None:
        from torchvision.models import video

        network = getattr(video, variant)(num_classes=check_classes(classes) or 1)
        temporal = 1 if variant == "mc3_18" else 2
        steps = [
            Step("stem", 64, (1, 2, 2), ("stem",)),
            Step("layer1", 64, (1, 1, 1), ("layer1",)),
            Step("layer2", 128, (temporal, 2, 2), ("layer2",)),
            Step("layer3", 256, (temporal, 2, 2), ("layer3",)),
            Step("layer4", 512, (temporal, 2, 2), ("layer4",)),
        ]
        super().__init__(
            network,
            steps=steps,
            variant=variant,
            classes=classes,
            head_path="fc",
            classifier_path="fc",
            temporal_stride=temporal_stride,
        )

    def _classify(self, x: Tensor) -> Tensor:
        return self.network.fc(self.network.avgpool(x).flatten(1))

    def position_logits(self, features: Tensor) -> Tensor:
        """See `Backbone.position_logits`."""
        return at_positions(self.network.fc, features)


class S3D(StagedNetwork):
    """torchvision's s3d.

    Stages: stem, mixed3, mixed4, mixed5. The last pooling window is 2 wide and not padded:
    mixed5 is centred half a mixed4 feature later, at frame 2 + 8·t and pixel 8 + 32·i.
    Source: Xie et al., ECCV 2018.

    Args:
        variant: "s3d".
        classes: size of the source's head; None for no head.
        temporal_stride: total stride along T: 1, 2, 4 or 8; None keeps the source's, 8.
    """

    mean = MEAN
    std = STD

    def __init__(
        self, variant: str, *, classes: int | None = None, temporal_stride: int | None = None
    ) -> None:
        from torchvision.models import video

        network = video.s3d(num_classes=check_classes(classes) or 1)
        super().__init__(
            network,
            steps=[
                Step("stem", 192, (2, 4, 4), _parts(0, 4)),
                Step("mixed3", 480, (1, 2, 2), _parts(4, 7)),
                Step("mixed4", 832, (2, 2, 2), _parts(7, 13)),
                Step("mixed5", 1024, (2, 2, 2), _parts(13, 16), shift=(0.5, 0.5, 0.5)),
            ],
            variant=variant,
            classes=classes,
            head_path="classifier",
            classifier_path="classifier.1",
            temporal_stride=temporal_stride,
        )
        self.network.avgpool = WindowAverage((16 // self.stages[-1].stride[0], 7, 7))

    def _classify(self, x: Tensor) -> Tensor:
        return self.network.classifier(self.network.avgpool(x)).mean((2, 3, 4))

    def position_logits(self, features: Tensor) -> Tensor:
        """See `Backbone.position_logits`."""
        logits: Tensor = self.network.classifier(features)
        return logits


def _parts(start: int, stop: int) -> tuple[str, ...]:
    return tuple(f"features.{number}" for number in range(start, stop))
