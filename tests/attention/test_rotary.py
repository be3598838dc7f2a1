from __future__ import annotations

import cmath
from itertools import product

import numpy as np
import pytest
import torch

from vidattn.attention.rotary import RotaryPositions
from vidattn.errors import ArgumentError

AXES = {1: "t", 2: "hw", 3: "thw"}
GRIDS = [(5,), (3, 4), (3, 2, 4)]


def turned(x: np.ndarray, grid, base: float) -> np.ndarray:
    """(…, L, width): each pair is a complex number, turned by its axis' position."""
    width = x.shape[-1]
    part = 2 * (width // 6)
    out = x.copy()
    for index, place in enumerate(product(*(range(size) for size in grid))):
        where = dict(zip(AXES[len(grid)], place, strict=True))
        for axis, name in enumerate("thw"):
            for pair in range(part // 2):
                first = axis * part + 2 * pair
                number = x[..., index, first] + 1j * x[..., index, first + 1]
                angle = where.get(name, 0) * base ** (-2 * pair / part)
                number = number * cmath.exp(1j * angle)
                out[..., index, first] = number.real
                out[..., index, first + 1] = number.imag
    return out


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("width", "base"), [(6, 10_000.0), (14, 10_000.0), (24, 50.0)])
def test_equals_complex_numbers(grid, width, base):
    x = torch.randn(2, 3, int(np.prod(grid)), width, dtype=torch.float64)
    ours = RotaryPositions(width, base=base)(x, grid)
    np.testing.assert_allclose(ours.numpy(), turned(x.numpy(), grid, base), atol=1e-12)


def test_products_see_offsets_only():
    """In a uniform input the product of query and key depends on their distance."""
    positions = RotaryPositions(12)
    q, k = torch.randn(2, 1, 1, 1, 12, dtype=torch.float64)
    q, k = (positions(one.expand(1, 1, 8, 12), (8,)).squeeze() for one in (q, k))
    scores = q @ k.T
    for offset in range(-7, 8):
        line = scores.diagonal(offset)
        torch.testing.assert_close(line, line[:1].expand_as(line))


@pytest.mark.parametrize("width", [12, 26])
def test_compat_turns_dimension_j_by_its_own_speed(width):
    part = 2 * (width // 6)
    x = torch.randn(1, 1, 6, width, dtype=torch.float64)
    ours = RotaryPositions(width, compat=True)(x, (6,))[0, 0]
    for position in range(6):
        for j in range(part):
            angle = position * 10_000 ** (-2 * (j % (part // 2)) / part)
            other = -x[0, 0, position, j + 1] if j % 2 == 0 else x[0, 0, position, j - 1]
            expected = x[0, 0, position, j] * np.cos(angle) + other * np.sin(angle)
            assert abs(ours[position, j] - expected) < 1e-12
    assert torch.equal(ours[:, part:], x[0, 0, :, part:])


def test_half_precision_turns_in_single():
    """At position 2047 bfloat16 would not know the angle."""
    x = torch.randn(1, 1, 2048, 6)
    exact = RotaryPositions(6)(x, (2048,))
    out = RotaryPositions(6)(x.bfloat16(), (2048,))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), exact, atol=0.05, rtol=0.05)


def test_narrow_heads_are_refused():
    with pytest.raises(ArgumentError, match="heads of at least 6 channels, got 5"):
        RotaryPositions(5)
