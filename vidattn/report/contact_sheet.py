from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from vidattn.arrays import at_least, finite_array, pixel_array
from vidattn.errors import ArgumentError
from vidattn.report.pictures import Pixels, clock, font, shortened

_PAPER = (250, 250, 249)
_INK = (28, 28, 32)
_QUIET = (112, 112, 120)
_TRACK = (226, 226, 224)
_BAR = (207, 52, 82)
_MARGIN = 24
_GAP = 18


@dataclass(frozen=True, eq=False)
class SheetFrame:
    """One selected frame.

    Attributes:
        pixels: uint8 (H, W, 3).
        index: 0-based frame number in the video.
        seconds: its time on the file's own clock.
        score: higher is better; finite.
        boxes: (K, 4) regions as x1, y1, x2, y2 in pixels of `pixels`, the most important first.
    """

    pixels: Pixels
    index: int
    seconds: float
    score: float
    boxes: ArrayLike = field(default_factory=lambda: np.zeros((0, 4)))


def draw_contact_sheet(
    frames: Sequence[SheetFrame],
    *,
    title: str = "",
    columns: int | None = None,
    tile_width: int = 320,
) -> Pixels:
    """All key frames of a video on one picture, each with its time, number, score and regions.

    The bar under a frame is its score between the lowest (or 0, if that is lower) and the
    highest on the sheet. Frames are shown whole in tiles of one size.

    Args:
        frames: at least one, in the order to show them.
        title: a line above, such as the file's name.
        columns: by default up to 3 in one row, then 4 to 8, with the number of frames.
        tile_width: pixels, at least 160.

    Returns:
        uint8 (H, W, 3).
    """
    if not frames:
        raise ArgumentError("frames: expected at least one, got none")
    at_least("tile_width", tile_width, 160)
    count = len(frames)
    columns = at_least("columns", columns or _columns(count), 1)
    rows = math.ceil(count / columns)
    shapes = [pixel_array("pixels", frame.pixels, 3).shape for frame in frames]
    tallest = max(shape[0] / shape[1] for shape in shapes)
    # A tall video would make a sheet of strips: no tile is taller than 4:3 upright.
    tile = (tile_width, round(tile_width * min(max(tallest, 0.4), 4 / 3)))
    caption = round(tile_width * 0.16)
    header = 60 if title else 0
    sheet = Image.new(
        "RGB",
        (
            2 * _MARGIN + columns * (tile_width + _GAP) - _GAP,
            2 * _MARGIN + header + rows * (tile[1] + caption + _GAP) - _GAP,
        ),
        _PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    if title:
        _draw_header(pen, title, f"{count} key frame{'s' * (count > 1)}", sheet.width)
    scores = finite_array("score", [frame.score for frame in frames], (count,))
    low, high = min(0.0, float(scores.min())), float(scores.max())
    for number, frame in enumerate(frames):
        x = _MARGIN + number % columns * (tile_width + _GAP)
        y = _MARGIN + header + number // columns * (tile[1] + caption + _GAP)
        sheet.paste(_tile(frame, tile), (x, y))
        share = (frame.score - low) / (high - low) if high > low else 1.0
        _draw_caption(pen, frame, share, (x, y + tile[1]), tile_width)
    return np.asarray(sheet).copy()


def _columns(count: int) -> int:
    return count if count <= 3 else min(8, max(4, math.ceil(math.sqrt(count * 1.3))))


def _tile(frame: SheetFrame, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(frame.pixels)
    scale = min(size[0] / image.width, size[1] / image.height)
    shown = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    tile = Image.new("RGB", size, _TRACK)
    corner = ((size[0] - shown[0]) // 2, (size[1] - shown[1]) // 2)
    picture = image.resize(shown, method)
    ratio = np.array([shown[0] / image.width, shown[1] / image.height] * 2)
    boxes = np.asarray(frame.boxes, dtype=np.float64)
    draw_boxes(picture, finite_array("boxes", boxes.reshape(-1, 4), (None, 4)) * ratio)
    tile.paste(picture, corner)
    return tile


def draw_boxes(picture: Image.Image, boxes: np.ndarray) -> None:
    """Outline regions (K, 4) in pixels of `picture`, in place: the first strong, others thin."""
    pen = ImageDraw.Draw(picture)
    stroke = max(2, round(min(picture.size) / 90))
    for number, box in reversed(list(enumerate(boxes))):
        x1, y1 = (int(np.clip(round(box[axis]), 0, picture.size[axis] - 1)) for axis in (0, 1))
        x2, y2 = (int(np.clip(round(box[axis + 2]), 1, picture.size[axis])) - 1 for axis in (0, 1))
        outline = (x1, y1, max(x1, x2), max(y1, y2))
        # A dark line inside a bright one can be seen on any picture.
        pen.rectangle(outline, outline=(255, 241, 47), width=stroke if number == 0 else 1)
        inner = (outline[0] + stroke, outline[1] + stroke, outline[2] - stroke, outline[3] - stroke)
        if number == 0 and inner[0] < inner[2] and inner[1] < inner[3]:
            pen.rectangle(inner, outline=_INK, width=1)


def _draw_header(pen: ImageDraw.ImageDraw, title: str, note: str, width: int) -> None:
    room = width - 2 * _MARGIN
    note_width = font(16).getlength(note) + _GAP
    size = next((size for size in (26, 22, 18) if font(size).getlength(title) <= room), 18)
    if font(size).getlength(title) + note_width <= room:
        pen.text((width - _MARGIN, _MARGIN + 26), note, _QUIET, font(16), anchor="rs")
    pen.text((_MARGIN, _MARGIN + 26), shortened(title, size, room), _INK, font(size), anchor="ls")


def _draw_caption(
    pen: ImageDraw.ImageDraw, frame: SheetFrame, share: float, corner: tuple[int, int], width: int
) -> None:
    size = max(12, round(width * 0.05))
    x, y = corner
    bar, line = y + max(3, size // 3), y + round(size * 2.1)
    pen.rectangle((x, bar, x + width - 1, bar + max(2, size // 4)), fill=_TRACK)
    if share > 0:
        end = x + max(1, round(share * width)) - 1
        pen.rectangle((x, bar, end, bar + max(2, size // 4)), fill=_BAR)
    pen.text((x, line), clock(frame.seconds), _INK, font(size), anchor="ls")
    note = f"frame {frame.index} · score {frame.score:.3g}"
    room = width - font(size).getlength(clock(frame.seconds)) - size
    small = max(10, round(size * 0.85))
    pen.text((x + width, line), shortened(note, small, room), _QUIET, font(small), anchor="rs")
