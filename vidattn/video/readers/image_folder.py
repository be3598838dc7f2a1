from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageOps

from vidattn.errors import ArgumentError, DecodeError, NotAVideoError
from vidattn.heartbeat import beat
from vidattn.video.containers import IMAGE_SUFFIXES
from vidattn.video.decoding.resize import resize_area, resized_size
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.readers.indexed_reader import IndexedReader
from vidattn.video.sources.local import LocalFile
from vidattn.video.sources.paths import checked_path, failing_storage

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# Orientations of EXIF by which a picture is shown on its side.
_TURNED = (5, 6, 7, 8)


class ImageFolderReader(IndexedReader):
    """A folder of frame images as a video: file 2 comes before file 10. Or one picture, a frame.

    Args:
        path: the folder; its jpg, png, webp and bmp files are the frames, all of one size. Or one
            such file.
        fps: frames per second; images carry no times.
        limits: what the images may ask for.

    Raises:
        NotAVideoError: not a folder, or without images.
        DecodeError: an image cannot be read, or is not of the first one's size.
    """

    timestamps_made_up = True

    def __init__(
        self, path: str | os.PathLike[str], *, fps: float = 25.0, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        if not 0 < fps < float("inf"):
            raise ArgumentError(f"fps: expected a number above 0, got {fps}")
        self.path, self.source = os.fspath(path), LocalFile(path)
        self.decoder = f"pillow {PIL.__version__}"
        self.fps = float(fps)
        self._limits = limits
        self._files = _frame_files(checked_path(path), self.path)
        limits.check_packets(self.path, len(self._files))
        self._seconds = np.arange(len(self._files)) / self.fps
        self._keys = np.arange(len(self._files))
        self.duration_seconds = len(self._files) / self.fps
        limits.check_seconds(self.path, self.duration_seconds)
        height, width = self._read(0).shape[:2]
        self._size = (height, width)

    def _decode(self, indices: np.ndarray, short_side: int | None) -> np.ndarray:
        size = resized_size(self.size, short_side)
        unique, places = np.unique(indices, return_inverse=True)
        return np.stack([resize_area(self._read(index), size) for index in unique.tolist()])[places]

    def _read(self, index: int) -> np.ndarray:
        beat()
        file = self._files[index]
        try:
            with Image.open(file, formats=_FORMATS) as image:
                self._check_size(file, image)
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            failing = failing_storage(str(file), error)
            raise failing or DecodeError(self.path, f"cannot read {file.name}: {error}") from error

    def _check_size(self, file: Path, image: Any) -> None:
        width, height = image.size
        if image.getexif().get(ExifTags.Base.Orientation) in _TURNED:
            width, height = height, width
        self._limits.check_size(self.path, height, width)
        if hasattr(self, "_size") and (height, width) != self.size:
            raise DecodeError(
                self.path,
                f"{file.name} is {width}x{height} pixels, "
                f"the first image {self.size[1]}x{self.size[0]}",
            )


def _frame_files(path: Path, name: str) -> list[Path]:
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        return [path]
    if not path.is_dir():
        raise NotAVideoError(name, "expected a folder of frame images")
    found = (file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    shown = (file for file in found if file.is_file() and not file.name.startswith("."))
    if files := sorted(shown, key=_natural):
        return files
    raise NotAVideoError(name, "a folder without jpg, png, webp or bmp images")


def _natural(file: Path) -> list[tuple[int, int, str]]:
    """Order by name, with runs of digits as numbers."""
    parts = re.split(r"(\d+)", file.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
