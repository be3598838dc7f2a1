from __future__ import annotations

from torch import Tensor, nn

from vidattn.backbones.staged import StagedNetwork, Step, at_positions, check_classes


class ImageResNet(StagedNetwork):
    """torchvision's image ResNets, frame by frame.

    T is folded into the batch inside each stage and unfolded at its end, so that stages exchange
    (N, C, T, H, W) and what is inserted between them sees time. On `channels_last_3d` clips
    neither copies. Stages: stem, layer1 … layer4. The logits are the mean of the frames' own.
    Source: He et al., CVPR 2016.

    Args:
        variant: "resnet18_2d", "resnet34_2d" or "resnet50_2d".
        classes: size of the source's head; None for no head.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, variant: str, *, classes: int | None = None) -> None:
        from torchvision import models

        network = getattr(models, variant.removesuffix("_2d"))(
            num_classes=check_classes(classes) or 1
        )
        expansion = 4 if variant == "resnet50_2d" else 1
        for name in ("layer1", "layer2", "layer3", "layer4"):
            setattr(network, name, FramewiseSequential(*network.get_submodule(name)))
        network.maxpool = FramewiseMaxPool(3, stride=2, padding=1)
        layers = []
        for number in range(4):
            name, stride = f"layer{number + 1}", 2 if number else 1
            layers.append(Step(name, (64 << number) * expansion, (1, stride, stride), (name,)))
        super().__init__(
            network,
            steps=[Step("stem", 64, (1, 4, 4), ("maxpool",)), *layers],
            variant=variant,
            classes=classes,
            head_path="fc",
            classifier_path="fc",
        )

    def _enter(self, clip: Tensor) -> Tensor:
        network = self.network
        x = network.relu(network.bn1(network.conv1(fold_frames(clip))))
        return unfold_frames(x, len(clip))

    def _classify(self, x: Tensor) -> Tensor:
        frames = self.network.avgpool(fold_frames(x)).flatten(1)
        return self.network.fc(frames).unflatten(0, (len(x), -1)).mean(1)

    def position_logits(self, features: Tensor) -> Tensor:
        """See `Backbone.position_logits`."""
        return at_positions(self.network.fc, features)


class FramewiseSequential(nn.Sequential):
    """Image modules in order, on each frame of (N, C, T, H, W); children keep their names."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H', W')."""
        return unfold_frames(super().forward(fold_frames(x)), len(x))


class FramewiseMaxPool(nn.MaxPool2d):
    """Image max pooling on each frame of (N, C, T, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, T, H', W')."""
        return unfold_frames(super().forward(fold_frames(x)), len(x))


def fold_frames(x: Tensor) -> Tensor:
    """(N, C, T, H, W) -> (N·T, C, H, W); a view where x is `channels_last_3d`."""
    return x.transpose(1, 2).flatten(0, 1)


def unfold_frames(x: Tensor, clips: int) -> Tensor:
    """(N·T, C, H, W) -> (N, C, T, H, W) with N = `clips`; always a view."""
    return x.unflatten(0, (clips, -1)).transpose(1, 2)
