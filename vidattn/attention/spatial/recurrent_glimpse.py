from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism, Pooled
from vidattn.attention.observe import MapKind, Observer
from vidattn.attention.pooling import lowest_at_padding
from vidattn.errors import ArgumentError


class Glimpses(NamedTuple):
    """Where a clip was looked at, and what the choices of the looks learn from.

    Attributes:
        pooled: what the mechanism returns.
        locations: (N, glimpses, axes) in [-1, 1]: the first and the last real position.
        log_probability: (N, glimpses - 1), of each move to the next location.
        expected_reward: (N, glimpses - 1), before each move.
    """

    pooled: Pooled
    locations: Tensor
    log_probability: Tensor
    expected_reward: Tensor


class RecurrentGlimpse(Mechanism):
    """One vector from a few looks at small places, each place chosen by what was seen before.

    A look at l reads `scales` patches ρ around position ⌊(l + 1) L / 2⌋ of each axis (of L real
    positions; at most the last), of g, 2g, 4g … positions, the larger ones averaged down to g
    cells; zeros beyond the border.

        g_t = ReLU(W₁ ReLU(W₂ ρ) + W₃ ReLU(W₄ l_t)),  h_t = ReLU(W₅ h_{t-1} + W₆ g_t)
        l_{t+1} = μ_t + noise, cut to [-1, 1], μ_t = tanh(W₇ ReLU(W₈ h_t)), l_1 = 0

    each W with a bias. Features are the last h, weights the share of all reading that fell on
    a position, scores their logarithms. Evaluation looks at μ itself.

    A place has no gradient: W₇ and W₈ learn from a reward by `reward_loss` only, as does a
    guess b_t = W₉ h_t of it, and what is backward of them (h) is left alone.

        looked = glimpse.look(x)
        loss = cross_entropy(head(looked.pooled.features), y) + reward_loss(looked, right)

    (N, C, *positions) -> features (N, C), weights and scores (N, *positions).

    Source: Mnih et al., Recurrent Models of Visual Attention, NeurIPS 2014. Layers as in public
    re-implementations; no code of the authors confirms them. Theirs looks at pixels first at
    random; here at features, and first at the centre.

    Args:
        channels: C, of the memory too.
        spatial_dims: number of position axes of x.
        glimpses: how many looks; at least 2.
        glimpse_size: g, odd.
        scales: patches in a look.
        hidden_channels: rows of W₂, W₄ and W₈.
        deviation: of the noise on each axis in training.
    """

    kind: ClassVar[Kind] = "pooler"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Mnih et al., Recurrent Models of Visual Attention, NeurIPS 2014"
    map_kind: ClassVar[MapKind] = "pooling"
    map_meaning: ClassVar[str] = "share of all reading that fell on each position; sums to 1"
    weighs_time: ClassVar[bool] = True
    learns_by_reward: ClassVar[bool] = True
    weighs_input: ClassVar[bool] = False

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        glimpses: int = 6,
        glimpse_size: int = 3,
        scales: int = 2,
        hidden_channels: int = 128,
        deviation: float = 0.1,
    ) -> None:
        super().__init__()
        if glimpses < 2:
            raise ArgumentError(f"glimpses: expected at least 2, got {glimpses}")
        if glimpse_size < 1 or glimpse_size % 2 == 0:
            raise ArgumentError(f"glimpse_size: expected an odd size, got {glimpse_size}")
        self.ranks = (spatial_dims,)
        self.glimpses = glimpses
        self.glimpse_size = glimpse_size
        self.scales = scales
        self.deviation = deviation
        self.what = nn.Linear(scales * channels * glimpse_size**spatial_dims, hidden_channels)
        self.where = nn.Linear(spatial_dims, hidden_channels)
        self.from_what = nn.Linear(hidden_channels, channels)
        self.from_where = nn.Linear(hidden_channels, channels)
        self.read = nn.Linear(channels, channels)
        self.remember = nn.Linear(channels, channels)
        self.plan = nn.Linear(channels, hidden_channels)
        self.move = nn.Linear(hidden_channels, spatial_dims)
        self.expect = nn.Linear(channels, 1)
        self.observer = Observer(self.map_kind)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        context: Any = None,
        noise: Tensor | None = None,
    ) -> Pooled:
        """(N, C, *positions) -> features (N, C), weights and scores (N, *positions)."""
        return self.look(x, mask=mask, noise=noise).pooled

    def look(
        self, x: Tensor, *, mask: Tensor | None = None, noise: Tensor | None = None
    ) -> Glimpses:
        """The same, and what `reward_loss` needs.

        Args:
            x, mask: see `Mechanism.forward`.
            noise: (N, glimpses - 1, axes), standard normal: what training draws where it is not
                given; evaluation uses none.
        """
        self.check_rank(x)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).squeeze(1)
        x = zero_padding(x, mask)
        # Rounding would move the looks.
        with torch.autocast(x.device.type, enabled=False):
            precise = x.to(self.read.weight.dtype)
            return self._look(precise, kept, noise if self.training else None)

    def _look(self, x: Tensor, kept: Tensor | None, noise: Tensor | None) -> Glimpses:
        moves = (x.shape[0], self.glimpses - 1, x.ndim - 2)
        if self.training and noise is None:
            noise = torch.randn(moves, dtype=x.dtype, device=x.device)
        sizes = _real_sizes(x, kept)
        location = x.new_zeros(x.shape[0], x.ndim - 2)
        hidden = x.new_zeros(x.shape[0], x.shape[1])
        seen = x.new_zeros(x.shape[0], *x.shape[2:])
        places, chances, guesses = [location], [], []
        for step in range(self.glimpses):
            patches, read = self._patches(x, location, sizes)
            seen = seen + read
            what, where = F.relu(self.what(patches)), F.relu(self.where(location))
            glimpse = F.relu(self.from_what(what) + self.from_where(where))
            hidden = F.relu(self.remember(hidden) + self.read(glimpse))
            if step < self.glimpses - 1:
                state = hidden.detach()
                mean = self.move(F.relu(self.plan(state))).tanh()
                away = torch.zeros_like(mean) if noise is None else noise[:, step] * self.deviation
                place = (mean + away).detach()
                location = place.clamp(-1, 1)
                places.append(location)
                chances.append(_log_normal(place - mean, self.deviation).sum(1))
                guesses.append(self.expect(state).squeeze(1))
        pooled = self._pooled(hidden, seen, kept)
        return Glimpses(
            pooled, torch.stack(places, 1), torch.stack(chances, 1), torch.stack(guesses, 1)
        )

    def _patches(
        self, x: Tensor, location: Tensor, sizes: list[Tensor | int]
    ) -> tuple[Tensor, Tensor]:
        """What is read, (N, scales · C · cells), and how much of each position."""
        part = x.unsqueeze(1).expand(-1, self.scales, *x.shape[1:])
        read = x.new_ones(x.shape[0], self.scales, *[1] * (x.ndim - 2))
        for axis, size in enumerate(sizes):
            cells = self._cells(location[:, axis], size, x.shape[2 + axis])
            part = torch.einsum("nsgl,nscl...->nsc...g", cells, part)
            shape = [1] * (x.ndim - 2)
            shape[axis] = -1
            read = read * cells.sum(2).reshape(x.shape[0], self.scales, *shape)
        return part.flatten(1), read.sum(1)

    def _cells(self, location: Tensor, size: Tensor | int, length: int) -> Tensor:
        """(N,) on one axis -> (N, scales, g, length): each cell's mean over its positions."""
        # Not past the last one, which l = 1 would be.
        centre = ((location + 1) / 2 * size).floor().clamp(max=size - 1)
        block = 2 ** torch.arange(self.scales, device=location.device)[:, None, None]
        first = centre[:, None, None, None] - self.glimpse_size * block // 2
        start = first + block * torch.arange(self.glimpse_size, device=location.device)[:, None]
        position = torch.arange(length, device=location.device)
        inside = (position >= start) & (position < start + block)
        return inside.to(location.dtype) / block

    def _pooled(self, hidden: Tensor, seen: Tensor, kept: Tensor | None) -> Pooled:
        if kept is not None:
            seen = seen.masked_fill(~kept, 0)
            hidden = hidden.masked_fill(~kept.flatten(1).any(1, keepdim=True), 0)
        tiny = torch.finfo(seen.dtype).tiny
        total = seen.flatten(1).sum(1).clamp(min=tiny)
        weights = seen / total.reshape(-1, *[1] * (seen.ndim - 1))
        self.observer(weights.unsqueeze(1), seen.shape[1:])
        return Pooled(hidden, weights, lowest_at_padding(weights.clamp(min=tiny).log(), kept))


def reward_loss(looked: Glimpses, reward: Tensor) -> Tensor:
    """What teaches where to look: −Σ_t log π(l_t) (R − b_t) + (R − b_t)², a mean over samples.

    The first term leaves b alone, and the squares are a mean over moves too.

    Args:
        looked: from a pass in training.
        reward: R (N,), such as 1 where the answer was right.
    """
    away = reward.to(looked.expected_reward).unsqueeze(1) - looked.expected_reward
    policy = -(looked.log_probability * away.detach()).sum(1).mean()
    return policy + away.square().mean()


def _log_normal(away: Tensor, deviation: float) -> Tensor:
    """The logarithm of the normal density of this deviation, at a distance from its mean."""
    return -0.5 * (away / deviation).square() - math.log(deviation * math.sqrt(2 * math.pi))


def _real_sizes(x: Tensor, kept: Tensor | None) -> list[Tensor | int]:
    """For each axis its size up to the last real position; (N,) where that depends on the mask."""
    if kept is None:
        return list(x.shape[2:])
    sizes: list[Tensor | int] = []
    for axis in range(1, kept.ndim):
        others = [other for other in range(1, kept.ndim) if other != axis]
        real = kept.any(others) if others else kept
        count = torch.arange(1, x.shape[1 + axis] + 1, device=x.device)
        sizes.append((count * real).amax(1).clamp(min=1))
    return sizes
