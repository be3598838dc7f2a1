from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from vidattn.attention.convolutions import BATCH_NORM
from vidattn.attention.mechanism import Gate


class NormalisationBasedAttention(Gate):
    """Weights from a batch normalisation, whose own scales say which channels matter.

    a = σ(BN(x) |γ| / Σ |γ|), with γ the scales of BN, one for each channel; y = x · a.

    Source: Liu et al., NAM, arXiv 2111.12419, the channel half, which is the one that the authors
    published code for. Their penalty on γ belongs to the training.

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        compat: no gradient through |γ| / Σ |γ|, as in the authors' code.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Liu et al., NAM, arXiv 2111.12419"
    map_meaning: ClassVar[str] = "what each feature was multiplied by, in (0, 1)"

    def __init__(self, channels: int, *, spatial_dims: int = 3, compat: bool = False) -> None:
        super().__init__()
        self.ranks = (spatial_dims,)
        self.compat = compat
        self.norm = BATCH_NORM[spatial_dims](channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, *positions)."""
        scales = self.norm.get_parameter("weight").abs()
        share = scales / scales.sum()
        if self.compat:
            share = share.detach()
        normalised: Tensor = self.norm(x)
        weights: Tensor = normalised * share.reshape(-1, *[1] * (x.ndim - 2))
        return weights.sigmoid().to(x.dtype)
