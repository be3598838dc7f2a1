from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import masked_softmax, single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.errors import ArgumentError


class NystromAttention(Mixer):
    """Every position reads from every other through a few landmarks, at a cost that grows with L.

    y = x + W_o [softmax(q k̃ᵀ) softmax(q̃ k̃ᵀ)⁺ softmax(q̃ kᵀ) v] + b_o, with q, k, v linear in
    LayerNorm(x), q and k divided by d^¼, and q̃ and k̃ their means in m stretches of equal length,
    in the order of the positions. The pseudoinverse ⁺ is found by iterations that only
    multiply. With as many landmarks as positions and enough iterations it is `self_attention`.
    The weights are those of the product: rows sum to nearly 1, and some weights may be below 0.

    Source: Xiong et al., Nyströmformer, AAAI 2021 (https://arxiv.org/abs/2102.03902), without the
    convolution of v that their code adds, and with an iteration that starts from each matrix by
    itself, not from the largest of the batch. Stretches that do not divide differ by one.

    Args:
        channels: C.
        heads: must divide C.
        landmarks: m.
        iterations: of the pseudoinverse.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Xiong et al., Nyströmformer, AAAI 2021"
    map_meaning: ClassVar[str] = (
        "attention each position received, mean over queries; sums to nearly 1"
    )
    weights_sum_to_one: ClassVar[bool] = False

    def __init__(
        self, channels: int, *, heads: int = 8, landmarks: int = 32, iterations: int = 6
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        if min(landmarks, iterations) < 1:
            raise ArgumentError(
                f"landmarks, iterations: expected at least 1, got {landmarks}, {iterations}"
            )
        self.heads = heads
        self.landmarks = landmarks
        self.iterations = iterations
        self.scale = (channels // heads) ** -0.25
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        projected = self.query_key_value(self.norm(tokens))
        # (N, L, 3·C) -> three of (N, heads, L, d)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        with torch.autocast(tokens.device.type, enabled=False):
            query, key, value = (single_precision(part) for part in (query, key, value))
            query, key = query * self.scale, key * self.scale
            means = stretches(value[:, 0], mask, self.landmarks)
            filled = (means.sum(2) > 0)[:, None]  # (N, 1, m)
            near, middle, far = self._kernels(query, key, means.unsqueeze(1), filled, mask)
            inverse = pseudoinverse(middle, self.iterations)
            if self.observer.recording:
                self._show(near.detach(), inverse.detach() @ far.detach(), mask, grid)
            mixed = near @ (inverse @ (far @ value))
        return self.output(mixed.to(projected.dtype).transpose(1, 2).flatten(2))

    def _kernels(
        self, query: Tensor, key: Tensor, means: Tensor, filled: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The three softmaxes: (N, heads, L, m), (N, heads, m, m) and (N, heads, m, L)."""
        query_marks, key_marks = means @ query, means @ key
        columns, rows = filled.unsqueeze(2), filled.unsqueeze(3)
        near = masked_softmax(query @ key_marks.transpose(2, 3), columns, dim=3)
        middle = masked_softmax(query_marks @ key_marks.transpose(2, 3), columns, dim=3)
        kept = None if mask is None else mask[:, None, None]
        far = masked_softmax(query_marks @ key.transpose(2, 3), kept, dim=3)
        # A stretch without positions is no landmark: a row and a column of zeros stay so, and
        # nothing is read through them.
        return near, middle.masked_fill(~rows, 0), far

    def _show(self, near: Tensor, rest: Tensor, mask: Tensor | None, grid: tuple[int, ...]) -> None:
        if mask is not None:
            near = near.masked_fill(~mask[:, None, :, None], 0)
        count = near.shape[2] if mask is None else mask.sum(1).clamp(min=1)[:, None, None, None]
        received = (near.sum(2, keepdim=True) / count) @ rest
        whole = near @ rest if self.observer.wants_affinity else None
        self.observer(received.squeeze(2).unflatten(2, grid), grid, affinity=whole)


def stretches(tokens: Tensor, mask: Tensor | None, count: int) -> Tensor:
    """(N, count, L): what takes the means of equal stretches of the real positions, in order.

    Args:
        tokens: (N, L, C); only its sizes and type matter.
        mask: bool (N, L).
        count: how many; those that get no position have rows of zeros.
    """
    batch, length = tokens.shape[:2]
    if mask is None:
        mask = torch.ones(batch, length, dtype=torch.bool, device=tokens.device)
    place = mask.cumsum(1) - 1
    total = mask.sum(1, keepdim=True).clamp(min=1)
    stretch = torch.div(place * count, total, rounding_mode="floor")
    marks = torch.arange(count, device=tokens.device)[:, None]
    inside = (stretch.unsqueeze(1) == marks) & mask.unsqueeze(1)
    return inside.to(tokens.dtype) / inside.sum(2, keepdim=True).clamp(min=1)


def pseudoinverse(matrix: Tensor, iterations: int) -> Tensor:
    """Of (…, m, m) with rows that sum to 1, or are 0, by products alone.

    Source: Razavi et al., A new iterative method for finding approximate inverses, 2014.
    """
    largest = matrix.sum(-2).amax(-1)[..., None, None]
    # Where all is padding the matrix is 0, and so is what is found.
    found = matrix.transpose(-1, -2) / (largest + (largest == 0))
    one = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    for _ in range(iterations):
        product = matrix @ found
        inner = 15 * one - product @ (7 * one - product)
        found = found @ (13 * one - product @ inner) / 4
    return found
