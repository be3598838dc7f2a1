"""A worker's memory is used again, but not while anybody can still see what was in it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vidattn.data import ClipDataset, ClipSpec, read_annotations
from vidattn.data.batch_memory import BatchMemory, received, rows_of
from vidattn.data.collate import ClipBatch, collate_clips
from vidattn.data.loader import TrainingLoader, training_loader

SHAPE = (2, 3, 5)


def lent(memory: BatchMemory, value: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """A block that begins with an array full of one value."""
    block = memory.lend(torch.Size(shape).numel())
    rows_of(block, shape).fill_(value)
    return block


def sent(memory: BatchMemory, value: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """What arrives of such an array; both ends are in this process."""
    return received(lent(memory, value, shape), shape)


class TestBlocks:
    def test_what_is_held_is_not_overwritten(self) -> None:
        memory = BatchMemory()
        held = [sent(memory, value) for value in range(9)]  # more than are kept
        assert [rows.unique().tolist() for rows in held] == [[value] for value in range(9)]
        assert {rows.shape for rows in held} == {SHAPE}
        assert len(memory._blocks) == 4

    def test_what_is_let_go_of_is_used_again(self) -> None:
        memory = BatchMemory()
        blocks = []
        for value in range(9):
            blocks.append(lent(memory, value))
            received(blocks[-1], SHAPE)
        assert all(block is blocks[0] for block in blocks)

    def test_blocks_that_never_come_back_are_forgotten(self) -> None:
        memory = BatchMemory()
        for value in range(4):
            lent(memory, value)
        blocks = []
        for value in range(9):
            blocks.append(lent(memory, value))
            received(blocks[-1], SHAPE)
        assert all(block is blocks[0] for block in blocks)

    @pytest.mark.parametrize(
        "part",
        [
            lambda rows: rows[1, 2:],
            lambda rows: rows.permute(2, 0, 1),
            lambda rows: rows.view(torch.int8),
            lambda rows: rows.numpy()[0],
            lambda rows: rows.untyped_storage(),
            lambda rows: torch.from_dlpack(rows),
            lambda rows: memoryview(rows.numpy()),
        ],
    )
    def test_whatever_shares_the_memory_holds_it(self, part: Callable[[Tensor], Any]) -> None:
        memory = BatchMemory()
        block = lent(memory, 7)
        rows = received(block, SHAPE)
        shared = part(rows)
        del rows
        others = [lent(memory, 8), lent(memory, 9)]
        assert all(other is not block for other in others)
        del shared
        assert lent(memory, 10) is block

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_what_a_forked_process_may_see_is_not_used_again(self) -> None:
        memory = BatchMemory()
        blocks = [lent(memory, 1), lent(memory, 2)]
        held = [received(block, SHAPE) for block in blocks]
        ends, child_ends = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        child = context.Process(target=look_and_let_go, args=(child_ends, held), daemon=True)
        child.start()
        del held[0]
        assert lent(memory, 3) is not blocks[0]  # the child may still look
        ends.send("look")
        assert ends.recv() == [1, 2]
        child.join()
        assert lent(memory, 4) is not blocks[1]  # the child has let go of it, we have not
        assert held[0].unique().tolist() == [2]
        later = lent(memory, 5)
        received(later, SHAPE)
        assert lent(memory, 6) is later

    def test_sizes_may_change(self) -> None:
        memory = BatchMemory()
        shapes = [(4,), (7, 3), (2,), (40, 2), (1, 1), (40, 2)]
        for value, shape in enumerate(shapes):
            rows = sent(memory, value, shape)
            assert rows.shape == shape
            assert (rows == value).all()
            del rows
        assert len(memory._blocks) == 1  # as large as was ever needed
        held = [sent(memory, value, (value + 1,)) for value in range(12)]
        assert [rows.tolist() for rows in held] == [[value] * (value + 1) for value in range(12)]


def look_and_let_go(ends: Any, held: list[Tensor]) -> None:
    ends.recv()
    seen = [int(rows.max()) for rows in held]
    held.clear()
    ends.send(seen)


def loader_of(folder: Path, workers: int) -> TrainingLoader:
    spec = ClipSpec(frames=4, short_side=32, crop_size=24)
    samples = read_annotations(folder)
    dataset = ClipDataset(samples, spec=spec, classes=["fall", "rise"], training=True)
    return training_loader(dataset, batch_size=2, workers=workers, repeat=4)


def test_kept_batches_and_parts_of_batches_stay_what_they_are(small_set: Path) -> None:
    expected = list(loader_of(small_set, 0))
    batches: list[ClipBatch] = []
    corners: list[Tensor] = []
    for number, batch in enumerate(loader_of(small_set, 1)):
        assert type(batch) is ClipBatch
        assert batch.pixels.is_contiguous(memory_format=torch.channels_last_3d)
        corners.append(batch.pixels[:, :, 0, :5, :5])
        if number % 2:
            batches.append(batch)
    assert len(corners) == len(expected) == 12
    for batch, original in zip(batches, expected[1::2], strict=True):
        assert torch.equal(batch.pixels, original.pixels)
        assert torch.equal(batch.indices, original.indices)
        assert batch.video_id == original.video_id
    for corner, original in zip(corners, expected, strict=True):
        assert torch.equal(corner, original.pixels[:, :, 0, :5, :5])


def flipped(items: Any) -> ClipBatch:
    """What a user's own collation may do."""
    batch = collate_clips(items)
    batch.pixels = batch.pixels.flip(-1)
    return batch


def scaled(items: Any) -> ClipBatch:
    batch = collate_clips(items)
    return replace(batch, pixels=batch.pixels[:, :, ::2] / 255)


@pytest.mark.parametrize("collation", [flipped, scaled])
def test_pixels_that_are_changed_in_a_worker_arrive_changed(
    small_set: Path, collation: Callable[[Any], ClipBatch]
) -> None:
    arrived = []
    for workers in (0, 1):
        loader = loader_of(small_set, workers)
        loader.collate_fn = collation
        arrived.append([batch.pixels for batch in loader])
    for here, there in zip(*arrived, strict=True):
        assert here.dtype == there.dtype
        assert torch.equal(here, there)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_are_not_forked(small_set: Path, method: str) -> None:
    expected = list(loader_of(small_set, 0))
    loader = loader_of(small_set, 1)
    loader.multiprocessing_context = method
    for batch, original in zip(loader, expected, strict=True):
        assert torch.equal(batch.pixels, original.pixels)


def shared_files(process: int) -> set[str]:
    """The shared memory that a process has mapped for pixels: nothing else has such a size."""
    size = 2 * 4 * 32 * 32 * 3
    found = set()
    for line in Path(f"/proc/{process}/maps").read_text().splitlines():
        low, high = (int(end, 16) for end in line.split()[0].split("-"))
        if "/shm/torch_" in line and high - low >= size:
            found.add(line.split()[4])
    return found


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc to read maps from")
@pytest.mark.parametrize("broken_off", [0, 6])
def test_a_worker_goes_on_in_the_memory_that_it_has(small_set: Path, broken_off: int) -> None:
    """Also where batches came that nobody fetched, because epochs were broken off."""
    loader = loader_of(small_set, 1)
    before = {child.pid for child in multiprocessing.active_children()}
    files: set[str] = set()
    for epoch in range(broken_off + 3):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            (worker,) = {child.pid for child in multiprocessing.active_children()} - before
            files |= shared_files(worker)
            del batch
            if epoch < broken_off:
                break
    assert 1 <= len(files) <= 4
