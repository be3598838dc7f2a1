"""Keys of older configurations: each is refused with the name that it has now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError
from vidattn.training.settings import Augmentation, Optimisation

RENAMED = {
    "ckpt_path": "resume",
    "model.optimizer": "optimisation.optimiser",
    **{
        f"model.{field.name}": f"optimisation.{field.name}"
        for field in fields(Optimisation)
        if field.name != "optimiser"
    },
    **{f"data.{field.name}": f"augmentation.{field.name}" for field in fields(Augmentation)},
    "data.clip": "clip",
    **{f"data.clip.{field.name}": f"clip.{field.name}" for field in fields(ClipSpec)},
}


def refuse_renamed(keys: Iterable[str], where: str, *, mark: str = "") -> None:
    """Refuse keys that have another name now; all of them are named.

    Args:
        keys: with dots, such as "model.learning_rate".
        where: they were found, such as "train.yaml".
        mark: what stands before a key there, such as "--".

    Raises:
        ArgumentError: there are any.
    """
    found = [key for key in dict.fromkeys(keys) if key in RENAMED]
    if found:
        listed = ", ".join(f"{mark}{key} is now {mark}{RENAMED[key]}" for key in found)
        raise ArgumentError(f"{where}: renamed settings: {listed}")


def nested_keys(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """All keys of nested settings, with dots between; of a renamed group only its own.

    Args:
        values: of a configuration.
        before: what stands before the keys.
    """
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and name != "data.clip":
            yield from nested_keys(value, f"{name}.")
        yield name


def option_keys(arguments: Iterable[str]) -> Iterator[str]:
    """The keys that the options of a command line name."""
    for argument in arguments:
        if argument.startswith("--"):
            yield argument[2:].split("=", 1)[0].removesuffix("+")
