"""A worker's memory is used again, but not while anybody can still see what was in it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vidattn.data import ClipDataset, ClipSpec, read_annotations
from vidattn.data.batch_memory import BatchMemory, received, rows_of
from vidattn.data.collate import ClipBatch
from vidattn.data.loader import TrainingLoader, training_loader

SHAPE = (2, 3, 5)


def sent(memory: BatchMemory, value: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """What arrives of an array full of one value; both ends are in this process."""
    block = memory.lend(torch.Size(shape).numel())
    rows_of(block, shape).fill_(value)
    return received(block, shape)


class TestBlocks:
    def test_what_is_held_is_not_overwritten(self) -> None:
        memory = BatchMemory()
        held = [sent(memory, value) for value in range(9)]  # more than are kept
        assert [rows.unique().tolist() for rows in held] == [[value] for value in range(9)]
        assert {rows.shape for rows in held} == {SHAPE}
        assert len(memory._blocks) == 4

    def test_what_is_let_go_of_is_used_again(self) -> None:
        memory = BatchMemory()
        places = {sent(memory, value).data_ptr() for value in range(9)}
        assert len(places) == 1

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
    def test_whatever_shares_the_memory_holds_it(self, part) -> None:
        memory = BatchMemory()
        rows = sent(memory, 7)
        place, shared = rows.data_ptr(), part(rows)
        del rows
        assert sent(memory, 8).data_ptr() != place
        del shared
        assert place in {sent(memory, 9).data_ptr() for _ in range(2)}

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
