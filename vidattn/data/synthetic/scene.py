from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidattn.data.synthetic.motion import Extent, Path, action_path, wandering_path

SHAPES = ("disk", "square", "triangle", "cross", "half")
SPRITE = 32  # pixels of a sprite's side, before it is scaled to its box
NOISE = 5.0  # standard deviation, in grey levels
SHAKE = 0.015  # largest camera shake, in short sides


@dataclass(frozen=True, eq=False)
class Scene:
    """One video, and the truth about it.

    Attributes:
        pixels: uint8 (T, H, W, 3).
        start_frame, end_frame: the action fills frames start_frame … end_frame - 1.
        boxes: float64 (end_frame - start_frame, 4), x1, y1, x2, y2 in pixels.
        centre: (x, y) of the action's middle in pixels, camera shake aside.
        feasible: (x1, y1, x2, y2) that `centre` was drawn from.
    """

    pixels: np.ndarray
    start_frame: int
    end_frame: int
    boxes: np.ndarray
    centre: tuple[float, float]
    feasible: tuple[float, float, float, float]


def draw_scene(
    action: str, *, size: tuple[int, int], frame_count: int, generator: np.random.Generator
) -> Scene:
    """Draw one video of `action`; `size` is (height, width).

    An object appears, does the action once and is gone. Two more wander throughout, a third for
    as long as an action lasts; background and camera move. Everything but the action's motion is
    drawn alike for every class.
    """
    height, width = size
    short = min(size)
    shake = _camera_shake(frame_count, SHAKE * short, generator)
    canvas = _background(size, frame_count, shake, generator)

    start, end = _span(frame_count, generator)
    side = float(np.sqrt(generator.uniform(0.06, 0.098) * height * width))
    extent = Extent(
        travel=generator.uniform(0.2, 0.3) * short,
        turn=generator.uniform(0.6, 1.0) * np.pi,
        small=0.35,
        large=1.0,
    )
    margin = (side + extent.travel) / 2 + SHAKE * short
    feasible = (margin, margin, width - margin, height - margin)
    centre = _point(feasible, generator)
    actor = action_path(
        action, frame_count=end - start, centre=centre, extent=extent, generator=generator
    )
    spans = [(0, frame_count), (0, frame_count), _span(frame_count, generator)]
    layers = [(actor, start, side)]
    for first, last in spans:
        path = wandering_path(
            frame_count=last - first,
            centre=_point((side / 2, side / 2, width - side / 2, height - side / 2), generator),
            reach=0.05 * short,
            extent=extent,
            generator=generator,
        )
        layers.append((path, first, side))
    for number in generator.permutation(len(layers)):
        path, first, box_side = layers[number]
        if number:  # the actor is in front: what is hidden cannot be recognised
            _paint(canvas, _sprite(generator), path, first, box_side, shake)
    _paint(canvas, _sprite(generator), *layers[0], shake)

    canvas += generator.standard_normal(canvas.shape, dtype=np.float32) * NOISE
    x, y = actor.x + shake[start:end, 0], actor.y + shake[start:end, 1]
    boxes = np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], axis=1)
    pixels = np.clip(canvas, 0, 255).astype(np.uint8)
    return Scene(pixels, start, end, boxes, centre, feasible)


def _span(frame_count: int, generator: np.random.Generator) -> tuple[int, int]:
    """20 to 40 % of the frames, starting anywhere."""
    length = int(
        generator.integers(np.ceil(0.2 * frame_count), np.floor(0.4 * frame_count), endpoint=True)
    )
    start = int(generator.integers(0, frame_count - length, endpoint=True))
    return start, start + length


def _point(
    area: tuple[float, float, float, float], generator: np.random.Generator
) -> tuple[float, float]:
    return float(generator.uniform(area[0], area[2])), float(generator.uniform(area[1], area[3]))


def _camera_shake(frame_count: int, largest: float, generator: np.random.Generator) -> np.ndarray:
    """(T, 2) shifts in x and y: a damped random walk, bounded."""
    steps = generator.normal(0, largest / 2, size=(frame_count, 2))
    shifts = np.zeros((frame_count, 2))
    for t in range(1, frame_count):
        shifts[t] = 0.7 * shifts[t - 1] + steps[t]
    return np.clip(shifts, -largest, largest)


def _texture(height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """Float32 (height, width, 3): coarse and fine blotches of two near colours."""
    middle = generator.uniform(95, 160, size=3)
    colours = middle + generator.uniform(-35, 35, size=3) * np.array([[-1.0], [1.0]])
    blend = np.zeros((height, width))
    for cell, weight in ((generator.uniform(10, 18), 1.0), (generator.uniform(3, 6), 0.6)):
        grid = generator.standard_normal((int(height / cell) + 3, int(width / cell) + 3))
        blend += weight * _sample(grid, np.arange(height) / cell, np.arange(width) / cell)
    blend = 1 / (1 + np.exp(-1.5 * blend))
    return (colours[0] + blend[..., None] * (colours[1] - colours[0])).astype(np.float32)


def _sample(grid: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear values of `grid` at every row and column."""
    i, j = rows.astype(int), columns.astype(int)
    u, v = (rows - i)[:, None], (columns - j)[None, :]
    upper = grid[i][:, j] * (1 - v) + grid[i][:, j + 1] * v
    lower = grid[i + 1][:, j] * (1 - v) + grid[i + 1][:, j + 1] * v
    return upper * (1 - u) + lower * u


def _background(
    size: tuple[int, int], frame_count: int, shake: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Float32 (T, H, W, 3): a texture that drifts and shakes."""
    height, width = size
    speed = generator.uniform(-0.008, 0.008, size=2) * min(size)
    shifts = -shake - speed * np.arange(frame_count)[:, None]
    shifts -= shifts.min(axis=0)
    room = int(np.ceil(shifts.max())) + 2
    texture = _texture(height + room, width + room, generator)
    frames = np.empty((frame_count, height, width, 3), dtype=np.float32)
    for t, (x, y) in enumerate(shifts):
        i, j = int(y), int(x)
        u, v = np.float32(y - i), np.float32(x - j)
        rows = texture[i : i + height] * (1 - u) + texture[i + 1 : i + 1 + height] * u
        frames[t] = rows[:, j : j + width] * (1 - v) + rows[:, j + 1 : j + 1 + width] * v
    return frames


def _sprite(generator: np.random.Generator) -> np.ndarray:
    """Float32 (SPRITE, SPRITE, 4): a shape in the unit disk, two colours, alpha in [0, 1]."""
    axis = (np.arange(SPRITE) + 0.5) / SPRITE * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    distance = {
        "disk": np.hypot(x, y) - 0.9,
        "square": np.maximum(np.abs(x), np.abs(y)) - 0.68,
        "triangle": np.maximum(np.abs(x) * 0.87 + y * 0.5, -y) - 0.47,
        "cross": np.maximum(
            np.minimum(np.abs(x), np.abs(y)) - 0.35, np.maximum(np.abs(x), np.abs(y)) - 0.88
        ),
        "half": np.maximum(np.hypot(x, y) - 0.95, -0.25 - y),
    }[str(generator.choice(SHAPES))]
    alpha = np.clip(0.5 - distance * SPRITE / 6, 0, 1)
    # The second colour covers one side or one corner, so that every turn can be seen.
    first = generator.uniform(0, 255, size=3)
    second = (first + generator.uniform(90, 165, size=3)) % 255
    offset = generator.uniform(-0.2, 0.2)
    side = x > offset if generator.random() < 0.5 else (x > offset) & (y > offset)
    rgb = np.where(side[..., None], second, first)
    return np.concatenate([rgb, alpha[..., None]], axis=-1).astype(np.float32)


def _paint(
    canvas: np.ndarray,
    sprite: np.ndarray,
    path: Path,
    first: int,
    side: float,
    shake: np.ndarray,
) -> None:
    """Lay the sprite over frames `first` … of the canvas, in place, where `path` says."""
    frame_count = len(path.x)
    window = int(np.ceil(side)) + 2
    shifts = shake[first : first + frame_count]
    x, y = path.x + shifts[:, 0], path.y + shifts[:, 1]
    left, top = np.floor(x - window / 2).astype(int), np.floor(y - window / 2).astype(int)
    steps = np.arange(window) + 0.5
    dx = (left[:, None] + steps - x[:, None])[:, None, :]
    dy = (top[:, None] + steps - y[:, None])[:, :, None]
    cosine, sine = np.cos(path.angle)[:, None, None], np.sin(path.angle)[:, None, None]
    unit = SPRITE / (side * path.scale)[:, None, None]
    u = np.floor((cosine * dx + sine * dy) * unit + SPRITE / 2).astype(int)
    v = np.floor((cosine * dy - sine * dx) * unit + SPRITE / 2).astype(int)
    inside = (u >= 0) & (u < SPRITE) & (v >= 0) & (v < SPRITE)
    patch = sprite[np.clip(v, 0, SPRITE - 1), np.clip(u, 0, SPRITE - 1)]
    alpha = patch[..., 3:] * inside[..., None]
    height, width = canvas.shape[1:3]
    for t in range(frame_count):
        i1, i2 = max(top[t], 0), min(top[t] + window, height)
        j1, j2 = max(left[t], 0), min(left[t] + window, width)
        if i1 >= i2 or j1 >= j2:
            continue
        cut = (slice(i1 - top[t], i2 - top[t]), slice(j1 - left[t], j2 - left[t]))
        target = canvas[first + t, i1:i2, j1:j2]
        target += alpha[t][cut] * (patch[t][cut][..., :3] - target)
