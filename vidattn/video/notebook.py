"""What a notebook shows of a video: a line of facts, and some frames side by side."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image

SHOWN_FRAMES = 6
STRIP_HEIGHT = 96
_GAP = 4


def shown_places(count: int) -> list[int]:
    """Places of the frames that a strip shows: at most six, evenly apart, from first to last."""
    places = np.linspace(0, count - 1, min(count, SHOWN_FRAMES)).round()
    return np.unique(places.astype(np.int64)).tolist() if count else []


def strip_html(title: str, pictures: np.ndarray) -> str:
    """A title, and below it pictures, uint8 (T, H, W, 3), side by side: one element of HTML."""
    text = f"<div>{html.escape(title)}</div>"
    if not pictures.size:
        return f"<div>{text}</div>"
    encoded = base64.b64encode(strip_png(pictures)).decode("ascii")
    return f'<div>{text}<img alt="frames" src="data:image/png;base64,{encoded}"></div>'


def strip_png(pictures: np.ndarray) -> bytes:
    """Pictures, uint8 (T, H, W, 3), at least one, side by side on white, 96 pixels high."""
    height, width = pictures.shape[1:3]
    size = (max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT)
    sheet = Image.new("RGB", (len(pictures) * (size[0] + _GAP) - _GAP, size[1]), "white")
    for place, picture in enumerate(pictures):
        tile = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
        sheet.paste(tile, (place * (size[0] + _GAP), 0))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
