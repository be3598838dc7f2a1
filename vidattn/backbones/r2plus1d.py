from __future__ import annotations

from torch import Tensor, nn

from vidattn.backbones.staged import StagedNetwork, Step, at_positions, check_classes

EPSILON = 1e-3
BLOCKS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)


class SplitConvolution(nn.Module):
    """A convolution over space, a norm, a rectifier, and a convolution over time.

    The width between them makes the pair as large as the convolution that it stands for, were
    that three frames long.
    Source: Tran et al., CVPR 2018, section 3.5.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: tuple[int, int, int],
        stride: tuple[int, int, int] = (1, 1, 1),
    ) -> None:
        super().__init__()
        frames, height, wide = kernel
        area = height * wide
        middle = 3 * channels * width * area // (channels * area + 3 * width)
        self.space = nn.Conv3d(
            channels,
            middle,
            (1, height, wide),
            stride=(1, *stride[1:]),
            padding=(0, height // 2, wide // 2),
            bias=False,
        )
        self.norm = nn.BatchNorm3d(middle)
        self.activation = nn.ReLU(inplace=True)
        self.time = nn.Conv3d(
            middle,
            width,
            (frames, 1, 1),
            stride=(stride[0], 1, 1),
            padding=(frames // 2, 0, 0),
            bias=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, width, T', H', W')."""
        found: Tensor = self.time(self.activation(self.norm(self.space(x))))
        return found


def _with_norm(convolution: SplitConvolution) -> nn.Sequential:
    norm = nn.BatchNorm3d(convolution.time.out_channels, eps=EPSILON)
    return nn.Sequential(convolution, norm)


class SplitBlock(nn.Module):
    """Two split 3×3×3 convolutions with a shortcut, itself split where sizes change."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        strides = (stride, stride, stride)
        self.first = _with_norm(SplitConvolution(channels, width, (3, 3, 3), strides))
        self.second = _with_norm(SplitConvolution(width, width, (3, 3, 3)))
        self.shortcut = (
            nn.Identity()
            if channels == width
            else _with_norm(SplitConvolution(channels, width, (1, 1, 1), strides))
        )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, width, T', H', W')."""
        y = self.second(self.activation(self.first(x)))
        found: Tensor = self.activation(y + self.shortcut(x))
        return found


class R2Plus1D(StagedNetwork):
    """R(2+1)D of 34 layers as MMAction2 has it: pooled after the stem, shortcuts split too.

    Stages: stem, layer1 … layer4. All kernels are odd and padded by half their size: every
    feature is centred on a multiple of its stride.
    Source: Tran et al., CVPR 2018.

    Args:
        variant: "r2plus1d_34".
        classes: size of the head; None for no head.
        temporal_stride: total stride along T; None keeps the source's, 8.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(
        self,
        variant: str = "r2plus1d_34",
        *,
        classes: int | None = None,
        temporal_stride: int | None = None,
    ) -> None:
        network = nn.Module()
        stem = SplitConvolution(3, WIDTHS[0], (3, 7, 7), (1, 2, 2))
        network.stem = nn.Sequential(
            *_with_norm(stem),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        steps = [Step("stem", WIDTHS[0], (1, 4, 4), ("stem",))]
        channels = WIDTHS[0]
        for number, (width, count) in enumerate(zip(WIDTHS, BLOCKS, strict=True), start=1):
            stride = 1 if number == 1 else 2
            blocks = [SplitBlock(channels, width, stride)]
            blocks += [SplitBlock(width, width, 1) for _ in range(count - 1)]
            network.add_module(f"layer{number}", nn.Sequential(*blocks))
            steps.append(Step(f"layer{number}", width, (stride,) * 3, (f"layer{number}",)))
            channels = width
        network.head = nn.Linear(channels, check_classes(classes) or 1)
        super().__init__(
            network,
            steps=steps,
            variant=variant,
            classes=classes,
            head_path="head",
            classifier_path="head",
            temporal_stride=temporal_stride,
        )

    def _classify(self, x: Tensor) -> Tensor:
        return self.network.head(x.mean((2, 3, 4)))

    def position_logits(self, features: Tensor) -> Tensor:
        """See `Backbone.position_logits`."""
        return at_positions(self.network.head, features)
