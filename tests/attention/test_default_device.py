"""Nothing is made on the default device where x lies on another."""

from __future__ import annotations

import pytest
import torch

from tests.attention.test_battery import HIGHEST, Case, assert_close, tensors
from vidattn.attention import record_maps


@pytest.mark.parametrize(("name", "rank"), HIGHEST)
def test_what_is_made_on_the_way_lies_where_x_does(name, rank, randomise):
    """An index would be allowed to lie elsewhere, and be copied at each call."""
    case = Case(name, rank, randomise)
    x, extra = case.inputs()
    mask = torch.ones(3, 1, *x.shape[2:], dtype=torch.bool)
    mask[0, :, -1] = False
    with torch.no_grad():
        expected = case.module(x, mask=mask, **extra)
        with record_maps(case.module) as maps, torch.device("meta"):
            found = case.module(x, mask=mask, **extra)
    assert all(part.device == x.device for part in (*tensors(found), *(m.values for m in maps)))
    assert_close(found, expected)
