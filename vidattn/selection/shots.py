"""Where shots end, from small pictures of the frames: cuts, dissolves, fades and wipes.

A *cut* is a step between two frames that is much larger than the steps before it or after it, even
if parts of the picture may move a little, and that lasts. A flash goes back to what was there
before it, and is left out first.

A *dissolve* is found by what it is: each of its frames is a mixture of a frame before it and a
frame after it, (1 − a) · before + a · after, with a share a that grows. Motion and camera pans are
no mixtures. A *fade* goes through a flat picture. In a *wipe* each place shows either the old or
the new picture.

Sources: a step is compared with those around it as in Yeo and Liu, "Rapid Scene Analysis on
Compressed Video" (IEEE TCSVT 1995, https://doi.org/10.1109/76.475896). The mixing model is that of
Hampapur, Jain and Weymouth, "Production Model Based Digital Video Segmentation" (Multimedia Tools
and Applications 1995, https://doi.org/10.1007/BF01261224). The tests and their limits are ours;
the limits were set on films joined from short clips, and reported on others (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.arrays import IntArray, index_array
from vidattn.selection.cells import cell_colours
from vidattn.selection.differences import Chunks, stream_chunks
from vidattn.selection.glances import Glance, Stretch, stretches
from vidattn.selection.mixtures import gradual_transitions
from vidattn.selection.steps import BLOCK, LEAST_STEP, Steps
from vidattn.selection.transitions import Transition, TransitionKind

# Rows of cells that pictures are averaged over; columns follow from their shape.
_ROWS = 32
# Brightness and two colour differences of (R, G, B), as in JPEG.
_YCBCR = np.array(
    [[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]], np.float32
)
# Frames that are decided on at once, and those around them that are looked at too.
_BLOCK, _CONTEXT = 1024, 96


def find_transitions(frames: Chunks, glance: Glance | None = None) -> Iterator[Transition]:
    """Transitions of a video of any length, in order, each as soon as it is certain.

    About 2,000 frames are held, as small pictures. Which chunks the frames come in changes nothing.

    Args:
        frames: uint8 (T, H, W, 3), or an iterable of such chunks in order; a short side of 32
            pixels is enough.
        glance: which frames of the video these are, if some are left out, and how to get the rest;
            None if these are all frames. Transitions count all frames of the video.
    """
    waiting: list[Stretch] = []
    first, behind, decided = 0, 0, 0  # frames held: first … behind − 1; all before decided are done
    for stretch in stretches(_cells(frames), glance):
        waiting.append(stretch)
        behind += len(stretch)
        while behind >= decided + _BLOCK + _CONTEXT:
            held, end = Stretch.joined(waiting), decided + _BLOCK
            block = held.part(0, end + _CONTEXT - first)
            yield from _within(block, first, decided, end, glance)
            decided = end
            waiting = [held.part(max(decided - _CONTEXT, 0) - first, len(held))]
            first = max(decided - _CONTEXT, 0)
    if waiting:
        yield from _within(Stretch.joined(waiting), first, decided, behind, glance)


def _cells(frames: Chunks) -> Iterator[NDArray[np.float32]]:
    return (cell_colours(chunk, _grid(chunk), _YCBCR) for chunk in stream_chunks(frames))


def _grid(frames: NDArray[np.uint8]) -> tuple[int, int]:
    """Cells that are about square, in whole blocks."""
    height, width = frames.shape[1:3]
    blocks = round(_ROWS / BLOCK * width / height)
    return _ROWS, BLOCK * min(max(blocks, 2), 16)


def shot_bounds(transitions: ArrayLike, frame_count: int) -> IntArray:
    """Shots between transitions.

    Frames of a gradual transition belong to no shot.

    Args:
        transitions: (V, 2) last old and first new frame, in order; what `find_transitions` gives
            without its kinds.
        frame_count: T, at least 1.

    Returns:
        (V + 1, 2): first frame of each shot, and the frame behind its last.

    >>> shot_bounds([[4, 5], [9, 12]], 20).tolist()
    [[0, 5], [5, 10], [12, 20]]
    """
    given = transitions if np.size(transitions) else np.empty((0, 2), np.int64)
    pairs = index_array("transitions", given, (None, 2), below=frame_count)
    starts = np.concatenate([[0], pairs[:, 1]])
    ends = np.concatenate([pairs[:, 0] + 1, [frame_count]])
    return np.stack([starts, ends], axis=1)


def _within(
    stretch: Stretch, first: int, start: int, end: int, glance: Glance | None
) -> Iterator[Transition]:
    """Transitions whose middle lies in start … end − 1; the stretch begins at frame `first`."""
    if len(stretch) < 2:
        return
    doubtful = stretch.doubtful_gaps(LEAST_STEP) if glance else np.empty(0, np.int64)
    while True:
        found = [
            each
            for each in _found(stretch.cells)
            if start <= first + (each.last_old + each.first_new + 1) // 2 < end
        ]
        doubtful = np.union1d(doubtful, stretch.unknown_around(found))
        if glance is None or not len(doubtful):
            break
        pictures = glance.look_again(first + doubtful)
        stretch.learn(doubtful, np.concatenate(list(_cells(pictures))))
        doubtful = doubtful[:0]
    for last_old, first_new, kind in found:
        yield Transition(first + last_old, first + first_new, kind)


def _found(cells: NDArray[np.float32]) -> list[Transition]:
    """All transitions of a stretch, counted from its first frame."""
    steps = Steps(cells)
    cuts = steps.cuts()
    gradual = gradual_transitions(steps.without_flashes(), cuts)
    # A step inside a fade, such as from black to a new shot, belongs to the fade.
    found: list[tuple[int, int, TransitionKind]] = [
        (cut - 1, cut, "cut")
        for cut in cuts.tolist()
        if not any(last_old < cut <= first_new for last_old, first_new, _ in gradual)
    ]
    return [Transition(*each) for each in sorted([*found, *gradual])]
