"""Where one or two positions are real, nothing is divided by more than there are."""

from __future__ import annotations

import pytest
import torch

from tests.attention.test_battery import FACTS, HIGHEST, Case
from vidattn.attention import record_maps

# Some of what each position reads is on tokens that no position of the map shows.
WITH_TOKENS = {"register_self_attention"}
WHOLE = [
    (name, rank)
    for name, rank in HIGHEST
    if FACTS[name].map_kind in ("affinity", "pooling")
    and FACTS[name].type.weights_sum_to_one
    and name not in WITH_TOKENS
]


@pytest.mark.parametrize(("name", "rank"), WHOLE)
def test_maps_are_whole(name, rank, randomise):
    """Shares sum to 1 over the clip, or over each of the frames or lines that hold them."""
    case = Case(name, rank, randomise)
    x, extra = case.inputs()
    kept = torch.zeros(3, x[0, 0].numel(), dtype=torch.bool)
    kept[0, 0] = kept[1, 1] = kept[1, -1] = True
    mask = kept.reshape(3, 1, *x.shape[2:])
    with torch.no_grad(), record_maps(case.module) as maps:
        case.module(x, mask=mask, **extra)
    for found in maps:
        if found.kind == "channel_affinity":
            continue
        sums = found.values.flatten(2).sum(2)
        lines = torch.tensor([1.0, 2.0, 0.0], dtype=sums.dtype)[:, None]
        near = torch.where(sums > 1.5, lines, lines.clamp(max=1))
        torch.testing.assert_close(sums, near.expand_as(sums), atol=1e-6, rtol=0)
