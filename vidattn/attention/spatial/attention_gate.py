from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional as F

from vidattn.attention.convolutions import CONVOLUTION, LINEAR_INTERPOLATION
from vidattn.attention.mechanism import Gate
from vidattn.errors import ArgumentError


class AttentionGate(Gate):
    """One weight per position, where x and a second, coarser signal agree.

    a = up(σ(ψ · ReLU(W_x ∗ x + up(W_g g + b_g)) + b_ψ)), y = x · a. W_x has a kernel and a
    stride of `stride` over H and W, none over T; g and a are brought to size by linear
    interpolation.

    Source: Oktay et al., Attention U-Net, MIDL 2018. The authors' code sends y through one more 1×1
    convolution and a batch normalisation; those are for the network to add.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        context_channels: those of g; None for C.
        hidden_channels: rows of W_x and W_g; None for C / 2.
        stride: by how much W_x coarsens H and W.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Oktay et al., Attention U-Net, MIDL 2018"
    map_meaning: ClassVar[str] = "what each position was multiplied by, in (0, 1)"
    context_meaning: ClassVar[str | None] = "gating signal (N, context_channels, *any positions)"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        context_channels: int | None = None,
        hidden_channels: int | None = None,
        stride: int = 2,
    ) -> None:
        super().__init__()
        hidden = hidden_channels or max(1, channels // 2)
        strides = {1: (1,), 2: (stride, stride), 3: (1, stride, stride)}[spatial_dims]
        convolution = CONVOLUTION[spatial_dims]
        self.ranks = (spatial_dims,)
        self.mode = LINEAR_INTERPOLATION[spatial_dims]
        self.x_map = convolution(channels, hidden, strides, stride=strides, bias=False)
        self.context_map = convolution(context_channels or channels, hidden, 1)
        self.score = convolution(hidden, 1, 1)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, 1, *positions)."""
        if not isinstance(context, Tensor):
            raise ArgumentError(f"AttentionGate: expected context, a {self.context_meaning}")
        seen = self.x_map(x)
        signal = self._resize(self.context_map(context), seen)
        return self._resize(self.score(F.relu(seen + signal)).sigmoid(), x)

    def _resize(self, y: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(y, size=like.shape[2:], mode=self.mode)
