from __future__ import annotations

import numpy as np
import pytest

from vidattn.arrays import at_least, finite_array, index_array, pixel_array
from vidattn.errors import ArgumentError


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([1.0, float("nan")], "finite"),
        ([[1.0]], "shape"),
        ([1.0, 3.0], r"\[0, 2\]"),
        (["a"], "numbers"),
        ([[1], [1, 2]], "numbers"),
    ],
)
def test_finite_array_names_the_argument_and_the_complaint(values: list, complaint: str) -> None:
    with pytest.raises(ArgumentError, match=f"^weights: .*{complaint}"):
        finite_array("weights", values, (None,), minimum=0, maximum=2)


def test_index_array_refuses_fractions_and_outsiders() -> None:
    assert index_array("labels", [], (None,)).dtype == np.int64
    for bad in ([0.5], [-1], [4], [True], [[1]]):
        with pytest.raises(ArgumentError, match="labels"):
            index_array("labels", bad, (None,), below=4)


def test_pixels_and_counts() -> None:
    with pytest.raises(ArgumentError, match="uint8"):
        pixel_array("frame", np.zeros((4, 4, 3)), 3)
    with pytest.raises(ArgumentError, match="at least one pixel"):
        pixel_array("frame", np.zeros((0, 4, 3), np.uint8), 3)
    for bad in (0, 1.5, True, "2"):
        with pytest.raises(ArgumentError, match="count"):
            at_least("count", bad, 1)
