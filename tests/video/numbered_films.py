from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (64, 96)
BITS = 8


def draw(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A frame that shows its number: bar k is white where bit k is set; red grows downwards."""
    height, width = size
    frame = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            frame[:, bit * width // BITS : (bit + 1) * width // BITS] = 220
    frame[height // 2 :, :, 0] //= 2
    return frame


def read_number(frame: np.ndarray) -> int:
    """The number that `draw` put into a frame (H, W, 3)."""
    width = frame.shape[1]
    middle = frame[frame.shape[0] // 4]
    centres = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    return sum((int(middle[x, 1]) > 110) << bit for bit, x in enumerate(centres))


def encode(
    path: Path,
    count: int = 40,
    *,
    times: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    audio: bool = False,
    **options: str,
) -> Path:
    """Write numbered frames with the given timestamps, by PyAV alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        stream.codec_context.thread_count = 1
        sound = container.add_stream("aac", rate=8000, layout="mono") if audio else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(draw(number, size), format="rgb24")
            frame.pts = times[number] if times is not None else number
            frame.time_base = time_base
            container.mux(stream.encode(frame.reformat(format=pixel_format)))
        container.mux(stream.encode(None))
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 8000), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate, silence.pts = 8000, 0
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def encode_pixels(path: Path, frames: Sequence[np.ndarray], **options: str) -> Path:
    """Write frames (H, W, 3) as H.264 at 25 frames a second, by PyAV alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def turn(path: Path, matrix: Sequence[int]) -> Path:
    """Put a display matrix (a, b, c, d) into the track header of an MP4."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


FILMS: dict[str, Callable[[Path], Path]] = {
    "b_frames": lambda folder: encode(folder / "b_frames.mp4", bf="3", g="12"),
    "open_groups": lambda folder: encode(
        folder / "open_groups.mkv", bf="3", g="10", **{"x264-params": "open-gop=1:b-pyramid=2"}
    ),
    "one_key_frame": lambda folder: encode(folder / "one_key_frame.mp4", g="250"),
    "transport_stream": lambda folder: encode(folder / "transport_stream.ts", g="10"),
    "late_start": lambda folder: encode(
        folder / "late_start.mkv", times=[100 + i for i in range(40)], g="8"
    ),
    "variable_rate": lambda folder: encode(
        folder / "variable_rate.mp4",
        times=[int(i * 40 + 300 * (i // 10)) for i in range(40)],
        time_base=Fraction(1, 1000),
        g="7",
    ),
    "with_sound": lambda folder: encode(folder / "with_sound.mp4", audio=True),
    "one_frame": lambda folder: encode(folder / "one_frame.mp4", 1),
    "mpeg4_avi": lambda folder: encode(folder / "mpeg4_avi.avi", codec="mpeg4", g="10", bf="0"),
}


def png(number: int, size: tuple[int, int] = SIZE) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(draw(number, size)).save(buffer, "png")
    return buffer.getvalue()
