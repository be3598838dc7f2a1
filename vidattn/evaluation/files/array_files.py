"""Reads arrays that others wrote: MATLAB files, HDF5 and NumPy archives."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidattn.errors import MalformedFileError, MissingLibraryError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_NAMES_SHOWN = 12


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, as MATLAB's files from version 7.3 on are."""
    with _readable(path), path.open("rb") as stream:
        start = stream.read(520)
    return start[:8] == _HDF5 or start[512:] == _HDF5


def read_matlab(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Variables of a MATLAB file up to version 7.2.

    Raises:
        MalformedFileError: no such file or variables, or not one that can be read.
        MissingLibraryError: SciPy is not installed.
    """
    if is_hdf5(path):
        raise MalformedFileError(path, 0, "a MATLAB file up to version 7.2", "HDF5 (version 7.3)")
    scipy_io = _library("scipy.io", "scipy", path)
    try:
        found: dict[str, Any] = scipy_io.loadmat(str(path), variable_names=names)
    except Exception as error:  # a damaged file makes the reader raise almost anything
        raise MalformedFileError(path, 0, "a MATLAB file", str(error)) from error
    for name in names:
        if name not in found:
            listed = [name for name, _, _ in scipy_io.whosmat(str(path))]
            raise MalformedFileError(path, 0, f"a variable {name!r}", f"only {_listed(listed)}")
    return {name: found[name] for name in names}


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file, open for reading.

    Raises:
        MalformedFileError: no such file, or not one that can be read; also for what goes wrong
            inside the block.
        MissingLibraryError: h5py is not installed.
    """
    if not is_hdf5(path):
        raise MalformedFileError(path, 0, "an HDF5 file", "something else")
    h5py = _library("h5py", "h5py", path)
    try:
        with h5py.File(path, "r") as stream:
            yield stream
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise MalformedFileError(path, 0, "an HDF5 file with the fields needed", str(error)) from (
            error
        )


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a NumPy archive; none that would need unpickling.

    Raises:
        MalformedFileError: no such file, or not one that can be read.
    """
    with _readable(path):
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise MalformedFileError(path, 0, "a NumPy archive (.npz)", "one array")
                return {name: archive[name] for name in archive.files}
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise MalformedFileError(path, 0, "a NumPy archive (.npz)", str(error)) from error


def numbers(path: Path, name: str, values: Any) -> NDArray[np.float64]:
    """`values` as finite float64.

    Raises:
        MalformedFileError: they are no numbers, or not finite.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MalformedFileError(path, 0, f"{name}: numbers", str(error)) from error
    if not np.isfinite(array).all():
        raise MalformedFileError(path, 0, f"{name}: finite numbers", "NaN or infinity")
    return array


def whole_numbers(path: Path, name: str, values: Any) -> NDArray[np.int64]:
    """`values` as int64 of at least 0, however they are stored.

    Raises:
        MalformedFileError: they are no whole numbers, or negative.
    """
    array = numbers(path, name, values)
    if (array != np.floor(array)).any() or (array.size and array.min() < 0):
        raise MalformedFileError(path, 0, f"{name}: whole numbers of at least 0", "others")
    return array.astype(np.int64)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "nothing there" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise MalformedFileError(path, 0, "a file that can be read", reason) from error


def _library(module: str, name: str, path: Path) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingLibraryError(
            f"{path}: reading this needs {name}: pip install 'vidattn[summaries]'"
        ) from error


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) or "none"
