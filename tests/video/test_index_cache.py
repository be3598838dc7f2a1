from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from tests.video.numbered_films import encode, read_number
from vidattn.video.packets import index_cache
from vidattn.video.packets.index import PacketTable
from vidattn.video.packets.index_cache import load_table, store_table
from vidattn.video.readers.pyav_reader import PyavReader
from vidattn.video.sources.local import LocalContent


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def content_of(path: Path) -> LocalContent:
    return LocalContent(str(path), path)


def table_of(path: Path) -> PacketTable:
    with PyavReader(path) as reader:
        return reader.packet_table


def test_what_is_kept_comes_back(films: Callable[[str], Path]) -> None:
    path = films("open_groups")
    table = table_of(path)
    assert load_table(content_of(path)) is None
    store_table(content_of(path), table)
    for ours, theirs in zip(astuple(load_table(content_of(path))), astuple(table), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


def test_a_reader_uses_it_and_reads_no_packets(
    films: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = films("b_frames")
    store_table(content_of(path), table_of(path))
    monkeypatch.setattr(PacketTable, "scan", lambda *_: pytest.fail("the packets were read"))
    with PyavReader(path) as reader:
        frames = reader.frames_at([3, 17, 39]).pixels.permute(0, 2, 3, 1).numpy()
    assert [read_number(frame) for frame in frames] == [3, 17, 39]


def test_a_renamed_video_keeps_its_table_and_a_changed_one_loses_it(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", 20)
    store_table(content_of(path), table_of(path))
    moved = path.rename(tmp_path / "b.mp4")
    assert load_table(content_of(moved)) is not None
    content = bytearray(moved.read_bytes())
    content[len(content) // 2] ^= 1
    moved.write_bytes(content)
    os.utime(moved, ns=(1, 1))
    assert load_table(content_of(moved)) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_table_is_as_good_as_none(
    damage: str, films: Callable[[str], Path], cache: Path
) -> None:
    path = films("b_frames")
    store_table(content_of(path), table_of(path))
    [kept] = cache.rglob("*.packets")
    content = bytearray(kept.read_bytes())
    content[60] ^= 4
    kept.write_bytes({"cut": bytes(content[:-9]), "flip": bytes(content), "empty": b""}[damage])
    assert load_table(content_of(path)) is None
    assert len(table_of(path)) == 40


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert index_cache.cache_folder().name == "cache"
    monkeypatch.delenv("VIDATTN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert index_cache.cache_folder() == Path("/elsewhere/vidattn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert index_cache.cache_folder() == Path("/home/somebody/.cache/vidattn")


def test_without_a_home_nothing_is_kept_and_nothing_fails(
    films: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = films("b_frames")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("VIDATTN_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert load_table(content_of(path)) is None
    with pytest.raises(OSError, match="VIDATTN_CACHE"):
        store_table(content_of(path), table_of(path))


def test_a_folder_that_may_not_be_looked_into_is_as_good_as_none(
    films: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = films("b_frames")

    def forbidden(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_dir", forbidden)
    assert load_table(content_of(path)) is None
