from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import av

from vidattn.errors import DecodeError, LimitError, NotAVideoError, VideoError
from vidattn.video.containers import CONTAINERS
from vidattn.video.limits import Limits
from vidattn.video.packets.h264_parameters import tells_reordering
from vidattn.video.sources.paths import failing_storage
from vidattn.video.sources.source import BUFFER_BYTES, SourceContent

# To complete what a header says, FFmpeg reads packets and decodes them, for longer than all else
# takes. In haste it reads few, and decodes only where that is quick or tells what we rely on.
_HASTE = {
    "probesize": str(2**16),
    "skip_frame": "all",
    "codec_whitelist": "hevc,vvc,mpeg4,mpeg2video,mpeg1video,mjpeg,prores,dnxhd,ffv1,h263,flv",
}
_MATROSKA = b"\x1a\x45\xdf\xa3"

# What helps where pictures are damaged.
SALVAGE = "--salvage (salvage=True in Python) reads what is left of a damaged video"

# Codecs whose decoders gain by threads: those of MPEG-2 and MPEG-4 take longer with them.
FRAME_THREADED = {"h264", "hevc", "vp9"}


@contextmanager
def typed_errors(
    path: str,
    doing: str | Callable[[], str],
    kind: type[VideoError] = DecodeError,
    *,
    advice: str = "",
) -> Iterator[None]:
    """Turn whatever PyAV raises into an error of ours that names the file.

    Args:
        path: of the file.
        doing: what cannot be done, or what tells it once it has failed.
        kind: of the error.
        advice: what helps.
    """
    try:
        yield
    except BaseException as error:
        # Variables of functions that have failed hold packets, and these a decoder with its
        # threads: they would be there for as long as anybody keeps the error.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, VideoError) or not isinstance(error, Exception):
            raise
        if "max pixel count" in str(error):
            raise LimitError(path, "a frame has more pixels than allowed") from error
        if (failing := failing_storage(path, error)) is not None:
            raise failing from error
        # PyAV also leaks IndexError, ValueError, … of damaged files.
        what = doing if isinstance(doing, str) else doing()
        raise kind(path, f"{what}: {_reason(error)}{advice and f'; {advice}'}") from error


def open_container(
    content: SourceContent, limits: Limits, *, hasty: bool = False
) -> tuple[Any, Any]:
    """Open a file for reading: (container, its first video stream that is not a cover picture).

    Args:
        content: of the file.
        limits: what it may ask for.
        hasty: believe what the header of an MP4 or Matroska file says of its packets. The pixel
            format is then not known before the first frame, nor the shape of pixels where the
            header does not tell it.

    Raises:
        NotAVideoError: not a media file, not an allowed container, or without a video stream.
        LimitError: the header asks for too much.
        InputOutputError: the disk or the network failed.
    """
    if hasty and _is_plain(content):
        container, stream = _open(content, limits, _HASTE)
        if _tells_reordering(container, stream):
            return container, stream
        container.close()
    return _open(content, limits, {})


def _open(content: SourceContent, limits: Limits, haste: dict[str, str]) -> tuple[Any, Any]:
    path, given = content.name, content.for_ffmpeg()
    # Options reach the demuxer and, while it probes, the decoders. Decoders count the pixels
    # they allocate, which may be some more than are shown; what is shown is checked later.
    most = str(2 * limits.maximum_pixels + 2**16)
    options = {
        "format_whitelist": ",".join(CONTAINERS),
        # A stream needs no protocol, and must not lead to one.
        "protocol_whitelist": "file" if isinstance(given, str) else "none",
        "max_pixels": most,
        **haste,
    }
    with typed_errors(path, "not a video file that can be read", NotAVideoError):
        container = av.open(
            given, metadata_errors="ignore", options=options, buffer_size=BUFFER_BYTES
        )
    try:
        with typed_errors(path, "cannot read the header", NotAVideoError):
            stream = _first_video(path, container)
            _check_header(path, container, stream, limits)
            stream.codec_context.thread_count = 1
            # A decoder that finds damage then refuses the packet, where it would else patch the
            # picture from others and hand it out as if it were whole.
            stream.codec_context.options = {"max_pixels": most, "err_detect": "explode"}
    except BaseException:
        container.close()
        raise
    return container, stream


def _is_plain(content: SourceContent) -> bool:
    """Whether it is an MP4 or Matroska file, whose headers are complete."""
    try:
        head = content.read_at(0, 8)
    except VideoError:  # opening it in earnest says why
        return False
    return head[4:] == b"ftyp" or head[:4] == _MATROSKA


def _tells_reordering(container: Any, stream: Any) -> bool:
    """Whether a decoder will know how many pictures to hold back: MP4 always tells."""
    context = stream.codec_context
    if context.name != "h264" or not container.format.name.startswith("matroska"):
        return True
    return tells_reordering(bytes(context.extradata or b""))


def decode_in_threads(context: Any, threads: int) -> None:
    """Let a decoder that has not started yet, of `FRAME_THREADED`, decode frames side by side."""
    context.thread_count = 1
    if threads > 1:
        # One more than shall run at a time, as FFmpeg itself does: some wait for others' pictures.
        context.thread_count, context.thread_type = threads + 1, "FRAME"


def _first_video(path: str, container: Any) -> Any:
    for stream in container.streams.video:
        if not stream.disposition.value & 0x0400:  # AV_DISPOSITION_ATTACHED_PIC: a cover
            if stream.codec_context is None:
                raise DecodeError(path, "its video codec is not known here")
            return stream
    # Only covers are left of the streams of pictures.
    kinds = {stream.type.replace("video", "a cover picture") for stream in container.streams}
    held = ", ".join(sorted(kinds, reverse=True)) or "nothing"
    raise NotAVideoError(path, f"a media file without a video stream (it holds {held})")


def _check_header(path: str, container: Any, stream: Any, limits: Limits) -> None:
    limits.check_size(path, stream.codec_context.height, stream.codec_context.width)
    limits.check_packets(path, stream.frames)
    limits.check_seconds(path, (container.duration or 0) / 1e6)
    if stream.duration and stream.time_base:
        limits.check_seconds(path, float(stream.duration * stream.time_base))


def _reason(error: BaseException) -> str:
    if getattr(error, "errno", None) == errno.EINVAL:
        return "not one of the video containers that are allowed"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    log = getattr(error, "log", None)
    return f"{text} ({log[2].strip()})" if log else text
