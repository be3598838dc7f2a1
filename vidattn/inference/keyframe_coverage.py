"""Key frames without a network: one pass over small pictures, or a look at the intra frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidattn import selection
from vidattn.inference.glances import glance_at
from vidattn.inference.keyframe_settings import COUNT, KeyFrameSettings, wanted_frames
from vidattn.selection import Pick, Picks, Sketch, Transition
from vidattn.selection.candidates import NONE, find_flaws
from vidattn.selection.descriptions import COLOURS, describe, measure
from vidattn.selection.picks import BEST_OF_SHOT
from vidattn.selection.sketch import Sketcher
from vidattn.video import VideoReader

# Frames held at once, and the short side that they are looked at with.
SKETCHED_FRAMES, SKETCH_SHORT_SIDE = 64, 64
# Most frames described; one of several where that is enough, but not so few that short shots have
# none.
_SKETCH_LIMIT, _ENOUGH, _LONGEST_STEP = 8192, 1024, 8
# Intra frames further apart in looks than this belong to different shots; frames nearer than this
# look like the intra frame before them. Both are squares of distances.
_OTHER_SHOT, _LIKE_THE_FIRST = 0.05, 0.015
# What looks like a dissolve and lasts longer is a slow change, as of a screen that is recorded.
_LONGEST_TRANSITION_SECONDS = 4.0
# Text is shown for so long at least.
_TEXT_SECONDS = 0.8
# A pick among intra frames may move to one of so many frames behind it.
_REFINED_FRAMES = 24


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen among the usable frames of a reader.

    Attributes:
        picks: of frames of the reader.
        scores: (T,) of every frame of the reader.
        method: in words.
        remarks: on what is not as asked for.
        shots: start and end of each, in seconds; none where shots were not looked for.
    """

    picks: Picks
    scores: NDArray[np.float64]
    method: str
    remarks: tuple[str, ...]
    shots: tuple[tuple[float, float], ...] = ()


def choose_by_coverage(
    reader: VideoReader, usable: NDArray[np.int64], settings: KeyFrameSettings
) -> Choice:
    """Choose key frames of a film of any length, in bounded memory.

    Args:
        reader: of the film or a part of it.
        usable: frames that may be chosen, increasing, at least one.
    """
    wanted = _wanted(reader, len(usable), settings)
    remarks: tuple[str, ...] = ()
    if settings.fast:
        intra = usable[np.isin(usable, reader.intra_frame_indices())]
        stretches = reader.duration_seconds / (settings.every_seconds or np.inf)
        if len(intra) >= 2 * max(wanted or 1, stretches):
            return _among_intra_frames(reader, usable, intra, wanted, settings)
        remarks = (
            f"every frame was looked at: {len(intra)} intra frames are too few for a fast choice",
        )
    least = 2 * (wanted or 0)
    picks, shots, whole = _among_most_frames(reader, usable, wanted, settings, least=least)
    if not whole and any(each.flaw for each in picks.kept):
        # Among the frames that were left out there may be better ones.
        least = len(usable)
        picks, shots, _ = _among_most_frames(reader, usable, wanted, settings, least=least)
    method = "coverage: sharp frames that together stand best for the video, without a network"
    return replace(_choice(reader, picks, method, remarks), shots=shots)


def _among_most_frames(
    reader: VideoReader,
    usable: NDArray[np.int64],
    wanted: int | None,
    settings: KeyFrameSettings,
    *,
    least: int,
) -> tuple[Picks, tuple[tuple[float, float], ...], bool]:
    """Picks among the frames that one looks at, at least so many, and whether these are all.

    Between the two: start and end of each shot, in seconds.
    """
    sizes = {"frames_at_once": SKETCHED_FRAMES, "short_side": SKETCH_SHORT_SIDE}
    with glance_at(reader, usable, least=least, **sizes) as (pictures, glance):
        frames = usable if glance is None else glance.numbers
        step = min(max(1, len(frames) // _ENOUGH), _LONGEST_STEP)
        sketcher = Sketcher(limit=_SKETCH_LIMIT, step=step)
        found = selection.find_transitions(sketcher.watch(pictures), glance)
        transitions = _quick(reader, usable, found)
    if glance is not None:
        transitions = glance.among_those_looked_at(transitions)
    picks = _pick(reader, frames, sketcher.sketch(), transitions, wanted, settings)
    return picks, _shots(reader, frames, transitions), glance is None


def _shots(
    reader: VideoReader, frames: NDArray[np.int64], transitions: Sequence[Transition]
) -> tuple[tuple[float, float], ...]:
    """When the first frame of each shot appears, and when the last one goes."""
    firsts = frames[[0, *(each.first_new for each in transitions)]].tolist()
    lasts = frames[[*(each.last_old for each in transitions), -1]].tolist()
    seconds = reader.seconds_of(range(len(reader)))
    seconds.append(max(seconds[-1], seconds[0] + reader.duration_seconds))
    return tuple(
        (seconds[first], seconds[last + 1]) for first, last in zip(firsts, lasts, strict=True)
    )


def _quick(
    reader: VideoReader, frames: NDArray[np.int64], transitions: Iterable[Transition]
) -> list[Transition]:
    """Without those that last so long that they are slow changes of one scene."""
    found = list(transitions)
    seconds = reader.frame_times.seconds[frames]
    return [
        each
        for each in found
        if each.kind == "cut"
        or seconds[each.first_new] - seconds[each.last_old] <= _LONGEST_TRANSITION_SECONDS
    ]


def _wanted(reader: VideoReader, usable_count: int, settings: KeyFrameSettings) -> int | None:
    if settings.count is None:
        given = settings.per_shot or settings.every_seconds
        return None if given else COUNT
    return wanted_frames(settings.count, usable_count, reader.duration_seconds)


def _small_pictures(
    reader: VideoReader, frames: NDArray[np.int64] | Sequence[int]
) -> Iterator[NDArray[np.uint8]]:
    chunks = reader.chunks(
        np.asarray(frames).tolist(), frames_at_once=SKETCHED_FRAMES, short_side=SKETCH_SHORT_SIDE
    )
    return (frames.array for frames in chunks)


def _pick(
    reader: VideoReader,
    frames: NDArray[np.int64],
    sketch: Sketch,
    transitions: Sequence[Transition],
    wanted: int | None,
    settings: KeyFrameSettings,
) -> Picks:
    """Picks among some frames of the reader; what is returned counts its frames."""
    times = reader.frame_times
    positions, gap = times.apart(settings.minimum_gap_seconds)
    in_frames = times.are_even
    unit = times.fps if in_frames else 1.0
    every = settings.every_seconds
    picks = selection.pick_frames(
        sketch,
        transitions,
        wanted,
        per_shot=settings.per_shot,
        distinct=settings.distinct,
        minimum_gap=gap,
        margin=settings.margin_seconds * unit,
        stretch=None if every is None else every * unit,
        lasting=_TEXT_SECONDS * unit,
        positions=positions[frames],
    )
    kept, dropped = (
        tuple(replace(each, index=int(frames[each.index])) for each in part)
        for part in (picks.kept, picks.dropped)
    )
    return Picks(kept, dropped, picks.shot_count)


def _choice(
    reader: VideoReader,
    picks: Picks,
    method: str,
    remarks: tuple[str, ...],
) -> Choice:
    known = sorted((each.index, each.score) for each in (*picks.kept, *picks.dropped))
    indices, values = zip(*known, strict=True)
    return Choice(picks, np.interp(np.arange(len(reader)), indices, values), method, remarks)


def _among_intra_frames(
    reader: VideoReader,
    usable: NDArray[np.int64],
    intra: NDArray[np.int64],
    wanted: int | None,
    settings: KeyFrameSettings,
) -> Choice:
    sketcher = Sketcher(limit=_SKETCH_LIMIT)
    for _ in sketcher.watch(_small_pictures(reader, intra)):
        pass
    sketch = sketcher.sketch()
    picks = _pick(reader, intra, sketch, _jumps(sketch), wanted, settings)
    ends = np.append(intra[1:], usable[-1] + 1)
    kept = []
    for pick in picks.kept:
        end = int(ends[np.searchsorted(intra, pick.index)])
        behind = usable[(usable >= pick.index) & (usable < min(end, pick.index + _REFINED_FRAMES))]
        kept.append(replace(_without_shot(pick), index=_sharpest_alike(reader, behind)))
    method = "coverage of the intra frames, then the sharpest frame behind each, without a network"
    dropped = tuple(map(_without_shot, picks.dropped))
    return _choice(reader, Picks(tuple(kept), dropped, 0), method, ())


def _without_shot(pick: Pick) -> Pick:
    """What look like shots are runs of intra frames that resemble each other."""
    reason = pick.reason.replace(BEST_OF_SHOT, "best of a run of like intra frames")
    return replace(pick, shot=-1, reason=reason)


def _jumps(sketch: Sketch) -> list[Transition]:
    """Where neighbours of the sketch look so different that a cut lies between them."""
    jumps = (np.diff(sketch.features, axis=0) ** 2).sum(axis=1)
    # In a film of short shots, half of the jumps are cuts: those of motion are the lesser ones.
    motion = float(np.quantile(jumps, 0.25)) if len(jumps) else 0.0
    borders = sketch.indices[1:][jumps > max(_OTHER_SHOT, 2 * motion)]
    return [Transition(int(index) - 1, int(index), "cut") for index in borders]


def _sharpest_alike(reader: VideoReader, frames: NDArray[np.int64]) -> int:
    """The sharpest of some frames that look like the first of them and have no flaw."""
    pixels = np.concatenate(list(_small_pictures(reader, frames)))
    measures = measure(pixels)
    colours = describe(pixels).features[:, :COLOURS]
    alike = ((colours - colours[0]) ** 2).sum(axis=1) < _LIKE_THE_FIRST
    bounds = np.array([[0, len(frames)]])
    good = alike & (find_flaws(measures, bounds, np.arange(len(frames), dtype=float)) == NONE)
    good = good if good.any() else alike
    return int(frames[np.argmax(np.where(good, measures.sharpness, -1))])
