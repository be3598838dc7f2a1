from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class ImageGeometry:
    """Where the features of an image network lie, found while one picture goes through it.

    Every convolution and pooling that makes the map smaller moves the centres of the fields by
    `dilation · (kernel − 1) / 2 − padding` of its own input's steps. Where several do so side by
    side (a branch and its shortcut), the mean counts. A step that none of them explains, such as
    merging 2 × 2 patches by a linear layer, is taken as windows that do not overlap.
    """

    def __init__(self) -> None:
        # (height before, height after) -> shifts in steps of the input
        self._shifts: dict[tuple[int, int], list[float]] = {}
        self._height = 0

    @classmethod
    @contextmanager
    def of(cls, network: nn.Module) -> Iterator[ImageGeometry]:
        """Watch one forward pass, of a square picture, inside the `with` block."""
        found = cls()
        hooks = [
            module.register_forward_hook(found._see)
            for module in network.modules()
            if hasattr(module, "kernel_size") and hasattr(module, "stride")
        ]
        try:
            yield found
        finally:
            for hook in hooks:
                hook.remove()

    def offset(self, stride: int) -> float:
        """Centre of feature 0 at this total stride, in input pixels from the first one's centre."""
        height = self._height // stride
        if height >= self._height:
            return 0.0
        larger = [before for before, after in self._shifts if after == height]
        if not larger:
            known = [after for _, after in self._shifts if after > height]
            before = min(known, default=self._height)
            shift = (before / height - 1) / 2
        else:
            before = min(larger)
            shifts = self._shifts[before, height]
            shift = sum(shifts) / len(shifts)
        step = self._height // before
        return self.offset(step) + step * shift

    def _see(self, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        [picture, *_] = arguments
        if picture.ndim != 4 or output.ndim != 4:
            return
        before, after = picture.shape[2], output.shape[2]
        self._height = max(self._height, before)
        if not 1 < after < before:
            return
        kernel, stride, dilation = (
            _first(getattr(module, name, 1)) for name in ("kernel_size", "stride", "dilation")
        )
        extent = dilation * (kernel - 1)
        padding = _padding_before(module, before, after, stride, extent)
        self._shifts.setdefault((before, after), []).append(extent / 2 - padding)


def _padding_before(module: nn.Module, before: int, after: int, stride: int, extent: int) -> float:
    declared = getattr(module, "padding", 0)
    if not isinstance(declared, str) and _first(declared):
        return _first(declared)
    # "Same" padding by TensorFlow's rule, which modules of that kind apply as they run: what the
    # output needs beyond the input, the smaller half first.
    return max((after - 1) * stride + extent + 1 - before, 0) // 2


def _first(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]
