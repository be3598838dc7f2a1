from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.errors import AnnotationError
from vidattn.video import VideoReader


@dataclass(frozen=True)
class Truth:
    """When and where an action is; a video may have several at once, one for each actor.

    Attributes:
        start_frame, end_frame: the action fills start_frame … end_frame - 1.
        boxes: x1, y1, x2, y2 in source pixels, one for each of these frames.
    """

    start_frame: int
    end_frame: int
    boxes: Sequence[Sequence[float]]


@dataclass(frozen=True)
class AnnotatedVideo:
    """One video, and when and where its actions are.

    Attributes:
        path: the file.
        name: as the annotations have it.
        actions: at least one.
        group: what must be resampled together; the name where the annotations name none.
        expected: width, height and number of frames, as far as the annotations say.
    """

    path: Path
    name: str
    actions: tuple[Truth, ...]
    group: str
    expected: Mapping[str, int]

    def check(self, reader: VideoReader, annotations: str | Path) -> None:
        """Refuse a file that is not the one which was annotated.

        Raises:
            AnnotationError: its size or number of frames is another, or an action ends after it.
        """
        height, width = reader.size
        decoded = {"width": width, "height": height, "frames": len(reader)}
        found = {name: decoded[name] for name in self.expected}
        if found != self.expected:
            reason = f"{self.name}: expected {dict(self.expected)}, decoded {found}"
            raise AnnotationError(annotations, 0, reason)
        last = max(action.end_frame for action in self.actions)
        if last > len(reader):
            reason = f"{self.name}: an action ends before frame {last} of {len(reader)}"
            raise AnnotationError(annotations, 0, reason)


def read_actions(path: str | Path, *, boxes: bool = True) -> list[AnnotatedVideo]:
    """Videos with the times, and the boxes, of their actions, from a JSON file beside them.

        {"videos": [{"file": "dive.avi", "group": "pool 3", "width": 320, "height": 240,
                     "frames": 259, "tubes": [{"start_frame": 122, "end_frame": 208,
                                               "boxes": [[x1, y1, x2, y2], …]}, …]}, …]}

    Times are frames counted from 0, `end_frame` not included; boxes are pixels, one for each of
    these frames. `group`, `width`, `height` and `frames` may be absent; so may boxes, where
    `boxes` is False. What `vidattn.data.synthetic.write_actions` writes is read too.

    Raises:
        AnnotationError: the file is not so, or names fewer than two videos.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))["videos"]
        found = [_video(path, entry, boxes) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"expected videos with boxes, got {type(error).__name__}: {error}"
        raise AnnotationError(path, 0, reason) from None
    if len({video.name for video in found}) < max(len(found), 2):
        raise AnnotationError(path, 0, f"expected at least 2 different videos, got {len(found)}")
    return found


def _video(annotations: Path, entry: Mapping[str, Any], boxes: bool) -> AnnotatedVideo:
    name = str(entry["file"] if "file" in entry else entry["path"])
    expected = {key: int(entry[key]) for key in ("width", "height", "frames") if key in entry}
    if "size" in entry:
        height, width = entry["size"]
        expected |= {"width": int(width), "height": int(height)}
    if "frame_count" in entry:
        expected["frames"] = int(entry["frame_count"])
    actions = tuple(_action(tube) for tube in entry.get("tubes", [entry]))
    wrong = [
        action
        for action in actions
        if not 0 <= action.start_frame < action.end_frame or (boxes and not _has_boxes(action))
    ]
    if not actions or wrong:
        what = "a box x1 < x2, y1 < y2 for each frame" if boxes else "start_frame < end_frame"
        raise AnnotationError(annotations, 0, f"{name}: expected actions, each with {what}")
    group = str(entry.get("group", name))
    return AnnotatedVideo(annotations.parent / name, name, actions, group, expected)


def _action(tube: Mapping[str, Any]) -> Truth:
    return Truth(int(tube["start_frame"]), int(tube["end_frame"]), tube.get("boxes", ()))


def _has_boxes(action: Truth) -> bool:
    corners = np.asarray(action.boxes, dtype=np.float64)
    return (
        corners.shape == (action.end_frame - action.start_frame, 4)
        and bool(np.isfinite(corners).all())
        and bool((corners[:, :2] < corners[:, 2:]).all())
    )
