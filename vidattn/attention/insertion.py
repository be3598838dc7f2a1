"""Putting mechanisms into a network that exists, without renaming any of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vidattn.attention.observe import Observation, call_lifted
from vidattn.errors import ArgumentError
from vidattn.naming import choose

Placement = Literal["after", "branch", "replace"]

CHILD = "inserted"

# Kinds of devices that have autocast; asked once, since compilers cannot trace the question.
_AUTOCAST = frozenset(
    kind for kind in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(kind)
)


class Insertion(nn.Module):
    """A mechanism beside a module, blended in by one learned number γ.

    With x what goes into the module, y what comes out and m the mechanism:
    after: y + γ (m(y) − y); branch: y + γ (m(x) − x); replace: y + γ (m(x) − y).
    γ starts at 0, so that the network computes what it did before. Where a new m is the identity
    by itself, γ of "after" and "branch" starts at 1: a zero behind a zero would get no gradient,
    for ever.

    It is a child of the module that it changes, called by a forward hook. As a layer it passes
    everything through, so that it may live inside an `nn.Sequential`, which calls each child.

    Args:
        mechanism: m.
        placement: see above.
    """

    def __init__(self, mechanism: nn.Module, *, placement: Placement) -> None:
        super().__init__()
        self.mechanism = mechanism
        self.placement: Placement = placement
        # In a module's place the identity is another thing than the module.
        idle = getattr(mechanism, "starts_as_identity", False) and placement != "replace"
        self.gamma = nn.Parameter(torch.tensor(1.0 if idle else 0.0))

    def forward(self, x: Any) -> Any:
        """Return x: the work is done by `blend`."""
        return x

    def blend(self, x: Any, y: Any) -> Tensor:
        """What the changed module returns, from its input x and its own output y."""
        read = y if self.placement == "after" else x
        if not isinstance(read, Tensor) or not isinstance(y, Tensor):
            raise ArgumentError(
                f"insert: expected a module from tensor to tensor, got {type(x).__name__} "
                f"to {type(y).__name__}"
            )
        if y.is_quantized or not y.is_floating_point():
            raise ArgumentError(
                f"insert: expected a module whose output is real numbers, got {y.dtype}; choose a "
                "point where the network is not quantised"
            )
        change = call_lifted(self._effective, self.mechanism, self._in_own_type(read))
        change = self.gamma * (change - (x if self.placement == "branch" else y))
        return y + change.to(y.dtype)

    def _in_own_type(self, x: Tensor) -> Tensor:
        """x as the mechanism's parameters are, for what flows may be of another number type."""
        kind = x.device.type
        if kind in _AUTOCAST and torch.is_autocast_enabled(kind):
            return x
        return x.to(_number_type(self.mechanism) or x.dtype)

    def _effective(self, seen: Observation) -> Observation:
        """y + γ (y w − y) = y (1 + γ (w − 1)); beside the module the weights are not y's own."""
        if seen.kind != "gate" or self.placement != "after":
            return seen
        return replace(seen, values=1 + self.gamma.detach() * (seen.values - 1))


def insert(
    network: nn.Module,
    points: Mapping[str, nn.Module | Callable[[], nn.Module]],
    *,
    placement: Placement = "after",
) -> list[Insertion]:
    """Put mechanisms into `network`, in place; it computes what it did before.

    Load pretrained weights first. The new parameters are `<point>.inserted.…`; all others keep
    their names. They come to be where the module's parameters are and of their number type (or
    else of the network's), and the network's results keep their number type. On the device
    "meta" they have no values, as the network itself. The mechanisms get no mask and no context.

        insert(network, {"layer2": build("squeeze_excitation", 128)})

    Args:
        network: any module.
        points: dotted path of a module in the network -> mechanism, or a function that makes it.
        placement: "after" the module, on its output; as a "branch" beside it, on its input,
            which must have the shape of its output; or to "replace" it, where the mechanism's
            output must have that shape. The module must not change its input in place unless
            the placement is "after".

    Returns:
        The inserted modules, in the order of the points, such as for a parameter group.

    Raises:
        UnknownNameError: there is no module with this path; the message has close matches.
        ArgumentError: the module cannot be called, holds an insertion already, or the point has
            no mechanism. Nothing has changed then.
    """
    if placement not in ("after", "branch", "replace"):
        raise ArgumentError(
            f"placement: expected 'after', 'branch' or 'replace', got {placement!r}"
        )
    hosts = [_host(network, path) for path in points]
    insertions = [
        _insertion(path, mechanism, placement=placement).to(*_place(host, network))
        for (path, mechanism), host in zip(points.items(), hosts, strict=True)
    ]
    for host, insertion in zip(hosts, insertions, strict=True):
        insertion.train(host.training)
        host.add_module(CHILD, insertion)
        host.register_forward_hook(_blend)
    return insertions


def _blend(host: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
    # A plain function that finds the child by name: it survives copying and pickling.
    insertion: Insertion = host.get_submodule(CHILD)  # type: ignore[assignment]
    return insertion.blend(inputs[0] if inputs else None, output)


def _host(network: nn.Module, path: str) -> nn.Module:
    modules = dict(network.named_modules())
    known = [name for name in modules if name]
    host = modules[choose(f"points: module of {type(network).__name__}", path, known)]
    if hasattr(host, CHILD):
        raise ArgumentError(
            f"points: {path!r} has an insertion already; combine mechanisms with Factorised"
        )
    if isinstance(host, nn.ModuleList | nn.ModuleDict):
        raise ArgumentError(
            f"points: {path!r} is a {type(host).__name__}; expected a module inside it"
        )
    return host


def _insertion(
    path: str, mechanism: nn.Module | Callable[[], nn.Module], *, placement: Placement
) -> Insertion:
    made = mechanism if isinstance(mechanism, nn.Module) else mechanism()
    if not isinstance(made, nn.Module):
        raise ArgumentError(f"points: expected a module for {path!r}, got {type(made).__name__}")
    return Insertion(made, placement=placement)


def _place(host: nn.Module, network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where the host's parameters are, or else the network's, and their number type."""
    parameters = [*host.parameters(), *network.parameters()]
    device = parameters[0].device if parameters else torch.device("cpu")
    kept = _number_type(host) or _number_type(network) or torch.get_default_dtype()
    return device, kept


def _number_type(module: nn.Module) -> torch.dtype | None:
    """Of the first parameter that can be computed with, as quantised ones cannot; or None."""
    kinds = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
    return next((one.dtype for one in module.parameters() if one.dtype in kinds), None)
