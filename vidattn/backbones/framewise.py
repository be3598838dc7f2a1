from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidattn.backbones.backbone import Backbone, Stage
from vidattn.backbones.image_resnet import fold_frames
from vidattn.backbones.staged import check_classes
from vidattn.errors import ArgumentError


@dataclass(frozen=True)
class ImageStage:
    """Where an image network's features lie.

    Attributes:
        name: of the stage.
        module: dotted path, inside the network, of the module whose output it is.
        channels: C'.
        stride: input pixels per feature, along height and width.
        offset: centre of the first feature's field, in input pixels from the first pixel's centre.
        tokens_before: class and register tokens before those of the picture, where the output is
            a sequence (N, L, C'); None where it is a map.
        channels_last: whether a map is (N, H', W', C') in place of (N, C', H', W').
    """

    name: str
    module: str
    channels: int
    stride: int
    offset: float
    tokens_before: int | None = None
    channels_last: bool = False


class FramewiseNetwork(Backbone):
    """An image network, run on each frame of a clip, as a backbone with stages.

    The network is the child `network` and keeps its own parameter names, so its checkpoints load
    unchanged. At the end of each stage its output is laid out as (N, C', T, H', W') and passes
    through `ends.<stage>.features`: a mechanism inserted there sees time, and the later stages
    compute on what it returns. The logits are the mean of the frames' own.

    Args:
        network: takes (N, 3, H, W) and returns logits; `forward_features` computes all but what
            belongs to the head.
        stages: shallow to deep.
        variant: the name it was built by.
        classes: size of the head; None where the network has none.
        mean, std: RGB normalisation that the weights expect, on values in [0, 1].
        classifier_path: dotted path of the classifier inside the network.
    """

    mixes_frames = False

    def __init__(
        self,
        network: nn.Module,
        stages: Sequence[ImageStage],
        *,
        variant: str,
        classes: int | None,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        classifier_path: str,
    ) -> None:
        super().__init__()
        self.network: Any = network
        self.variant = variant
        self.classes = check_classes(classes)
        self.mean, self.std = mean, std
        self.head_path = self.classifier_path = classifier_path
        self.ends = nn.ModuleDict({stage.name: StageEnd(stage) for stage in stages})
        self.stages = tuple(
            Stage(
                stage.name,
                stage.channels,
                (1, stage.stride, stage.stride),
                (0.0, stage.offset, stage.offset),
                f"ends.{stage.name}.features",
            )
            for stage in stages
        )
        for end in self._stage_ends():
            network.get_submodule(end.stage.module).register_forward_hook(end.take)

    @property
    def source_network(self) -> nn.Module:
        """See `Backbone.source_network`."""
        return self.network

    def features(self, clip: Tensor, stages: Iterable[str] | None = None) -> dict[str, Tensor]:
        """See `Backbone.features`."""
        wanted = self._wanted(clip, stages)
        if not wanted:
            return {}
        with self._running(clip, wanted) as run, suppress(_ReachedError):
            self.network.forward_features(fold_frames(clip))
        return run.found

    def logits(self, clip: Tensor) -> Tensor:
        """See `Backbone.logits`."""
        return self.classify(clip)[0]

    def classify(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """See `Backbone.classify`; one pass."""
        if self.classes is None:
            raise ArgumentError("logits: this network was built without a head (classes=None)")
        self._wanted(clip, None)
        last = self.stages[-1].name
        with self._running(clip, {last}) as run:
            logits: Tensor = self.network(fold_frames(clip))
        return logits.unflatten(0, (-1, clip.shape[2])).mean(1), run.found[last]

    def paths(self, stage: Stage) -> tuple[str, ...]:
        """See `Backbone.paths`."""
        return tuple(f"network.{path}" for path in self._segments()[stage.name])

    @contextmanager
    def _running(self, clip: Tensor, wanted: set[str]) -> Iterator[_Run]:
        # An exported program has no early return: there the network runs to its last features.
        early = self.stages[-1].name not in wanted and not torch.compiler.is_compiling()
        run = _Run(clip.shape[2], clip.shape[3], frozenset(wanted), early, {})
        try:
            for end in self._stage_ends():
                end.run = run
            yield run
        finally:  # features that stayed here would be kept alive, and copied with the network
            for end in self._stage_ends():
                end.run = None

    def _stage_ends(self) -> list[StageEnd]:
        return [end for end in self.ends.values() if isinstance(end, StageEnd)]

    def _segments(self) -> dict[str, list[str]]:
        """Stage -> paths of the modules defined after the stage before it, up to its own."""
        ends = {end.stage.module: end.stage.name for end in self._stage_ends()}
        found: dict[str, list[str]] = {name: [] for name in ends.values()}
        waiting: list[str] = []
        for path in _parts(self.network, tuple(ends)):
            waiting.append(path)
            if path in ends:
                found[ends[path]], waiting = waiting, []
        return found


class StageEnd(nn.Module):
    """The end of one stage of a `FramewiseNetwork`: features pass through `features` as 5-D.

    Attributes:
        features: the identity; a mechanism is inserted after it.
        run: the call that is under way.
    """

    def __init__(self, stage: ImageStage) -> None:
        super().__init__()
        self.stage = stage
        self.features = nn.Identity()
        self.run: _Run | None = None

    def take(self, module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        """A forward hook: what the stage's module returned -> the same after `features`."""
        run = self.run
        if run is None:  # the network was called by itself
            return output
        maps, before = self._maps(output, run)
        clips = self.features(maps.unflatten(0, (-1, run.frames)).transpose(1, 2))
        if self.stage.name in run.wanted:
            run.found[self.stage.name] = clips
            if run.early and len(run.found) == len(run.wanted):
                raise _ReachedError
        return self._laid_out(fold_frames(clips), before)

    def _maps(self, output: Tensor, run: _Run) -> tuple[Tensor, Tensor | None]:
        """The network's own layout -> (N·T, C', H', W'), and the tokens before the picture's."""
        if self.stage.tokens_before is None:
            return (output.movedim(-1, 1) if self.stage.channels_last else output), None
        before, tokens = output.tensor_split([self.stage.tokens_before], 1)
        rows = run.height // self.stage.stride
        return tokens.transpose(1, 2).unflatten(2, (rows, -1)), before

    def _laid_out(self, maps: Tensor, before: Tensor | None) -> Tensor:
        """The inverse of `_maps`."""
        if before is None:
            return maps.movedim(1, -1) if self.stage.channels_last else maps
        return torch.cat([before, maps.flatten(2).transpose(1, 2)], 1)


@dataclass(frozen=True)
class _Run:
    """One call: the clip's size, the stages asked for, and their features so far."""

    frames: int
    height: int
    wanted: frozenset[str]
    early: bool
    found: dict[str, Tensor]


class _ReachedError(Exception):
    """The last stage that was asked for is there; the rest of the network need not run."""


def _parts(network: nn.Module, ends: tuple[str, ...], prefix: str = "") -> Iterable[str]:
    """Paths of the network's modules in order; those that hold an end are opened."""
    for name, child in network.named_children():
        path = f"{prefix}{name}"
        if any(end.startswith(f"{path}.") for end in ends):
            yield from _parts(child, ends, f"{path}.")
        else:
            yield path
