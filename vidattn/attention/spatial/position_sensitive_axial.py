from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.precision import in_single_precision
from vidattn.attention.spatial.lines import AXES, AlongAxis
from vidattn.errors import ArgumentError


class PositionSensitiveAxialAttention(Mechanism):
    """Each position reads along one axis after another, content and distance weighing together.

    y = x + f_W(f_H(f_T(x))), where along its axis
    f(x)_i = BN(Σ_j a_ij v_j) + BN(Σ_j a_ij r^v_{i−j}),
    a_ij = softmax_j(BN(q_i · k_j) + BN(q_i · r^q_{i−j}) + BN(k_j · r^k_{j−i})),
    [q, k, v] = BN(W x), q and k half as wide as v; the heads share r. There is no other scale.
    An axis of one position is left out. At padding the normalisations see zeros.

    Source: Wang et al., Axial-DeepLab, ECCV 2020, with the normalisations of the authors' code. The
    paper has it in place of a convolution in 2-D; here x is added and T comes first in 3-D.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        heads: C must be divisible by twice as many.
        span: largest size of an axis; the authors' is the size itself.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Wang et al., Axial-DeepLab, ECCV 2020"
    map_kind: ClassVar[MapKind] = "affinity"
    map_meaning: ClassVar[str] = (
        "one map for each axis: attention each position received on its line; sums to 1 there"
    )
    ranks: tuple[int, ...] = (2, 3)

    def __init__(
        self, channels: int, *, spatial_dims: int = 3, heads: int = 8, span: int = 64
    ) -> None:
        super().__init__()
        self.ranks = (spatial_dims,)
        self.along = nn.ModuleDict(
            {
                name: AlongAxis(PositionSensitiveLine(channels, heads=heads, span=span), axis=axis)
                for axis, name in enumerate(AXES[spatial_dims])
            }
        )

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        y = zero_padding(x, mask)
        for axis, attention in enumerate(self.along.values()):
            if x.shape[axis + 2] != 1:
                y = attention(y, mask=mask)
        return x + y


class PositionSensitiveLine(nn.Module):
    """f of `PositionSensitiveAxialAttention` along one axis: (B, C, A) -> (B, C, A), 0 at padding.

    Args:
        channels: C.
        heads: C must be divisible by twice as many.
        span: largest A.
    """

    def __init__(self, channels: int, *, heads: int, span: int) -> None:
        super().__init__()
        if heads < 1 or channels % (2 * heads):
            raise ArgumentError(
                f"heads: expected a divisor of {channels} channels into even parts, got {heads}"
            )
        self.heads = heads
        self.span = span
        self.query_key_value = nn.Conv1d(channels, 2 * channels, 1, bias=False)
        self.input_norm = nn.BatchNorm1d(2 * channels)
        self.logit_norm = nn.BatchNorm2d(3 * heads)
        self.output_norm = nn.BatchNorm1d(2 * channels)
        width = channels // heads
        self.relative = nn.Parameter(torch.randn(2 * width, 2 * span - 1) * width**-0.5)
        self.observer = Observer("affinity")
        nn.init.normal_(self.query_key_value.weight, std=channels**-0.5)

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Mask: bool (B, 1, A)."""
        projected = self.input_norm(self.query_key_value(x)).unflatten(1, (self.heads, -1))
        width = projected.shape[2] // 2
        sizes = (width // 2, width // 2, width)
        query, key, value = projected.split(sizes, dim=2)  # (B, heads, width, A)
        by_query, by_key, by_value = self._distances(x.shape[2]).split(sizes)
        # Nothing scales the products down: half precision cannot hold them.
        with torch.autocast(x.device.type, enabled=False):
            query, key = single_precision(query), single_precision(key)
            kinds = (
                query.transpose(2, 3) @ key,
                torch.einsum("bhci,cij->bhij", query, single_precision(by_query)),
                torch.einsum("bhcj,cji->bhij", key, single_precision(by_key)),
            )
        logits = in_single_precision(self.logit_norm, torch.cat(kinds, dim=1))
        keys = None if mask is None else mask.unsqueeze(1)
        weights = masked_softmax(logits.unflatten(1, (3, self.heads)).sum(1), keys, dim=3)
        self._show(weights, mask)
        weights = weights.to(value.dtype)
        read = torch.einsum("bhij,bhcj->bhci", weights, value)
        far = torch.einsum("bhij,cij->bhci", weights, by_value.to(value.dtype))
        # The authors' code interleaves both sums, channel by channel.
        both = torch.stack([read, far], dim=3).flatten(1, 3)
        out: Tensor = self.output_norm(both).unflatten(1, (-1, 2)).sum(2)
        return zero_padding(out, mask)

    def _distances(self, size: int) -> Tensor:
        """(2·width, A, A): r at the first index minus the second."""
        if size > self.span:
            raise ArgumentError(f"span: expected at least {size}, the size of x, got {self.span}")
        steps = torch.arange(size, device=self.relative.device)
        index = steps[:, None] - steps[None, :] + self.span - 1
        return self.relative.index_select(1, index.flatten()).unflatten(1, index.shape)

    def _show(self, weights: Tensor, mask: Tensor | None) -> None:
        if not self.observer.recording:
            return
        rows = weights.detach()
        count: Tensor | int = rows.shape[2]
        if mask is not None:
            rows = rows * mask.unsqueeze(3)
            count = mask.sum(2, keepdim=True).clamp(min=1)
        self.observer(rows.sum(2) / count, (weights.shape[3],), affinity=rows)
