"""Long runs take no more memory and no more open files than short ones."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from vidattn.data import ClipDataset, ClipSpec, read_annotations
from vidattn.data.loader import training_loader

EPOCHS, WORKERS = 20, 2
MEGABYTE = 2**20


def resident_bytes(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


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
    memory, files, given = [], [], 0
    for epoch in range(EPOCHS):
        loader.sampler.set_epoch(epoch)
        given += sum(1 for _ in loader)
        workers = [process.pid for process in multiprocessing.active_children()]
        memory.append([resident_bytes(process) for process in workers])
        files.append([open_files(process) for process in (os.getpid(), *workers)])
    broken.unlink()
    assert given >= 1750
    assert len(workers) == WORKERS
    # The first epochs fill caches and pools; behind them the growth per batch is nothing.
    settled = np.array(memory[EPOCHS // 4 :], np.float64)
    slopes = np.polyfit(np.arange(len(settled)), settled, 1)[0] * EPOCHS / MEGABYTE
    assert (slopes < 2).all(), f"megabytes in {given} batches: {slopes}"
    # A batch on its way is an open file too, so single looks differ; what is usual does not grow.
    early, late = np.array(files[EPOCHS // 4 : EPOCHS // 2]), np.array(files[-EPOCHS // 4 :])
    assert (np.median(late, 0) <= np.median(early, 0)).all(), files
