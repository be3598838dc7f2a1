from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.convolutions import kernel_sizes
from vidattn.attention.mechanism import Mixer
from vidattn.attention.spatial.blocks import Axis, Blocks
from vidattn.attention.spatial.groups import Places, attend_in_groups, forbid, show_groups
from vidattn.errors import ArgumentError

KERNELS = {1: (7,), 2: (7, 7), 3: (3, 7, 7)}
AXES = {1: "T", 2: "HW", 3: "THW"}


class LocalSelfAttention(Mixer):
    """Every position reads from the window around it, by content and by relative position.

    y = x + softmax_j(q_i · k_j + q_i · r_{j−i}) v_j over the j with |j − i| ≤ k // 2 on each
    axis; q, k, v are linear in x, without biases. The first half of r's channels is learned for
    each distance along H, the second along W; the heads share it. Time and memory grow with L
    times 2ᵈⁱᵐˢ kernels.

    Source: Ramachandran et al., Stand-Alone Self-Attention, NeurIPS 2019, "stand-alone
    self-attention". The paper has it in place of a convolution; here x is added. In 3-D, r has an
    additional term of full width for T, which is r in 1-D.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        kernel: odd sizes, one for all axes or one for each; None for 7, 7 × 7 or 3 × 7 × 7.
        heads: must divide C.
        scale: of q; the paper has none.
        compat: as in public code, where x is surrounded by zeros that are read like others: they
            take their share of the softmax by q_i · r_{j−i}, and their value is 0. Padding then
            does the same. Otherwise only positions of x are read.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Ramachandran et al., Stand-Alone Self-Attention, NeurIPS 2019"
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        kernel: int | Sequence[int] | None = None,
        heads: int = 8,
        scale: float = 1.0,
        compat: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % (heads if spatial_dims == 1 else 2 * heads):
            raise ArgumentError(
                f"heads: expected a divisor of {channels} channels into even parts, got {heads}"
            )
        self.ranks = (spatial_dims,)
        default = KERNELS[spatial_dims]
        self.kernel = kernel_sizes("kernel", default if kernel is None else kernel, spatial_dims)
        self.heads = heads
        self.scale = scale
        self.compat = compat
        self.query_key_value = nn.Linear(channels, 3 * channels, bias=False)
        width = channels // heads
        widths = {"T": width, "H": width // 2, "W": width // 2}
        self.position = nn.ParameterDict()
        for axis, size in zip(AXES[spatial_dims], self.kernel, strict=True):
            self.position[axis] = nn.Parameter(torch.randn(size, widths[axis]))

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        parts = self.query_key_value(tokens).unflatten(1, grid).chunk(3, dim=-1)
        blocks = Blocks(
            [
                Axis.cut(size, one, one // 2, tokens.device, inside=False)
                for size, one in zip(grid, self.kernel, strict=True)
            ]
        )
        pieces = (blocks.queries(parts[0]), blocks.keys(parts[1]), blocks.keys(parts[2]))
        # (N, G, Q, C) -> (N, G, heads, Q, d)
        query, key, value = (part.unflatten(3, (self.heads, -1)).transpose(2, 3) for part in pieces)
        query = query * self.scale
        inside = blocks.inside().unsqueeze(2)
        if self.compat:
            key, value = (part.masked_fill(~inside.transpose(3, 4), 0) for part in (key, value))
        seen = None if mask is None else mask.unflatten(1, grid)
        bias = forbid(self._relative(query, blocks), self._allowed(blocks, seen, inside))
        if self.observer.recording:
            real = torch.ones_like(tokens[:1, :, 0], dtype=torch.bool) if mask is None else mask
            show_groups(self.observer, query, key, bias, Places(*blocks.places(), real, grid))
        mixed = attend_in_groups(query, key, value, bias)
        return blocks.join(mixed.transpose(2, 3).flatten(3)).flatten(1, -2)

    def _relative(self, query: Tensor, blocks: Blocks) -> Tensor:
        """q · r: (N, G, heads, Q, d) -> (N, G, heads, Q, K), one term for each axis."""
        rank, width = blocks.rank, query.shape[4]
        counts, sizes = zip(*(axis.query_ranks.shape for axis in blocks.axes), strict=True)
        query = query.reshape(query.shape[0], *counts, self.heads, *sizes, width)
        share = {"T": slice(None), "H": slice(0, width // 2), "W": slice(width // 2, None)}
        parts = []
        for index, (name, table) in enumerate(self.position.items()):
            axis = blocks.axes[index]
            steps = axis.keys[:, None] - axis.queries[:, :, None] + self.kernel[index] // 2
            learned = table[steps.clamp(min=0).clamp(max=self.kernel[index] - 1)]
            groups, inner = "tyx"[:rank], "abc"[:rank]
            layout = f"n{groups}h{inner}"
            terms = f"{layout}d,{groups[index]}{inner[index]}kd->{layout}k"
            part = torch.einsum(terms, query[..., share[name]], learned)
            shape = [1] * rank
            shape[index] = part.shape[-1]
            parts.append(part.reshape(*part.shape[:-1], *shape))
        total = reduce(torch.add, parts).flatten(2 + 2 * rank).flatten(2 + rank, 1 + 2 * rank)
        return total.reshape(total.shape[0], prod(counts), *total.shape[1 + rank :])

    def _allowed(self, blocks: Blocks, mask: Tensor | None, inside: Tensor) -> Tensor:
        """(N or 1, G, 1, Q, K)."""
        axes = zip(blocks.axes, self.kernel, strict=True)
        steps = [(axis.keys[:, None] - axis.queries[:, :, None], one // 2) for axis, one in axes]
        near = blocks.pairs([(step.abs() <= reach)[None] for step, reach in steps]).unsqueeze(2)
        if self.compat:
            return near
        allowed = near & inside
        if mask is None:
            return allowed
        real = blocks.keys(mask.unsqueeze(-1))[:, :, None, None, :, 0]
        return (allowed & real) | blocks.pairs([(step == 0)[None] for step, _ in steps]).unsqueeze(
            2
        )
