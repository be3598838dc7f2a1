from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Protocol

from vidattn.errors import ArgumentError, DecoderUnavailableError
from vidattn.naming import choose
from vidattn.video.containers import IMAGE_SUFFIXES
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.reader import VideoReader
from vidattn.video.readers.image_folder import ImageFolderReader
from vidattn.video.sources.addresses import AllowRemote, VideoLike, as_source
from vidattn.video.sources.local import LocalFile
from vidattn.video.sources.paths import checked_path
from vidattn.video.sources.source import VideoSource

# Name -> (module, class). Modules are imported when asked for: some libraries may be missing.
DECODERS = {
    "pyav": ("vidattn.video.readers.pyav_reader", "PyavReader"),
    "decord": ("vidattn.video.readers.decord_reader", "DecordReader"),
    "torchcodec": ("vidattn.video.readers.torchcodec_reader", "TorchcodecReader"),
}
_SALVAGING = ("vidattn.video.readers.salvaging_reader", "SalvagingReader")


class _ReaderClass(Protocol):
    """A class of readers, as opening needs it."""

    def __call__(self, video: VideoSource, *, limits: Limits, **settings: int) -> VideoReader:
        """Open a video."""

    def require_library(self) -> None:
        """See `VideoReader.require_library`."""


def open_video(
    video: VideoLike,
    decoder: str = "pyav",
    *,
    fps: float = 25.0,
    limits: Limits = DEFAULT_LIMITS,
    salvage: bool = False,
    threads: int | None = None,
    allow_remote: AllowRemote = (),
) -> VideoReader:
    """Open a video, or a folder of frame images, for exact random access.

    Args:
        video: the path of a file or a folder, nothing that FFmpeg would take for a protocol or a
            playlist; the bytes of a file; an open binary file, which is read from its beginning
            and stays open; a member of a tar file, such as "shard.tar::clip.mp4"; a row of a
            Parquet file, such as "rows.parquet::video[7]", or of a Hugging Face data set; an
            address such as "s3://bucket/clip.mp4" where that is allowed. See docs/sources.md.
        decoder: "pyav" reads everything; "decord" and "torchcodec" read files of this machine, and
            refuse those on which they may be wrong, see docs/decoders.md. Never decord for
            untrusted files.
        fps: frames per second of a folder of images; files know their own.
        limits: what the file may ask for before it is refused.
        salvage: give what is left of a damaged file, and say in `Frames.valid` which frames are
            as they were encoded; by pyav alone. Without it damage raises.
        threads: how many threads pyav may decode with at a time; None for as many as torch uses,
            at most four, which is one in a loader's workers. The others have one.
        allow_remote: what may be read from servers: schemes such as "s3" and "https", or single
            servers such as "https://videos.example.org"; nothing by default.

    Raises:
        VideoNotFoundError: there is nothing.
        NotAVideoError: empty, not a media file, or without a video stream.
        UnsafePathError: a protocol, a playlist or a leading `-`; a server that is not allowed.
        LimitError: too many pixels, packets or seconds; more bytes than may be copied of a source
            that cannot be read in parts.
        InputOutputError: the disk or the network failed.
        DecodeError: no frame can be decoded.
        UnknownNameError: no such decoder.
        ArgumentError: it is nothing that can be opened; salvage is asked of another decoder, or of
            a folder of images; threads are asked of another decoder, or with salvage, or are fewer
            than one.
        DecoderUnavailableError: the decoder is not installed or cannot load.
    """
    reader = _reader(decoder, salvage)
    if threads is not None and (salvage or decoder != "pyav"):
        raise ArgumentError("threads: only pyav takes several, and not where it salvages")
    source = as_source(video, allow_remote)
    if salvage:
        check_salvageable([source])
        return _class(*_SALVAGING)(source, limits=limits)
    if isinstance(source, LocalFile) and source.is_folder:
        return ImageFolderReader(source.path, fps=fps, limits=limits)
    return reader(source, limits=limits, **({} if threads is None else {"threads": threads}))


def open_video_or_picture(
    video: VideoLike,
    decoder: str = "pyav",
    *,
    salvage: bool = False,
    allow_remote: AllowRemote = (),
) -> VideoReader:
    """As `open_video`; and a picture of this machine: one frame that is shown for a second."""
    source = as_source(video, allow_remote)
    if (
        isinstance(source, LocalFile)
        and Path(source.path).suffix.lower() in IMAGE_SUFFIXES
        and checked_path(source.path).is_file()
    ):
        check_decoder(decoder)
        return ImageFolderReader(source.path, fps=1.0)
    return open_video(source, decoder, salvage=salvage)


def available_decoders() -> list[str]:
    """Names of the decoders whose library loads here; "pyav" comes first."""
    names = []
    for name in DECODERS:
        try:
            check_decoder(name)
        except DecoderUnavailableError:
            continue
        names.append(name)
    return names


def check_decoder(decoder: str, *, salvage: bool = False) -> None:
    """Raise what `open_video` would raise about the decoder, before any file is opened."""
    _reader(decoder, salvage).require_library()


def check_salvageable(videos: Iterable[str | os.PathLike[str] | VideoSource]) -> None:
    """Raise `ArgumentError` if one of the videos is a folder, from which nothing is salvaged."""
    for video in videos:
        source = video if isinstance(video, VideoSource) else LocalFile(video)
        if isinstance(source, LocalFile) and source.is_folder:
            raise ArgumentError(f"{source}: salvage is for video files, not for folders")


def _reader(decoder: str, salvage: bool) -> _ReaderClass:
    kind = DECODERS[choose("decoder", decoder, DECODERS)]
    if salvage and decoder != "pyav":
        raise ArgumentError(
            f"salvage: only pyav gives what is left of damaged files, got {decoder}"
        )
    return _class(*kind)


def _class(module: str, name: str) -> _ReaderClass:
    found: _ReaderClass = getattr(import_module(module), name)
    return found
