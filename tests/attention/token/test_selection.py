from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from vidattn.attention.token.selection import best_positions, gather_positions, one_hot

SCORES = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=9
)  # few values: many ties


@given(SCORES, st.integers(1, 5))
def test_best_positions_are_those_of_a_sorted_list(pairs, count):
    scores = torch.tensor([[float(score) for score, _ in pairs]])
    kept = torch.tensor([[real for _, real in pairs]])
    real = [position for position, (_, one) in enumerate(pairs) if one]
    best = sorted(sorted(real, key=lambda position: -pairs[position][0])[:count])
    expected = best + [len(pairs)] * (count - len(best))
    assert best_positions(scores, count, kept).tolist() == [expected]


def test_equal_scores_keep_the_earliest_however_many():
    assert best_positions(torch.zeros(1, 5000), 3, None).tolist() == [[0, 1, 2]]


def test_what_is_missing_is_nowhere_and_zero():
    index = torch.tensor([[1, 3]])
    assert one_hot(index, 3).tolist() == [[[False, True, False], [False, False, False]]]
    x = torch.arange(6.0).reshape(1, 2, 3)
    assert gather_positions(x, index).tolist() == [[[1.0, 0.0], [4.0, 0.0]]]
