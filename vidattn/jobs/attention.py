"""What is known of the attention mechanisms, as records and as text for the terminal."""

from __future__ import annotations

from dataclasses import asdict
from inspect import Parameter
from typing import Any

from vidattn.attention.built_in import catalogue, facts
from vidattn.attention.cost import CHANNELS, Cost, cost_or_reason
from vidattn.attention.facts import Facts
from vidattn.attention.mechanism import Kind
from vidattn.attention.verification import Verification, verifications
from vidattn.errors import ArgumentError
from vidattn.naming import choose

Record = dict[str, Any]

FLAGS = {
    "fixed_size": "works for one input size only",
    "sequential": "processes time steps one after another",
    "data_dependent": "shapes or steps depend on values, so no single graph can be exported",
    "weighs_time": "treats a clip of one frame unlike an image, because it also weighs time",
    "learns_by_reward": "some parameters learn from a reward, with a separate loss",
}


def attention_list(*, family: str | None = None, kind: Kind | None = None) -> list[Record]:
    """A record of every mechanism, of one family or kind if named, without its cost.

    Raises:
        UnknownNameError: there is no such family or kind; the message has close matches.
    """
    found = catalogue()
    if family is not None:
        choose("family", family, {one.family for one in found.values()})
    if kind is not None:
        choose("kind", kind, {one.kind for one in found.values()})
    return [
        record(one)
        for one in found.values()
        if family in (None, one.family) and kind in (None, one.kind)
    ]


def attention_facts(name: str, *, channels: int = CHANNELS) -> Record:
    """The record of one mechanism, by name or alias, with what it costs.

    Raises:
        UnknownNameError: there is no such name; the message has close matches.
    """
    if channels < 1:
        raise ArgumentError(f"channels: expected at least 1, got {channels}")
    found = facts(name)
    counted = cost_or_reason(found, channels=channels)
    cost = asdict(counted) if isinstance(counted, Cost) else {"not_counted": counted}
    return {**record(found), "cost": cost}


def record(found: Facts) -> Record:
    """The facts of one mechanism as plain values, which JSON can hold."""
    verified = verifications().get(found.name)
    return {
        "name": found.name,
        "family": found.family,
        "kind": found.kind,
        "summary": found.summary,
        "formula": found.formula,
        "source": found.source,
        "aliases": list(found.aliases),
        "ranks": list(found.ranks),
        "settings": settings(found),
        "context": found.context_meaning,
        "map_kind": found.map_kind,
        "map_meaning": found.map_meaning,
        "fixed_size": found.fixed_size,
        "sequential": found.sequential,
        "data_dependent": found.data_dependent,
        "weighs_time": found.weighs_time,
        "learns_by_reward": found.learns_by_reward,
        "class": f"{found.type.__module__}.{found.type.__qualname__}",
        "verified": None if verified is None else asdict(verified),
    }


def settings(found: Facts) -> Record:
    """The settings with their defaults as plain values; "required" where there is none."""
    return {name: _plain(value) for name, value in found.settings.items()}


def verified_by(found: Verification | Record | None) -> str:
    """One sentence: with what it was compared."""
    if found is None:
        return "not recorded"
    values = asdict(found) if isinstance(found, Verification) else found
    libraries = ", ".join(values["libraries"])
    against = f"{libraries} and references" if libraries else "references"
    return f"{len(values['tests'])} tests of its own against {against} in {values['test_file']}"


def positions(ranks: list[int]) -> str:
    """The position axes that x may have, such as "(T,), (H, W)"."""
    return ", ".join({1: "(T,)", 2: "(H, W)", 3: "(T, H, W)"}[rank] for rank in sorted(ranks))


def flags(values: Record) -> list[str]:
    """What the mechanism declares that it cannot do, in words."""
    return [words for name, words in FLAGS.items() if values[name]]


def cost_words(cost: Record) -> str:
    """One line: parameters, FLOPs and the largest tensor, at which size."""
    if "not_counted" in cost:
        return f"not counted: {cost['not_counted']}"
    shape = " × ".join(str(size) for size in cost["input_shape"])
    return (
        f"{cost['parameters']:,} parameters, {cost['flops'] / 1e6:.3g} MFLOP in products, "
        f"largest tensor {cost['largest_tensor']:.2g} × x, at x {shape}"
    )


def _plain(value: Any) -> Any:
    if value is Parameter.empty:
        return "required"
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
