from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Path:
    """Where an object is in each of its frames.

    Attributes:
        x, y: float64 (T,), centre in pixels.
        angle: float64 (T,), radians; growing angles turn clockwise on the screen.
        scale: float64 (T,), size relative to the object's box.
    """

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Extent:
    """How far an action goes; drawn alike for every class, so that it tells nothing.

    Attributes:
        travel: pixels from one end of a movement to the other.
        turn: radians of a rotation.
        small, large: the scales between which an object grows or shrinks.
    """

    travel: float
    turn: float
    small: float
    large: float


# What an action adds at `phase` (T,), which rises from -1 to 1: x and y in travels from the
# action's centre, angle in turns, size from 0 (small) to 1 (large) or None where it is constant.
Motion = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]]


def _shift(x: float, y: float) -> Motion:
    return lambda phase: (x * phase / 2, y * phase / 2, 0 * phase, None)


def _turn(direction: float) -> Motion:
    return lambda phase: (0 * phase, 0 * phase, direction * phase / 2, None)


def _resize(direction: float) -> Motion:
    return lambda phase: (0 * phase, 0 * phase, 0 * phase, (1 + direction * phase) / 2)


def _return(x: float, y: float) -> Motion:
    """Half-way out along the axis, then back; the first way is drawn by the sign of the travel."""
    return lambda phase: (
        x * (0.5 - np.abs(phase)),
        y * (0.5 - np.abs(phase)),
        0 * phase,
        None,
    )


MOTIONS: dict[str, Motion] = {
    "left": _shift(-1, 0),
    "right": _shift(1, 0),
    "up": _shift(0, -1),
    "down": _shift(0, 1),
    "clockwise": _turn(1),
    "anticlockwise": _turn(-1),
    "grow": _resize(1),
    "shrink": _resize(-1),
    "swing": _return(1, 0),
    "hop": _return(0, 1),
}


def action_path(
    name: str,
    *,
    frame_count: int,
    centre: tuple[float, float],
    extent: Extent,
    generator: np.random.Generator,
) -> Path:
    """The path of an object that does action `name` once, around `centre` (x, y).

    Angle, constant size and the sense of a return are drawn from `generator`.
    """
    # The same draws for every class: classes then share one stream of appearances.
    angle = generator.uniform(0, 2 * np.pi)
    constant = generator.uniform(0, 1)
    sense = generator.choice([-1.0, 1.0])
    x, y, turned, size = MOTIONS[name](np.linspace(-1, 1, frame_count))
    if name in ("swing", "hop"):
        x, y = sense * x, sense * y
    size = np.full(frame_count, constant) if size is None else size
    return Path(
        x=centre[0] + x * extent.travel,
        y=centre[1] + y * extent.travel,
        angle=angle + turned * extent.turn,
        scale=extent.small + size * (extent.large - extent.small),
    )


def wandering_path(
    *,
    frame_count: int,
    centre: tuple[float, float],
    reach: float,
    extent: Extent,
    generator: np.random.Generator,
) -> Path:
    """The path of an object that never rests and does no action.

    It orbits on an ellipse of about `reach` pixels, rocks by up to 20 degrees and pulses by up to
    a tenth of its size, each with a period of its own.
    """
    time = np.arange(frame_count)
    period = generator.uniform(7, 14, size=4)
    waves = np.sin(2 * np.pi * (time / period[:, None] + generator.uniform(0, 1, size=(4, 1))))
    reach_x, reach_y = reach * generator.uniform(0.5, 1, size=2)
    size = generator.uniform(extent.small, extent.large)
    return Path(
        x=centre[0] + reach_x * waves[0],
        y=centre[1] + reach_y * waves[1],
        angle=generator.uniform(0, 2 * np.pi) + 0.35 * waves[2],
        scale=size * (1 + 0.1 * waves[3]),
    )
