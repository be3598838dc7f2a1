from __future__ import annotations

import ctypes
import mmap
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.video.numbered_films import encode

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    import measure_leaks

    return measure_leaks


def test_the_slope_and_its_interval(tool: ModuleType) -> None:
    x = np.arange(400.0)
    noise = np.random.default_rng(0).normal(0, 5000, 400)
    slope, low, high = tool._slope(x, 1e8 + 300 * x + noise)
    assert 200 < low < slope < high < 400
    assert low < 300 < high
    slope, low, high = tool._slope(x, 1e8 + noise)
    assert low < 0 < high
    slope, low, high = tool._slope(x, np.where(x < 250, 1e8, 1.02e8))
    assert (slope, low, high) == (0, 0, 0)


def leak(kept: list[mmap.mmap]) -> Callable[[Path, random.Random], None]:
    """Keeps five pages a cycle, and new ones: the heap of a long process has room to spare."""

    def keep(path: Path, generator: random.Random) -> None:
        kept.append(mmap.mmap(-1, 5 * mmap.PAGESIZE))
        kept[-1][:] = b"x" * len(kept[-1])

    return keep


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="not glibc")
def test_allocated_memory_is_told_from_a_heap_with_holes(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    kept: list[int] = []
    monkeypatch.setitem(tool.WAYS, "strict", lambda *_: kept.append(library.malloc(2000)))
    found = tool.measure([Path("a")], "strict", cycles=2000)
    assert found["allocated_slope_bytes_a_cycle"] == pytest.approx(2000, rel=0.2)
    monkeypatch.setitem(tool.WAYS, "strict", lambda *_: library.free(library.malloc(2000)))
    found = tool.measure([Path("a")], "strict", cycles=2000)
    assert abs(found["allocated_slope_bytes_a_cycle"]) < 100
    for place in kept:
        library.free(place)


def test_a_leak_is_found(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory, and files that stay open."""
    monkeypatch.setitem(tool.WAYS, "strict", leak([]))
    found = tool.measure([Path("a")], "strict", cycles=2000)
    assert found["grows"]
    assert found["slope_bytes_a_cycle"] == pytest.approx(5 * mmap.PAGESIZE, rel=0.2)
    opened: list[object] = []
    monkeypatch.setitem(tool.WAYS, "strict", lambda path, generator: opened.append(path.open("rb")))
    found = tool.measure([Path(__file__)], "strict", cycles=40, samples=40)
    assert found["open_files"][1] > found["open_files"][0]
    for file in opened:
        file.close()  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["strict", "salvage"])
def test_readers_do_not_leak(tool: ModuleType, tmp_path: Path, way: str) -> None:
    """A short run cannot tell a small slope from 0: it must be below a page a cycle."""
    files = [
        encode(tmp_path / "a.mp4", 4, size=(32, 48), preset="ultrafast"),
        encode(tmp_path / "b.avi", 4, size=(32, 48), codec="mpeg4", bf="0"),
        tmp_path / "cut.mp4",
    ]
    files[2].write_bytes(files[0].read_bytes()[:-300])
    found = tool.measure(files, way, cycles=1500)
    assert found["cycles_that_raised"] == 500
    assert found["slope_bytes_a_cycle"] < 1000
    assert found["open_files"][0] == found["open_files"][1]
    assert found["threads"][0] == found["threads"][1]


@pytest.mark.slow
def test_loaders_do_not_leak(tool: ModuleType, tmp_path: Path) -> None:
    """Blocks of shared memory, and the workers' memory: none may be new with each batch."""
    files = [encode(tmp_path / "a.mp4", 8, size=(32, 48), preset="ultrafast")]
    found = tool.measure(files, "loader", cycles=3000)
    assert found["cycles_that_raised"] == 0
    assert found["slope_bytes_a_cycle"] < 2000
    assert found["open_files"][1] - found["open_files"][0] < 40
    assert found["threads"][0] == found["threads"][1]
