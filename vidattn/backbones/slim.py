from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from vidattn.backbones.backbone import Backbone, Stage
from vidattn.backbones.motion_inputs import MotionInputs
from vidattn.backbones.staged import at_positions
from vidattn.errors import ArgumentError


class FactorisedConvolution(nn.Sequential):
    """A 1×3×3 convolution over space, then a 3×1×1 convolution over time.

    The middle width makes the pair as large as the 3×3×3 convolution that it stands for.
    Source: Tran et al., CVPR 2018, section 3.5.
    """

    def __init__(
        self, channels: int, width: int, *, spatial_stride: int = 1, temporal_stride: int = 1
    ) -> None:
        middle = (27 * channels * width) // (9 * channels + 3 * width)
        super().__init__(
            nn.Conv3d(
                channels,
                middle,
                (1, 3, 3),
                stride=(1, spatial_stride, spatial_stride),
                padding=(0, 1, 1),
                bias=False,
            ),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(
                middle,
                width,
                (3, 1, 1),
                stride=(temporal_stride, 1, 1),
                padding=(1, 0, 0),
                bias=False,
            ),
            nn.BatchNorm3d(width),
        )


class ResidualBlock(nn.Module):
    """Two factorised convolutions with a shortcut. Source: He et al., CVPR 2016, figure 3."""

    def __init__(
        self, channels: int, width: int, *, spatial_stride: int, temporal_stride: int
    ) -> None:
        super().__init__()
        self.first = FactorisedConvolution(
            channels, width, spatial_stride=spatial_stride, temporal_stride=temporal_stride
        )
        self.second = FactorisedConvolution(width, width)
        self.activation = nn.ReLU(inplace=True)
        stride = (temporal_stride, spatial_stride, spatial_stride)
        self.shortcut: nn.Module = nn.Identity()
        if channels != width or stride != (1, 1, 1):
            self.shortcut = nn.Sequential(
                nn.Conv3d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm3d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, width, T', H', W')."""
        y = self.second(self.activation(self.first(x)))
        return self.activation(y + self.shortcut(x))


class Slim(Backbone):
    """A small (2+1)D residual network that a CPU can train: about a million parameters.

    Args:
        classes: size of its own classification head (average pooling, one linear layer);
            None for no head.
        widths: channels of the stem and of each stage after it.
        spatial_strides: one for the stem and for each stage.
        temporal_strides: likewise; the product is the stride of the key-frame scores.
        inputs: what the stem sees of the clip, see `MotionInputs`. Changes and velocities reach
            one frame further back; the stages' offsets are those of the colours.
        input_stride: 1, or 2 to halve height and width before the stem.
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def __init__(
        self,
        *,
        classes: int | None = None,
        widths: Sequence[int] = (24, 48, 96, 128),
        spatial_strides: Sequence[int] = (2, 2, 2, 2),
        temporal_strides: Sequence[int] = (1, 1, 2, 1),
        inputs: Sequence[str] = ("colour", "change"),
        input_stride: int = 1,
    ) -> None:
        super().__init__()
        if not len(widths) == len(spatial_strides) == len(temporal_strides) >= 2:
            raise ArgumentError(
                "widths, spatial_strides, temporal_strides: expected equal lengths of at least 2, "
                f"got {len(widths)}, {len(spatial_strides)} and {len(temporal_strides)}"
            )
        self.inputs = MotionInputs(inputs, stride=input_stride)
        self.stem = nn.Sequential(
            FactorisedConvolution(
                self.inputs.channels,
                widths[0],
                spatial_stride=spatial_strides[0],
                temporal_stride=temporal_strides[0],
            ),
            nn.ReLU(inplace=True),
        )
        for number in range(1, len(widths)):
            block = ResidualBlock(
                widths[number - 1],
                widths[number],
                spatial_stride=spatial_strides[number],
                temporal_stride=temporal_strides[number],
            )
            self.add_module(f"layer{number}", block)
        self.head = None if classes is None else nn.Linear(widths[-1], classes)
        self.stages = _stages(widths, spatial_strides, temporal_strides, input_stride)

    def features(self, clip: Tensor, stages: Iterable[str] | None = None) -> dict[str, Tensor]:
        """See `Backbone.features`."""
        wanted = self._wanted(clip, stages)
        found: dict[str, Tensor] = {}
        x = self.inputs(clip)
        for stage in self.stages:
            if len(found) == len(wanted):
                break
            x = self.get_submodule(stage.module)(x)
            if stage.name in wanted:
                found[stage.name] = x
        return found

    def logits(self, clip: Tensor) -> Tensor:
        """See `Backbone.logits`."""
        if self.head is None:
            raise ArgumentError("logits: this network was built without a head (classes=None)")
        return self.head(self(clip).mean((2, 3, 4)))

    def position_logits(self, features: Tensor) -> Tensor | None:
        """See `Backbone.position_logits`."""
        return None if self.head is None else at_positions(self.head, features)


def _stages(
    widths: Sequence[int],
    spatial_strides: Sequence[int],
    temporal_strides: Sequence[int],
    input_stride: int,
) -> tuple[Stage, ...]:
    """Strides multiply; an odd kernel padded by half its size keeps every centre in place."""
    found, temporal, spatial = [], 1, input_stride
    centre = (input_stride - 1) / 2
    for number, width in enumerate(widths):
        temporal *= temporal_strides[number]
        spatial *= spatial_strides[number]
        name = f"layer{number}" if number else "stem"
        stride = (temporal, spatial, spatial)
        found.append(Stage(name, width, stride, (0.0, centre, centre), name))
    return tuple(found)
