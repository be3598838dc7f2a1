"""A store of objects on this machine (moto's S3), behind a server that misbehaves."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote

from tests.video.sources.serving import Listening, Requests, Server

BUCKET = "films"


class _Forwarding(BaseHTTPRequestHandler):
    """Hands requests on to the store, unless there is trouble with the object.

    Attributes:
        share: of the body that is sent.
    """

    protocol_version = "HTTP/1.1"
    serving: Server
    store: str
    share = 1.0

    def log_message(self, *given: object) -> None:
        """Nothing."""

    def forward(self) -> None:
        serving, path = self.serving, self.path.partition("?")[0].lstrip("/")
        if self.command == "GET" and path in serving.trouble:
            number = serving.requests.paths.count(path)
            serving.requests.paths.append(path)
            if serving.trouble[path](self, number):
                return
        elif self.command in ("GET", "HEAD"):
            serving.requests.paths.append(f"{self.command} {path}")
        self.hand_on()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward  # noqa: N815

    def hand_on(self) -> None:
        """Answer what the store answers, or a part of it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        connection = http.client.HTTPConnection(self.store)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        sent = data[: int(len(data) * self.share)]
        self.serving.requests.sent += len(sent)  # before the client may look at it
        self.wfile.write(sent)
        self.close_connection = self.share < 1


def truncate(handler: Any, number: int) -> bool:
    """Promise the whole body, and send half of it."""
    handler.share = 0.5
    handler.hand_on()
    return True


@contextmanager
def stored() -> Iterator[Server]:
    """A store with an empty bucket; `trouble` has the paths "bucket/key"."""
    from moto.server import ThreadedMotoServer

    class Handler(_Forwarding):
        pass

    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    Handler.store = "{}:{}".format(*store.get_host_and_port())
    try:
        with Listening(("127.0.0.1", 0), Handler) as listening:
            Handler.serving = Server(f"http://127.0.0.1:{listening.server_port}", {}, Requests())
            thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            put(Handler.serving, "", b"")
            Handler.serving.requests.paths.clear()
            yield Handler.serving
            Handler.serving.stop.set()
            listening.shutdown()
            thread.join()
    finally:
        store.stop()


def put(server: Server, key: str, data: bytes) -> str:
    """Store an object, or make the bucket where the key is ""; the address of the object."""
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"))
    path = quote(f"/{BUCKET}/{key}".rstrip("/"))
    credential = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"
    connection.request("PUT", path, data, {"Authorization": credential})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200, answer.status
    return f"s3://{BUCKET}/{key}"
