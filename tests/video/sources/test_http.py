"""Videos on HTTP servers: read by ranges, retried, and never followed into a private network."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.video.sources import serving
from tests.video.sources.films import noise
from tests.video.sources.serving import Server, served
from vidattn import extract_keyframes
from vidattn.errors import (
    ArgumentError,
    DecodeError,
    InputOutputError,
    LimitError,
    MissingLibraryError,
    NotAVideoError,
    UnsafePathError,
    VideoNotFoundError,
)
from vidattn.video import Limits, open_video
from vidattn.video.sources import attempts, blocks
from vidattn.video.sources.blocks import BlockMemory
from vidattn.video.sources.permission import RemotePermission, is_public

Films = Callable[[str], Path]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses, no proxy, and no blocks of an earlier test."""
    monkeypatch.setattr(attempts, "PAUSES_SECONDS", (0.01, 0.02, 0.03))
    monkeypatch.setattr(attempts, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(blocks, "_memory", BlockMemory())
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(films: Films) -> Iterator[Server]:
    files = {
        "a.mp4": films("b_frames").read_bytes(),
        "b.ts": films("transport_stream").read_bytes(),
    }
    with served(files) as found:
        yield found


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Its table is in front."""
    return noise(tmp_path_factory.mktemp("long") / "long.mp4")


def opened(server: Server, name: str, **settings: Any) -> Any:
    return open_video(server.url(name), allow_remote=(server.address,), **settings)


@pytest.mark.parametrize("name", ["a.mp4", "b.ts"])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("etags", [True, False])
def test_frames_are_those_of_the_file(
    server: Server, films: Films, name: str, ranges: bool, etags: bool
) -> None:
    server.ranges, server.etags = ranges, etags
    local = films({"a.mp4": "b_frames", "b.ts": "transport_stream"}[name])
    with opened(server, name) as ours, open_video(local) as theirs:
        assert ours.path == server.url(name)
        assert len(ours) == len(theirs)
        everything = range(len(theirs))
        assert ours.seconds_of(everything) == theirs.seconds_of(everything)
        assert ours.intra_frame_indices() == theirs.intra_frame_indices()
        assert np.array_equal(ours.frames_at(everything).array, theirs.frames_at(everything).array)


def test_names_with_blanks_and_queries(server: Server) -> None:
    server.files["a%20b%C3%A9.mp4"] = server.files["a.mp4"]
    for name in ("a bé.mp4?signature=1/2", "a%20b%C3%A9.mp4", "a%20bé.mp4#t=1"):
        with opened(server, name) as reader:
            assert len(reader) == 40
            assert reader.source.file_name == "a bé.mp4"


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


@pytest.mark.parametrize(
    "trouble",
    [
        serving.answer(503),
        serving.answer(429),
        serving.answer(500),
        serving.reset,
        serving.truncate,
        serving.stall,
        serving.stall_in_the_body,
    ],
)
@pytest.mark.parametrize("ranges", [True, False])
def test_trouble_is_tried_again(server: Server, trouble: Any, ranges: bool) -> None:
    server.ranges = ranges
    server.trouble["a.mp4"] = serving.at_first(2, trouble)
    with opened(server, "a.mp4") as reader:
        assert len(reader.frames_at([39])) == 1


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (serving.answer(503), "503"),
        (serving.reset, "cannot be read"),
        (serving.truncate, "the server sent"),
        (serving.stall, "nothing for 0.3 s|not answered for"),
        (serving.stall_in_the_body, "nothing for 0.3 s"),
    ],
)
def test_trouble_that_stays_blames_the_network(server: Server, trouble: Any, reason: str) -> None:
    server.trouble["a.mp4"] = trouble
    started = serving.now()
    with pytest.raises(InputOutputError, match=rf"({reason}).*4 attempts") as caught:
        opened(server, "a.mp4")
    assert caught.value.path == server.url("a.mp4")
    assert server.requests.count == 4
    assert serving.now() - started < 10


def test_a_server_that_sends_too_slowly_is_left(server: Server) -> None:
    server.trouble["a.mp4"] = serving.trickle
    started = serving.now()
    with pytest.raises(InputOutputError, match="too slowly"):
        opened(server, "a.mp4")
    assert serving.now() - started < 10


def test_a_head_that_comes_too_slowly_is_left(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "STALL_SECONDS", 0.1)
    server.trouble["a.mp4"] = serving.trickle_the_head
    started = serving.now()
    with pytest.raises(InputOutputError, match="has not answered for"):
        opened(server, "a.mp4")
    assert serving.now() - started < 10


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(InputOutputError, match="refused"):
            open_video(f"{place}/a.mp4", allow_remote=(place,))


@pytest.mark.parametrize(
    ("code", "kind"),
    [(404, VideoNotFoundError), (403, VideoNotFoundError), (410, VideoNotFoundError)],
)
def test_final_answers_are_not_asked_for_again(server: Server, code: int, kind: Any) -> None:
    server.trouble["a.mp4"] = serving.answer(code)
    with pytest.raises(kind, match=f"{code}"):
        opened(server, "a.mp4")
    assert server.requests.count == 1


def test_trouble_in_the_middle_of_decoding(server: Server, long_film: bytes) -> None:
    server.files["long.mp4"] = long_film
    with opened(server, "long.mp4") as reader:
        server.trouble["long.mp4"] = lambda handler, number: (
            number % 2 == 0 and serving.reset(handler, number)
        )
        assert len(reader.frames_at([60])) == 1
        server.trouble["long.mp4"] = serving.reset
        with pytest.raises(InputOutputError, match="4 attempts"):
            reader.frames_at([90])


@pytest.mark.parametrize("change", ["longer", "other", "shorter", "whole"])
def test_a_file_that_changes_while_it_is_read(
    server: Server, long_film: bytes, change: str
) -> None:
    server.files["long.mp4"] = long_film
    with opened(server, "long.mp4") as reader:
        reader.frames_at([0])
        if change == "whole":
            server.ranges = False
        else:
            server.files["long.mp4"] = {
                "longer": long_film + b"x",
                "other": bytes(len(long_film)),
                "shorter": long_film[:1000],
            }[change]
        with pytest.raises(DecodeError, match="the file has changed since it was opened"):
            reader.frames_at([75])


def test_only_what_is_needed_is_read(server: Server, long_film: bytes) -> None:
    """Opening reads the table in front of the film; a frame reads its group of pictures."""
    assert len(long_film) > 3_000_000
    server.files["long.mp4"] = long_film
    with opened(server, "long.mp4") as reader:
        assert server.requests.sent <= 4 * blocks.BLOCK_BYTES
        reader.frames_at([75])
        assert server.requests.sent < len(long_film) / 2


def test_a_film_of_any_length_is_read_in_bounded_memory(
    server: Server, long_film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = BlockMemory(kept_bytes=2**20)
    monkeypatch.setattr(blocks, "_memory", memory)
    server.files["long.mp4"] = long_film
    held = []
    with opened(server, "long.mp4") as reader:
        for _ in reader:
            held.append(memory.bytes_held)
    assert max(held) <= 2**20
    assert len(held) == 150


def test_what_cannot_be_read_in_parts_is_copied_within_a_limit(server: Server) -> None:
    server.ranges = False
    size = len(server.files["a.mp4"])
    with opened(server, "a.mp4", limits=Limits(maximum_copied_bytes=size)) as reader:
        assert len(reader) == 40
    with pytest.raises(LimitError, match="cannot be read in parts"):
        opened(server, "a.mp4", limits=Limits(maximum_copied_bytes=size - 1))


def test_hostile_content(server: Server) -> None:
    server.files |= {
        "empty.mp4": b"",
        "list.mp4": b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1/a.ts\n",
        "text.mp4": b"Dear reader,\n" * 99,
    }
    for ranges in (True, False):
        server.ranges = ranges
        for name, kind, reason in (
            ("empty.mp4", NotAVideoError, "zero bytes"),
            ("list.mp4", UnsafePathError, "playlist"),
            ("text.mp4", NotAVideoError, "not a video file"),
        ):
            with pytest.raises(kind, match=reason):
                opened(server, name)


def test_packet_tables_of_remote_files(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    film = noise(tmp_path / "long.ts")
    server.files["long.ts"] = film
    with opened(server, "long.ts") as reader:
        reader.keep_packet_table()
    monkeypatch.setattr(blocks, "_memory", BlockMemory())
    server.requests.sent = 0
    with opened(server, "long.ts") as reader:
        assert len(reader) == 150
    first = server.requests.sent
    assert first < len(film) / 2, "all packets were read"
    server.files["long.ts"] = film[:-188] + bytes(188)  # another file
    monkeypatch.setattr(blocks, "_memory", BlockMemory())
    server.requests.sent = 0
    opened(server, "long.ts").close()
    assert server.requests.sent >= len(film)


def test_key_frames_of_a_remote_film(server: Server, write_flash: Callable[..., Path]) -> None:
    path = write_flash()
    server.files["flash.mp4"] = path.read_bytes()
    url = server.url("flash.mp4")
    ours = extract_keyframes(url, count=3, allow_remote=(server.address,))
    theirs = extract_keyframes(path, count=3)
    assert [each.frame_index for each in ours.frames] == [e.frame_index for e in theirs.frames]


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


def test_stores_need_their_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        MissingLibraryError, match=r"fsspec is needed; .*`pip install 'vidattn\[remote\]'"
    ):
        open_video("s3://films/a.mp4", allow_remote=("s3",))


@pytest.mark.parametrize(
    "address", ["s3://films/a::http://10.0.0.1/b.mp4", "simplecache::s3://films/a.mp4"]
)
def test_an_address_within_an_address_is_refused(address: str) -> None:
    with pytest.raises(UnsafePathError):
        open_video(address, allow_remote=("s3", "http", "https"))
