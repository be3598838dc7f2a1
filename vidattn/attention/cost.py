"""What a mechanism takes, counted while it runs once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from vidattn.attention.built_in import build
from vidattn.attention.facts import Facts
from vidattn.errors import ArgumentError

CHANNELS = 64
GRID = (8, 14, 14)


def _fused_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


# Older counters (torch 2.11) do not know the fused kernel of CPUs.
_FUSED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _fused_flops}


@dataclass(frozen=True)
class Cost:
    """One forward pass in float32.

    Attributes:
        input_shape: (1, C, *positions) of x.
        parameters: numbers that are learned.
        flops: additions and multiplications of matrix products, convolutions and fused
            attention; element-wise work is not in it.
        largest_tensor: elements of the largest tensor made, in units of those of x. L, the
            number of positions, over C or more means a query-by-key matrix.
    """

    input_shape: tuple[int, ...]
    parameters: int
    flops: int
    largest_tensor: float


def cost(
    facts: Facts,
    *,
    channels: int = CHANNELS,
    grid: tuple[int, int, int] = GRID,
    settings: Mapping[str, Any] | None = None,
) -> Cost:
    """Count one mechanism, with the highest number of position axes that it takes.

    Args:
        facts: of the mechanism.
        channels: C.
        grid: (T, H, W); one axis means T, two mean H and W.
        settings: the mechanism's own, where the defaults are not wanted.

    Raises:
        ArgumentError: its settings do not allow this size; the message is its own.
    """
    rank = max(facts.ranks)
    positions = {1: grid[:1], 2: grid[1:], 3: grid}[rank]
    chosen = {**example_settings(facts, positions), **(settings or {})}
    module = build(facts.name, channels, spatial_dims=rank, **chosen).eval()
    x = torch.zeros(1, channels, *positions)
    given = {"context": example_context(facts, x)} if facts.context_meaning else {}
    # FlopCounterMode takes fused attention as one operation; it must see it first.
    counting = FlopCounterMode(display=False, custom_mapping=_FUSED)
    with torch.no_grad(), _Largest() as largest, counting as counter:
        module(x, **given)
    return Cost(
        input_shape=tuple(x.shape),
        parameters=_learned(module),
        flops=counter.get_total_flops(),
        largest_tensor=largest.elements / x.numel(),
    )


def example_settings(facts: Facts, positions: tuple[int, ...]) -> dict[str, Any]:
    """What a mechanism must be told that is made for one size only."""
    return {"grid": positions} if facts.settings.get("grid") is Parameter.empty else {}


def example_context(facts: Facts, x: Tensor) -> Tensor:
    """A second input made from x, for mechanisms that have one."""
    return x.flatten(2).mean(2) if facts.kind == "reducer" else x


def cost_or_reason(facts: Facts, *, channels: int = CHANNELS) -> Cost | str:
    """`cost`, or what the mechanism says against the size."""
    try:
        return cost(facts, channels=channels)
    except ArgumentError as error:
        return str(error)


def _learned(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


class _Largest(TorchDispatchMode):
    """The largest tensor that any operation returns; expanded views count as stored."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                stored = leaf.untyped_storage().nbytes() // leaf.element_size()
                self.elements = max(self.elements, stored)
        return out
