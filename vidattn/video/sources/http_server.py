"""Files on HTTP servers, read by ranges, from addresses that may be read only.

Source of the terms: RFC 9110, section 14.
"""

from __future__ import annotations

import http.client
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from vidattn.errors import (
    DecodeError,
    NotAVideoError,
    UnsafePathError,
    VidattnError,
    VideoNotFoundError,
)
from vidattn.video.limits import Limits
from vidattn.video.sources import attempts
from vidattn.video.sources.attempts import TroubleError, attempted, within
from vidattn.video.sources.blocks import BLOCK_BYTES, RemoteContent
from vidattn.video.sources.http_connections import Body, checked_opener, trouble
from vidattn.video.sources.memory import FileContent, copied
from vidattn.video.sources.permission import RemotePermission
from vidattn.video.sources.source import SourceContent

# Other answers than these and 200 to 206 are final.
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
CHANGED = "the file has changed since it was opened"


class HttpFile:
    """One file on a server.

    Args:
        url: of the file, which may be read.
        permission: for the addresses that it leads to.
    """

    def __init__(self, url: str, permission: RemotePermission) -> None:
        self.url = url
        self._opener = checked_opener(permission)

    def find(self, file_name: str, limits: Limits) -> SourceContent:
        """See `VideoSource.find`."""
        return attempted(self.url, lambda: self._found(file_name, limits))

    def _found(self, file_name: str, limits: Limits) -> SourceContent:
        with self._answer(0, BLOCK_BYTES) as answer:
            version = _version(answer)
            if answer.status != 206:
                return self._whole(Body(answer), file_name, version, limits)
            first, last, size = _range(self.url, answer)
            if first != 0:
                raise TroubleError("the server sent another part of the file than was asked for")
            head = Body(answer).read_all(last + 1)
        return RemoteContent(
            self.url, file_name, size, version, partial(self.part, size, version), head
        )

    def _whole(
        self, body: Body, file_name: str, version: str | None, limits: Limits
    ) -> SourceContent:
        """A copy of the file, from a server that gives no parts."""
        file, size = copied(self.url, body.read, limits)
        content = FileContent(self.url, file_name, file, is_copy=True)
        content.version = version
        if size and size == (body.promised or size):
            return content
        content.close()
        if body.promised:
            raise TroubleError(f"the server sent {size} bytes of {body.promised}")
        raise NotAVideoError(self.url, "the file is empty (zero bytes)")

    def part(self, size: int, version: str | None, start: int, end: int) -> bytes:
        """The bytes from one place to another of a file of a known size and version.

        Raises:
            DecodeError: the file is another one by now.
            InputOutputError: the server cannot be read.
        """
        return attempted(self.url, lambda: self._part(size, version, start, end))

    def _part(self, size: int, version: str | None, start: int, end: int) -> bytes:
        with self._answer(start, end) as answer:
            if answer.status != 206 or _version(answer) != version:
                raise DecodeError(self.url, CHANGED)
            if (found := _range(self.url, answer)) != (start, end - 1, size):
                if found[2] != size:
                    raise DecodeError(self.url, CHANGED)
                raise TroubleError("the server sent another part of the file than was asked for")
            return Body(answer).read_all(end - start)

    @contextmanager
    def _answer(self, start: int, end: int) -> Iterator[Any]:
        """The server's answer to a request for a part of the file; its body is not read yet."""
        request = urllib.request.Request(
            _quoted(self.url),
            headers={
                "Range": f"bytes={start}-{end - 1}",
                "Accept-Encoding": "identity",
                "User-Agent": "vidattn",
            },
        )
        try:
            opened = within(
                2 * attempts.STALL_SECONDS,
                lambda: self._opener.open(request, timeout=attempts.STALL_SECONDS),
            )
            with closing(opened) as answer:
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise NotAVideoError(self.url, "the server sends it compressed")
                yield answer
        except UnsafePathError as error:
            if error.path in (self.url, _quoted(self.url)):
                raise
            raise UnsafePathError(self.url, f"it leads to {error}") from None
        except VidattnError:
            raise
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refused(error.code, error.reason, start) from error
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        except ValueError as error:  # of an address that a redirect names
            raise VideoNotFoundError(self.url, f"leads to no address: {error}") from error

    def _refused(self, code: int, reason: str, start: int) -> Exception:
        said = f"the server says {code} {reason}"
        if code in _TEMPORARY:
            return TroubleError(said)
        if code == 416 and start == 0:
            return NotAVideoError(self.url, "the file is empty (zero bytes)")
        if code in (412, 416):
            return DecodeError(self.url, CHANGED)
        return VideoNotFoundError(self.url, f"cannot be read: {said}")

    def _unreachable(self, error: BaseException | str) -> Exception:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
            return VideoNotFoundError(self.url, "there is no such server")
        return trouble(error)


def _version(answer: Any) -> str | None:
    """What tells that the file is another one; None where the server says nothing."""
    for name in ("ETag", "Last-Modified"):
        if value := answer.headers.get(name):
            return f"{name} {value}"
    return None


def _range(url: str, answer: Any) -> tuple[int, int, int]:
    """First and last byte of a part, and the size of the file."""
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if not found:
        raise NotAVideoError(url, "the server does not say how large the file is")
    first, last, size = map(int, found.groups())
    return first, last, size


def _quoted(url: str) -> str:
    """The address as it is sent: without the fragment, and with no character that must be quoted.

    What is quoted already stays so.
    """
    parts = urlsplit(url)
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))
