"""Settings that no formula could use are refused by their names."""

from __future__ import annotations

from inspect import Parameter
from typing import Any, Literal, get_origin, get_type_hints

import pytest

from vidattn.attention import build, catalogue
from vidattn.attention.mechanism import Replacement

FACTS = catalogue()


def unusable(setting: str, default: Any, hint: Any) -> list[Any]:
    """Values that this setting cannot have for 16 channels."""
    if get_origin(hint) is Literal:
        return ["other"]
    if "kernel" in setting and default is not None:
        return [2, -1]  # an odd size has a middle
    if setting == "heads":
        return [3, 0, -1]
    return [3] if setting == "groups" else []


CASES = [
    (name, setting, value)
    for name, facts in FACTS.items()
    for setting, default in facts.settings.items()
    for value in unusable(setting, default, get_type_hints(facts.type.__init__).get(setting))
]


@pytest.mark.parametrize(("name", "setting", "value"), CASES)
def test_what_cannot_be_is_refused(name, setting, value):
    facts = FACTS[name]
    rank = max(facts.ranks)
    sized = facts.settings.get("grid") is Parameter.empty
    with pytest.raises(ValueError, match=setting):
        build(
            name,
            16,
            spatial_dims=rank,
            **({"grid": (4,) * rank} if sized else {}),
            **{setting: value},
        )


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        (name, rank)
        for name, facts in FACTS.items()
        if issubclass(facts.type, Replacement)
        for rank in facts.ranks
    ],
)
def test_a_replacement_has_a_stride_for_each_axis(name, rank):
    """Whoever puts it in the place of a convolution compares the two."""
    assert build(name, 16, spatial_dims=rank).stride == (1,) * rank
