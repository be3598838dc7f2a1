"""Parts of a film as a film of their own: exact frames, their own times, sound in step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import ArgumentError, VideoError
from vidattn.sampling.times import FrameTimes
from vidattn.video.cut_sound import CutSound
from vidattn.video.reader import VideoReader
from vidattn.video.sources.local import LocalFile
from vidattn.video.writer import VideoWriter

# Pixels held at once, in bytes, and frames.
_CHUNK_BYTES, _CHUNK_FRAMES = 2**26, 32
# Of x264: a third of the default's time for files of the same size.
PRESET = "veryfast"


class Part(NamedTuple):
    """A part of a film, and where it lies in the new one.

    Attributes:
        start_frame, end_frame: it has the frames start_frame … end_frame − 1.
        start_seconds, end_seconds: on the film's own clock; the end is when the next frame begins.
        place_seconds: when it begins in the new film.
    """

    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float
    place_seconds: float


def frame_edges(times: FrameTimes) -> NDArray[np.float64]:
    """(T + 1,): when each frame begins, and when the last one is over.

    Where the file's times do not rise, frames are counted instead.
    """
    seconds = times.seconds
    if not (np.diff(seconds) > 1e-3).all():
        return float(seconds[0]) + np.arange(len(seconds) + 1) / times.fps
    end = float(seconds[0]) + (times.duration_seconds or 0)
    # The last frame of a file whose end is not known is shown as long as the one before it.
    last = float(np.diff(seconds)[-1]) if len(seconds) > 1 else 1 / times.fps
    return np.append(seconds, end if end > seconds[-1] + 1e-3 else seconds[-1] + last)


def laid_out(spans: Sequence[tuple[int, int]], edges: NDArray[np.float64]) -> list[Part]:
    """Parts one after the other.

    Args:
        spans: first frame, and the frame after the last one, of each.
        edges: see `frame_edges`.
    """
    parts, place = [], 0.0
    for start, end in spans:
        part = Part(start, end, float(edges[start]), float(edges[end]), place)
        place += part.end_seconds - part.start_seconds
        parts.append(part)
    return parts


def write_excerpts(path: Path, reader: VideoReader, parts: Sequence[Part], *, crf: int = 18) -> str:
    """Write parts of a film as an H.264 file with AAC sound, in bounded memory.

    Frames are upright, keep the shape of their pixels, and are shown as long as in the film. An odd
    height or width gets one more row or column, a copy of the last one.

    Args:
        path: target, .mp4.
        reader: of the film, from its first frame on.
        parts: of `laid_out`, at least one.
        crf: x264's quality, 0 (lossless) to 51.

    Returns:
        what became of the sound: "kept", "none", or why it is left out.

    Raises:
        VideoError: a frame cannot be decoded.
    """
    edges = frame_edges(reader.frame_times)
    height, width = reader.size
    odd = (height % 2, width % 2)
    with ExitStack() as stack:
        sound, word = _sound(reader, parts)
        if sound is not None:
            stack.enter_context(sound)
        writer = stack.enter_context(
            VideoWriter(
                path,
                fps=reader.fps,
                size=(height + odd[0], width + odd[1]),
                timed=True,
                crf=crf,
                preset=PRESET,
                pixel_aspect=_pixel_aspect(reader),
                sound=sound,
            )
        )
        for part in parts:
            for index, picture in _pictures(reader, part):
                if any(odd):
                    picture = np.pad(picture, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
                shown = part.place_seconds + float(edges[index]) - part.start_seconds
                writer.write(picture, seconds=shown)
        last = parts[-1]
        writer.end_at(last.place_seconds + last.end_seconds - last.start_seconds)
    return f"silent from where it is damaged: {sound.damage}" if sound and sound.damage else word


def _pixel_aspect(reader: VideoReader) -> Fraction:
    """Width of a pixel over its height, as shown: a file says it of the stored picture."""
    facts = reader.metadata
    stored = Fraction(facts.sample_aspect_ratio).limit_denominator(1000)
    return 1 / stored if facts.quarter_turns % 2 else stored


def _pictures(reader: VideoReader, part: Part) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    height, width = reader.size
    at_once = min(max(_CHUNK_BYTES // (3 * height * width), 1), _CHUNK_FRAMES)
    indices = range(part.start_frame, part.end_frame)
    for frames in reader.chunks(indices, frames_at_once=at_once):
        yield from zip(np.asarray(frames.indices).tolist(), frames.array, strict=True)


def _sound(reader: VideoReader, parts: Sequence[Part]) -> tuple[CutSound | None, str]:
    if isinstance(reader.source, LocalFile) and reader.source.is_folder:
        return None, "none"
    spans = [(each.start_seconds, each.end_seconds, each.place_seconds) for each in parts]
    try:
        sound = CutSound(reader.source, spans)
    except (VideoError, ArgumentError) as error:
        return None, f"left out: {error}"
    if sound.is_there:
        return sound, "kept"
    sound.close()
    return None, "none"
