from __future__ import annotations

import pytest
import torch

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
    frames = Frames.from_rows(rows, **given)  # type: ignore[arg-type]
    assert tuple(frames.pixels.shape) == (5, 3, 4, 6)
    assert frames.pixels.permute(0, 2, 3, 1).is_contiguous()
    assert frames.pixels.data_ptr() == rows.data_ptr()
    assert (frames.pixels[2, 1] == rows[2, :, :, 1]).all()
    assert (len(frames), frames.size) == (5, (4, 6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixels": torch.zeros(5, 3, 4, 6)}, r"pixels.*uint8.*got torch\.float32"),
        ({"pixels": torch.zeros(5, 4, 6, 3, dtype=torch.uint8)}, r"pixels.*\(5, 4, 6, 3\)"),
        ({"pixels": torch.zeros(3, 4, 6, dtype=torch.uint8)}, "pixels"),
        ({"seconds": torch.zeros(5)}, r"seconds: expected torch\.float64"),
        ({"seconds": torch.zeros(4, dtype=torch.float64)}, r"seconds.*\(5,\).*\(4,\)"),
        ({"indices": torch.zeros(5)}, r"indices: expected torch\.int64"),
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
