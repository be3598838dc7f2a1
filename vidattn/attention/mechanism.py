from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor, nn

Kind = Literal["gate", "mixer", "pooler", "reducer", "replacement"]


class Mechanism(nn.Module):
    """What every attention mechanism promises.

    A mechanism takes features `x` of shape (N, C, *positions), where positions are (T,), (H, W)
    or (T, H, W), and hands the weights it really applied to an observer child, never to an
    attribute: an attribute is lost by `torch.export` and breaks `copy.deepcopy`.

    Class attributes:
        kind: "gate" (y = x · w(x)) and "mixer" (y = x + f(x)) keep the shape; "pooler" returns
            a `Pooled`; "reducer" returns fewer tokens; "replacement" stands for a convolution.
        family: the folder it lives in, such as "channel".
        source: paper and equation.
    """

    kind: ClassVar[Kind]
    family: ClassVar[str]
    source: ClassVar[str]

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Any:
        """Apply the mechanism.

        Args:
            x: (N, C, *positions).
            mask: bool, broadcastable to (N, 1, *positions); False positions are padding: they
                get weight 0 and influence nothing.
            context: a second input, for the mechanisms that have one (such as a gating signal).
        """
        raise NotImplementedError


class Pooled(NamedTuple):
    """What a pooler returns.

    Attributes:
        features: (N, C), the weighted mean.
        weights: (N, *pooled positions), non-negative, summing to 1 over them.
        scores: (N, *pooled positions), before normalisation: comparable between inputs, so
            between windows of a long video, as weights are not.
    """

    features: Tensor
    weights: Tensor
    scores: Tensor
