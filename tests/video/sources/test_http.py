"""Videos on HTTP servers: read by ranges, and retried."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.video.sources import serving
from tests.video.sources.films import noise
from tests.video.sources.serving import Server, opened
from vidattn import extract_keyframes
from vidattn.errors import (
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

Films = Callable[[str], Path]


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Its table is in front."""
    return noise(tmp_path_factory.mktemp("long") / "long.mp4")


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


@pytest.mark.usefixtures("patience")
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


def test_stores_need_their_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        MissingLibraryError, match=r"fsspec is needed; .*`pip install 'vidattn\[remote\]'"
    ):
        open_video("s3://films/a.mp4", allow_remote=("s3",))
