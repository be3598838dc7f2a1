from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import CONVOLUTION, LINEAR_INTERPOLATION
from vidattn.attention.masking import zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer
from vidattn.errors import ArgumentError


class AttentionGatedCrf(Mechanism):
    """Features receive messages from other scales, each gated by whether sender and receiver agree.

    r ← x; several times, for each sender s in turn: r ← r + γ · σ(W_g ∗ [r, s]) · (W_m ∗ s) + δ.
    That is mean field in a conditional random field over the features and the gates. W_g and W_m
    are 3 wide, with biases, one pair for each sender, the same in all iterations; γ and δ are one
    number a channel, for each sender and iteration. Senders of another size are brought to that
    of x by linear interpolation. They may be other stages, or other frame rates.

    Source: Xu et al., Structured Attention Guided Convolutional Neural Fields, CVPR 2018, as the
    authors' network definition has it (there five iterations and three senders, of which the last
    is x itself).

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        context_channels: those of every sender; None for C.
        senders: how many there are.
        iterations: how often each sends.
    """

    kind: ClassVar[Kind] = "mixer"
    family: ClassVar[str] = "structured"
    source: ClassVar[str] = (
        "Xu et al., Structured Attention Guided Convolutional Neural Fields, CVPR 2018"
    )
    map_kind: ClassVar[MapKind] = "gate"
    map_meaning: ClassVar[str] = (
        "what each feature of a message was multiplied by, in (0, 1); a map for each message, "
        "iteration by iteration"
    )
    context_meaning: ClassVar[str | None] = (
        "sender (N, context_channels, *any positions), or a sequence of them"
    )

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        context_channels: int | None = None,
        senders: int = 1,
        iterations: int = 5,
    ) -> None:
        super().__init__()
        if min(senders, iterations) < 1:
            raise ArgumentError(
                f"senders, iterations: expected at least 1, got {senders}, {iterations}"
            )
        width = context_channels or channels
        convolution = CONVOLUTION[spatial_dims]
        self.ranks = (spatial_dims,)
        self.mode = LINEAR_INTERPOLATION[spatial_dims]
        self.iterations = iterations
        self.gates = nn.ModuleList(
            convolution(channels + width, channels, 3, padding=1) for _ in range(senders)
        )
        self.messages = nn.ModuleList(
            convolution(width, channels, 3, padding=1) for _ in range(senders)
        )
        self.scale = nn.Parameter(torch.ones(iterations, senders, channels))
        self.shift = nn.Parameter(torch.zeros(iterations, senders, channels))
        self.observer = Observer(self.map_kind)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape.

        Raises:
            ArgumentError: there are not as many senders as were announced.
        """
        self.check_rank(x)
        senders = [zero_padding(self._resize(sender, x), mask) for sender in self._senders(context)]
        sent = [message(sender) for message, sender in zip(self.messages, senders, strict=True)]
        start = zero_padding(x, mask)
        added = torch.zeros_like(x)
        for scales, shifts in zip(
            self._per_channel(self.scale), self._per_channel(self.shift), strict=True
        ):
            for number, gate in enumerate(self.gates):
                pair = torch.cat([start + added, senders[number]], dim=1)
                weights = zero_padding(gate(pair).sigmoid(), mask)
                self.observer(weights, x.shape[2:])
                message = scales[number] * weights * sent[number] + shifts[number]
                added = added + zero_padding(message, mask)
        return x + added

    def _per_channel(self, numbers: Tensor) -> Tensor:
        return numbers.reshape(*numbers.shape, *[1] * self.ranks[0])

    def _senders(self, context: Any) -> Sequence[Tensor]:
        senders = [context] if isinstance(context, Tensor) else list(context or ())
        if len(senders) != len(self.gates):
            raise ArgumentError(
                f"AttentionGatedCrf: expected as context {len(self.gates)} senders, each "
                f"(N, context_channels, *any positions), got {len(senders)}"
            )
        return senders

    def _resize(self, sender: Tensor, x: Tensor) -> Tensor:
        return F.interpolate(sender, size=x.shape[2:], mode=self.mode)
