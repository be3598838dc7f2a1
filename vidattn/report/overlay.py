"""Weights painted over the frames they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from vidattn.arrays import FloatArray, finite_array, pixel_array
from vidattn.errors import ArgumentError
from vidattn.report.contact_sheet import draw_boxes
from vidattn.report.pictures import Pixels, font, heat_colours, shortened
from vidattn.report.strip import BACKGROUND, draw_strip

# Heat is drawn in so many steps: a table then has the colour and the cover of each.
_STEPS = 256


def paint_map(
    weights: ArrayLike, centres_y: ArrayLike, centres_x: ArrayLike, size: tuple[int, int]
) -> FloatArray:
    """A coarse map -> one value a pixel, bilinear between the true centres of the cells.

    Resizing the map to the picture instead would be wrong wherever the centres are not evenly
    spread over it: a network's cell `i` is centred on `offset + stride · i`. Beyond the
    outermost centres their values are held.

    Args:
        weights: (H', W') or (…, H', W'), finite.
        centres_y: (H',), strictly increasing, in pixels, pixel centres being 0, 1, 2, …
        centres_x: (W',), likewise.
        size: (height, width).

    Returns:
        (…, height, width) float64.

    >>> paint_map([[0, 4]], [0], [1, 3], (1, 5)).tolist()
    [[0.0, 0.0, 2.0, 4.0, 4.0]]
    """
    values = finite_array("weights", weights, np.shape(weights))
    if values.ndim < 2 or values.size == 0:
        raise ArgumentError(f"weights: expected shape (…, H', W'), got {values.shape}")
    rows = _neighbours("centres_y", centres_y, values.shape[-2], size[0])
    columns = _neighbours("centres_x", centres_x, values.shape[-1], size[1])
    return _between(_between(values, columns, -1), rows, -2)


def draw_overlay(
    frame: Pixels,
    heat: ArrayLike,
    *,
    maximum: float | None = None,
    opacity: float = 0.7,
    boxes: ArrayLike | None = None,
    frame_weights: ArrayLike | None = None,
    position: float = 0,
    label: str = "",
) -> Pixels:
    """A frame under its heat map, with the weights of all frames in a strip below.

    Where the weight is 0 the frame shows unchanged; the heat covers it more the higher the
    weight is, up to `opacity`.

    Args:
        frame: uint8 (H, W, 3).
        heat: (H, W), non-negative, such as from `paint_map`.
        maximum: the weight drawn hottest; by default the map's own. Give one for the whole
            video where pictures are to be compared. Higher weights are drawn as the maximum.
        opacity: of the hottest place, in [0, 1].
        boxes: (K, 4) regions to outline, in pixels.
        frame_weights: (T,), non-negative: draws the strip, bars relative to the highest.
        position: in [0, T − 1], where in `frame_weights` this frame is; may be fractional.
        label: a line of text at the top left.

    Returns:
        uint8 (H + strip, W, 3), both sides even, as video encoders need: where the frame's are
        odd, its last column or row is repeated.
    """
    pixels = pixel_array("frame", frame, 3)
    weights = finite_array("heat", heat, pixels.shape[:2], minimum=0)
    if not 0 <= opacity <= 1:
        raise ArgumentError(f"opacity: expected a number in [0, 1], got {opacity}")
    top = float(weights.max()) if maximum is None else maximum
    if not (np.isfinite(top) and (top > 0 or maximum is None)):
        raise ArgumentError(f"maximum: expected a positive number, got {maximum}")
    blended = _blend(pixels, np.minimum(weights / top, 1.0) if top > 0 else weights, opacity)
    height, width = blended.shape[:2]
    blended = np.pad(blended, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    image = Image.fromarray(blended)
    if boxes is not None:
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        draw_boxes(image, finite_array("boxes", corners, (None, 4)))
    if label:
        _draw_label(image, label)
    parts = [np.asarray(image)]
    if frame_weights is not None:
        parts.append(draw_strip(frame_weights, position, image.width, _strip_height(image.height)))
    return np.concatenate(parts)


def draw_overlay_sheet(panels: Sequence[Pixels], captions: Sequence[str] | None = None) -> Pixels:
    """Pictures of one size side by side, up to six in a row, each with its caption below.

    Args:
        panels: at least one, uint8 (H, W, 3), such as from `draw_overlay`.
        captions: one for each, or none.
    """
    images = [pixel_array("panels", panel, 3) for panel in panels]
    if not images or any(image.shape != images[0].shape for image in images):
        shapes = [image.shape for image in images]
        raise ArgumentError(f"panels: expected at least one, all of one size, got {shapes}")
    if captions is not None and len(captions) != len(images):
        raise ArgumentError(f"captions: expected {len(images)}, got {len(captions)}")
    height, width = images[0].shape[:2]
    columns = min(len(images), 6)
    size = max(11, min(22, width // 20))
    below = 2 * size if captions else 0
    gap = 8
    rows = -(-len(images) // columns)
    sheet = Image.new(
        "RGB",
        (columns * (width + gap) + gap, rows * (height + below + gap) + gap),
        BACKGROUND,
    )
    pen = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        x = gap + number % columns * (width + gap)
        y = gap + number // columns * (height + below + gap)
        sheet.paste(Image.fromarray(image), (x, y))
        if captions:
            text = shortened(captions[number], size, width)
            pen.text((x, y + height + size), text, (214, 214, 218), font(size), anchor="lm")
    return np.asarray(sheet).copy()


def _blend(pixels: Pixels, shares: FloatArray, opacity: float) -> Pixels:
    """`pixels` under the colours of `shares` in [0, 1], in 256 steps: tables make it fast."""
    colours, left = _tables(opacity)
    levels = (shares * (_STEPS - 1) + 0.5).astype(np.uint8)
    blended = np.take(left, levels)[:, :, None] * pixels
    blended += np.take(colours, levels, axis=0)
    return blended.astype(np.uint8)


@lru_cache(maxsize=8)
def _tables(opacity: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of each step: what is added, (256, 3), and what is left of the frame, (256,)."""
    steps = np.linspace(0, 1, _STEPS)
    cover = opacity * steps**0.75
    added = heat_colours(steps) * cover[:, None] + 0.5  # the half rounds
    return added.astype(np.float32), (1 - cover).astype(np.float32)


Neighbours = tuple[NDArray[np.int64], FloatArray]


def _neighbours(name: str, centres: ArrayLike, cells: int, length: int) -> Neighbours:
    """For each of `length` pixels the cell before it, and how far it is to the next, in [0, 1]."""
    places = finite_array(name, centres, (cells,))
    if (np.diff(places) <= 0).any():
        raise ArgumentError(f"{name}: expected strictly increasing, got {places.tolist()}")
    position = np.interp(np.arange(length), places, np.arange(cells))
    before = np.minimum(position.astype(np.int64), max(cells - 2, 0))
    return before, position - before


def _between(values: FloatArray, neighbours: Neighbours, axis: int) -> FloatArray:
    """Values at the pixels along an axis, from the cells on both sides of each."""
    before, share = neighbours
    if axis == -2:
        share = share[:, None]
    low = values.take(before, axis)
    if values.shape[axis] == 1:
        return low
    # One product less than (1 − share) · low + share · high, and exact where both are equal.
    high = values.take(before + 1, axis)
    high -= low
    high *= share
    high += low
    return high


def _strip_height(height: int) -> int:
    return max(24, 2 * (height // 18))


def _draw_label(image: Image.Image, label: str) -> None:
    size = max(11, min(28, image.height // 16))
    text = shortened(label, size, image.width - 2 * size)
    drawn = _drawn_label(text, size)
    image.paste(drawn, (0, 0), drawn)


@lru_cache(maxsize=8)  # every frame of a film has the same one
def _drawn_label(text: str, size: int) -> Image.Image:
    """White text with a black edge on nothing, RGBA."""
    width = int(font(size).getlength(text)) + 2 * size
    drawn = Image.new("RGBA", (width, 3 * size), (0, 0, 0, 0))
    ImageDraw.Draw(drawn).text(
        (size // 2, size // 2),
        text,
        (255, 255, 255, 255),
        font(size),
        stroke_width=max(1, size // 10),
        stroke_fill=(0, 0, 0, 255),
    )
    return drawn
