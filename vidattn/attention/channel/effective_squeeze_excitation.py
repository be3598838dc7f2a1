from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import masked_mean
from vidattn.attention.mechanism import Gate


class EffectiveSqueezeExcitation(Gate):
    """One weight per channel, from the means of all channels through one layer, hard-limited.

    a = min(max(W mean(x) + b + 3, 0), 6) / 6, y = x · a. No channel is squeezed away.

    Source: Lee, Park, CenterMask, CVPR 2020, its backbone VoVNetV2; the hard sigmoid is that of
    the authors' code.

    Args:
        channels: C.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Lee, Park, CVPR 2020, VoVNetV2"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in [0, 1]"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.excite = nn.Linear(channels, channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        return self.per_channel(F.hardsigmoid(self.excite(masked_mean(x, mask))), x)
