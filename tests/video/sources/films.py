"""Films of a size that shows what of them is read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def noise(path: Path) -> bytes:
    """6 s of noise, a key frame each second, in 5 MB; its table is in front."""
    generator = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": "25", "bf": "0"})
        stream.height, stream.width, stream.bit_rate = 192, 192, 15_000_000
        for _ in range(150):
            picture = generator.integers(0, 255, (192, 192, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()
