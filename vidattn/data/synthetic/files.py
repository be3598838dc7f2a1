from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidattn.data.synthetic.motion import MOTIONS
from vidattn.data.synthetic.scene import draw_scene
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.files import write_text
from vidattn.pools import interrupts_held, worker_pool

ACTIONS = tuple(MOTIONS)
TRUTH_FILE = "truth.json"


@dataclass(frozen=True)
class ActionTruth:
    """What happens in one synthetic video.

    Attributes:
        path: below the folder, such as "train/left/0003.mp4".
        label: the action.
        fps: frames per second.
        size: (height, width) in pixels.
        frame_count: frames in the file.
        start_frame, end_frame: the action fills frames start_frame … end_frame - 1.
        boxes: x1, y1, x2, y2 in pixels, one for each of these frames.
    """

    path: str
    label: str
    fps: float
    size: tuple[int, int]
    frame_count: int
    start_frame: int
    end_frame: int
    boxes: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class _Order:
    """One video to write; small and picklable."""

    folder: str
    split: str
    action: str
    number: int
    seed: int
    size: tuple[int, int]
    frame_count: int
    fps: float


def write_actions(
    folder: str | Path,
    *,
    clips_per_class: Mapping[str, int],
    seed: int = 0,
    size: tuple[int, int] = (64, 64),
    frame_count: int = 32,
    fps: float = 16.0,
    workers: int = 1,
) -> list[ActionTruth]:
    """Write H.264 videos of ten actions that differ by motion only, and `truth.json`.

    Files are `<split>/<action>/<number>.mp4`. Each video has a seed of its own, so the bytes
    depend on neither the number of workers nor the other splits.

    Args:
        folder: made if need be; existing files of the same names are replaced.
        clips_per_class: split -> videos of each action, such as {"train": 120, "test": 40}.
        seed: not negative.
        size: (height, width), both even and at least 32.
        frame_count: at least 16.
        fps: frames per second.
        workers: processes; 1 writes in this one.

    Raises:
        ArgumentError: an argument is out of its range.
    """
    _check(clips_per_class, seed, size, frame_count, fps, workers)
    orders = [
        _Order(str(folder), split, action, number, seed, size, frame_count, fps)
        for split, count in clips_per_class.items()
        for action in ACTIONS
        for number in range(count)
    ]
    for order in orders:
        (Path(folder) / order.split / order.action).mkdir(parents=True, exist_ok=True)
    truth = list(_map(orders, workers))
    rows = [
        {
            "path": row.path,
            "label": row.label,
            "fps": row.fps,
            "size": list(row.size),
            "frame_count": row.frame_count,
            "start_frame": row.start_frame,
            "end_frame": row.end_frame,
            "boxes": [list(box) for box in row.boxes],
        }
        for row in truth
    ]
    text = json.dumps({"classes": ACTIONS, "seed": seed, "videos": rows})
    write_text(Path(folder) / TRUTH_FILE, text + "\n")
    return truth


def read_truth(folder: str | Path) -> list[ActionTruth]:
    """The truth that `write_actions` left in `folder`.

    Raises:
        AnnotationError: there is none, or it is not what `write_actions` writes.
    """
    path = Path(folder) / TRUTH_FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["videos"]
        return [
            ActionTruth(
                path=row["path"],
                label=row["label"],
                fps=row["fps"],
                size=(row["size"][0], row["size"][1]),
                frame_count=row["frame_count"],
                start_frame=row["start_frame"],
                end_frame=row["end_frame"],
                boxes=tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in row["boxes"]),
            )
            for row in rows
        ]
    except FileNotFoundError:
        raise AnnotationError(path, 0, "expected the truth of synthetic actions, no file") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise AnnotationError(
            path, 0, f"expected the truth of synthetic actions, got {error!r}"
        ) from error


def _map(orders: list[_Order], workers: int) -> Iterable[ActionTruth]:
    if workers == 1:
        return map(_write, orders)
    with worker_pool(workers) as pool:
        # No `pool.map`: interrupted, it cancels what waits, and the dying pool prints that.
        with interrupts_held():
            written = [pool.submit(_write, order) for order in orders]
        return [each.result() for each in written]


def _write(order: _Order) -> ActionTruth:
    from vidattn.video.writer import VideoWriter

    key = (zlib.crc32(order.split.encode()), ACTIONS.index(order.action), order.number)
    generator = np.random.default_rng(np.random.SeedSequence(order.seed, spawn_key=key))
    scene = draw_scene(
        order.action, size=order.size, frame_count=order.frame_count, generator=generator
    )
    path = f"{order.split}/{order.action}/{order.number:04d}.mp4"
    with VideoWriter(
        Path(order.folder) / path, fps=order.fps, size=order.size, crf=18, preset="ultrafast"
    ) as writer:
        for frame in scene.pixels:
            writer.write(frame)
    return ActionTruth(
        path=path,
        label=order.action,
        fps=order.fps,
        size=order.size,
        frame_count=order.frame_count,
        start_frame=scene.start_frame,
        end_frame=scene.end_frame,
        boxes=tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in np.round(scene.boxes, 2).tolist()),
    )


def _check(
    clips_per_class: Mapping[str, int],
    seed: int,
    size: tuple[int, int],
    frame_count: int,
    fps: float,
    workers: int,
) -> None:
    if any(side < 32 or side % 2 for side in size):
        raise ArgumentError(f"size: expected even sides of at least 32 pixels, got {size}")
    if frame_count < 16:
        raise ArgumentError(f"frame_count: expected at least 16, got {frame_count}")
    if not fps > 0:
        raise ArgumentError(f"fps: expected more than 0, got {fps}")
    if workers < 1:
        raise ArgumentError(f"workers: expected at least 1, got {workers}")
    if seed < 0:
        raise ArgumentError(f"seed: expected 0 or more, got {seed}")
    if not clips_per_class or any(count < 0 for count in clips_per_class.values()):
        raise ArgumentError(
            f"clips_per_class: expected a count for each split, got {dict(clips_per_class)}"
        )
