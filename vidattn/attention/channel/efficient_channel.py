from __future__ import annotations

from math import log2
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from vidattn.attention.masking import masked_mean
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class EfficientChannelAttention(Gate):
    """One weight per channel, from the means of the channels next to it: a handful of parameters.

    a = σ(mean(x) ∗ w), a convolution along the channel axis; y = x · a. Beyond the ends of the
    axis there are zeros, or its other end (cECA).

    Source: Wang et al., ECA-Net, CVPR 2020. A kernel size that the rule makes even goes up to the
    next odd one, as in the authors' code.

    Args:
        channels: C.
        kernel_size: odd; None for |(log₂ C + 1) / 2| made odd, the paper's rule.
        circular: the last channel is the first one's neighbour.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Wang et al., ECA-Net, CVPR 2020"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1)"

    def __init__(
        self, channels: int, *, kernel_size: int | None = None, circular: bool = False
    ) -> None:
        super().__init__()
        if kernel_size is None:
            kernel_size = int((log2(channels) + 1) / 2) | 1
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ArgumentError(f"kernel_size: expected an odd number, got {kernel_size}")
        beyond: Literal["circular", "zeros"] = "circular" if circular else "zeros"
        self.convolution = nn.Conv1d(
            1, 1, kernel_size, padding=kernel_size // 2, padding_mode=beyond, bias=False
        )

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        means = masked_mean(x, mask).unsqueeze(1)  # (N, 1, C)
        return self.per_channel(self.convolution(means).squeeze(1).sigmoid(), x)
