"""Which servers may be read, and which addresses are refused although their server may be."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.video.sources import serving
from tests.video.sources.serving import Server, opened
from vidattn.errors import (
    ArgumentError,
    UnsafePathError,
    VideoNotFoundError,
)
from vidattn.video import open_video
from vidattn.video.sources.permission import RemotePermission, is_public


def test_without_the_switch_no_server_is_asked(server: Server) -> None:
    with pytest.raises(UnsafePathError, match=r"--allow-remote http .*allow_remote=\(\"http\",\)"):
        open_video(server.url("a.mp4"))
    with pytest.raises(UnsafePathError, match="--allow-remote http "):
        open_video(server.url("a.mp4"), allow_remote=("s3", "https"))
    with pytest.raises(UnsafePathError, match="--allow-remote http "):
        open_video(server.url("a.mp4"), allow_remote=("http://127.0.0.1:1",))
    assert server.requests.count == 0


def test_a_private_address_must_be_named(server: Server) -> None:
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
        url = server.url("a.mp4").replace("127.0.0.1", host)
        with pytest.raises(UnsafePathError, match="a private network; --allow-remote http://"):
            open_video(url, allow_remote=("http",))
    assert server.requests.count == 0
    with opened(server, "a.mp4") as reader:
        assert len(reader) == 40


@pytest.mark.parametrize(
    "target",
    [
        *("http://169.254.169.254/latest/meta-data", "http://10.0.0.1/a.mp4", "http://[::1]/a.mp4"),
        *("http://192.168.1.1/a.mp4", "http://[fd00::1]/a.mp4", "http://100.64.0.1/a.mp4"),
        *("http://[64:ff9b::a9fe:a9fe]/a.mp4", "http://0.0.0.0/a.mp4", "http://localhost/a.mp4"),
    ],
)
def test_redirects_into_a_private_network_are_refused(
    server: Server, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        connected.append(address[0])
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    server.trouble["a.mp4"] = serving.redirect(target)
    with pytest.raises(UnsafePathError, match=r"it leads to .* a private network") as caught:
        open_video(server.url("a.mp4"), allow_remote=("http", server.address))
    assert caught.value.path == server.url("a.mp4")
    assert set(connected) == {"127.0.0.1"}, "another address was contacted"


@pytest.mark.parametrize(
    "target",
    ["ftp://127.0.0.1/a", "https://a.org/a", "http://a.org/a", "file:///etc/passwd", "http://[::1"],
)
def test_redirects_to_what_is_not_allowed_are_refused(
    server: Server, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[object] = []
    look_up = socket.getaddrinfo

    def noted(host: Any, *given: Any, **named: Any) -> Any:
        looked_up.append(host)
        return look_up(host, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    server.trouble["a.mp4"] = serving.redirect(target)
    kind = VideoNotFoundError if target.startswith(("file", "http://[")) else UnsafePathError
    with pytest.raises(kind, match=r"leads to|is not allowed") as caught:
        opened(server, "a.mp4")
    assert caught.value.path == server.url("a.mp4")
    assert server.requests.count == 1
    assert set(looked_up) == {"127.0.0.1"}


def test_redirects_that_are_allowed_are_followed_and_not_for_ever(server: Server) -> None:
    server.trouble["moved.mp4"] = serving.redirect("/a.mp4")
    with opened(server, "moved.mp4") as reader:
        assert len(reader) == 40
    server.trouble["loop.mp4"] = serving.redirect("/loop.mp4")
    with pytest.raises(VideoNotFoundError, match="302"):
        opened(server, "loop.mp4")
    assert server.requests.paths.count("loop.mp4") < 12


def test_what_may_be_named() -> None:
    found = RemotePermission.of("s3, HTTPS,http://A.example.org,s3://bucket/")
    assert found.schemes == {"s3", "https"}
    assert found.places == {("http", "a.example.org:80"), ("s3", "bucket")}
    found.check("http://a.example.org:80/x.mp4")
    for wrong in ("s3:", "", "a b", "https://a.org/folder", "file", "memory://x", "*"):
        with pytest.raises(ArgumentError, match="allow_remote"):
            RemotePermission.of([wrong])
    with pytest.raises(UnsafePathError, match="without a user name"):
        RemotePermission.of("https").check("https://me:secret@example.org/a.mp4")
    with pytest.raises(UnsafePathError, match="no address"):
        RemotePermission.of("https").check("https://[::1/a.mp4")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd12::1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:a00:1::", False),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::8.8.8.8", True),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    """IANA's registries of special-purpose addresses (RFC 6890)."""
    assert is_public(address) is public


@pytest.mark.parametrize(
    "address", ["s3://films/a::http://10.0.0.1/b.mp4", "simplecache::s3://films/a.mp4"]
)
def test_an_address_within_an_address_is_refused(address: str) -> None:
    with pytest.raises(UnsafePathError):
        open_video(address, allow_remote=("s3", "http", "https"))
