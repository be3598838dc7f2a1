from __future__ import annotations

import pytest

from vidattn.attention.built_in import facts
from vidattn.attention.cost import cost, cost_or_reason
from vidattn.errors import ArgumentError


def test_gate_by_hand():
    counted = cost(facts("se"), channels=32, grid=(4, 6, 6), settings={"reduction": 8})
    assert counted.input_shape == (1, 32, 4, 6, 6)
    assert counted.parameters == 2 * 32 * 4 + 4 + 32
    assert counted.flops == 2 * 2 * 32 * 4
    assert counted.largest_tensor == 1


def test_fused_attention_by_hand():
    counted = cost(facts("non_local"), channels=16, grid=(4, 8, 8))
    positions, hidden = 4 * 8 * 8, 8
    projections = 4 * 2 * positions * 16 * hidden
    assert counted.flops == projections + 2 * 2 * positions**2 * hidden
    assert counted.largest_tensor < positions / 16, "a query-by-key matrix was made"


def test_a_size_that_is_refused_is_said():
    with pytest.raises(ArgumentError, match="divisor of 10"):
        cost(facts("mhsa"), channels=10)
    assert "divisor of 10" in cost_or_reason(facts("mhsa"), channels=10)


def test_second_inputs_are_given():
    assert cost(facts("attention_gate"), channels=8, grid=(2, 4, 4)).flops > 0
