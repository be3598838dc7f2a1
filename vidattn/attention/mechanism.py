from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from vidattn.attention.convolutions import stored_like
from vidattn.attention.masking import masked_softmax, zero_padding
from vidattn.attention.observe import MapKind, Observer
from vidattn.errors import ArgumentError

Kind = Literal["gate", "mixer", "pooler", "reducer", "replacement"]

POSITIONS = {1: "T", 2: "H, W", 3: "T, H, W"}


class Mechanism(nn.Module):
    """What every attention mechanism promises.

    A mechanism takes features `x` of shape (N, C, *positions), where positions are (T,), (H, W)
    or (T, H, W), and hands the weights it really applied to an `Observer` child, never to an
    attribute: an attribute is lost by `torch.export` and breaks `copy.deepcopy`.

    Class attributes:
        kind: "gate" (y = x · w(x)) and "mixer" (y = x + f(x)) keep the shape; "pooler" returns
            a `Pooled`; "reducer" returns a `Reduced`; "replacement" stands for a convolution:
            see `Replacement`.
        family: the folder it lives in, such as "channel".
        source: paper and equation.
        map_kind: what its recorded values are; see `AttentionMap`.
        map_meaning: the same in one sentence, for people.
        context_meaning: what `context` must be; None where it is not used.
        fixed_size: it is made for one size of the positions; another is refused.
        sequential: it goes through time step by step: a graph of it has a fixed T.
        data_dependent: its shapes or steps depend on values: it has no single graph.
        weighs_time: its clips are weighed along time too, by what images have not: a clip of
            one frame does not come out as the image does.
        learns_by_reward: some parameters have no gradient in a forward pass: they learn from a
            reward, by a loss of their own.
        weights_sum_to_one: whether the weights of an affinity or pooling map are non-negative
            and sum to 1.
        weighs_input: whether a pooler's features are x weighed by its weights; False where it
            weighs something that it computed from x.

    Attributes:
        ranks: numbers of position axes it accepts.
        starts_as_identity: whether a new one returns x unchanged. `insert` must know: a zero
            behind a zero never learns.
    """

    kind: ClassVar[Kind]
    family: ClassVar[str]
    source: ClassVar[str]
    map_kind: ClassVar[MapKind]
    map_meaning: ClassVar[str]
    context_meaning: ClassVar[str | None] = None
    fixed_size: ClassVar[bool] = False
    sequential: ClassVar[bool] = False
    data_dependent: ClassVar[bool] = False
    weighs_time: ClassVar[bool] = False
    learns_by_reward: ClassVar[bool] = False
    weights_sum_to_one: ClassVar[bool] = True
    weighs_input: ClassVar[bool] = True

    ranks: tuple[int, ...] = (1, 2, 3)
    starts_as_identity: bool = False

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Any:
        """Apply the mechanism.

        Args:
            x: (N, C, *positions).
            mask: bool, broadcastable to (N, 1, *positions); False positions are padding: they
                get weight 0 and influence nothing. There a gate's output is 0 and a mixer's
                is x; for a replacement's see `Replacement`. Where a whole sample is padding, a
                pooler's weights and features are 0. A reducer never takes a token from there.
            context: a second input, for the mechanisms that have one (such as a gating signal).
        """
        raise NotImplementedError

    def check_rank(self, x: Tensor) -> None:
        """Raise an ArgumentError unless x has a number of position axes listed in `ranks`."""
        if x.ndim - 2 not in self.ranks:
            shapes = " or ".join(f"(N, C, {POSITIONS[rank]})" for rank in self.ranks)
            raise ArgumentError(
                f"{type(self).__name__}: expected x of shape {shapes}, got {tuple(x.shape)}"
            )


class Gate(Mechanism):
    """y = x · w: a gate says only how its weights come about."""

    kind: ClassVar[Kind] = "gate"
    map_kind: ClassVar[MapKind] = "gate"

    def __init__(self) -> None:
        super().__init__()
        self.observer = Observer(self.map_kind)

    def weights(self, x: Tensor, mask: Tensor | None, context: Any) -> Tensor:
        """By which x is multiplied: (N, C or 1, *positions or 1), whatever at padding.

        Args:
            x: (N, C, *positions), 0 at padding.
            mask, context: see `Mechanism.forward`.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        x = zero_padding(x, mask)
        return self.multiplied(x, self.weights(x, mask, context), mask)

    def multiplied(self, x: Tensor, weights: Tensor, mask: Tensor | None) -> Tensor:
        """x, which is 0 at padding, times its weights, which are shown as 0 there."""
        weights = zero_padding(weights, mask)
        self.observer(weights, x.shape[2:])
        return x * weights

    @staticmethod
    def per_channel(weights: Tensor, x: Tensor) -> Tensor:
        """(N, C) -> (N, C, 1, …), as many axes as x has."""
        return weights.reshape(*weights.shape, *[1] * (x.ndim - 2))


class Mixer(Mechanism):
    """y = x + f(x), where f sees x as a sequence of positions and knows no neighbourhood."""

    kind: ClassVar[Kind] = "mixer"
    map_kind: ClassVar[MapKind] = "affinity"

    def __init__(self) -> None:
        super().__init__()
        self.observer = Observer(self.map_kind)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """What is added: tokens (N, L, C), 0 at padding, and mask (N, L) -> (N, L, C)."""
        raise NotImplementedError

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        # (N, C, T, H, W) -> (N, T·H·W, C): a view when x is `channels_last_3d`.
        tokens = zero_padding(x, mask).flatten(2).transpose(1, 2)
        kept = None if mask is None else mask.expand(x.shape[0], 1, *x.shape[2:]).flatten(1)
        added = self.change(tokens, kept, x.shape[2:], context).transpose(1, 2)
        return x + zero_padding(added.unflatten(2, x.shape[2:]), mask)


class Replacement(Mechanism):
    """Stands for a convolution: (N, C, *positions) -> (N, C', *⌈positions / stride⌉).

    Output position o sees x around position stride · o, through an odd kernel with zeros beyond
    the border. Padding is as if beyond the border: zeros for the kernel, in no mean; the output
    is 0 where position stride · o is padding. In training, batch normalisations of positions
    count all of them.

    Args:
        spatial_dims: number of position axes of x.
        stride: one for each axis.
    """

    kind: ClassVar[Kind] = "replacement"
    map_kind: ClassVar[MapKind] = "branch"

    def __init__(self, *, spatial_dims: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.ranks = (spatial_dims,)
        self.stride = stride
        self.observer = Observer(self.map_kind)

    def convolve(self, x: Tensor, mask: Tensor | None, kept: Tensor | None) -> Tensor:
        """The result, whatever at padding, from x, which is 0 at padding.

        Args:
            x: (N, C, *positions).
            mask: of x, as in `Mechanism.forward`.
            kept: the same for the result.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> (N, C', *⌈positions / stride⌉)."""
        self.check_rank(x)
        steps = (1, 1, *self.stride)
        kept = None if mask is None else mask[tuple(slice(None, None, step) for step in steps)]
        out = zero_padding(self.convolve(zero_padding(x, mask), mask, kept), kept)
        return stored_like(x, out)

    def show(self, shares: Tensor, x: Tensor) -> None:
        """Hand (N, branches), the same at all positions of x, to the observer."""
        self.observer(Gate.per_channel(shares, x), x.shape[2:])


class Pooled(NamedTuple):
    """What a pooler returns.

    The pooled positions are the axes that the softmax runs over: (T,), (H, W) or (T, H, W).
    A pooler under `PerFrame` keeps T: features (N, C, T), weights and scores (N, T, H, W), each
    frame's weights summing to 1. The three properties hold where the first position is time.

    Attributes:
        features: (N, C), the weighted mean; see `Mechanism.weighs_input` for exceptions.
        weights: (N, *positions), non-negative, summing to 1 over the pooled ones; 0 at padding;
            see `Mechanism.weights_sum_to_one` for exceptions.
        scores: (N, *positions), before normalisation: comparable between inputs, so between
            windows of a long video, as weights are not. At padding the lowest finite number.
    """

    features: Tensor
    weights: Tensor
    scores: Tensor

    @property
    def frame_scores(self) -> Tensor:
        """(N, T), unnormalised: the log-sum-exp of each frame's scores."""
        return self.scores if self.scores.ndim == 2 else self.scores.flatten(2).logsumexp(2)

    @property
    def frame_weights(self) -> Tensor:
        """(N, T): the sum of each frame's weights."""
        return self.weights if self.weights.ndim == 2 else self.weights.flatten(2).sum(2)

    @property
    def region_weights(self) -> Tensor:
        """(N, T, H, W): the softmax of the scores within each frame, 0 at padding."""
        kept = self.scores > torch.finfo(self.scores.dtype).min
        inside = masked_softmax(self.scores.flatten(2), kept.flatten(2), dim=2)
        return inside.reshape(self.scores.shape)


class Reduced(NamedTuple):
    """What a reducer returns: K tokens, and where each came from.

    Every token is a weighted sum of positions, whatever the mechanism:
    features[n, :, k] = Σ_p source[n, k, p] · x[n, :, p]. The row of a selected token is 1 at its
    position; that of a merged token is its members' shares, which sum to 1; that of a learned
    token is its attention. Under `PerFrame` each frame has its own K tokens: features
    (N, C, T, K), source (N, T, K, H, W), valid (N, T, K).

    Attributes:
        features: (N, C, K); 0 where not valid.
        source: (N, K, *positions), non-negative; 0 at padding and where not valid.
        valid: bool (N, K). Where an input has too few real positions, the last tokens are
            missing, so that K does not depend on values.
    """

    features: Tensor
    source: Tensor
    valid: Tensor

    @property
    def positions(self) -> Tensor:
        """(N, K): the position that each token took most from, counted in row-major order."""
        return self.source.flatten(2).argmax(2)
