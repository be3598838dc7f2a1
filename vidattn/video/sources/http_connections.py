"""Connections to HTTP servers that go to addresses which may be read only.

Every connection and every redirect is checked: a public address must not lead into the private
network of the machine (server-side request forgery). fsspec's HTTP has no such check, and does not
notice that a file has changed between two requests; so HTTP is read by the standard library.
"""

from __future__ import annotations

import http.client
import socket
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from vidattn.errors import UnsafePathError
from vidattn.heartbeat import beat
from vidattn.video.sources import attempts
from vidattn.video.sources.attempts import TroubleError
from vidattn.video.sources.permission import RemotePermission, how_to_allow, is_public

_REDIRECTS = 5
_PIECE_BYTES = 2**16


def checked_opener(permission: RemotePermission) -> urllib.request.OpenerDirector:
    """Reads HTTP and HTTPS, through a proxy where the environment names one, and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(permission),
        _Https(permission),
        _Redirects(permission),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _REDIRECTS

    def __init__(self, permission: RemotePermission) -> None:
        self._permission = permission

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        fp.close()  # else its body is read, however long it is
        self._permission.check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:  # no address
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Http(urllib.request.HTTPHandler):
    def __init__(self, permission: RemotePermission) -> None:
        super().__init__()
        self._permission = permission

    def http_open(self, req: Any) -> Any:
        return self.do_open(_connections(http.client.HTTPConnection, self._permission, req), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, permission: RemotePermission) -> None:
        super().__init__()
        self._permission = permission

    def https_open(self, req: Any) -> Any:
        return self.do_open(_connections(http.client.HTTPSConnection, self._permission, req), req)


def _connections(kind: Any, permission: RemotePermission, request: Any) -> Callable[..., Any]:
    """Makes connections that go to addresses that may be read only."""
    # A proxy is the environment's choice; it looks names up itself.
    through_proxy = request.has_proxy() or getattr(request, "_tunnel_host", None)
    trusted = bool(through_proxy) or permission.names(request.full_url)
    if through_proxy and not permission.names(request.full_url):
        _check_literal(request.full_url)

    def made(host: str, **settings: Any) -> Any:
        connection = kind(host, **settings)
        connection._create_connection = partial(_connected, request.full_url, trusted)
        return connection

    return made


def _check_literal(url: str) -> None:
    """Raise `UnsafePathError` where an address names a place of the private network itself."""
    host = urlsplit(url).hostname or ""
    try:
        public = is_public(host)
    except ValueError:  # a name
        public = host != "localhost" and not host.endswith((".localhost", ".local", ".internal"))
    if not public:
        raise _private(url, host)


def _connected(
    url: str,
    trusted: bool,
    address: tuple[str, int],
    timeout: float,
    source_address: Any = None,
) -> socket.socket:
    """A connection to one of the addresses of a server, none of which may be private."""
    host, port = address
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not trusted:
        for *_, place in found:
            if not is_public(str(place[0])):
                raise _private(url, str(place[0]))
    trouble: OSError | None = None
    for family, kind, protocol, _, place in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            connection.connect(place)
            return connection
        except OSError as error:
            connection.close()
            trouble = error
    raise trouble or OSError("the server has no address")


def _private(url: str, address: str) -> UnsafePathError:
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc}"
    return UnsafePathError(
        url,
        f"its server has the address {address} of a private network; {how_to_allow(place)}",
    )


class Body:
    """The body of an answer, read at a pace that a server must keep.

    Attributes:
        promised: its size, as the server says; None where it does not.
    """

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        length = answer.headers.get("Content-Length", "")
        self.promised = int(length) if length.isdecimal() else None
        self._started, self._size = time.monotonic(), 0

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end.

        Raises:
            TroubleError: they do not come, or come too slowly.
        """
        try:
            piece: bytes = self._answer.read1(min(size, _PIECE_BYTES))
        except (OSError, http.client.HTTPException) as error:
            raise trouble(error) from error
        beat()
        self._size += len(piece)
        if time.monotonic() - self._started > attempts.seconds_for(self._size):
            raise TroubleError(f"the server sent {self._size} bytes, too slowly")
        return piece

    def read_all(self, size: int) -> bytes:
        """So many bytes.

        Raises:
            TroubleError: fewer come.
        """
        pieces, left = [], size
        while left and (piece := self.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if left:
            raise TroubleError(f"the server sent {size - left} bytes of {size}")
        return b"".join(pieces)


def trouble(error: BaseException | str) -> TroubleError:
    """What to say of an error of the network."""
    if isinstance(error, TimeoutError):
        return TroubleError(f"the server sent nothing for {attempts.STALL_SECONDS:g} s")
    if isinstance(error, http.client.IncompleteRead):
        return TroubleError("the server ended the connection before the end of the file")
    return TroubleError(f"the server cannot be read: {str(error) or type(error).__name__}")
