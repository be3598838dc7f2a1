from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidattn.report.formatting import nice_ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
@settings(deadline=None)
def test_ticks_enclose_the_range_in_few_equal_round_steps(low: float, width: float) -> None:
    ticks = nice_ticks(low, low + width)
    steps = [b - a for a, b in pairwise(ticks)]
    assert ticks[0] <= low + 1e-6 * width
    assert ticks[-1] >= low + width - 1e-6 * width
    assert 3 <= len(ticks) <= 10
    assert steps == pytest.approx([steps[0]] * len(steps))
    mantissa = float(f"{steps[0]:.6e}".split("e")[0])
    assert min(abs(mantissa - nice) for nice in (1, 2, 2.5, 5, 10)) < 1e-3


@pytest.mark.parametrize("low", [0.3, -0.3, 1e9, 1e-13])
def test_noise_in_the_last_digit_is_no_range(low: float) -> None:
    ticks = nice_ticks(low, np.nextafter(low, 2e9))
    assert ticks[0] < low < ticks[-1]


def test_tiny_ranges_keep_their_digits() -> None:
    assert nice_ticks(0, 4e-14)[1] == pytest.approx(1e-14)
