from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision
from vidattn.attention.spatial.shifted_window import ShiftedWindowAttention
from vidattn.attention.spatial.windows import relative_bias


class ShiftedWindowAttentionV2(ShiftedWindowAttention):
    """Every position reads from its own window by cosine, with a bias from a small network.

    y = x + LayerNorm(W_o [softmax(min(eˢ, 100) cos(q, k) + B) v] + b_o) inside each window, with
    q, k, v linear in x (k without a bias) and one s per head.
    B_ij = 16 σ(M(Δ)), where M has two layers and Δ = sign(r) log₂(1 + 8 |r|) / 3 on each axis,
    r = (i − j) / (window − 1). Windows are as in `ShiftedWindowAttention`. The logits are
    computed in single precision.

    Source: Liu et al., Swin Transformer V2, CVPR 2022, with the bounds 100 and 16 of the authors'
    code. The paper has 2-D only; in 3-D M sees one more coordinate.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        window: sizes, one for all axes or one for each; None for 8, 7 × 7 or 8 × 7 × 7.
        heads: must divide C.
        shifted: shift the windows by half.
        compat: as in the published weights' code: the positions that fill up a window are read
            as if they held zeros, and in 1-D and 2-D no window is clipped.
    """

    source: ClassVar[str] = "Liu et al., Swin Transformer V2, CVPR 2022"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        window: int | Sequence[int] | None = None,
        heads: int = 8,
        shifted: bool = False,
        compat: bool = False,
    ) -> None:
        super().__init__(
            channels,
            spatial_dims=spatial_dims,
            window=window,
            heads=heads,
            shifted=shifted,
            compat=compat,
        )
        # k has no bias: it would be the same for all keys of a query, were it not for the cosine.
        self.query_key_value = nn.Linear(channels, 3 * channels, bias=False)
        self.query_bias = nn.Parameter(torch.zeros(channels))
        self.value_bias = nn.Parameter(torch.zeros(channels))

    def _make_position_bias(self) -> None:
        self.log_scale = nn.Parameter(torch.full((self.heads, 1, 1), math.log(10)))
        self.bias_hidden = nn.Linear(len(self.window), 512)
        self.bias_output = nn.Linear(512, self.heads, bias=False)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        return self.norm(self.output(self._mix(tokens, mask, grid)))

    def _project(self, tokens: Tensor) -> Tensor:
        none = torch.zeros_like(self.query_bias)
        bias = torch.cat([self.query_bias, none, self.value_bias])
        return F.linear(tokens, self.query_key_value.weight, bias)

    def _scaled(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.log_scale.clamp(max=math.log(100)).exp()
        query, key = (F.normalize(single_precision(part), dim=4) for part in (query, key))
        return query * scale, key

    def _position_bias(self, window: Sequence[int]) -> Tensor:
        """(heads, P, P)."""
        axes = [self._coordinates(size) for size in self.window]
        seen = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        table = 16 * self.bias_output(F.relu(self.bias_hidden(seen))).sigmoid()
        return relative_bias(table.movedim(-1, 0)[None], window, self.window, compat=self.compat)

    def _coordinates(self, size: int) -> Tensor:
        weight = self.bias_hidden.weight
        steps = torch.arange(1 - size, size, device=weight.device, dtype=weight.dtype)
        steps = 8 * steps / max(1, size - 1)
        return steps.sign() * (1 + steps.abs()).log2() / 3
