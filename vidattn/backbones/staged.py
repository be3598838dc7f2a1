from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.backbones.backbone import Backbone, Stage
from vidattn.errors import ArgumentError


@dataclass(frozen=True)
class Step:
    """What takes a source network from one stage to the next.

    Attributes:
        name: of the stage that it ends in.
        channels: of that stage.
        stride: along (T, H, W), relative to the stage before.
        modules: dotted paths inside the source network, run in order.
        shift: centre of feature 0 along (T, H, W), in features of the stage before: 0 for odd
            kernels padded by half their size, 0.5 for a 2-wide window that is not padded.
    """

    name: str
    channels: int
    stride: tuple[int, int, int]
    modules: tuple[str, ...]
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)


class StagedNetwork(Backbone):
    """A source network, run stage by stage.

    The source network is the child `network`, with its own parameter names: its state dict loads
    there unchanged. Modules are looked up by path at each call, so that one may be replaced by
    a wrapper of itself.

    Args:
        network: the source network, already without its head where `classes` is None.
        steps: from the clip to the last stage.
        variant: the built-in's name.
        classes: size of its head, or None.
        head_path, classifier_path: see `Backbone`; inside `network`.
        temporal_stride: total stride along T, at most the source's own; see
            `lower_temporal_stride`. None keeps the source's.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        steps: Sequence[Step],
        variant: str,
        classes: int | None,
        head_path: str,
        classifier_path: str,
        temporal_stride: int | None = None,
    ) -> None:
        super().__init__()
        self.network: Any = network
        self.variant = variant
        self.classes = classes
        self.head_path = head_path
        self.classifier_path = classifier_path
        self.steps = tuple(steps)
        if temporal_stride is not None:
            self.steps = lower_temporal_stride(network, self.steps, temporal_stride)
        if classes is None:
            _remove(network, head_path)
        self.stages = _stages(self.steps)

    @property
    def source_network(self) -> nn.Module:
        """See `Backbone.source_network`."""
        return self.network

    def features(self, clip: Tensor, stages: Iterable[str] | None = None) -> dict[str, Tensor]:
        """See `Backbone.features`."""
        wanted = self._wanted(clip, stages)
        found: dict[str, Tensor] = {}
        if not wanted:
            return found
        x = self._enter(clip)
        for step in self.steps:
            x, output = self._run(step, x)
            if step.name in wanted:
                found[step.name] = output
            if len(found) == len(wanted):
                break
        return found

    def logits(self, clip: Tensor) -> Tensor:
        """See `Backbone.logits`."""
        return self.classify(clip)[0]

    def classify(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """See `Backbone.classify`; one pass."""
        if self.classes is None:
            raise ArgumentError("logits: this network was built without a head (classes=None)")
        self._wanted(clip, None)
        x = self._enter(clip)
        for step in self.steps:
            x, output = self._run(step, x)
        return self._classify(x), output

    def paths(self, stage: Stage) -> tuple[str, ...]:
        """See `Backbone.paths`."""
        [step] = [step for step in self.steps if step.name == stage.name]
        return tuple(f"network.{path}" for path in step.modules)

    def _enter(self, clip: Tensor) -> Any:
        """The clip -> what the first step takes."""
        return clip

    def _run(self, step: Step, x: Any) -> tuple[Any, Tensor]:
        """One step -> what the next step takes, and the stage's features."""
        for path in step.modules:
            x = self.network.get_submodule(path)(x)
        return x, x

    @abstractmethod
    def _classify(self, x: Any) -> Tensor:
        """What the last step left -> logits (N, classes), by the source's pooling and head."""


def at_positions(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer on the channels of each position: (N, C, T, H, W) -> (N, D, T, H, W)."""
    mapped: Tensor = layer(x.movedim(1, -1))
    return mapped.movedim(-1, 1)


def average_pool(x: Tensor, kernel: list[int] | tuple[int, ...], **settings: Any) -> Tensor:
    """`avg_pool3d`, summed in single precision where x is half: a CPU has no other way."""
    if x.dtype in (torch.float16, torch.bfloat16):
        return F.avg_pool3d(x.float(), kernel, **settings).to(x.dtype)
    return F.avg_pool3d(x, kernel, **settings)


class WindowAverage(nn.Module):
    """Averages over a sliding window of (T, H, W) features, stride 1.

    Where the features are smaller than the window, it is cut to their size: a source's fixed
    window, made for one clip size, then takes smaller clips as well, and larger ones as before.
    """

    def __init__(self, window: tuple[int, int, int]) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, T', H', W'), one position more than does not fit."""
        kernel = [min(size, window) for size, window in zip(x.shape[2:], self.window, strict=True)]
        return average_pool(x, kernel, stride=1)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"window={self.window}"


def check_classes(classes: int | None) -> int | None:
    """`classes` itself, or an ArgumentError where it is neither None nor positive."""
    if classes is not None and (
        isinstance(classes, bool) or int(classes) != classes or classes < 1
    ):
        raise ArgumentError(f"classes: expected a positive number or None, got {classes!r}")
    return classes


def lower_temporal_stride(
    network: nn.Module, steps: Sequence[Step], temporal_stride: int
) -> tuple[Step, ...]:
    """Remove strides along T, the deepest first, until their product is `temporal_stride`.

    Kernels keep their size, so that pretrained weights still load; the network sees a shorter
    stretch of time per feature than it was trained on. The earliest strides stay: they save
    most of the cost. A pooling window as long as its stride becomes one frame long.

    Raises:
        ArgumentError: no removal gives that stride.
    """
    found = list(steps)
    possible = [prod(step.stride[0] for step in steps[:depth]) for depth in range(len(steps) + 1)]
    if temporal_stride not in possible:
        raise ArgumentError(
            f"temporal_stride: expected one of {sorted(set(possible))}, got {temporal_stride!r}"
        )
    for number in reversed(range(len(found))):
        if prod(step.stride[0] for step in found) == temporal_stride:
            break
        step = found[number]
        for path in step.modules:
            _remove_temporal_stride(network.get_submodule(path))
        found[number] = replace(step, stride=(1, *step.stride[1:]), shift=(0.0, *step.shift[1:]))
    return tuple(found)


def _remove_temporal_stride(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv3d) and part.stride[0] > 1:
            part.stride = (1, part.stride[1], part.stride[2])
        elif isinstance(part, nn.MaxPool3d):
            stride, kernel, padding = map(_triple, (part.stride, part.kernel_size, part.padding))
            if stride[0] > 1:
                part.stride = (1, stride[1], stride[2])
                if kernel[0] == stride[0] and padding[0] == 0:
                    part.kernel_size = (1, kernel[1], kernel[2])


def _triple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value)


def _stages(steps: Sequence[Step]) -> tuple[Stage, ...]:
    """Strides multiply; a shift counts in features of the stage before."""
    found = []
    stride, offset = (1, 1, 1), (0.0, 0.0, 0.0)
    for step in steps:
        t, h, w = (o + s * k for o, s, k in zip(offset, step.shift, stride, strict=True))
        offset = (t, h, w)
        i, j, k = (a * b for a, b in zip(stride, step.stride, strict=True))
        stride = (i, j, k)
        module = f"network.{step.modules[-1]}"
        found.append(Stage(step.name, step.channels, stride, offset, module))
    return tuple(found)


def _remove(network: nn.Module, path: str) -> None:
    parent, _, name = path.rpartition(".")
    delattr(network.get_submodule(parent), name)
