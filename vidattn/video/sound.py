from __future__ import annotations

import io
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import av

from vidattn.errors import ArgumentError, VideoError
from vidattn.video.limits import DEFAULT_LIMITS
from vidattn.video.packets.demuxer import open_container, typed_errors
from vidattn.video.sources.addresses import VideoLike, as_source
from vidattn.video.sources.local import LocalFile


class SoundTrack:
    """The first sound of a file as it is stored, for another file: nothing is encoded anew.

    Args:
        video: see `vidattn.open_video`; it is checked as there.
        start_seconds: what lies before is left out; packets count from there.
        end_seconds: what begins there or later is left out.

    Attributes:
        stream: PyAV's stream, None where the file has no sound.
        codec: FFmpeg's name of its codec, "" where there is none.
        damage: why it ended before its end; None where it did not.

    Raises:
        VideoError: the file cannot be read.
    """

    def __init__(
        self,
        video: VideoLike,
        *,
        start_seconds: float = 0.0,
        end_seconds: float = float("inf"),
    ) -> None:
        source = as_source(video)
        self.path = str(source)
        self._start, self._end = start_seconds, end_seconds
        self._content = source.find(DEFAULT_LIMITS)
        try:
            self._container, _ = open_container(self._content, DEFAULT_LIMITS)
        except BaseException:
            self._content.close()
            raise
        sounds = self._container.streams.audio
        self.stream: Any = sounds[0] if sounds else None
        # A codec that FFmpeg has no decoder of has no context.
        codec: Any = getattr(self.stream, "codec_context", None)
        self.codec: str = "" if codec is None else codec.codec.canonical_name
        self.damage: str | None = None
        self._packets = self._read()
        self._next: Any = None

    def fits(self, suffix: str) -> bool:
        """Whether a container, by the ending of its files such as ".mp4", can hold this sound."""
        kind = {".mkv": "matroska", ".mov": "mov"}.get(suffix.lower(), "mp4")
        with av.open(io.BytesIO(), "w", format=kind) as container:
            return self.codec in container.supported_codecs

    def stream_in(self, container: Any) -> Any:
        """A stream for it in a container that is being written."""
        return container.add_stream_from_template(self.stream)

    def until(self, seconds: float) -> Iterator[Any]:
        """Packets that begin before this many seconds after the start, each given once."""
        while True:
            packet = self._next if self._next is not None else next(self._packets, None)
            self._next = packet
            if packet is None or float(packet.pts * packet.time_base) > seconds:
                return
            self._next = None
            yield packet

    def _read(self) -> Iterator[Any]:
        """Packets of the span, their times counted from its start, as far as they can be read."""
        if self.stream is None:
            return
        try:
            with typed_errors(self.path, "its sound cannot be read on"):
                yield from self._demuxed()
        except VideoError as error:
            self.damage = str(error)

    def _demuxed(self) -> Iterator[Any]:
        for packet in self._container.demux(self.stream):
            if packet.pts is None or packet.dts is None:
                continue
            seconds = float(packet.pts * packet.time_base)
            if seconds >= self._end:
                return
            if seconds >= self._start:
                shift = round(self._start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                yield packet

    def close(self) -> None:
        """Release the file. Closing twice is harmless."""
        self._container.close()
        self._content.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def kept_sound(
    video: VideoLike, suffix: str, *, start_seconds: float, end_seconds: float
) -> tuple[SoundTrack | None, str]:
    """The sound of a file that another can take over, and a word on what becomes of it.

    Args:
        video: see `vidattn.open_video`; a folder of images has none.
        suffix: ending of the other file's name, such as ".mp4".
        start_seconds, end_seconds: see `SoundTrack`.

    Returns:
        the track, which the caller closes, or None; and "copied", "none", or why it is left out.
    """
    source = as_source(video)
    if isinstance(source, LocalFile) and source.is_folder:
        return None, "none"
    try:
        sound = SoundTrack(source, start_seconds=start_seconds, end_seconds=end_seconds)
    except (VideoError, ArgumentError) as error:
        return None, f"left out: {error}"
    if sound.stream is not None and sound.fits(suffix):
        return sound, "copied"
    sound.close()
    if sound.stream is None:
        return None, "none"
    name = sound.codec or "of an unknown kind"
    return None, f"left out: it is {name}, which {suffix} files cannot hold as it is"
