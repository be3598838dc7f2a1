from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from vidattn.attention.affinity import attend
from vidattn.attention.mechanism import Mixer


class NonLocal(Mixer):
    """Every position reads from every other through half as many channels, in one head.

    y = x + W_z [softmax(scale · θ φᵀ) g] + b_z, with θ, φ, g linear in x: the embedded Gaussian.
    W_z and b_z start at 0, so that a new one is the identity.

    Source: Wang et al., CVPR 2018, equations 1, 3 and 6. The paper's text has no scale, the
    authors' code has width^-½; unscaled, half precision overflows.

    Args:
        channels: C.
        hidden_channels: of θ, φ and g; None for C / 2.
        scale: of the dot products; None for hidden_channels^-½, 1.0 for the paper's text.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Wang et al., CVPR 2018, equations 1, 3 and 6"
    aliases: ClassVar[tuple[str, ...]] = ("nonlocal",)
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self, channels: int, *, hidden_channels: int | None = None, scale: float | None = None
    ) -> None:
        super().__init__()
        hidden = hidden_channels or max(1, channels // 2)
        self.scale = hidden**-0.5 if scale is None else scale
        self.query = nn.Linear(channels, hidden)
        self.key = nn.Linear(channels, hidden)
        self.value = nn.Linear(channels, hidden)
        self.output = nn.Linear(hidden, channels)
        self.starts_as_identity = True
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        query, key, value = (
            embed(tokens).unsqueeze(1) for embed in (self.query, self.key, self.value)
        )
        mixed = attend(
            query, key, value, scale=self.scale, mask=mask, grid=grid, observer=self.observer
        )
        return self.output(mixed.squeeze(1))
