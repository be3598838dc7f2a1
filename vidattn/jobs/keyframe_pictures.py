"""Key frames as picture files, in a contact sheet and in a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn import report
from vidattn.errors import ArgumentError
from vidattn.files import write_bytes, write_csv
from vidattn.inference.keyframe_results import KeyFrames
from vidattn.inference.keyframes import full_frames
from vidattn.naming import choose
from vidattn.video.sources.addresses import VideoLike

SHEET_TILE_WIDTH = 320
SHEET_FILE = "contact_sheet.jpg"
# Most pictures on it.
SHEET_TILES = 100
# Name of a format -> ending of its files.
FORMATS = {"jpeg": ".jpg", "webp": ".webp", "png": ".png"}
# Names of all that is written for one video.
PICTURES = (
    r"frame_\d+(_-?\d+-\d\d-\d\d\.\d{3})?\.(jpg|webp|png)|poster\.(jpg|webp|png)|contact_sheet\.(jpg|png)|"
    r"scores\.csv"
)
COLUMNS = ("video", "frame_index", "seconds", "shot", "score", "scored_by", "reason", "flaw",
           "label", "probability", "image")  # fmt: skip
SCORE_FILE, SCORE_COLUMNS = "scores.csv", ("frame_index", "seconds", "score")


@dataclass(frozen=True)
class PictureSettings:
    """How key frames are written.

    Attributes:
        picture_format: one of `FORMATS`.
        quality: of JPEG and WebP, 1 to 100.
        width: pixels that no picture is wider than; None for the size of the video.
        poster: write the best key frame once more, as `poster`.
        explain: list the candidates that were dropped, with reasons.
        score_table: write `scores.csv`, the score of each frame that was looked at.

    Raises:
        ArgumentError, UnknownNameError: one is out of range.
    """

    picture_format: str = "jpeg"
    quality: int = 90
    width: int | None = None
    poster: bool = False
    explain: bool = False
    score_table: bool = False

    def __post_init__(self) -> None:
        choose("picture_format", self.picture_format, FORMATS)
        if not 1 <= self.quality <= 100:
            raise ArgumentError(f"quality: expected 1 to 100, got {self.quality}")
        if self.width is not None and self.width < 1:
            raise ArgumentError(f"width: expected at least 1 pixel, got {self.width}")

    @property
    def ending(self) -> str:
        """Of the files' names."""
        return FORMATS[self.picture_format]


def picture_name(frame_index: int, seconds: float, ending: str) -> str:
    """The name of a key frame's file, which says when it is.

    >>> picture_name(123, 4.92, ".jpg"), picture_name(99000, 3723.5, ".png")
    ('frame_000123_00-00-04.920.jpg', 'frame_099000_01-02-03.500.png')
    """
    milliseconds = round(abs(seconds) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 and milliseconds else ""
    time = f"{sign}{hours:02}-{minutes:02}-{rest // 1000:02}.{rest % 1000:03}"
    return f"frame_{frame_index:06d}_{time}{ending}"


def write_images(
    found: KeyFrames,
    folder: Path,
    *,
    video: VideoLike,
    settings: PictureSettings,
    decoder: str,
    salvage: bool = False,
) -> list[Path]:
    """The key frames as files, with a contact sheet and perhaps a poster beside them.

    Args:
        found: in the video.
        folder: for the files.
        video: that they are in, to be opened once more.
        settings, decoder, salvage: see `vidattn.write_keyframes`.
    """
    paths = [
        folder / picture_name(frame.frame_index, frame.seconds, settings.ending)
        for frame in found.frames
    ]
    best = poster_place(found)
    on_sheet = sheet_places(len(paths))
    small: list[NDArray[np.uint8]] = []
    indices = [frame.frame_index for frame in found.frames]
    pictures = full_frames(video, indices, decoder=decoder, salvage=salvage)
    for place, (path, picture) in enumerate(zip(paths, pictures, strict=True)):
        shown = picture if settings.width is None else report.shrink(picture, settings.width)
        encoded = report.encode_image(shown, settings.picture_format, quality=settings.quality)
        write_bytes(path, encoded)
        if settings.poster and place == best:
            write_bytes(folder / f"poster{settings.ending}", encoded)
        if place in on_sheet:
            small.append(report.shrink(picture, SHEET_TILE_WIDTH))
    shown_frames = tuple(found.frames[place] for place in on_sheet)
    sheet = contact_sheet(replace(found, frames=shown_frames), small)
    write_bytes(folder / SHEET_FILE, sheet)
    if settings.score_table and found.curve is not None:
        write_csv(folder / SCORE_FILE, SCORE_COLUMNS, found.curve.rows())
    return paths


def sheet_places(count: int) -> list[int]:
    """Which of the key frames the contact sheet shows: all, or some that are spread evenly.

    A sheet of a thousand pictures cannot be looked at, and takes longer than finding them.

    >>> sheet_places(3), len(sheet_places(1000)), sheet_places(1000)[-1]
    ([0, 1, 2], 100, 999)
    """
    return np.linspace(0, count - 1, min(count, SHEET_TILES)).round().astype(int).tolist()


def poster_place(found: KeyFrames) -> int:
    """Which key frame alone stands best for its video; one with a flaw only if all have one."""
    return max(
        range(len(found.frames)),
        key=lambda place: (not found.frames[place].flaw, found.frames[place].score),
    )


def table_rows(videos: Iterable[Mapping[str, Any]]) -> list[Sequence[Any]]:
    """Rows of `COLUMNS` for the videos of a record."""
    return [
        [
            "" if value is None else value
            for value in (
                video["video"], frame["frame_index"], round(frame["seconds"], 6), frame["shot"],
                round(frame["score"], 6), frame["scored_by"], frame["reason"], frame["flaw"],
                frame["label"], frame["probability"], frame["image"],
            )
        ]
        for video in videos
        for frame in video["frames"]
    ]  # fmt: skip


def contact_sheet(
    found: KeyFrames,
    pixels: Iterable[NDArray[np.uint8]],
    *,
    title: str | None = None,
    tile_width: int = SHEET_TILE_WIDTH,
) -> bytes:
    """JPEG of all key frames with their times, scores and regions.

    Args:
        pixels: uint8 (H, W, 3) each, the frames at full resolution or smaller.
        title: the video's name where None.
    """
    width = found.details["size"][1]
    tiles = [
        report.SheetFrame(
            picture,
            frame.frame_index,
            frame.seconds,
            frame.score,
            np.array(frame.regions).reshape(-1, 4) * (picture.shape[1] / width),
        )
        for frame, picture in zip(found.frames, pixels, strict=True)
    ]
    title = Path(found.path).name if title is None else title
    sheet = report.draw_contact_sheet(tiles, title=title, tile_width=tile_width)
    # A PNG of photographs takes as long as finding the key frames of a short film.
    return report.encode_image(sheet, "jpeg")
