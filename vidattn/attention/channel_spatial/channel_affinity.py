from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision
from vidattn.attention.mechanism import Mixer
from vidattn.attention.observe import MapKind


class ChannelAffinity(Mixer):
    """Every channel reads from the channels that resemble it least.

    E = X Xᵀ over the positions, A = softmax(max(E) - E) over the channels that are read, which
    is softmax(-E); y = x + β A X. β starts at 0, so that a new one is the identity. E is computed
    in float32 at least: sums of squares overflow half precision.

    Source: Fu et al., DANet, CVPR 2019, with the sign of the authors' code, where the text has
    softmax(E).

    Args:
        channels: C; the formula does not need it.
    """

    family: ClassVar[str] = "channel_spatial"
    source: ClassVar[str] = "Fu et al., DANet, CVPR 2019"
    map_kind: ClassVar[MapKind] = "channel_affinity"
    map_meaning: ClassVar[str] = "attention each channel received, mean over channels; sums to 1"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))
        self.starts_as_identity = True

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        with torch.autocast(tokens.device.type, enabled=False):
            values = single_precision(tokens)
            affinity = (-(values.transpose(1, 2) @ values)).softmax(2)  # (N, reading, read)
        if self.observer.recording:
            received = affinity.mean(1)
            full = affinity.detach().unsqueeze(1) if self.observer.wants_affinity else None
            self.observer(received.reshape(*received.shape, *[1] * len(grid)), grid, affinity=full)
        return self.strength * (tokens @ affinity.transpose(1, 2).to(tokens.dtype))
