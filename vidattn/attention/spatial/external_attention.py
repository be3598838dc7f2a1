from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.masking import masked_softmax
from vidattn.attention.mechanism import Mixer
from vidattn.attention.observe import MapKind

# As in the paper's code; it is added in float32, for it is 0 in half precision.
EPSILON = 1e-9


class ExternalAttention(Mixer):
    """Every position reads from a small memory, learned once for all inputs.

    y = x + BN(W₂ [A M_v]), A = softmax over the positions of f M_kᵀ, each position then divided
    by its sum over the K memory slots ("double normalisation"), f = W₁ x + b₁. Linear in the
    number of positions. The authors' code has a ReLU after the sum, which is for the network
    to add.

    Its map shows which slots a position reads; it sums to 1 over the slots.

    Source: Guo, Liu, Mu, Hu, External Attention, TPAMI 2022.

    Args:
        channels: C.
        slots: K, rows of the memories M_k and M_v.
        tied: use M_k for M_v too, the paper's simpler form. The authors' code makes the two
            equal at the start, in a way that ties them on some devices only.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Guo, Liu, Mu, Hu, External Attention, TPAMI 2022"
    map_kind: ClassVar[MapKind] = "assignment"
    map_meaning: ClassVar[str] = "share of each memory slot in what a position reads; sums to 1"

    def __init__(self, channels: int, *, slots: int = 64, tied: bool = False) -> None:
        super().__init__()
        self.input = nn.Linear(channels, channels)
        self.key_memory = nn.Linear(channels, slots, bias=False)
        self.value_memory = None if tied else nn.Linear(slots, channels, bias=False)
        self.output = nn.Linear(channels, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        scores = self.key_memory(self.input(tokens))
        share = masked_softmax(scores, None if mask is None else mask.unsqueeze(2), dim=1)
        share = share / (EPSILON + share.sum(2, keepdim=True))
        self.observer(share.transpose(1, 2).unflatten(2, grid), grid)
        read = F.linear(share.to(scores.dtype), self._value_memory())
        return self.norm(self.output(read).transpose(1, 2)).transpose(1, 2)

    def _value_memory(self) -> Tensor:
        """(C, K)."""
        if self.value_memory is None:
            return self.key_memory.weight.transpose(0, 1)
        return self.value_memory.weight
