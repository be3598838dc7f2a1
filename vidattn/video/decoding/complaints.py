"""What FFmpeg writes into its log about damage."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import av
import av.logging

# Their decoders only write of damage that others refuse a packet for.
LOG_ONLY = {"ffv1", "wmv1", "wmv2", "msmpeg4", "msmpeg4v1", "msmpeg4v2"}
# What FFmpeg writes into its log is captured for the whole process: by one at a time.
_LISTENING = threading.RLock()
# What nobody captures meanwhile goes to Python's logging, which prints it where nobody set it up.
logging.getLogger("libav").addHandler(logging.NullHandler())


@contextmanager
def listening() -> Iterator[None]:
    """FFmpeg's messages about errors can be captured meanwhile."""
    with _LISTENING:
        level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        try:
            yield
        finally:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skips)


def errors_of(entries: Iterable[tuple[int, str, str]]) -> list[str]:
    """The texts of captured entries that are errors."""
    return [text.strip() for level, _, text in entries if level <= av.logging.ERROR]


def decoded(packet: Any) -> list[Any]:
    """The frames of a packet, by a decoder of `LOG_ONLY`.

    Raises:
        ValueError: the decoder complained; the frames are lost.
        av.error.FFmpegError: it refused the packet.
    """
    with listening(), av.logging.Capture() as entries:
        frames: list[Any] = packet.decode()
    if errors := errors_of(entries):
        raise ValueError(errors[0])
    return frames
