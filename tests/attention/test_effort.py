"""Maps that a mechanism does not need itself are made only while somebody records them."""

from __future__ import annotations

import pytest
import torch

from tests.attention.test_battery import FACTS, HIGHEST, Case
from vidattn.attention.observe import Observer

# Whose maps are other than what they compute with.
MADE_FOR_MAPS = {
    "context_encoding",
    "convolutional_block_attention",
    "cross_attention",
    "deformable",
    "deformable_convolution",
    "enhancement_interaction",
    "highway",
    "multi_scale_deformable",
    "spatial_transformer",
    "temporal_adaptive",
    "temporal_shift",
} | {
    name
    for name, facts in FACTS.items()
    if facts.map_kind in ("affinity", "channel_affinity", "response")
}


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(
    ("name", "rank"), [case for case in HIGHEST if case[0] in MADE_FOR_MAPS], ids=str
)
def test_nothing_is_made_for_observers_where_nobody_records(name, rank, padded, monkeypatch):
    case = Case(name, rank, lambda module: module)
    x, extra = case.inputs()
    mask = torch.ones(3, 1, *x.shape[2:], dtype=torch.bool) if padded else None
    shown = []
    monkeypatch.setattr(Observer, "forward", lambda *given, **_: shown.append(given))
    with torch.no_grad():
        case.module(x, mask=mask, **extra)
    assert not shown
