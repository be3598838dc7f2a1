from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import single_precision, zero_padding
from vidattn.attention.mechanism import Mixer
from vidattn.attention.observe import MapKind
from vidattn.errors import ArgumentError

EPSILON = 1e-6


class ExpectationMaximisationAttention(Mixer):
    """Positions are grouped around a few bases, and each is rebuilt from the bases it belongs to.

    f = W₁ x + b₁; from the bases μ, repeated: Z = softmax over the bases of fᵀ μ, then μ = the
    means of f weighted by Z, each brought to length 1; y = x + BN(W₂ ReLU(μ Zᵀ)). Linear in the
    number of positions. The authors' code has a ReLU after the sum, which is for the network to
    add.

    The first μ is a buffer, `bases`, the same for every input. It learns by a moving average,
    not by gradients: call `update_bases` after each training step.

    Source: Li et al., EMANet, ICCV 2019: responsibility estimation, likelihood maximisation,
    re-estimation.

    Args:
        channels: C.
        bases: K.
        iterations: how often both steps are taken, at least once.
        stop_gradient: let no gradient through Z and μ, as in the authors' code, where W₁ then
            never learns. The result is the same.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Li et al., EMANet, ICCV 2019, the unit with its two convolutions"
    map_kind: ClassVar[MapKind] = "assignment"
    map_meaning: ClassVar[str] = "share of each base in a position; sums to 1 over the bases"

    bases: Tensor

    def __init__(
        self, channels: int, *, bases: int = 64, iterations: int = 3, stop_gradient: bool = False
    ) -> None:
        super().__init__()
        if iterations < 1:
            raise ArgumentError(f"iterations: expected at least 1, got {iterations}")
        self.iterations = iterations
        self.stop_gradient = stop_gradient
        self.input = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.register_buffer("bases", _unit_columns(torch.randn(channels, bases)))

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        features = self.input(tokens)
        seen = features.detach() if self.stop_gradient else features
        share, bases = self._iterate(seen, mask)
        self.observer(share.transpose(1, 2).unflatten(2, grid), grid)
        rebuilt = share.to(features.dtype) @ bases.to(features.dtype).transpose(1, 2)
        return self.norm(self.output(F.relu(rebuilt)).transpose(1, 2)).transpose(1, 2)

    def _iterate(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features (N, L, C) -> Z (N, L, K), 0 at padding, and μ (N, C, K), float32 at least."""
        with torch.autocast(features.device.type, enabled=False):
            features = single_precision(features)
            bases = self.bases.to(features.dtype).expand(features.shape[0], -1, -1)
            for _ in range(self.iterations):
                share = (features @ bases).softmax(2)
                if mask is not None:
                    share = share.masked_fill(~mask.unsqueeze(2), 0)
                weights = share / (EPSILON + share.sum(1, keepdim=True))
                bases = _unit_columns(features.transpose(1, 2) @ weights)
        return share, bases

    @torch.no_grad()
    def update_bases(self, x: Tensor, *, mask: Tensor | None = None, momentum: float = 0.9) -> None:
        """Move the bases towards the mean of those that a batch ends with.

        With several processes each does so by its own batch; a wrapper that broadcasts buffers
        makes them equal again.

        Args:
            x: (N, C, *positions), what the mechanism was applied to.
            mask: as in `forward`.
            momentum: how much of the old bases stays.
        """
        self.check_rank(x)
        tokens = zero_padding(x, mask).flatten(2).transpose(1, 2)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        _, bases = self._iterate(self.input(tokens), kept)
        self.bases.lerp_(bases.mean(0).to(self.bases.dtype), 1 - momentum)


def _unit_columns(bases: Tensor) -> Tensor:
    """(…, C, K) with columns of length 1; a column of zeros stays."""
    return bases / (EPSILON + bases.norm(dim=-2, keepdim=True))
