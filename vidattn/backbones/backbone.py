from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from vidattn.errors import ArgumentError


@dataclass(frozen=True)
class Stage:
    """Where one stage's features lie in the clip.

    Feature `i` along an axis sees a receptive field whose centre is input pixel (or frame)
    `offset + stride · i`, counted from pixel centres at 0, 1, 2, …, away from the borders.

    Attributes:
        name: such as "layer3"; names are the backbone's own, in order.
        channels: C'.
        stride: input steps per feature along (T, H, W).
        offset: centre of the first feature's field along (T, H, W); measured, not derived.
        module: dotted path, inside the backbone, of the module whose output this is: where
            a mechanism is inserted.
    """

    name: str
    channels: int
    stride: tuple[int, int, int]
    offset: tuple[float, float, float]
    module: str


class Backbone(nn.Module):
    """A network that turns a clip into features, stage by stage.

    Attributes:
        stages: in order, shallow to deep; the last one is what `forward` returns.
        mean, std: RGB normalisation the weights expect, on values in [0, 1].
        head_path: dotted path, inside `source_network`, of all that only `logits` needs.
        classifier_path: likewise, of the layer whose size is the number of classes.
        mixes_frames: False where each frame is seen by itself, whatever the others show.
    """

    mixes_frames: bool = True
    head_path: str = "head"
    classifier_path: str = "head"
    stages: tuple[Stage, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def source_network(self) -> nn.Module:
        """The module whose state dict a checkpoint of the source network fits."""
        return self

    @abstractmethod
    def features(self, clip: Tensor, stages: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Features by stage name; all stages where none is named.

        Args:
            clip: float (N, 3, T, H, W), normalised.

        Returns:
            name -> (N, C', T', H', W'). Computes nothing past the last stage asked for.
        """

    def forward(self, clip: Tensor) -> Tensor:
        """(N, 3, T, H, W) -> the last stage's features, (N, C', T', H', W')."""
        last = self.stages[-1].name
        return self.features(clip, [last])[last]

    @abstractmethod
    def logits(self, clip: Tensor) -> Tensor:
        """(N, 3, T, H, W) -> (N, classes) with the source network's own pooling and head.

        Raises:
            ArgumentError: the backbone was built without its head (`classes=None`).
        """

    def classify(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, T, H, W) -> `logits(clip)` and `self(clip)`, where possible in one pass."""
        return self.logits(clip), self(clip)

    def position_logits(self, features: Tensor) -> Tensor | None:
        """Each position's share of the logits: their mean over all positions is the logits.

        That is what a head of average pooling and one linear layer computes; where its pooling
        windows slide over features larger than they are, the middle counts more, and the mean
        is not exactly the logits.

        Args:
            features: the last stage's, (N, C', T', H', W').

        Returns:
            (N, classes, T', H', W'), or None where the logits are no such mean.
        """
        return None

    def paths(self, stage: Stage) -> tuple[str, ...]:
        """Dotted paths of the modules that compute a stage from the one before it."""
        return (stage.module,)

    def _wanted(self, clip: Tensor, stages: Iterable[str] | None) -> set[str]:
        """The stage names asked for, after checking them and the clip's shape."""
        if clip.ndim != 5 or clip.shape[1] != 3:
            raise ArgumentError(f"clip: expected (N, 3, T, H, W), got {tuple(clip.shape)}")
        names = [stage.name for stage in self.stages]
        wanted = {stages} if isinstance(stages, str) else set(names if stages is None else stages)
        if unknown := wanted - set(names):
            raise ArgumentError(f"stages: expected some of {names}, got {sorted(unknown)}")
        return wanted
