from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from vidattn.threads import limit_torch, limited_threads, threads_in_use


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
