from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vidattn.errors import ArgumentError
from vidattn.video import Frames


def parts(**changes: object) -> dict[str, object]:
    return {
        "pixels": torch.zeros(5, 3, 4, 6, dtype=torch.uint8),
        "seconds": torch.zeros(5, dtype=torch.float64),
        "indices": torch.zeros(5, dtype=torch.int64),
        "source_size": (4, 6),
        **changes,
    }


def test_rows_keep_their_storage() -> None:
    rows = torch.randint(0, 256, (5, 4, 6, 3), dtype=torch.uint8)
    given = parts()
    del given["pixels"]
    frames = Frames.from_array(rows, **given)  # type: ignore[arg-type]
    assert tuple(frames.pixels.shape) == (5, 3, 4, 6)
    assert frames.pixels.permute(0, 2, 3, 1).is_contiguous()
    assert frames.pixels.data_ptr() == rows.data_ptr()
    assert (frames.pixels[2, 1] == rows[2, :, :, 1]).all()
    assert (len(frames), frames.size) == (5, (4, 6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixels": torch.zeros(5, 3, 4, 6)}, r"pixels.*uint8.*got float32"),
        ({"pixels": torch.zeros(5, 4, 6, 3, dtype=torch.uint8)}, r"pixels.*\(5, 4, 6, 3\)"),
        ({"pixels": torch.zeros(3, 4, 6, dtype=torch.uint8)}, "pixels"),
        ({"seconds": torch.zeros(5)}, r"seconds: expected float64"),
        ({"seconds": torch.zeros(4, dtype=torch.float64)}, r"seconds.*\(5,\).*\(4,\)"),
        ({"indices": torch.zeros(5)}, r"indices: expected int64"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], message: str) -> None:
    Frames(**parts())  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=message):
        Frames(**parts(**changes))  # type: ignore[arg-type]


def test_neighbours_are_a_view() -> None:
    frames = Frames(
        torch.arange(5 * 3 * 2 * 2, dtype=torch.uint8).reshape(5, 3, 2, 2),
        torch.arange(5, dtype=torch.float64),
        torch.arange(10, 15),
        (2, 2),
        valid=torch.tensor([True, False, True, True, False]),
    )
    part = frames.part(slice(1, 4))
    assert part.indices.tolist() == [11, 12, 13]
    assert part.valid.tolist() == [False, True, True]
    assert part.pixels.data_ptr() == frames.pixels[1].data_ptr()
    assert frames.take([4, 1]).valid.tolist() == [False, False]


def arrays(count: int = 5, **changes: object) -> dict[str, object]:
    pixels = np.arange(count * 4 * 6 * 3, dtype=np.uint8).reshape(count, 4, 6, 3)
    return {
        "array": pixels,
        "seconds": np.arange(count) / 10,
        "indices": np.arange(10, 10 + count),
        "source_size": (4, 6),
        **changes,
    }


def test_tensors_and_arrays_are_one_memory() -> None:
    given = arrays(valid=np.ones(5, np.bool_))
    frames = Frames.from_array(**given)  # type: ignore[arg-type]
    assert frames.array is given["array"] or np.shares_memory(frames.array, given["array"])
    assert frames.array.ctypes.data == frames.pixels.data_ptr() == given["array"].ctypes.data
    assert np.shares_memory(np.asarray(frames), frames.array)
    for name in ("seconds", "indices", "valid"):
        held, tensor = getattr(frames, f"{name}_array"), getattr(frames, name)
        assert held.ctypes.data == tensor.data_ptr() == given[name].ctypes.data
    frames.pixels[2, 1, 3, 4] = 77
    assert frames.array[2, 3, 4, 1] == given["array"][2, 3, 4, 1] == 77


def test_tensors_given_are_not_copied() -> None:
    given = parts()
    frames = Frames(**given)  # type: ignore[arg-type]
    for name in ("pixels", "seconds", "indices"):
        assert getattr(frames, name).data_ptr() == given[name].data_ptr()
        assert getattr(frames, name).stride() == given[name].stride()


def test_what_torch_cannot_share_is_copied() -> None:
    read_only = np.zeros((5, 4, 6, 3), np.uint8)
    read_only.flags.writeable = False
    backwards = np.arange(5 * 4 * 6 * 3, dtype=np.uint8).reshape(5, 4, 6, 3)[::-1]
    for array in (read_only, backwards):
        frames = Frames.from_array(**arrays(array=array))  # type: ignore[arg-type]
        assert (frames.pixels.permute(0, 2, 3, 1).numpy() == array).all()
        frames.pixels[:] = 1  # the caller's stays
    assert not read_only.any()
    assert backwards[4, 0, 0].tolist() == [0, 1, 2]


def test_a_part_can_be_replaced() -> None:
    frames = Frames.from_array(**arrays(timestamps_made_up=True))  # type: ignore[arg-type]
    pixels = torch.zeros(5, 3, 2, 2, dtype=torch.uint8)
    smaller = replace(frames, pixels=pixels)
    assert smaller.size == (2, 2)
    assert smaller.pixels.data_ptr() == pixels.data_ptr()
    assert smaller.seconds.data_ptr() == frames.seconds.data_ptr()
    assert smaller.source_size == (4, 6)
    assert smaller.timestamps_made_up
    assert [each.name for each in fields(frames)][:3] == ["pixels", "seconds", "indices"]
    with pytest.raises(FrozenInstanceError):
        frames.pixels = pixels  # type: ignore[misc]


def same(first: Frames, second: Frames) -> bool:
    names = ("pixels", "seconds", "indices", "valid")
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in names)


def test_copies_are_the_same_and_apart() -> None:
    frames = Frames.from_array(**arrays())  # type: ignore[arg-type]
    for copied in (pickle.loads(pickle.dumps(frames)), copy.deepcopy(frames)):
        assert same(copied, frames)
        assert copied.source_size == frames.source_size
        assert copied != frames  # equal is what is the same object, as for every tensor
        assert not np.shares_memory(copied.array, frames.array)
        assert copied.pixels.permute(0, 2, 3, 1).is_contiguous()
    assert copy.copy(frames).pixels.data_ptr() == frames.pixels.data_ptr()


def test_processes_hand_frames_over_in_shared_memory() -> None:
    frames = Frames.from_array(**arrays())  # type: ignore[arg-type]
    large = Frames.from_array(**arrays(array=np.full((5, 400, 600, 3), 7, np.uint8)))  # type: ignore[arg-type]
    assert len(ForkingPickler.dumps(large)) < 10_000
    [found] = DataLoader([frames], batch_size=1, num_workers=1, collate_fn=_single)
    assert same(found, frames)
    assert found.pixels.is_shared() or found.array.base is not None


def _single(items: list[Frames]) -> Frames:
    return items[0]


def test_frames_by_place() -> None:
    frames = Frames.from_array(**arrays(valid=np.array([1, 0, 1, 1, 0], np.bool_)))  # type: ignore[arg-type]
    assert frames[3].indices.tolist() == [13]
    assert frames[-1].indices.tolist() == frames[4].indices.tolist() == [14]
    assert np.shares_memory(frames[3].array, frames.array)
    assert frames[1:4:2].indices.tolist() == [11, 13]
    assert frames[1:4:2].valid.tolist() == [False, True]
    assert frames[::-1].seconds.tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])
    assert (frames[::-1].array == frames.array[::-1]).all()
    assert len(frames[5:]) == 0
    assert [len(each) for each in frames] == [1] * 5
    assert [int(each.indices) for each in frames] == [10, 11, 12, 13, 14]
    for place in (5, -6):
        with pytest.raises(IndexError):
            frames[place]


def test_indices_counted_from_another_frame() -> None:
    frames = Frames.from_array(**arrays())  # type: ignore[arg-type]
    assert frames.counted_from(10).indices.tolist() == [0, 1, 2, 3, 4]
    assert frames.indices.tolist() == [10, 11, 12, 13, 14]
    assert np.shares_memory(frames.counted_from(10).array, frames.array)


def test_tensors_elsewhere_are_refused() -> None:
    with pytest.raises(ArgumentError, match="pixels: expected an array or a tensor in the CPU"):
        Frames(**parts(pixels=torch.zeros(5, 3, 4, 6, dtype=torch.uint8, device="meta")))  # type: ignore[arg-type]
