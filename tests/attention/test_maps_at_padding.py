"""Maps show nothing at padding, and all of what is real, however little that is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

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
def test_maps_of_one_or_two_real_positions_are_whole(name, rank, randomise):
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


@pytest.mark.parametrize(("name", "rank"), WHOLE)
def test_maps_are_whole_under_autocast(name, rank, randomise):
    """A softmax in half precision would miss 1 by a thousandth."""
    case = Case(name, rank, randomise)
    case.module.float()
    x, extra = case.inputs(dtype=torch.float32)
    with torch.no_grad(), record_maps(case.module) as maps, torch.autocast("cpu", torch.bfloat16):
        case.module(x, **extra)
    for found in maps:
        if found.kind != "channel_affinity":
            sums = found.values.flatten(2).sum(2)
            assert (sums > 0.5).all()
            torch.testing.assert_close(sums, sums.round(), atol=1e-4, rtol=0)


# The shares of its branches are shown as they were computed, whatever is there.
WHATEVER_AT_PADDING = {"highway"}


@pytest.mark.parametrize(
    ("name", "rank"), [case for case in HIGHEST if case[0] not in WHATEVER_AT_PADDING]
)
def test_padding_is_shown_as_nothing(name, rank, randomise):
    case = Case(name, rank, randomise)
    x, extra = case.inputs()
    mask = torch.rand(3, 1, *x.shape[2:], generator=torch.Generator().manual_seed(3)) < 0.6
    with torch.no_grad(), record_maps(case.module, affinities="full") as maps:
        case.module(x, mask=mask, **extra)
    for found in maps:
        if found.values.shape[2:] == found.grid:
            padding = ~mask.reshape(3, 1, *found.grid).expand_as(found.values)
            assert (found.values[padding] == 0).all()
        if found.affinity is not None:
            check_affinity(found.affinity, ~mask.flatten(1), found.kind)


def check_affinity(affinity: Tensor, padding: Tensor, kind: str) -> None:
    """Queries × keys: no key is padding, and no query is where keys are of another input."""
    queries, keys = affinity.shape[2:]
    length = padding.shape[1]
    if queries == length and keys >= length:  # keys may be tokens too
        columns = affinity[..., :length].masked_select(padding[:, None, None])
        assert (columns == 0).all()
    if queries == length and kind == "assignment":
        assert (affinity.masked_select(padding[:, None, :, None]) == 0).all()
