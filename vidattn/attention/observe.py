"""Seeing the weights that a network's attention applied, without storing anything in it.

Every mechanism hands its weights to an `Observer` child. Outside `record_maps` that does nothing,
and in a compiled or exported graph it is not even traced. Inside, the weights are laid out in the
clip's own axes: views and insertions, which stand between a mechanism and the clip, say how by
`call_lifted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vidattn.attention.masking import single_precision
from vidattn.errors import ArgumentError, VidattnError

MapKind = Literal[
    "gate",
    "affinity",
    "channel_affinity",
    "assignment",
    "branch",
    "selection",
    "pooling",
    "response",
]

MEMBERS: dict[MapKind, str] = {
    "gate": "channels",
    "affinity": "heads",
    "channel_affinity": "channels",
    "assignment": "clusters",
    "branch": "branches",
    "selection": "choices",
    "pooling": "queries",
    "response": "channels",
}


class RecordingError(VidattnError):
    """Maps were asked for where none can be had."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The weights that one mechanism applied in one forward pass, in the clip's axes.

    Attributes:
        name: dotted path of the mechanism in the recorded model; "" where it is the model.
        kind: what the values are. "gate": what each feature was multiplied by. "affinity":
            attention received, averaged over the queries; sums to 1 over the keys that one
            query sees. "channel_affinity": the same between channels, averaged over those that
            read; it says nothing of positions. "pooling": weights of a mean. "assignment": share
            of each position in each cluster. "branch": share of each branch in the result,
            averaged over channels where it differs between them. "selection": 1 where kept.
            "response": how large the result is, from what has no weights that depend on its
            input.
        values: (N, M, T, H, W), where any of the last three may be 1: the same at all of its
            positions. M counts channels (1: the same for all), heads, queries, clusters or
            branches.
        grid: (T, H, W) that the values stretch over. An image has T = 1.
        affinity: (B, heads, L, L), query by key, only with `record_maps(affinities="full")`,
            or (B, 1, C, C) between channels;
            B is N with the axes that a view folded: N·T per frame, N·H·W over time.
    """

    name: str
    kind: MapKind
    values: Tensor
    grid: tuple[int, int, int]
    affinity: Tensor | None = None

    @property
    def axes(self) -> tuple[str, str, str, str, str]:
        """What the axes of `values` are."""
        return ("N", MEMBERS[self.kind], "T", "H", "W")

    def saliency(self) -> Tensor:
        """(N, T, H, W): how much each position counts; comparable within one map only.

        The mean over channels, heads or queries; over clusters, choices and branches the
        largest, which for branches says how decided the choice between them was.
        """
        if self.kind in ("assignment", "branch", "selection"):
            overall = self.values.amax(1)
        else:
            overall = self.values.mean(1)
        return overall.expand(-1, *self.grid)

    def frame_weights(self) -> Tensor:
        """(N, T), non-negative: the saliency of each frame, summing to 1 (or 0 if all is 0)."""
        frames = self.saliency().mean((2, 3)).clamp(min=0)
        return frames / frames.sum(1, keepdim=True).clamp(min=torch.finfo(frames.dtype).tiny)


class Recording(list[AttentionMap]):
    """The maps in the order in which they were made; a model run twice leaves two of each."""

    def named(self, name: str) -> AttentionMap:
        """The last map of the mechanism with this dotted path."""
        for found in reversed(self):
            if found.name == name:
                return found
        names = ", ".join(sorted({found.name for found in self}))
        raise ArgumentError(f"name: expected one of the recorded maps ({names}), got {name!r}")


@dataclass(frozen=True, eq=False)
class Observation:
    """Weights on the way out: `values` (B, M, *grid or 1), in the axes where they are now."""

    kind: MapKind
    values: Tensor
    grid: tuple[int, ...]
    affinity: Tensor | None = None


Lift = Callable[[Observation], Observation]


class _Recorder:
    def __init__(self, model: nn.Module, *, full: bool) -> None:
        self.full = full
        self.maps = Recording()
        self.names = {
            module: module.mechanism_name(path)
            for path, module in model.named_modules()
            if isinstance(module, Observer)
        }

    def take(self, observer: Observer, observation: Observation) -> None:
        """Keep what one of this model's observers saw."""
        if observer not in self.names:
            return
        for lift in reversed(_lifts.get()):
            observation = lift(observation)
        values, grid = _in_clip_axes(observation)
        self.maps.append(
            AttentionMap(self.names[observer], observation.kind, values, grid, observation.affinity)
        )


_recorders: ContextVar[tuple[_Recorder, ...]] = ContextVar("recorders", default=())
_lifts: ContextVar[tuple[Lift, ...]] = ContextVar("lifts", default=())


class Observer(nn.Module):
    """The place where a mechanism shows its weights. It has no parameters and keeps nothing.

    Args:
        kind: what the weights are; see `AttentionMap`.
    """

    def __init__(self, kind: MapKind) -> None:
        super().__init__()
        self.kind: MapKind = kind

    def mechanism_name(self, path: str) -> str:
        """The observer's path without itself and without what compilation and others add."""
        added = ("_orig_mod", "_checkpoint_wrapped_module")
        parts = [part for part in path.split(".") if part not in added]
        return ".".join(parts[:-1] if parts[-1] == "observer" else parts)

    @property
    def recording(self) -> bool:
        """Whether weights that cost something to compute are wanted now."""
        return is_recording()

    @property
    def wants_affinity(self) -> bool:
        """Whether somebody asked for whole query-by-key matrices."""
        return is_recording() and any(recorder.full for recorder in _recorders.get())

    def forward(
        self, values: Tensor, grid: tuple[int, ...], *, affinity: Tensor | None = None
    ) -> None:
        """Show `values` (B, M, *grid or 1), which stretch over `grid`, the positions of x."""
        if not is_recording():
            return
        values = single_precision(values.detach()).clone()
        observation = Observation(self.kind, values, tuple(grid), affinity)
        for recorder in _recorders.get():
            recorder.take(self, observation)


def is_recording() -> bool:
    """Whether maps are wanted now; a constant False in compiled graphs.

    Raises:
        RecordingError: during `torch.export`, whose graph cannot hand maps out.
    """
    if torch.compiler.is_compiling():
        if torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling():
            _refuse_export()
        return False
    # Activation checkpointing runs the forward pass again during backward: not a new one.
    return bool(_recorders.get()) and torch._C._current_graph_task_id() == -1


def call_lifted(lift: Lift, module: nn.Module, x: Tensor, **arguments: Any) -> Any:
    """`module(x, ...)`, whose observations `lift` carries back to the axes out here.

    Arguments that are None are not passed, so that a module that knows no mask can be called.
    """
    arguments = {name: value for name, value in arguments.items() if value is not None}
    if not is_recording():
        return module(x, **arguments)
    token = _lifts.set((*_lifts.get(), lift))
    try:
        return module(x, **arguments)
    finally:
        _lifts.reset(token)


@contextmanager
def record_maps(
    model: nn.Module, *, affinities: Literal["received", "full"] = "received"
) -> Iterator[Recording]:
    """Collect the weights of every mechanism in `model` while it runs.

        with record_maps(model) as maps:
            model(clip)
        maps[0].saliency()  # (N, T, H, W)

    Compiled models run eagerly inside, so that their maps are seen. Maps are detached.

    Args:
        model: any module that holds mechanisms.
        affinities: "received" keeps what each position received, computed in pieces; "full"
            keeps whole query-by-key matrices too, whatever they take.

    Raises:
        ArgumentError: the model holds no mechanism.
        RecordingError: nothing was recorded, or inside `torch.compile` or `torch.export`.
    """
    if torch.compiler.is_compiling():
        raise RecordingError("record_maps: cannot be used in a compiled or exported function")
    if affinities not in ("received", "full"):
        raise ArgumentError(f"affinities: expected 'received' or 'full', got {affinities!r}")
    recorder = _Recorder(model, full=affinities == "full")
    if not recorder.names:
        raise ArgumentError(f"model: {type(model).__name__} holds no attention mechanism")
    token = _recorders.set((*_recorders.get(), recorder))
    try:
        with torch.compiler.set_stance("force_eager"):
            yield recorder.maps
    finally:
        _recorders.reset(token)
    if not recorder.maps:
        raise RecordingError(
            f"record_maps: nothing was recorded from the {len(recorder.names)} mechanisms of "
            f"{type(model).__name__}; it must run inside the block, and not as an exported copy"
        )


def _refuse_export() -> None:
    if _recorders.get():
        raise RecordingError("record_maps: a model cannot be exported while its maps are recorded")


def _in_clip_axes(observation: Observation) -> tuple[Tensor, tuple[int, int, int]]:
    """(T,) and (H, W) as (T, H, W) with ones."""
    if len(observation.grid) == 1:
        observation = replace(
            observation,
            values=observation.values[..., None, None],
            grid=(*observation.grid, 1, 1),
        )
    elif len(observation.grid) == 2:
        observation = replace(
            observation, values=observation.values.unsqueeze(2), grid=(1, *observation.grid)
        )
    frames, height, width = observation.grid
    return observation.values, (frames, height, width)
