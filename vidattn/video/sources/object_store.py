"""Files in object stores and on other servers, as far as fsspec reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from vidattn.errors import (
    ArgumentError,
    DecodeError,
    MissingLibraryError,
    NotAVideoError,
    VideoError,
    VideoNotFoundError,
)
from vidattn.video.sources import attempts
from vidattn.video.sources.attempts import TroubleError, attempted, within
from vidattn.video.sources.blocks import BLOCK_BYTES, RemoteContent

CHANGED = "the file has changed since it was opened"
# What tells one version of a file from another, in the words of several stores.
_VERSIONS = ("ETag", "etag", "generation", "md5Hash", "LastModified", "last_modified", "updated",
             "mtime", "modified")  # fmt: skip
# Stores that refuse to give a part of a file that has changed.
_CHECKS_VERSION = ("s3", "s3a")


class StoredFile:
    """One file in a store.

    Args:
        url: of the file, which may be read.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._scheme = urlsplit(url).scheme
        self._lock = threading.Lock()
        self._handle: Any = None

    def find(self, file_name: str) -> RemoteContent:
        """See `VideoSource.find`."""
        system, path = self._system()
        facts = self._attempted(lambda: _facts(system, path))
        if facts.get("type") == "directory":
            raise NotAVideoError(self.url, "a folder; expected a file")
        size = facts.get("size")
        if not isinstance(size, int):
            raise NotAVideoError(self.url, "the store does not say how large the file is")
        if size == 0:
            raise NotAVideoError(self.url, "the file is empty (zero bytes)")
        version = version_of(facts)
        return RemoteContent(self.url, file_name, size, version, partial(self.part, size, version))

    def part(self, size: int, version: str | None, start: int, end: int) -> bytes:
        """The bytes from one place to another of a file of a known size and version.

        Raises:
            DecodeError: the file is another one by now.
            InputOutputError: the store cannot be read.
        """
        return self._attempted(lambda: self._part(size, version, start, end), end - start)

    def _part(self, size: int, version: str | None, start: int, end: int) -> bytes:
        system, path = self._system()
        with self._lock:  # not for longer: a request may be left behind that never ends
            handle, self._handle = self._handle, None
        if handle is None:
            # A handle of S3 asks for the version that it has found, and no other.
            handle = system.open(path, "rb", block_size=BLOCK_BYTES, cache_type="none")
        handle.seek(start)
        data: bytes = handle.read(end - start)
        details = getattr(handle, "details", None)
        if self._scheme not in _CHECKS_VERSION or not isinstance(details, Mapping):
            details = _facts(system, path)
        if (details.get("size"), version_of(details)) != (size, version):
            raise DecodeError(self.url, CHANGED)
        if len(data) != end - start:
            raise TroubleError(f"the server sent {len(data)} bytes of {end - start}")
        with self._lock:  # one that has failed is not used again
            self._handle = handle
        return data

    def _system(self) -> tuple[Any, str]:
        return file_system(self.url)

    def _attempted(self, request: Any, size: int = 0) -> Any:
        def once() -> Any:
            try:
                return within(attempts.seconds_for(size), request)
            except (VideoError, TroubleError, ArgumentError, MissingLibraryError):
                raise
            except Exception as error:
                raise self._said(error) from error

        return attempted(self.url, once)

    def _said(self, error: Exception) -> Exception:
        return said_of_store(self.url, error)


def said_of_store(url: str, error: Exception) -> Exception:
    """What to raise for an error of a store."""
    if isinstance(error, FileNotFoundError):
        return VideoNotFoundError(url, "no such file or folder")
    if isinstance(error, PermissionError):
        return VideoNotFoundError(url, f"cannot be read: {error}")
    return TroubleError(f"the server cannot be read: {str(error) or type(error).__name__}")


def version_of(facts: Mapping[str, Any]) -> str | None:
    """What tells that the file is another one; None where the store says nothing."""
    for name in _VERSIONS:
        if facts.get(name) is not None:
            return f"{name} {facts[name]}"
    return None


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it.

    Raises:
        MissingLibraryError: a library that reads it is not installed.
        ArgumentError: fsspec knows no such scheme.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingLibraryError(
            f"{url}: the library fsspec is needed; install it with `pip install 'vidattn[remote]'`"
        ) from error
    scheme = urlsplit(url).scheme
    settings: dict[str, Any] = {}
    if scheme in _CHECKS_VERSION:
        # The attempts are counted here, so that a run is not taken for one that hangs.
        settings["config_kwargs"] = {
            "connect_timeout": attempts.STALL_SECONDS,
            "read_timeout": attempts.STALL_SECONDS,
            "retries": {"total_max_attempts": 1},
        }
    try:
        system, path = url_to_fs(url, **settings)
    except ImportError as error:
        raise MissingLibraryError(
            f"{url}: {error}; `pip install 'vidattn[remote]'` installs what reads s3:// and gs://"
        ) from error
    except ValueError as error:
        raise ArgumentError(f"{url}: {error}") from error
    if scheme in _CHECKS_VERSION:
        system.retries = 1
    return system, path


def _facts(system: Any, path: str) -> Mapping[str, Any]:
    system.invalidate_cache(path)
    facts: Mapping[str, Any] = system.info(path)
    return facts


def files_below(url: str) -> Iterator[str]:
    """Addresses of all files below a prefix, sorted.

    Raises:
        VideoNotFoundError: there is nothing.
        InputOutputError: the store cannot be read.
    """
    system, path = file_system(url)

    def request() -> list[str]:
        try:
            return within(attempts.seconds_for(2**25), lambda: system.find(path))
        except TroubleError:
            raise
        except Exception as error:
            raise said_of_store(url, error) from error

    base = path.rstrip("/")
    for name in sorted(attempted(url, request)):
        yield f"{url.rstrip('/')}/{name.removeprefix(base).lstrip('/')}"
