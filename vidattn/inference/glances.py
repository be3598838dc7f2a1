"""Small pictures of a film, where frames that nothing depends on need not be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from vidattn.selection.glances import Glance, frames_to_look_at
from vidattn.video import PictureKind, VideoReader, open_video, packet_evidence
from vidattn.video.readers.pyav_reader import PyavReader
from vidattn.video.span import ReaderSpan

Pictures = NDArray[np.uint8]

# Less is not worth a second reader.
_LEAST_SHARE_LEFT_OUT = 0.1


@contextmanager
def glance_at(
    reader: VideoReader,
    usable: NDArray[np.int64] | None = None,
    *,
    least: int = 1,
    frames_at_once: int,
    short_side: int,
) -> Iterator[tuple[Iterator[Pictures], Glance | None]]:
    """Pictures of a film for `selection.find_transitions`, and which frames they are.

    Frames that no other one references are left out in stretches where the sizes of the packets
    stay even. A second reader of the same file decodes those of them that matter after all.

    Args:
        reader: of a film or a part of it.
        usable: numbers of the frames that may be looked at; None for all.
        least: so many frames are looked at, if there are as many.
        frames_at_once: in each chunk.
        short_side: of the pictures, in pixels.

    Yields:
        Chunks (t, H, W, 3) of uint8, and which frames they are: None for all that are usable.
    """
    whole = usable is None or len(usable) == len(reader)
    numbers = _worth_looking_at(reader) if whole else None
    if numbers is None or len(numbers) < least:
        shown = range(len(reader)) if usable is None else usable.tolist()
        yield _pictures(reader, shown, frames_at_once, short_side), None
        return
    with ExitStack() as stack:
        others: list[VideoReader] = []

        def look_again(wanted: NDArray[np.int64]) -> Pictures:
            if not others:  # few films need it
                others.append(stack.enter_context(open_video(reader.source)))
            film = wanted + (reader.first if isinstance(reader, ReaderSpan) else 0)
            return others[0].frames_at(film.tolist(), short_side=short_side).array

        pictures = _pictures(reader, numbers.tolist(), frames_at_once, short_side)
        yield pictures, Glance(numbers, look_again)


def _pictures(
    reader: VideoReader, numbers: list[int] | range, frames_at_once: int, short_side: int
) -> Iterator[Pictures]:
    chunks = reader.chunks(numbers, frames_at_once=frames_at_once, short_side=short_side)
    return (frames.array for frames in chunks)


def _worth_looking_at(reader: VideoReader) -> NDArray[np.int64] | None:
    """Frames to look at first; None where all are, because none or few can be left out."""
    film = reader.reader if isinstance(reader, ReaderSpan) else reader
    if not isinstance(film, PyavReader) or film.full_decode_reason is not None:
        return None
    evidence = packet_evidence(reader)
    unreferenced = evidence.kinds == PictureKind.UNREFERENCED
    numbers = frames_to_look_at(evidence.values, evidence.kinds == PictureKind.INTRA, unreferenced)
    return numbers if len(numbers) < (1 - _LEAST_SHARE_LEFT_OUT) * len(reader) else None
