"""A server of files on this machine that misbehaves as servers do."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from vidattn.video import VideoReader, open_video

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class Requests:
    """What a server was asked for.

    Attributes:
        ranges: first and last byte of each request for a part.
        sent: bytes of all bodies.
        paths: of all requests.
    """

    ranges: list[tuple[int, int]] = field(default_factory=list)
    sent: int = 0
    paths: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.paths)


@dataclass
class Server:
    """Files by path, and what is done to a request instead of answering it.

    Attributes:
        trouble: path -> called with the handler and the number of the request, from 0; True where
            it has answered itself.
        etags: whether files have a version.
        ranges: whether parts are given.
    """

    address: str
    files: dict[str, bytes]
    requests: Requests = field(default_factory=Requests)
    trouble: dict[str, Callable[[Any, int], bool]] = field(default_factory=dict)
    etags: bool = True
    ranges: bool = True
    stop: threading.Event = field(default_factory=threading.Event)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    serving: Server

    def log_message(self, *given: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        serving, path = self.serving, self.path.partition("?")[0].lstrip("/")
        number = serving.requests.paths.count(path)
        serving.requests.paths.append(path)
        trouble = serving.trouble.get(path)
        if trouble is not None and trouble(self, number):
            return
        if path not in serving.files:
            self.send_error(404)
            return
        self.give(serving.files[path])

    def give(self, data: bytes, *, cut: int | None = None, status: int | None = None) -> None:
        """Answer as asked, or leave out the end of the body."""
        serving, wanted = self.serving, _RANGE.fullmatch(self.headers.get("Range", ""))
        self.close_connection = True
        if wanted and serving.ranges and status is None:
            first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
            serving.requests.ranges.append((first, last))
            if first >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            body = data[first : last + 1]
        else:
            self.send_response(status or 200)
            body = data
        if serving.etags:
            self.send_header("ETag", f'"{hash(data)}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        serving.requests.sent += len(body[:cut])  # before the client may look at it
        self.wfile.write(body[:cut])


class Listening(ThreadingHTTPServer):
    """Takes requests in threads."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


@contextmanager
def served(files: dict[str, bytes]) -> Iterator[Server]:
    """A server of files; `url(name)` is where one is."""

    class Handler(_Handler):
        pass

    with Listening(("127.0.0.1", 0), Handler) as listening:
        Handler.serving = Server(f"http://127.0.0.1:{listening.server_port}", files)
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield Handler.serving
        finally:
            Handler.serving.stop.set()
            listening.shutdown()
            thread.join()


def stall(handler: _Handler, number: int) -> bool:
    """Take the request, and say nothing until the test is over."""
    handler.serving.stop.wait(20)
    return True


def stall_in_the_body(handler: _Handler, number: int) -> bool:
    """Send the head of an answer and a little of its body, and nothing more."""
    handler.send_response(206)
    handler.send_header("Content-Range", "bytes 0-9999/10000")
    handler.send_header("Content-Length", "10000")
    handler.end_headers()
    handler.wfile.write(b"x" * 100)
    return stall(handler, number)


def trickle(handler: _Handler, number: int) -> bool:
    """Send a byte now and then."""
    handler.send_response(206)
    handler.send_header("Content-Range", "bytes 0-9999/10000")
    handler.send_header("Content-Length", "10000")
    handler.end_headers()
    while not handler.serving.stop.wait(0.05):
        try:
            handler.wfile.write(b"x")
        except OSError:
            break
    return True


def trickle_the_head(handler: _Handler, number: int) -> bool:
    """Send a byte of an endless head now and then."""
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nX-Slow: ")
    while not handler.serving.stop.wait(0.05):
        try:
            handler.wfile.write(b"x")
        except OSError:
            break
    handler.close_connection = True
    return True


def reset(handler: _Handler, number: int) -> bool:
    """Break the connection without an answer."""
    option = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")  # linger: on, for no time
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
    handler.connection.close()
    handler.close_connection = True
    return True


def truncate(handler: _Handler, number: int) -> bool:
    """Promise more of the body than comes."""
    path = handler.path.lstrip("/")
    handler.give(handler.serving.files[path], cut=-50)
    return True


def answer(code: int) -> Callable[[Any, int], bool]:
    """Answer with a status and nothing else."""

    def answering(handler: _Handler, number: int) -> bool:
        handler.send_error(code)
        return True

    return answering


def redirect(to: str) -> Callable[[Any, int], bool]:
    """Answer that the file is elsewhere."""

    def redirecting(handler: _Handler, number: int) -> bool:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return redirecting


def at_first(times: int, trouble: Callable[[Any, int], bool]) -> Callable[[Any, int], bool]:
    """The trouble for so many requests, and answers afterwards."""
    return lambda handler, number: number < times and trouble(handler, number)


def later(before: int, trouble: Callable[[Any, int], bool]) -> Callable[[Any, int], bool]:
    """So many answers, and the trouble afterwards."""
    return lambda handler, number: number >= before and trouble(handler, number)


def now() -> float:
    return time.monotonic()


def opened(server: Server, name: str, **settings: Any) -> VideoReader:
    """A file of a server, which may be read."""
    return open_video(server.url(name), allow_remote=(server.address,), **settings)
