"""What all pictures share: colours, text, encoding."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageFont

from vidattn.arrays import finite_array, pixel_array
from vidattn.errors import ArgumentError

Pixels = NDArray[np.uint8]

# Of zlib, 0 to 9. On photographs higher levels take several times as long to save a tenth.
PNG_LEVEL = 3

# Equal steps of lightness in OKLCh (0.20 to 0.94) while the hue goes from violet to yellow at
# the greatest chroma that sRGB has there, up to 0.19: ordered for any eye, and in grey.
_HEAT = np.array(
    [
        (22, 0, 71),
        (64, 0, 100),
        (114, 2, 110),
        (165, 14, 103),
        (207, 52, 82),
        (239, 93, 46),
        (254, 144, 6),
        (255, 194, 61),
        (255, 241, 47),
    ],
    dtype=np.float64,
)


def shrink(pixels: Pixels, width: int) -> Pixels:
    """uint8 (H, W, 3), made smaller in proportion if it is wider than `width`."""
    image = Image.fromarray(pixel_array("pixels", pixels, 3))
    if image.width <= width:
        return pixels
    size = (width, max(1, round(image.height * width / image.width)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS)).copy()


def heat_colours(values: ArrayLike) -> Pixels:
    """Values in [0, 1], any shape (…) -> uint8 RGB (…, 3), dark violet to bright yellow."""
    places = finite_array("values", values, np.shape(values), minimum=0, maximum=1)
    stops = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(places, stops, _HEAT[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def encode_image(pixels: Pixels, encoding: str = "png", *, quality: int = 88) -> bytes:
    """uint8 (H, W, 3) -> the bytes of a "png", "jpeg" or "webp" file; a PNG loses nothing."""
    image = Image.fromarray(pixel_array("pixels", pixels, 3))
    buffer = io.BytesIO()
    if encoding == "png":
        image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    elif encoding in ("jpeg", "webp"):
        image.save(buffer, encoding.upper(), quality=quality)
    else:
        raise ArgumentError(f"encoding: expected 'png', 'jpeg' or 'webp', got {encoding!r}")
    return buffer.getvalue()


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow, so that pictures look the same on every machine."""
    return ImageFont.load_default(size)


def drawable(text: str) -> str:
    """`text` without what a font cannot draw: line breaks, controls, undecodable bytes."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def shortened(text: str, size: int, width: float) -> str:
    """`text`, its middle replaced by … as far as needed to fit `width` pixels."""
    text = drawable(text)
    if font(size).getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        candidate = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
        if font(size).getlength(candidate) <= width:
            return candidate
    return ""


def clock(seconds: float, *, hours: bool = False) -> str:
    """Seconds -> "m:ss.mmm", with hours in front where there are any, or always if `hours`.

    >>> clock(83.5), clock(3600), clock(-0.25), clock(83.5, hours=True)
    ('1:23.500', '1:00:00.000', '-0:00.250', '0:01:23.500')
    """
    total = round(abs(seconds) * 1000)
    minutes, milliseconds = divmod(total, 60_000)
    whole_hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 and total else ""
    front = f"{whole_hours}:{minutes:02}" if whole_hours or hours else f"{minutes}"
    return f"{sign}{front}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
