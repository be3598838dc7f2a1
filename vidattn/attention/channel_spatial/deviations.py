"""How far features lie from their mean, for gates that weigh the unusual."""

from __future__ import annotations

from math import prod

from torch import Tensor

from vidattn.attention.masking import single_precision, zero_padding


def deviations(x: Tensor, mask: Tensor | None) -> tuple[Tensor, int | Tensor]:
    """x less its mean over the real positions, and their number.

    Returns:
        (N, C, *positions), 0 at padding, float32 at least; and a number or (N, 1, 1, …), which
        is 0 where nothing is real.
    """
    x, positions = single_precision(x), tuple(range(2, x.ndim))
    if mask is None:
        return x - x.mean(positions, keepdim=True), prod(x.shape[2:])
    count = mask.expand(x.shape[0], 1, *x.shape[2:]).sum(positions, keepdim=True)
    mean = zero_padding(x, mask).sum(positions, keepdim=True) / count.clamp(min=1)
    return zero_padding(x - mean, mask), count


def variance(deviation: Tensor, count: int | Tensor) -> Tensor:
    """(N, C, 1, …): the mean square of what `deviations` returned; 0 where nothing is real."""
    positions = tuple(range(2, deviation.ndim))
    real = count.clamp(min=1) if isinstance(count, Tensor) else count
    return deviation.square().sum(positions, keepdim=True) / real
