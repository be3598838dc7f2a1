from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.masking import masked_mean
from vidattn.attention.mechanism import Gate


class SelfGating(Gate):
    """One weight per channel, from the means of all channels through one layer.

    a = σ(W mean(x) + b), y = x · a.

    Source: Xie et al., S3D-G, ECCV 2018, feature gating. On vectors it is the context gating of
    Miech, Laptev, Sivic, 2017.

    Args:
        channels: C.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Xie et al., ECCV 2018, feature gating"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1)"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.excite = nn.Linear(channels, channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        return self.per_channel(self.excite(masked_mean(x, mask)).sigmoid(), x)
