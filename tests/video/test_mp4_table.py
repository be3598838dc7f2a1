from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.video.numbered_films import encode
from vidattn.errors import VideoError
from vidattn.video.limits import DEFAULT_LIMITS, Limits
from vidattn.video.packets.demuxer import open_container
from vidattn.video.packets.index import PacketTable
from vidattn.video.packets.mp4_table import read_mp4_table
from vidattn.video.sources.local import LocalContent

pytestmark = pytest.mark.skipif(
    not hasattr(av.VideoCodecContext, "field_order"),
    reason="this PyAV does not tell whether it understood a configuration of H.264",
)


def content_of(path: Path) -> LocalContent:
    return LocalContent(str(path), path)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    container, stream = open_container(content_of(path), DEFAULT_LIMITS, hasty=True)
    try:
        yield container, stream
    finally:
        container.close()


def read(path: Path, limits: Limits = DEFAULT_LIMITS) -> PacketTable | None:
    with opened(path) as (_, stream):
        return read_mp4_table(content_of(path), stream, limits)


def scan(path: Path) -> PacketTable:
    with opened(path) as (container, stream):
        return PacketTable.scan(str(path), container, stream, DEFAULT_LIMITS)


def assert_equal(table: PacketTable, scanned: PacketTable) -> None:
    for field in fields(PacketTable):
        got, wanted = getattr(table, field.name), getattr(scanned, field.name)
        assert got.dtype == wanted.dtype, field.name
        np.testing.assert_array_equal(got, wanted, err_msg=field.name)


def remux(source: Path, path: Path, *, delay: int = 0, **options: str) -> Path:
    """The same packets, written by other settings of the container, `delay` units later."""
    with av.open(str(source)) as old, av.open(str(path), "w", container_options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = packet.pts + delay, packet.dts + delay
                packet.stream = stream
                new.mux(packet)
    return path


def with_table(data: bytes, name: bytes, change: Callable[[int], int], place: int) -> bytes:
    """Change one number of the first box of this name, counted from its number of entries."""
    start = data.index(name) + 8 + 4 * place
    (old,) = struct.unpack_from(">I", data, start)
    return data[:start] + struct.pack(">I", change(old)) + data[start + 4 :]


X265 = {"x265-params": "log-level=none:keyint=8:bframes=3"}
NO_B = {"bf": "0", "g": "8"}
HINTS = {"x264-params": "nal-hrd=vbr:vbv-maxrate=400:vbv-bufsize=400:aud=1"}

PLAIN: dict[str, Callable[[Path], Path]] = {
    "b_frames": lambda path: encode(path, bf="3", g="12"),
    "no_b_frames": lambda path: encode(path, **NO_B),
    "all_key_frames": lambda path: encode(path, g="1"),
    "one_frame": lambda path: encode(path, 1),
    "with_sound": lambda path: encode(path, audio=True, bf="2"),
    "variable_rate": lambda path: encode(
        path, times=[40 * i + 300 * (i // 10) for i in range(40)], time_base=Fraction(1, 1000)
    ),
    "late_start": lambda path: encode(path, times=[100 + i for i in range(40)], bf="2"),
    "open_groups": lambda path: encode(path, bf="3", g="8", **{"x264-params": "open-gop=1"}),
    "gradual_refresh": lambda path: encode(path, g="8", **{"x264-params": "intra-refresh=1"}),
    "delimiters_and_messages": lambda path: encode(path, bf="2", g="8", **HINTS),
    "hevc": lambda path: encode(path, codec="libx265", **X265),
    "mpeg4": lambda path: encode(path, codec="mpeg4", **NO_B),
    "mpeg4_b_frames": lambda path: encode(path, codec="mpeg4", bf="2", g="8"),
    "mpeg2": lambda path: encode(path, codec="mpeg2video", bf="2", g="8"),
}
MPEG2_MOV = ("mpeg2", "mov")
REMUXED: dict[str, dict[str, Any]] = {
    "header_first": {"movflags": "faststart"},
    "no_edit_list": {"use_editlist": "0"},
    "negative_offsets": {"movflags": "negative_cts_offsets"},
    "edited_negative_offsets": {"movflags": "negative_cts_offsets", "use_editlist": "1"},
    "empty_edit": {"delay": 5000},
    "odd_movie_timescale": {"movie_timescale": "7", "delay": 5000},
    "fine_timescale": {"video_track_timescale": "90000"},
}


@pytest.mark.parametrize(
    ("name", "suffix"),
    # FFmpeg writes MPEG-2 into MOV with a table of partial sync samples.
    [(name, suffix) for name in PLAIN for suffix in ("mp4", "mov") if (name, suffix) != MPEG2_MOV],
)
def test_plain_films_need_no_scan(name: str, suffix: str, tmp_path: Path) -> None:
    path = PLAIN[name](tmp_path / f"film.{suffix}")
    table = read(path)
    assert table is not None
    assert_equal(table, scan(path))


@pytest.mark.parametrize("name", REMUXED)
@pytest.mark.parametrize("film", ["b_frames", "no_b_frames", "hevc"])
def test_other_ways_to_write_a_container(film: str, name: str, tmp_path: Path) -> None:
    path = remux(PLAIN[film](tmp_path / "film.mp4"), tmp_path / "other.mp4", **REMUXED[name])
    table = read(path)
    assert table is not None
    assert_equal(table, scan(path))


def test_partial_sync_samples(tmp_path: Path) -> None:
    assert read(PLAIN["mpeg2"](tmp_path / "film.mov")) is None


def test_intra_codecs(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mov", codec="prores", pixel_format="yuv422p10le")
    table = read(path)
    assert table is not None
    assert table.keys.all()
    assert_equal(table, scan(path))


def test_keys_of_h264_are_those_of_its_packets(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4", g="12", bf="0")
    before = scan(path)
    path.write_bytes(with_table(path.read_bytes(), b"stss", lambda number: number + 1, 2))
    table = read(path)
    assert table is not None
    np.testing.assert_array_equal(table.keys, before.keys)
    assert_equal(table, scan(path))


def test_broken_configurations(tmp_path: Path) -> None:
    """Where FFmpeg does not understand the parameter sets, it finds no key packets at all."""
    film = encode(tmp_path / "film.mp4", bf="2", g="8")
    data, path = film.read_bytes(), tmp_path / "changed.mp4"
    start, seen = data.index(b"avcC") + 4, Counter[bool]()
    for place in range(start, start + struct.unpack_from(">I", data, start - 8)[0] - 8):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        table = read(path)
        if table is not None:
            assert_equal(table, scan(path))
        seen[table is not None] += 1
    assert min(seen[True], seen[False]) > 5


def test_keys_of_hevc_are_those_of_its_table(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4", codec="libx265", **X265)
    path.write_bytes(with_table(path.read_bytes(), b"stss", lambda number: number + 1, 2))
    table = read(path)
    assert table is not None
    assert_equal(table, scan(path))


DOUBTFUL: dict[str, Callable[[bytes], bytes]] = {
    "an edit that leaves out the beginning": lambda data: with_table(
        data, b"elst", lambda time: time + 2048, 2
    ),
    "an edit that leaves out the end": lambda data: with_table(
        data, b"elst", lambda length: length // 2, 1
    ),
    "an edit that is slower": lambda data: with_table(data, b"elst", lambda rate: rate // 2, 3),
    "a sample too many": lambda data: with_table(data, b"stts", lambda count: count + 1, 1),
    "a sample of no duration": lambda data: with_table(data, b"stts", lambda step: 0, 2),
    "a sample of no bytes": lambda data: with_table(data, b"stsz", lambda size: 0, 3),
    "a sample beyond the end": lambda data: with_table(data, b"stsz", lambda size: 2**30, 3),
    "all samples of one size": lambda data: with_table(data, b"stsz", lambda size: 9, 0),
    "data in another file": lambda data: with_table(data, b"url ", lambda flags: 0, -1),
    "no key frame": lambda data: with_table(data, b"stss", lambda count: 0, 0),
    "key frames out of order": lambda data: with_table(data, b"stss", lambda number: 40, 1),
    "another sample description": lambda data: with_table(data, b"stsc", lambda number: 2, 3),
    "an unknown box": lambda data: data.replace(b"vmhd", b"vmhx"),
    "fragments": lambda data: data.replace(b"udta", b"mvex"),
    "a box in another": lambda data: data.replace(b"ilst", b"stts"),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_doubtful_films_are_not_read(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4", bf="2", g="12")
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(DOUBTFUL[name](path.read_bytes()))
    assert changed.read_bytes() != path.read_bytes()
    # By the stream of the whole film: of some of these FFmpeg makes none.
    with opened(path) as (_, stream):
        assert read_mp4_table(content_of(changed), stream, DEFAULT_LIMITS) is None


def test_packets_without_duration_or_bytes(tmp_path: Path) -> None:
    film = PLAIN["variable_rate"](tmp_path / "film.mp4")
    path = tmp_path / "changed.mp4"
    path.write_bytes(with_table(film.read_bytes(), b"stts", lambda step: 0, 4))
    assert read(path) is None
    film = PLAIN["mpeg4"](tmp_path / "film.mp4")
    path.write_bytes(with_table(film.read_bytes(), b"stsz", lambda size: 0, 3))
    assert read(path) is None


def test_sound_that_ends_early_ends_the_film(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4", audio=True)
    data = path.read_bytes()
    sound = data.index(b"soun")
    changed = with_table(data[sound:], b"stco", lambda offset: len(data) + 9, 1)
    path.write_bytes(data[:sound] + changed)
    assert read(path) is None


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libaom-av1", "libsvtav1"])
def test_codecs_that_must_be_parsed(codec: str, tmp_path: Path) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg cannot write {codec}")
    assert read(encode(tmp_path / "film.mp4", 4, codec=codec)) is None


def test_fragments(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4")
    assert read(remux(film, tmp_path / "other.mp4", movflags="frag_keyframe+empty_moov")) is None


def test_limits(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4")
    assert read(path, Limits(maximum_packets=40)) is not None
    assert read(path, Limits(maximum_packets=39)) is None


@pytest.mark.parametrize("header_first", [False, True])
def test_truncated_films(header_first: bool, tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", bf="2", audio=True)
    flags = {"movflags": "faststart"} if header_first else {}
    data = remux(film, tmp_path / "other.mp4", **flags).read_bytes()
    path = tmp_path / "cut.mp4"
    for size in [*range(0, len(data), len(data) // 40), len(data) - 1]:
        path.write_bytes(data[:size])
        with opened(film) as (_, stream):
            assert read_mp4_table(content_of(path), stream, DEFAULT_LIMITS) is None


def moov_of(data: bytes) -> tuple[int, int]:
    start = data.index(b"moov") - 4
    return start, start + struct.unpack_from(">I", data, start)[0]


def changed_bytes(data: bytes, generator: random.Random, places: list[int]) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        place = generator.choice(places)
        if generator.random() < 0.6:
            changed[place] ^= 1 << generator.randrange(8)
        elif generator.random() < 0.5:
            changed[place] = generator.randrange(256)
        else:
            number = struct.unpack_from(">I", data, place)[0] + generator.choice((-512, -1, 1, 512))
            struct.pack_into(">I", changed, place, number % 2**32)
    return bytes(changed)


@pytest.mark.parametrize(
    "name", ["b_frames", "with_sound", "hevc", "mpeg4_b_frames", "gradual_refresh", "open_groups"]
)
def test_changed_bytes_change_both_tables_alike(name: str, tmp_path: Path) -> None:
    film = PLAIN[name](tmp_path / "film.mp4")
    data = film.read_bytes()
    start, end = moov_of(data)
    with opened(film) as (_, stream):
        samples = [(entry.pos, min(entry.size, 32)) for entry in stream.index_entries]
    heads = [start + byte for start, size in samples for byte in range(size)]
    generator, path, seen = random.Random(0), tmp_path / "changed.mp4", Counter[str]()
    for _ in range(150):
        places = heads if generator.random() < 0.3 else list(range(start, end - 4))
        path.write_bytes(changed_bytes(data, generator, places))
        try:
            table = read(path)
            if table is not None:
                assert_equal(table, scan(path))
        except VideoError:  # FFmpeg opens it no more
            continue
        seen["none" if table is None else "equal"] += 1
    assert seen["none"] > 20
    assert seen["equal"] > 20


def box(name: bytes, content: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(content) if size is None else size, name) + content


def nested(depth: int) -> bytes:
    return b"".join(box(b"trak", b"", 8 * (depth - level)) for level in range(depth))


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "2**32 - 1 sizes": lambda data: with_table(data, b"stsz", lambda count: 2**32 - 1, 1),
    "2**32 - 1 equal sizes": lambda data: with_table(
        with_table(data, b"stsz", lambda count: 2**32 - 1, 1), b"stsz", lambda size: 1, 0
    ),
    "5 million equal sizes": lambda data: with_table(
        with_table(data, b"stsz", lambda count: 5_000_000, 1), b"stsz", lambda size: 1, 0
    ),
    "2**32 - 1 entries": lambda data: with_table(data, b"stts", lambda count: 2**32 - 1, 0),
    "a run of 2**32 - 1": lambda data: with_table(data, b"stts", lambda count: 2**32 - 1, 1),
    "chunks of 2**32 - 1": lambda data: with_table(data, b"stsc", lambda count: 2**32 - 1, 2),
    "a box without end": lambda data: data.replace(b"trak", b"free", 1)[:-8] + box(b"free", b"", 0),
    "size 0": lambda data: box(b"ftyp", b"", 0) + data,
    "size 1": lambda data: box(b"ftyp", b"", 1) + data,
    "64 bits of size": lambda data: box(b"mdat", b"\xff" * 8, 1) + data,
    "overlapping boxes": lambda data: with_table(data, b"mdia", lambda size: size + 64, -2),
    "nested boxes": lambda data: data[: moov_of(data)[0]] + box(b"moov", nested(10_000)),
    "many boxes": lambda data: data[: moov_of(data)[0]] + box(b"moov", box(b"free", b"") * 10**6),
    "many boxes outside": lambda data: data + box(b"free", b"") * 10**5,
    "a large header": lambda data: data + box(b"moov", bytes(2**26)),
    "long metadata": lambda data: (
        data[: moov_of(data)[0]] + box(b"moov", box(b"udta", b"s" * 2**22))
    ),
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_films(name: str, tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4")
    path = tmp_path / "hostile.mp4"
    path.write_bytes(HOSTILE[name](film.read_bytes()))
    with opened(film) as (_, stream):
        tracemalloc.start()
        start = time.process_time()
        assert read_mp4_table(content_of(path), stream, DEFAULT_LIMITS) is None
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < 3
    assert peak < 250e6


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4")
    other = content_of(encode(tmp_path / "other.mp4"))
    other.path.unlink()
    with opened(film) as (_, stream):
        assert read_mp4_table(other, stream, DEFAULT_LIMITS) is None
        assert read_mp4_table(content_of(tmp_path), stream, DEFAULT_LIMITS) is None


def test_real_films(shared_data: Path) -> None:
    read_without = Counter[bool]()
    for path in sorted(shared_data.rglob("*")):
        if path.suffix.lower() not in (".mp4", ".mov"):
            continue
        try:
            table = read(path)
            if table is not None:
                assert_equal(table, scan(path))
        except VideoError:  # made to be refused
            continue
        read_without[table is not None] += 1
    print(f"{read_without[True]} of {read_without.total()} films need no scan")
    assert read_without[True] > 0.9 * read_without.total()


def test_systems_that_seek_before_they_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encode(tmp_path / "film.mp4", g="8")
    monkeypatch.delattr(os, "pread", raising=False)
    table = read(film)
    assert table is not None
    assert_equal(table, scan(film))
