"""Small pictures of a whole film for players that show them while a person scrubs.

A WebVTT file says which part of which sheet belongs to which time, by media fragments
(https://www.w3.org/TR/media-frags/#naming-space).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidattn import report
from vidattn.arrays import at_least
from vidattn.errors import ArgumentError
from vidattn.files import write_bytes
from vidattn.report.pictures import clock
from vidattn.video import VideoReader
from vidattn.video.excerpts import frame_edges

CUES = "storyboard.vtt"
SHEET_FILE = "storyboard-{:03d}.jpg"
FILES = r"storyboard\.vtt|storyboard-\d{3,}\.jpg"
COLUMNS, ROWS = 10, 10
WIDTH = 160
# Where nobody says how often: about a hundred pictures, but none more often, or more rarely.
_PICTURES, _LEAST_SECONDS, _MOST_SECONDS = 100, 1.0, 10.0


@dataclass(frozen=True)
class StoryboardSettings:
    """How a storyboard is made.

    Attributes:
        every_seconds: one picture of each stretch of this length, its middle; None for 1 to 10
            seconds, by the length of the film.
        width: of each picture in pixels; pictures of narrower films have their own width.

    Raises:
        ArgumentError: a number is out of range.
    """

    every_seconds: float | None = None
    width: int = WIDTH

    def __post_init__(self) -> None:
        every = self.every_seconds
        if every is not None and not 0.01 <= every < math.inf:
            raise ArgumentError(f"storyboard_seconds: expected at least 0.01, got {every}")
        at_least("storyboard_width", self.width, 16)

    def stretch(self, duration_seconds: float) -> float:
        """Seconds of a film that each picture stands for."""
        if self.every_seconds is not None:
            return self.every_seconds
        return min(max(duration_seconds / _PICTURES, _LEAST_SECONDS), _MOST_SECONDS)


def write_storyboard(folder: Path, reader: VideoReader, settings: StoryboardSettings) -> list[str]:
    """Write the sheets and the WebVTT file of an open film, one sheet in memory at a time.

    Times in the file count from the first frame of the film, as players have it.

    Returns:
        names of the files.
    """
    edges = frame_edges(reader.frame_times)
    duration = float(edges[-1] - edges[0])
    stretch = settings.stretch(duration)
    # Times of files are rounded: a picture for a rest of microseconds is none too many.
    starts = np.arange(max(math.ceil(duration / stretch - 1e-4), 1)) * stretch
    ends = np.append(starts[1:], max(duration, starts[-1] + 1e-3))
    shown = edges[0] + np.minimum((starts + ends) / 2, duration)
    indices = np.searchsorted(edges[1:-1], shown, side="right")
    cues, names = ["WEBVTT", ""], []
    for number, tiles in enumerate(_tiles(reader, indices, settings.width), start=1):
        names.append(SHEET_FILE.format(number))
        write_bytes(folder / names[-1], report.encode_image(_sheet(tiles), "jpeg", quality=80))
        height, width = tiles.shape[1:3]
        for place in range(len(tiles)):
            row, column = divmod(place, COLUMNS)
            cue = (number - 1) * COLUMNS * ROWS + place
            cues += [
                f"{_clock(starts[cue])} --> {_clock(ends[cue])}",
                f"{names[-1]}#xywh={column * width},{row * height},{width},{height}",
                "",
            ]
    write_bytes(folder / CUES, "\n".join(cues).encode())
    return [CUES, *names]


def _tiles(
    reader: VideoReader, indices: NDArray[np.int64], width: int
) -> Iterator[NDArray[np.uint8]]:
    """Small pictures (N, H, W, 3), as many as a sheet has, all of one size."""
    height, whole = reader.size
    short_side = math.ceil(min(height, whole) * min(width / whole, 1))
    chunks = reader.chunks(
        indices.tolist(), frames_at_once=COLUMNS * ROWS, short_side=max(short_side, 1)
    )
    for frames in chunks:
        yield np.stack([report.shrink(picture, width) for picture in frames.array])


def _sheet(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows of pictures; black where the last row has fewer."""
    count, height, width, _ = tiles.shape
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * columns, height, width, 3), np.uint8)
    sheet[:count] = tiles
    grid = sheet.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, 3)


def _clock(seconds: float) -> str:
    """As WebVTT has times: hours with two digits or more."""
    return clock(seconds, hours=True).zfill(len("00:00:00.000"))
