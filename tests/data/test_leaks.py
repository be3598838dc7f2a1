"""Long runs take no more memory and no more open files than short ones."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vidattn.data import ClipDataset, ClipSpec, read_annotations
from vidattn.data.loader import training_loader

EPOCHS, WORKERS = 20, 2
# Of shared memory, that a worker keeps (`training_loader`).
MOST_BLOCKS = 4
MEGABYTE = 2**20


def resident_bytes(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files(process: int) -> list[int]:
    """How many files of shared memory are open, and how many others."""
    shared, others = 0, 0
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("/dev/shm/"):
            shared += 1
        else:
            others += 1
    return [shared, others]


def settled_files(processes: Sequence[int]) -> np.ndarray:
    """As `open_files`, int64 (processes, 2), once what is being handed over has arrived.

    What is on its way is open for moments. What is open at every one of several looks stays.
    """
    looks = []
    for _ in range(10):
        looks.append([open_files(process) for process in processes])
        time.sleep(0.02)
    return np.min(looks, axis=0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc to read memory from")
def test_two_thousand_batches(small_set: Path):
    (small_set / "rise" / "broken.mp4").write_bytes(b"nothing")
    try:
        samples = read_annotations(small_set)
    finally:
        broken = small_set / "rise" / "broken.mp4"
    dataset = ClipDataset(
        samples,
        spec=ClipSpec(frames=4, short_side=32, crop_size=24),
        classes=["fall", "rise"],
        training=True,
        maximum_failures=1,
    )
    loader = training_loader(dataset, batch_size=1, clips=2, workers=WORKERS, repeat=15)
    inherited, _ = open_files(os.getpid())
    memory, files, given = [], [], 0
    for epoch in range(EPOCHS):
        loader.sampler.set_epoch(epoch)
        given += sum(1 for _ in loader)
        workers = [process.pid for process in multiprocessing.active_children()]
        memory.append([resident_bytes(process) for process in workers])
        files.append(settled_files([os.getpid(), *workers]))
    broken.unlink()
    assert given >= 1750
    assert len(workers) == WORKERS
    # The first epochs fill caches and pools; behind them the growth per batch is nothing.
    settled = np.array(memory[EPOCHS // 4 :], np.float64)
    slopes = np.polyfit(np.arange(len(settled)), settled, 1)[0] * EPOCHS / MEGABYTE
    assert (slopes < 2).all(), f"megabytes in {given} batches: {slopes}"
    # A worker has a block more whenever none is free, but never more than its most.
    shared, others = np.array(files).transpose(2, 0, 1)
    assert (shared[:, 1:] <= inherited + MOST_BLOCKS).all(), shared
    assert (shared[:, 0] <= shared[: EPOCHS // 4, 0].max()).all(), shared
    assert (others <= others[: EPOCHS // 4].max(0)).all(), others
