from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch

from vidattn import extract_keyframes, find_shots, selection, summarise
from vidattn.threads import (
    each_in_one_thread,
    limit_torch,
    limited_threads,
    one_thread_for_numpy,
    threads_in_use,
)
from vidattn.video import VideoWriter


def in_new_process(code: str, **environment: str) -> str:
    """What a process prints that has these variables, and has not loaded torch."""
    kept = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    start = "import os, sys\nfrom vidattn.threads import *\n"
    found = subprocess.run(
        [sys.executable, "-c", start + code],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.strip()


@pytest.mark.parametrize(
    ("value", "threads"),
    [("3", 3), ("5,2", 5), (" 2 ", 2), ("0", None), ("many", None), ("", None)],
)
def test_the_environment_tells_where_torch_is_not_loaded(value: str, threads: int | None) -> None:
    expected = len(os.sched_getaffinity(0)) if threads is None else threads
    assert in_new_process("print(threads_in_use())", OMP_NUM_THREADS=value) == str(expected)


def test_a_limit_needs_no_torch_and_ends() -> None:
    code = (
        "with limited_threads(7):\n"
        "    with limited_threads(2): print(threads_in_use())\n"
        "    print(threads_in_use())\n"
        "print(threads_in_use(), 'torch' in sys.modules)"
    )
    assert in_new_process(code, OMP_NUM_THREADS="3").split() == ["2", "7", "3", "False"]


def test_torch_that_is_loaded_later_keeps_to_the_limit() -> None:
    code = (
        "with limited_threads(1):\n"
        "    import torch\n"
        "    limit_torch()\n"
        "    print(torch.get_num_threads(), threads_in_use())"
    )
    assert in_new_process(code, OMP_NUM_THREADS="2").split() == ["1", "1"]


def test_torch_that_is_loaded_is_limited_meanwhile() -> None:
    def fail_within(limit: int) -> None:
        with limited_threads(limit):
            assert torch.get_num_threads() == threads_in_use() == limit
            raise KeyError

    before = torch.get_num_threads()
    with pytest.raises(KeyError):
        fail_within(before + 1)
    assert torch.get_num_threads() == threads_in_use() == before
    limit_torch()  # nothing is limited now
    assert torch.get_num_threads() == before


def numpy_threads() -> int:
    """How many OpenBLAS uses."""
    found = [
        each["num_threads"]
        for each in threadpoolctl.threadpool_info()
        if each["internal_api"] == "openblas"
    ]
    return int(max(found))


@pytest.fixture
def three_threads_for_numpy() -> Iterator[None]:
    """Whatever the machine has."""
    with threadpoolctl.threadpool_limits(3):
        if not any(each["internal_api"] == "openblas" for each in threadpoolctl.threadpool_info()):
            pytest.skip("NumPy is built on another library than OpenBLAS here")
        yield


@pytest.mark.usefixtures("three_threads_for_numpy")
def test_numpy_uses_one_thread_meanwhile() -> None:
    with one_thread_for_numpy():
        assert numpy_threads() == 1
    assert numpy_threads() == 3
    with limited_threads(2):
        assert numpy_threads() == 1
    assert numpy_threads() == 3


@pytest.mark.usefixtures("three_threads_for_numpy")
def test_who_takes_items_is_not_limited() -> None:
    items = each_in_one_thread(numpy_threads() for _ in range(2))
    assert [(item, numpy_threads()) for item in items] == [(1, 3), (1, 3)]


@pytest.mark.usefixtures("three_threads_for_numpy")
def test_small_pictures_are_looked_at_in_one_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[int] = []
    original = selection.find_transitions

    def watched(*arguments: Any) -> Iterator[Any]:
        seen.append(numpy_threads())
        yield from original(*arguments)

    monkeypatch.setattr(selection, "find_transitions", watched)
    film = tmp_path / "film.mp4"
    with VideoWriter(film, fps=25, size=(32, 32), preset="ultrafast") as writer:
        for level in range(30):
            writer.write(np.full((32, 32, 3), level, np.uint8))
    find_shots(film)
    extract_keyframes(film, count=2)
    summarise(film, "50%")
    assert seen == [1, 1, 1]
    assert numpy_threads() == 3
