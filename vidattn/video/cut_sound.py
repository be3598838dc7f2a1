from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from vidattn.errors import VideoError
from vidattn.video.limits import DEFAULT_LIMITS
from vidattn.video.packets.demuxer import open_container, typed_errors
from vidattn.video.sources.addresses import VideoLike, as_source

# What FFmpeg's AAC encoder takes.
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_OTHER_RATE = 48000
# Timestamps of packets are rounded, in Matroska to a millisecond: less is no gap.
_JITTER_SECONDS = 0.003
_BIT_RATE = 160_000
_BLOCK = 8192

Samples = NDArray[np.float32]


class CutSound:
    """Parts of a film's sound one after the other, exact to the sample, encoded as AAC.

    A part without sound is silent, so that sound and pictures stay in step.

    Args:
        video: see `vidattn.open_video`; it is checked as there.
        spans: (start, end) seconds on the film's own clock, and where each begins in the new film.

    Attributes:
        damage: why the rest is silent; None where nothing was damaged.

    Raises:
        VideoError: the file cannot be read.
    """

    def __init__(self, video: VideoLike, spans: Sequence[tuple[float, float, float]]) -> None:
        source = as_source(video)
        self.path = str(source)
        self._spans = list(spans)
        self._content = source.find(DEFAULT_LIMITS)
        try:
            self._container, _ = open_container(self._content, DEFAULT_LIMITS)
        except BaseException:
            self._content.close()
            raise
        sounds = self._container.streams.audio
        self._source: Any = sounds[0] if sounds else None
        self.damage: str | None = None
        self._target: Any = None
        self._packets: Iterator[tuple[float, Any]] = iter(())
        self._next: tuple[float, Any] | None = None

    @property
    def is_there(self) -> bool:
        """Whether the file has sound that can be decoded."""
        context: Any = getattr(self._source, "codec_context", None)
        return context is not None and bool(context.sample_rate)

    def stream_in(self, container: Any) -> Any:
        """A stream for it in a container that is being written."""
        context = self._source.codec_context
        self._rate = context.sample_rate if context.sample_rate in _RATES else _OTHER_RATE
        self._layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        self._target = container.add_stream("aac", rate=self._rate)
        self._target.codec_context.layout = self._layout
        self._target.codec_context.bit_rate = _BIT_RATE
        self._target.codec_context.thread_count = 1
        self._packets = self._encoded()
        return self._target

    def until(self, seconds: float) -> Iterator[Any]:
        """Packets that begin before this many seconds of the new film, each given once."""
        while True:
            found = self._next if self._next is not None else next(self._packets, None)
            self._next = found
            if found is None or found[0] > seconds:
                return
            self._next = None
            yield found[1]

    def _encoded(self) -> Iterator[tuple[float, Any]]:
        context, position = self._target.codec_context, 0
        for samples in self._samples():
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=self._layout)
            frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
            frame.pts = position
            position += samples.shape[1]
            for packet in context.encode(frame):
                packet.stream = self._target
                yield float(packet.pts * packet.time_base), packet
        for packet in context.encode(None):
            packet.stream = self._target
            yield float(packet.pts * packet.time_base), packet

    def _samples(self) -> Iterator[Samples]:
        """(channels, n) blocks of all spans; each as long as its pictures, to the sample."""
        channels = 1 if self._layout == "mono" else 2
        for start, end, place in self._spans:
            count = round((place + end - start) * self._rate) - round(place * self._rate)
            written = 0
            for block in self._span(start, count):
                written += block.shape[1]
                yield block
            while written < count:
                silent = np.zeros((channels, min(count - written, _BLOCK)), np.float32)
                written += silent.shape[1]
                yield silent

    def _span(self, start: float, count: int) -> Iterator[Samples]:
        """The sound from a moment on, at most so many samples; gaps are filled with silence."""
        written = 0
        for seconds, samples in self._decoded(start):
            at = round((seconds - start) * self._rate)
            if abs(at - written) <= _JITTER_SECONDS * self._rate and written:
                at = written
            if at > written:
                gap = min(at, count) - written
                for done in range(0, gap, _BLOCK):
                    yield np.zeros((len(samples), min(gap - done, _BLOCK)), np.float32)
                written += gap
            piece = samples[:, max(written - at, 0) : max(count - at, 0)]
            if piece.shape[1]:
                written += piece.shape[1]
                yield np.ascontiguousarray(piece)
            if written >= count:
                return

    def _decoded(self, start: float) -> Iterator[tuple[float, Samples]]:
        """When each block begins, and its samples; from some time before a moment on."""
        if self.damage is not None:
            return
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
        try:
            with typed_errors(self.path, "its sound cannot be read on"):
                # Decoders need some blocks before they give what was encoded.
                base = self._source.time_base
                self._container.seek(
                    round(max(start - 0.5, 0) / base), stream=self._source, backward=True
                )
                for frame in self._container.decode(self._source):
                    if frame.pts is None:
                        continue
                    for part in resampler.resample(frame):
                        if part.pts is not None and part.time_base is not None:
                            samples = part.to_ndarray().astype(np.float32, copy=False)
                            yield float(part.pts * part.time_base), samples
        except VideoError as error:
            self.damage = str(error)

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
