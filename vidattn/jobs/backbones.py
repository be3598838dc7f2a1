"""What is known of the backbones, without building their weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from vidattn import backbones
from vidattn.backbones import Stage
from vidattn.backbones.built_in import TIMM


@dataclass(frozen=True)
class BackboneFacts:
    """One backbone as `vidattn.backbones.build` makes it by default, without its head.

    Attributes:
        name: what `build` takes.
        parameters: how many numbers it learns.
        stages: shallow to deep.
        mean, std: RGB normalisation that its weights expect, on values in [0, 1].
        weights: names of its published weights; "DEFAULT" of a timm network are those that timm has
            for it, if any.
    """

    name: str
    parameters: int
    stages: tuple[Stage, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types."""
        return asdict(self)


def backbone_facts(name: str) -> BackboneFacts:
    """All about one backbone, built-in or `timm:NAME`. No memory is taken for its weights.

    Raises:
        UnknownNameError: there is none of that name; the message has close matches.
        MissingLibraryError: it needs a library that is not installed.
    """
    with torch.device("meta"):
        network = backbones.build(name)
    published = ("DEFAULT",) if name.startswith(TIMM) else backbones.published_weights(name)
    return BackboneFacts(
        name,
        sum(parameter.numel() for parameter in network.parameters()),
        network.stages,
        network.mean,
        network.std,
        tuple(published),
    )


def backbone_list() -> list[BackboneFacts]:
    """The facts of every built-in backbone."""
    return [backbone_facts(name) for name in backbones.names()]
