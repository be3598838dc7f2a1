"""Numbers as a reader wants them."""

from __future__ import annotations

import math

import numpy as np

from vidattn.evaluation.metrics.intervals import Interval

# Seconds.
_CLOCK_STEPS = (
    1.0,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    28800,
    86400,
)
Cell = str | int | float | Interval | None


def format_cell(cell: Cell, percent: bool) -> tuple[str, str, bool]:
    """A cell as (text, quiet text after it, whether it is a number).

    >>> format_cell(0.25, True), format_cell(12345, True)
    (('25.0 %', '', True), ('12\u202f345', '', True))
    """
    if cell is None:
        return "–", "", True
    if isinstance(cell, str):
        return cell, "", False
    if isinstance(cell, Interval):
        return _number(cell.mean, percent), _bounds(cell, percent), True
    if isinstance(cell, int | np.integer):
        return f"{cell:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"), "", True
    return _number(float(cell), percent), "", True


def _number(value: float, percent: bool) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if percent else f"{value:.3g}"


def _bounds(interval: Interval, percent: bool) -> str:
    if percent:
        return f"{100 * interval.low:.1f} – {100 * interval.high:.1f}"
    return f"{interval.low:.3g} – {interval.high:.3g}"


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers at equal steps that enclose [low, high].

    >>> nice_ticks(0.13, 0.97)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    # Curves that differ by no more than rounding are flat.
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(factor * power - rough))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 3 - math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]
