from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class NameMap:
    """Patterns of a source's names, each with what stands for it here.

    Attributes:
        rules: (regular expression for the whole name, its replacement), tried in order; a name
            that none fits has no twin here.
        respell: changes a name before the rules see it, where a pattern alone cannot.
    """

    rules: tuple[tuple[str, str], ...]
    respell: Callable[[str], str] = str

    def __call__(self, name: str) -> str | None:
        """The name here, or None."""
        spelled = self.respell(name)
        for pattern, replacement in self.rules:
            found = re.fullmatch(pattern, spelled)
            if found:
                return found.expand(replacement)
        return None


@dataclass(frozen=True)
class Conversion:
    """How one network of a source becomes one of ours.

    Attributes:
        names: of its parameters and buffers.
        settings: of our backbone, which make it compute what the source's network computes.
        clip: fields of a `ClipSpec`, as in the source's configuration.
        figure: published for these weights, with the protocol that it belongs to; "" for none.
        protocol: name of the protocol for it.
        prepare: changes values, under the source's names, before these are mapped: tensors that
            the source splits or orders otherwise. Names that it cannot use it leaves.
        configuration: dotted names in the configuration that the file may carry -> the value
            without which the network computes something else from the same weights.
        configured_clip: fields of the clip -> dotted names in that configuration.
    """

    names: NameMap
    settings: dict[str, Any] = field(default_factory=dict)
    clip: dict[str, Any] = field(default_factory=dict)
    figure: str = ""
    protocol: str = ""
    prepare: Callable[[State], State] = dict
    configuration: Mapping[str, Any] = field(default_factory=dict)
    configured_clip: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """The names that one project gives to parameters, and the networks known in them.

    Attributes:
        name: as typed by a person.
        summary: one line.
        marks: regular expressions; a state dict with a name for each is in this layout.
        networks: our backbone's name -> how to convert to it.
        refused: our backbone's name -> why no exact map from this layout is possible.
    """

    name: str
    summary: str
    marks: tuple[str, ...]
    networks: dict[str, Conversion]
    refused: dict[str, str] = field(default_factory=dict)

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Whether these names are of this layout."""
        return all(any(re.search(mark, name) for name in state) for mark in self.marks)
