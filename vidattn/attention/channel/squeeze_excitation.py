from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import masked_mean
from vidattn.attention.mechanism import Gate


class SqueezeExcitation(Gate):
    """One weight per channel, from the mean of every channel through a narrow two-layer network.

    a = σ(W₂ ReLU(W₁ mean(x) + b₁) + b₂), y = x · a.

    Source: Hu, Shen, Sun, Squeeze-and-Excitation, CVPR 2018. With biases, as in the authors' code.

    Args:
        channels: C.
        reduction: the hidden layer has C / reduction units, rounded down, at least 1.
    """

    family: ClassVar[str] = "channel"
    source: ClassVar[str] = "Hu, Shen, Sun, Squeeze-and-Excitation, CVPR 2018"
    map_meaning: ClassVar[str] = "what each channel was multiplied by, in (0, 1)"

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """See `Gate.weights`; (N, C, 1, …)."""
        hidden = F.relu(self.squeeze(masked_mean(x, mask)))
        return self.per_channel(self.excite(hidden).sigmoid(), x)
