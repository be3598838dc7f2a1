from __future__ import annotations

import contextlib
import os
import tempfile
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.packet import Packet
from av.video.reformatter import VideoReformatter

from vidattn.errors import ArgumentError
from vidattn.files import PARTIAL, naming_errors
from vidattn.video.cut_sound import CutSound
from vidattn.video.sound import SoundTrack

# Of timed videos; divides the usual frame rates, and MP4 and Matroska can hold it.
TIME_BASE = Fraction(1, 90_000)
SQUARE = Fraction(1)


class VideoWriter:
    """Writes H.264 frame by frame: the same frames and settings give the same bytes.

    The target appears, whole, when the `with` block ends; until then the frames go to a hidden
    file beside it, which is removed if anything fails.

    Args:
        path: target; its ending chooses the container (.mp4, .mkv, .mov).
        fps: frames per second, above 0; a float is taken as the nearest fraction whose
            denominator is at most 1001, so that 29.97002997 is 30000/1001.
        timed: frames come with times of their own, see `write`; the rate is then only declared.
        size: (height, width) of every frame, in pixels; both even where the pixel format
            stores colour at half the resolution.
        crf: x264's quality, 0 (lossless) to 51 (worst).
        preset: x264's speed, "ultrafast" to "placebo".
        pixel_format: "yuv420p" (plays everywhere), "yuv422p" or "yuv444p" (any size).
        pixel_aspect: width of a pixel over its height, as players show it.
        sound: written beside the pictures to its end; a `SoundTrack` is copied, and must fit the
            container, see `SoundTrack.fits`. The caller closes it.

    Raises:
        ArgumentError: a setting is out of range, a frame does not fit, or none was written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float | Fraction,
        size: tuple[int, int],
        timed: bool = False,
        crf: int = 18,
        preset: str = "medium",
        pixel_format: str = "yuv420p",
        pixel_aspect: Fraction = SQUARE,
        sound: SoundTrack | CutSound | None = None,
    ) -> None:
        self.path = Path(path)
        self.size = (int(size[0]), int(size[1]))
        self.frames_written = 0
        rate = _rate(fps)
        _check(self.path, self.size, crf, pixel_format)
        with naming_errors(self.path):
            handle, temporary = tempfile.mkstemp(
                prefix=PARTIAL, suffix=self.path.suffix, dir=self.path.absolute().parent
            )
            os.close(handle)
        self._temporary = Path(temporary)
        self._pixel_format = pixel_format
        self._timed = timed
        self._last_pts = -1
        self._end_pts: int | None = None
        self._sound = sound
        self._reformatter = VideoReformatter()
        self._open = True
        try:
            # Absolute, so that no name can be taken for a protocol. Bit-exact: Matroska would
            # otherwise write random identifiers.
            self._container = av.open(temporary, "w", options={"fflags": "+bitexact"})
            # The macroblock-tree rate control (all but the two fastest presets) is off: what it
            # computes depends on what the memory held before, and so would the bytes.
            options = {"crf": str(crf), "preset": preset, "mbtree": "0"}
            self._stream = self._container.add_stream("libx264", rate=rate, options=options)
            self._stream.height, self._stream.width = self.size
            self._stream.pix_fmt = pixel_format
            context = self._stream.codec_context
            context.time_base = TIME_BASE if timed else 1 / rate
            if pixel_aspect != SQUARE:
                context.sample_aspect_ratio = pixel_aspect
            context.thread_count = 1  # more threads change the bytes
            context.open()
            if sound is not None:
                self._sound_stream = sound.stream_in(self._container)
        except Exception as error:
            self.abort()
            raise ArgumentError(f"{self.path}: cannot write such a video: {error}") from error

    def write(self, frame: np.ndarray, *, seconds: float | None = None) -> None:
        """Append one RGB frame.

        Args:
            frame: uint8 (H, W, 3).
            seconds: when it is shown, from 0 and rising; only, and always, in a timed video.
        """
        if not self._open:
            raise ArgumentError(f"{self.path}: the writer is closed")
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.shape != (*self.size, 3):
            raise ArgumentError(
                f"{self.path}: frame {self.frames_written}: expected uint8 of shape "
                f"{(*self.size, 3)}, got {frame.dtype} of shape {frame.shape}"
            )
        picture = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
            format=self._pixel_format,
            threads=1,
        )
        picture.pts = self._pts(seconds)
        picture.time_base = self._stream.codec_context.time_base
        with naming_errors(self.path):
            self._container.mux(self._stream.encode(picture))
            self._copy_sound(float(picture.pts * picture.time_base))
        self.frames_written += 1

    def end_at(self, seconds: float) -> None:
        """Say how long the last frame of a timed video is shown: up to this moment."""
        self._end_pts = round(seconds / TIME_BASE)

    def _copy_sound(self, seconds: float) -> None:
        """Sound up to where the pictures are: players want both close together in the file."""
        if self._sound is None:
            return
        for packet in self._sound.until(seconds):
            packet.stream = self._sound_stream
            self._container.mux(packet)

    def _lasting(self, packets: list[Packet]) -> list[Packet]:
        """The last packets, of which the one that is shown last knows how long."""
        for packet in packets:
            if self._end_pts is not None and packet.pts == self._last_pts:
                packet.duration = max(self._end_pts - self._last_pts, 1)
        return packets

    def _pts(self, seconds: float | None) -> int:
        if (seconds is not None) != self._timed:
            raise ArgumentError(f"{self.path}: seconds: expected in timed videos, and only there")
        pts = self.frames_written if seconds is None else round(seconds / TIME_BASE)
        if pts <= self._last_pts:
            raise ArgumentError(f"{self.path}: seconds: expected times that rise from 0")
        self._last_pts = pts
        return pts

    def close(self) -> None:
        """Finish the file and move it to its name. Closing twice is harmless."""
        if not self._open:
            return
        if not self.frames_written:
            self.abort()
            raise ArgumentError(f"{self.path}: no frame was written")
        try:
            with naming_errors(self.path):
                self._container.mux(self._lasting(self._stream.encode(None)))
                self._copy_sound(float("inf"))
                self._container.close()
                os.chmod(self._temporary, 0o666 & ~_umask())
                os.replace(self._temporary, self.path)
        except BaseException:
            self.abort()
            raise
        self._open = False

    def abort(self) -> None:
        """Drop everything written; the target stays as it was."""
        self._open = False
        if hasattr(self, "_container"):
            with contextlib.suppress(Exception):  # it may be the container that failed
                self._container.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _rate(fps: float | Fraction) -> Fraction:
    rate = fps if isinstance(fps, Fraction) else None
    if rate is None and 0 < fps < float("inf"):
        rate = Fraction(fps).limit_denominator(1001)
    if rate is None or rate <= 0:
        raise ArgumentError(f"fps: expected a number above 0, got {fps}")
    return rate


def _check(path: Path, size: tuple[int, int], crf: int, pixel_format: str) -> None:
    if path.suffix.lower() not in {".mp4", ".mkv", ".mov"}:
        raise ArgumentError(f"{path}: expected a name ending in .mp4, .mkv or .mov")
    if not path.absolute().parent.is_dir():
        raise ArgumentError(f"{path}: its folder does not exist")
    if pixel_format not in {"yuv420p", "yuv422p", "yuv444p"}:
        raise ArgumentError(
            f"pixel_format: expected yuv420p, yuv422p or yuv444p, got {pixel_format!r}"
        )
    if not 0 <= crf <= 51:
        raise ArgumentError(f"crf: expected 0 to 51, got {crf}")
    steps = {"yuv420p": (2, 2), "yuv422p": (1, 2), "yuv444p": (1, 1)}[pixel_format]
    if min(size) < 1 or size[0] % steps[0] or size[1] % steps[1]:
        raise ArgumentError(
            f"size: expected (height, width) of at least 1 and divisible by {steps} "
            f"for {pixel_format}, got {size}; yuv444p takes odd sizes"
        )


def _umask() -> int:
    # mkstemp makes private files; the finished video gets what an ordinary open() would give.
    mask = os.umask(0)
    os.umask(mask)
    return mask
