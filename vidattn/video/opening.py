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
from vidattn.video.packets.paths import checked_path
from vidattn.video.reader import VideoReader
from vidattn.video.readers.image_folder import ImageFolderReader

# Name -> (module, class). Modules are imported when asked for: some libraries may be missing.
DECODERS = {
    "pyav": ("vidattn.video.readers.pyav_reader", "PyavReader"),
    "decord": ("vidattn.video.readers.decord_reader", "DecordReader"),
    "torchcodec": ("vidattn.video.readers.torchcodec_reader", "TorchcodecReader"),
}
_SALVAGING = ("vidattn.video.readers.salvaging_reader", "SalvagingReader")


class _ReaderClass(Protocol):
    """A class of readers, as opening needs it."""

    def __call__(
        self, path: str | os.PathLike[str], *, limits: Limits, **settings: int
    ) -> VideoReader:
        """Open a file."""

    def require_library(self) -> None:
        """See `VideoReader.require_library`."""


def open_video(
    path: str | os.PathLike[str],
    decoder: str = "pyav",
    *,
    fps: float = 25.0,
    limits: Limits = DEFAULT_LIMITS,
    salvage: bool = False,
    threads: int | None = None,
) -> VideoReader:
    """Open a video file, or a folder of frame images, for exact random access.

    Args:
        path: a file or a folder; nothing that FFmpeg would take for a protocol or a playlist.
        decoder: "pyav" reads everything; "decord" and "torchcodec" refuse files on which they
            may be wrong, see docs/decoders.md. Never decord for untrusted files.
        fps: frames per second of a folder of images; files know their own.
        limits: what the file may ask for before it is refused.
        salvage: give what is left of a damaged file, and say in `Frames.valid` which frames are
            as they were encoded; by pyav alone. Without it damage raises.
        threads: how many threads pyav may decode with at a time; None for as many as torch uses,
            at most four, which is one in a loader's workers. The others have one.

    Raises:
        VideoNotFoundError: there is nothing.
        NotAVideoError: empty, not a media file, or without a video stream.
        UnsafePathError: a protocol, a playlist or a leading `-`.
        LimitError: too many pixels, packets or seconds.
        DecodeError: no frame can be decoded.
        UnknownNameError: no such decoder.
        ArgumentError: salvage is asked of another decoder, or of a folder of images; threads are
            asked of another decoder, or with salvage, or are fewer than one.
        DecoderUnavailableError: the decoder is not installed or cannot load.
    """
    reader = _reader(decoder, salvage)
    if threads is not None and (salvage or decoder != "pyav"):
        raise ArgumentError("threads: only pyav takes several, and not where it salvages")
    if salvage:
        check_salvageable([path])
        return _class(*_SALVAGING)(path, limits=limits)
    if checked_path(path).is_dir():
        return ImageFolderReader(path, fps=fps, limits=limits)
    return reader(path, limits=limits, **({} if threads is None else {"threads": threads}))


def open_video_or_picture(
    path: str | os.PathLike[str], decoder: str = "pyav", *, salvage: bool = False
) -> VideoReader:
    """As `open_video`; and a single picture, which is one frame that is shown for a second."""
    if Path(path).suffix.lower() in IMAGE_SUFFIXES and checked_path(path).is_file():
        check_decoder(decoder)
        return ImageFolderReader(path, fps=1.0)
    return open_video(path, decoder, salvage=salvage)


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


def check_salvageable(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Raise `ArgumentError` if one of the paths is a folder, from which nothing is salvaged."""
    for path in paths:
        if os.path.isdir(path):
            raise ArgumentError(f"{os.fspath(path)}: salvage is for video files, not for folders")


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
