from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from vidattn.errors import ArgumentError
from vidattn.models import Recogniser

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


# Of settings that have a highest value.
_HIGHEST = {"label_smoothing": 1.0}


def refuse_out_of_range(**settings: float) -> None:
    """Refuse numbers that are no setting of a training: a negative rate unlearns.

    Args:
        settings: by name; from 0 on, `label_smoothing` up to 1.

    Raises:
        ArgumentError: one is negative, too high, NaN or infinite.
    """
    for name, value in settings.items():
        highest = _HIGHEST.get(name)
        if not (math.isfinite(value) and 0 <= value <= (highest or value)):
            bounds = "a number from 0 on" if highest is None else f"a number from 0 to {highest:g}"
            raise ArgumentError(f"{name}: expected {bounds}, got {value:g}")


def stage_depths(recogniser: Recogniser) -> dict[str, int]:
    """Parameter name -> distance from the head, in stages: 0 for head and pooling.

    The last backbone stage is at 1. A parameter in no stage comes before the first one.
    """
    backbone = recogniser.backbone
    stages = backbone.stages
    # Where the output of a stage is a module of its own, what is inserted there is in that one.
    starts = [
        tuple(f"{path}." for path in (*backbone.paths(stage), stage.module)) for stage in stages
    ]
    depths: dict[str, int] = {}
    for name, _ in recogniser.named_parameters():
        inside = name.removeprefix("backbone.")
        if inside == name or inside.removeprefix("network.").startswith(f"{backbone.head_path}."):
            depths[name] = 0
            continue
        number = next((i for i, start in enumerate(starts) if inside.startswith(start)), -1)
        depths[name] = len(stages) - number
    return depths


def freeze(recogniser: Recogniser, stages: Sequence[str]) -> list[nn.Module]:
    """Stop learning in the named backbone stages, and in all that comes before the first stage.

    What was inserted after a stage goes on learning.

    Returns:
        the frozen modules, whose norms must stay in evaluation mode while training.

    Raises:
        ArgumentError: an unknown stage, or a gap: the frozen ones must be the first ones.
    """
    known = [stage.name for stage in recogniser.backbone.stages]
    if list(stages) != known[: len(stages)]:
        raise ArgumentError(
            f"frozen_stages: expected the first stages, in order, of {known}, got {list(stages)}"
        )
    if not stages:
        return []
    limit = len(known) - len(stages)
    depths = stage_depths(recogniser)
    inserted = {id(p) for module in recogniser.inserted for p in module.parameters()}
    for name, parameter in recogniser.named_parameters():
        if depths[name] > limit and id(parameter) not in inserted:
            parameter.requires_grad_(False)
    return [
        module
        for module in recogniser.backbone.modules()
        if isinstance(module, NORMS)
        and (own := list(module.parameters(recurse=False)))
        and not any(parameter.requires_grad for parameter in own)
    ]


def parameter_groups(
    recogniser: Recogniser, *, learning_rate: float, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimiser: the rate shrinks with depth, norms and biases do not decay.

    The rate of a parameter is `learning_rate · layer_decay ** depth`, depth as in
    `stage_depths`; what was inserted into the backbone learns at the head's rate.

    Source: Clark et al., ICLR 2020 (ELECTRA), layer-wise learning-rate decay.
    """
    inserted = {id(p) for module in recogniser.inserted for p in module.parameters()}
    depths = stage_depths(recogniser)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in recogniser.named_parameters():
        if not parameter.requires_grad:
            continue
        depth = 0 if id(parameter) in inserted else depths[name]
        decays = parameter.ndim > 1
        group = groups.setdefault(
            (depth, decays),
            {
                "params": [],
                "lr": learning_rate * layer_decay**depth,
                "weight_decay": weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())
