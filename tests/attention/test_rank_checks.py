"""Every mechanism says itself which shapes it takes, before anything inside it does."""

from __future__ import annotations

from inspect import Parameter, signature

import pytest
import torch

from vidattn.attention import build, catalogue
from vidattn.errors import ArgumentError

FACTS = catalogue()
CASES = [(name, rank) for name, facts in FACTS.items() for rank in facts.ranks]


@pytest.mark.parametrize(("name", "rank"), CASES)
def test_other_numbers_of_axes_are_refused_by_name(name, rank):
    """Parts that are mechanisms too would refuse them, but under a name that nobody asked for."""
    facts = FACTS[name]
    sized = facts.settings.get("grid") is Parameter.empty
    module = build(name, 16, spatial_dims=rank, **({"grid": (3,) * rank} if sized else {}))
    others = {0, 1, 2, 3, 4} - {*module.ranks}
    assert rank not in others
    for other in others:
        with pytest.raises(ArgumentError) as caught:
            module(torch.zeros(2, 16, *(3,) * other))
        given = ", ".join(map(str, (2, 16, *(3,) * other)))
        assert str(caught.value).startswith(f"{facts.type.__name__}: expected x of shape (N, C, ")
        assert str(caught.value).endswith(f", got ({given})")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, facts in FACTS.items()
        if facts.ranks == (1, 3) and "spatial_dims" in signature(facts.type).parameters
    ],
)
def test_what_needs_time_refuses_to_be_made_for_images(name):
    with pytest.raises(ArgumentError, match=f"^{FACTS[name].type.__name__}: expected spatial_dims"):
        FACTS[name].type(16, spatial_dims=2)
