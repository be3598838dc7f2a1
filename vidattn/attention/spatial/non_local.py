from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.affinity import CHUNK, affinities
from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.attention.subsampling import block_count, block_maximum, spread_over_blocks
from vidattn.errors import ArgumentError

Pairwise = Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"]


class NonLocal(Mixer):
    """Every position reads from every other through half as many channels, in one head.

    y = x + W_z [Σ_j f_ij g_j] + b_z, with θ, φ, g linear in x, n the number of keys j, and f
    gaussian: softmax_j(scale · x_i · x_j); embedded_gaussian: softmax_j(scale · θ_i · φ_j);
    dot_product: θ_i · φ_j / n; concatenation: ReLU(w · [θ_i, φ_j]) / n. W_z and b_z start at
    0, so that a new one is the identity. No form holds an L × L table: the first two use the
    fused kernel, dot products are summed as θ (φᵀ g), rectified sums by sorting.

    The map of the last two forms has rows that do not sum to 1, and dot products have a sign.
    With `subsample` the weight of a pooled key is shown in equal parts at its positions.

    Source: Wang et al., Non-local Neural Networks, CVPR 2018. The paper's text has no scale, the
    authors' code has width^-½; unscaled, half precision overflows. They add a batch normalisation
    after W_z, which an evaluated network can fold into W_z and b_z. Their code subsamples x itself,
    before φ and g (`subsample_input`), where their figure and most others' code do so behind them.

    Args:
        channels: C.
        pairwise: f, by name.
        hidden_channels: of θ, φ and g; None for C / 2.
        scale: of the two Gaussian forms; None for (width of the product)^-½, 1.0 for the
            paper's text.
        subsample: keys are the maxima of blocks this long in H and W, not T (in 1-D, in T);
            φ and g are pooled by themselves. The authors' code has 2; 1 for no pooling.
        subsample_input: pool x in place of φ and g, as weights of the authors' code need.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Wang et al., Non-local Neural Networks, CVPR 2018"
    map_meaning: ClassVar[str] = (
        "attention each position received, mean over queries; sums to 1 in the Gaussian forms"
    )

    def __init__(
        self,
        channels: int,
        *,
        pairwise: Pairwise = "embedded_gaussian",
        hidden_channels: int | None = None,
        scale: float | None = None,
        subsample: int = 1,
        subsample_input: bool = False,
    ) -> None:
        super().__init__()
        _check(pairwise, scale, subsample)
        hidden = hidden_channels or max(1, channels // 2)
        embedded = pairwise != "gaussian"
        self.pairwise: Pairwise = pairwise
        self.scale = (hidden if embedded else channels) ** -0.5 if scale is None else scale
        self.subsample = subsample
        self.subsample_input = subsample_input
        self.query = nn.Linear(channels, hidden) if embedded else None
        self.key = nn.Linear(channels, hidden) if embedded else None
        self.value = nn.Linear(channels, hidden)
        self.pair = nn.Linear(2 * hidden, 1, bias=False) if pairwise == "concatenation" else None
        self.output = nn.Linear(hidden, channels)
        self.starts_as_identity = True
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        query = tokens if self.query is None else self.query(tokens)
        key, value, kept = self._keys(tokens, mask, grid)
        if self.pair is not None:
            query, key = (
                F.linear(part, weight)
                for part, weight in zip((query, key), self.pair.weight.chunk(2, 1), strict=True)
            )
        elif self.pairwise != "dot_product":
            query = query * self.scale
        if self.observer.recording:
            self._show(query.detach(), key.detach(), mask, kept, grid)
        return self.output(self._mix(query, key, value, kept))

    def _keys(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """φ and g of the keys (N, K, …), and which of them are real."""
        steps, pooled = self._steps(grid), self.subsample > 1
        if self.subsample_input:
            tokens = block_maximum(tokens, mask, grid, steps)
        key, value = tokens if self.key is None else self.key(tokens), self.value(tokens)
        if pooled and not self.subsample_input:
            key, value = (block_maximum(part, mask, grid, steps) for part in (key, value))
        if mask is None or not pooled:
            return key, value, mask
        return key, value, block_count(mask, grid, steps) > 0

    def _steps(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        return (1,) * (len(grid) // 3) + (self.subsample,) * min(2, len(grid))

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, kept: Tensor | None) -> Tensor:
        """Σ_j f_ij g_j: (N, L, hidden)."""
        if self.pairwise in ("gaussian", "embedded_gaussian"):
            return _softmax_sum(query, key, value, kept)
        with torch.autocast(query.device.type, enabled=False):
            shared = single_precision(value) / _count(key, kept)
            if kept is not None:
                shared = shared.masked_fill(~kept.unsqueeze(2), 0)
            query, key = single_precision(query), single_precision(key)
            if self.pairwise == "dot_product":
                mixed = query @ (key.transpose(1, 2) @ shared)
            else:
                mixed = rectified_sum(query.squeeze(2), key.squeeze(2), shared)
            return mixed.to(value.dtype)

    def _rows(self, query: Tensor, key: Tensor, kept: Tensor | None) -> Tensor:
        """f_ij as it is written: (N, queries, keys)."""
        if self.pairwise in ("gaussian", "embedded_gaussian"):
            return affinities(query.unsqueeze(1), key.unsqueeze(1), kept).squeeze(1)
        query, key = single_precision(query), single_precision(key)
        with torch.autocast(query.device.type, enabled=False):
            if self.pairwise == "dot_product":
                pairs = query @ key.transpose(1, 2)
            else:
                pairs = F.relu(query + key.transpose(1, 2))
        pairs = pairs / _count(key, kept)
        return pairs if kept is None else pairs.masked_fill(~kept.unsqueeze(1), 0)

    @torch.no_grad()
    def _show(
        self,
        query: Tensor,
        key: Tensor,
        mask: Tensor | None,
        kept: Tensor | None,
        grid: tuple[int, ...],
    ) -> None:
        """Hand the observer each key's weight, averaged over the real queries, in pieces."""
        step = max(1, CHUNK // (key.shape[0] * key.shape[1]))
        total = single_precision(key).new_zeros(key.shape[:2])
        for start in range(0, query.shape[1], step):
            rows = self._rows(query[:, start : start + step], key, kept)
            if mask is not None:
                rows = rows.masked_fill(~mask[:, start : start + step, None], 0)
            total += rows.sum(1)
        total = total / _count(query, mask).squeeze(2)
        if self.subsample > 1:
            total = spread_over_blocks(total, mask, grid, self._steps(grid))
        whole = self._rows(query, key, kept).unsqueeze(1) if self.observer.wants_affinity else None
        self.observer(total.unflatten(1, grid).unsqueeze(1), grid, affinity=whole)


def rectified_sum(left: Tensor, right: Tensor, value: Tensor) -> Tensor:
    """Σ_j ReLU(a_i + b_j) v_j without a table of pairs, in O(L log L).

    The pairs above 0 are the first ones of the keys sorted by falling b, so that two cumulative
    sums S and S', each up to the number of those pairs, give a_i · S(v) + S'(b v).

    Args:
        left: a, (N, L).
        right: b, (N, K).
        value: v, (N, K, width).

    Returns:
        (N, L, width).
    """
    right, order = right.sort(dim=1, descending=True)
    value = value.gather(1, order.unsqueeze(2).expand_as(value))
    sums = F.pad(torch.cat([value, right.unsqueeze(2) * value], dim=2).cumsum(1), (0, 0, 1, 0))
    count = torch.searchsorted(-right, left.contiguous())
    sums = sums.gather(1, count.unsqueeze(2).expand(-1, -1, sums.shape[2]))
    of_value, of_product = sums.chunk(2, dim=2)
    return left.unsqueeze(2) * of_value + of_product


def _softmax_sum(query: Tensor, key: Tensor, value: Tensor, kept: Tensor | None) -> Tensor:
    # A sample without any key gives NaN in some kernels: let it see all, it is padding anyway.
    attended = None if kept is None else (kept | ~kept.any(1, keepdim=True))[:, None, None]
    query, key, value = (part.unsqueeze(1) for part in (query, key, value))
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attended, scale=1.0)
    return mixed.squeeze(1)


def _count(tokens: Tensor, kept: Tensor | None) -> Tensor:
    """How many positions are real, at least 1: (N, 1, 1)."""
    if kept is None:
        return tokens.new_full((1, 1, 1), tokens.shape[1], dtype=torch.float32)
    return kept.sum(1).clamp(min=1)[:, None, None]


def _check(pairwise: str, scale: float | None, subsample: int) -> None:
    if pairwise not in get_args(Pairwise):
        expected = ", ".join(get_args(Pairwise))
        raise ArgumentError(f"pairwise: expected one of {expected}, got {pairwise!r}")
    if scale is not None and pairwise in ("dot_product", "concatenation"):
        raise ArgumentError(f"scale: {pairwise} has none, got {scale}")
    if subsample < 1:
        raise ArgumentError(f"subsample: expected at least 1, got {subsample}")
