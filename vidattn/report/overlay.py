"""Weights painted over the frames they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from vidattn.arrays import FloatArray, finite_array, pixel_array
from vidattn.errors import ArgumentError
from vidattn.report.contact_sheet import draw_boxes
from vidattn.report.pictures import Pixels, font, heat_colours, shortened

_BACKGROUND = (20, 20, 24)
_MARKER = (255, 255, 255)


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
    rows = _interpolation("centres_y", centres_y, values.shape[-2], size[0])
    columns = _interpolation("centres_x", centres_x, values.shape[-1], size[1])
    return rows @ values @ columns.T


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


def draw_strip(frame_weights: ArrayLike, position: float, width: int, height: int) -> Pixels:
    """Weights over time as bars, relative to the highest, with a white line at `position`.

    Args:
        frame_weights: (T,), non-negative; where T > `width`, a column shows the highest of its
            frames.
        position: in [0, T − 1].
        width, height: pixels; height at least 8.

    Returns:
        uint8 (height, width, 3).
    """
    weights = finite_array("frame_weights", frame_weights, (None,), minimum=0)
    count = len(weights)
    if count == 0 or not 0 <= position <= count - 1:
        raise ArgumentError(f"position: expected a place in {count} weights, got {position}")
    shares = weights / weights.max() if weights.max() > 0 else weights
    if count > width:
        shares = np.maximum.reduceat(shares, np.arange(width) * count // width)
    columns = shares[np.arange(width) * len(shares) // width]
    space = max(2, height // 8)  # above the bars, so that the highest one is seen to end
    tall = np.round(columns * (height - space)).astype(int)
    strip = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
    filled = np.arange(height)[:, None] >= height - np.maximum(tall, columns > 0)
    strip[filled] = np.broadcast_to(heat_colours(0.25 + 0.6 * columns), strip.shape)[filled]
    centre = (position + 0.5) / count * width
    half = max(1, width // 320)
    strip[:, max(0, int(centre) - half) : int(centre) + half + 1] = _BACKGROUND
    strip[:, max(0, int(centre) - half + 1) : int(centre) + half] = _MARKER
    return strip


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
        _BACKGROUND,
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
    steps = np.linspace(0, 1, 256)
    cover = (opacity * steps**0.75)[:, None]
    colours = (heat_colours(steps) * cover + 0.5).astype(np.float32)  # the half rounds
    left = (1 - cover).astype(np.float32)
    levels = np.rint(shares * 255).astype(np.uint8)
    return (pixels * left[levels] + colours[levels]).astype(np.uint8)


def _interpolation(name: str, centres: ArrayLike, cells: int, length: int) -> FloatArray:
    """(length, cells): how much each cell gives to each pixel; rows sum to 1."""
    places = finite_array(name, centres, (cells,))
    if (np.diff(places) <= 0).any():
        raise ArgumentError(f"{name}: expected strictly increasing, got {places.tolist()}")
    pixels = np.arange(length, dtype=np.float64)
    columns = [np.interp(pixels, places, unit) for unit in np.eye(cells)]
    return np.stack(columns, axis=1)


def _strip_height(height: int) -> int:
    return max(24, 2 * (height // 18))


def _draw_label(image: Image.Image, label: str) -> None:
    size = max(11, min(28, image.height // 16))
    pen = ImageDraw.Draw(image)
    text = shortened(label, size, image.width - 2 * size)
    pen.text(
        (size // 2, size // 2),
        text,
        (255, 255, 255),
        font(size),
        stroke_width=max(1, size // 10),
        stroke_fill=(0, 0, 0),
    )
