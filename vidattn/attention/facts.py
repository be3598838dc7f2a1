"""What is known of a mechanism without building it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from torch import nn

from vidattn.attention.aliases import ALIASES
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind


@dataclass(frozen=True)
class Facts:
    """What is known of one mechanism without building it.

    Attributes:
        name: for `build`.
        type: its class.
        aliases: other names it is known by, for `build` too.
        family, kind, source, ranks, map_kind, map_meaning, context_meaning, fixed_size,
            sequential, data_dependent, weighs_time, learns_by_reward: see `Mechanism`.
        summary: the first line of its documentation.
        formula: the paragraphs of its documentation between that line and the source.
        settings: its constructor's settings -> default.
    """

    name: str
    type: type[Mechanism]
    family: str
    kind: Kind
    source: str
    aliases: tuple[str, ...]
    ranks: tuple[int, ...]
    map_kind: MapKind
    map_meaning: str
    context_meaning: str | None
    fixed_size: bool
    sequential: bool
    data_dependent: bool
    weighs_time: bool
    learns_by_reward: bool
    summary: str
    formula: str
    settings: dict[str, Any]


def describe(name: str, found: type[Mechanism]) -> Facts:
    """The facts of a class that has this name in the catalogue."""
    return Facts(
        name=name,
        type=found,
        family=found.family,
        kind=found.kind,
        source=found.source,
        aliases=ALIASES.get(name, ()),
        ranks=found.ranks,
        map_kind=found.map_kind,
        map_meaning=found.map_meaning,
        context_meaning=found.context_meaning,
        fixed_size=found.fixed_size,
        sequential=found.sequential,
        data_dependent=found.data_dependent,
        weighs_time=found.weighs_time,
        learns_by_reward=found.learns_by_reward,
        summary=(found.__doc__ or "").strip().partition("\n")[0],
        formula=_formula(found),
        settings=settings_of(found),
    )


def settings_of(found: type[nn.Module]) -> dict[str, Any]:
    """Keyword arguments of the constructor -> default, except the number of axes."""
    _, *parameters = inspect.signature(found).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.name != "spatial_dims"
    }


def _formula(found: type[nn.Module]) -> str:
    _, _, rest = inspect.cleandoc(found.__doc__ or "").partition("\n")
    return rest.partition("\nSource:")[0].partition("\nArgs:")[0].strip()
