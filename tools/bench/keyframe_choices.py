"""Which frames other tools choose as key frames: as many as are wanted, whatever the tool gives.

Where a tool gives more frames than are wanted, every n-th is taken; where it gives fewer, frames
follow from the middle of the largest gaps. So each tool is compared at the same number, and none
is worse for that.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidattn import open_video

# Scenes of the adaptive detector, and the middle frames that `save-images` takes of each.
SCENES = """
import json, sys
from scenedetect import AdaptiveDetector, detect
scenes = detect(sys.argv[1], AdaptiveDetector())
print(json.dumps([[a.frame_num, b.frame_num] for a, b in scenes]))
"""
# Katna returns pictures: each is the film's frame that it differs least from.
KATNA = """
import contextlib, io, json, sys
import cv2, numpy as np
from Katna.video import Video
with contextlib.redirect_stdout(io.StringIO()):
    pictures = Video()._extract_keyframes_from_video(int(sys.argv[2]), sys.argv[1])
small = lambda picture: cv2.resize(picture, (48, 36), interpolation=cv2.INTER_AREA).astype(int)
film, frames = cv2.VideoCapture(sys.argv[1]), []
while True:
    read, frame = film.read()
    if not read:
        break
    frames.append(small(frame))
frames = np.stack(frames)
found = [int(np.abs(frames - small(each)).mean(axis=(1, 2, 3)).argmin()) for each in pictures]
print(json.dumps(sorted(set(found))))
"""


def fitted(chosen: Sequence[int], frame_count: int, count: int) -> list[int]:
    """So many of the chosen frames, or these and the middles of the largest gaps."""
    frames = sorted(set(chosen))
    if len(frames) > count:
        places = (2 * np.arange(count) + 1) * len(frames) // (2 * count)
        return [frames[place] for place in places]
    while len(frames) < min(count, frame_count):
        edges = np.array([-1, *frames, frame_count])
        widest = int(np.argmax(np.diff(edges)))
        frames = sorted([*frames, int(edges[widest] + edges[widest + 1]) // 2])
    return frames


def peer_choices(film: Path, frame_count: int, count: int, python: Path) -> dict[str, list[int]]:
    """The frames of each tool.

    Args:
        python: interpreter of an environment with PySceneDetect, katna and opencv.
    """
    scenes = json.loads(_output([str(python), "-c", SCENES, str(film.resolve())]))
    scores = scene_scores(film)
    # Frame 0, and the frames behind the largest changes: the threshold that gives this number.
    changes = np.argsort(-scores[1:], kind="stable")[: count - 1] + 1
    with open_video(film) as reader:
        intra = [int(index) for index in reader.intra_frame_indices()]
    found = {
        "intra frames": intra,
        "ffmpeg thumbnail": thumbnails(film, max(1, frame_count // count))[:count],
        "ffmpeg select scene": [0, *(int(each) for each in changes)],
        "PySceneDetect": middles(scenes or [[0, frame_count]], count),
        "katna": json.loads(_output([str(python), "-c", KATNA, str(film.resolve()), str(count)])),
    }
    return {name: fitted(frames, frame_count, count) for name, frames in found.items()}


def middles(scenes: Sequence[Sequence[int]], count: int) -> list[int]:
    """Middle frames of the longest scenes; of long scenes several, where there are too few."""
    longest = sorted(scenes, key=lambda each: each[0] - each[1])[:count]
    parts = [1] * len(longest)
    for _ in range(count - len(longest)):
        lengths = [(b - a) / part for (a, b), part in zip(longest, parts, strict=True)]
        parts[int(np.argmax(lengths))] += 1
    return sorted(
        a + (2 * place + 1) * (b - a) // (2 * part)
        for (a, b), part in zip(longest, parts, strict=True)
        for place in range(part)
    )


def scene_scores(film: Path) -> np.ndarray:
    """(T,) scores of FFmpeg's `select=gt(scene,…)`."""
    text = _filtered(film, "select='gte(scene,0)',metadata=print:file=-")
    return np.array([float(each) for each in re.findall(r"scene_score=([0-9.]+)", text)])


def thumbnails(film: Path, batch: int) -> list[int]:
    """Frames that FFmpeg's `thumbnail` takes of each so many."""
    if batch < 2:
        return list(range(scene_scores(film).size))
    with open_video(film) as reader:
        seconds = reader.frame_times.seconds
    text = _filtered(film, f"thumbnail={batch},metadata=print:file=-,showinfo", log="info")
    times = [float(each) for each in re.findall(r"pts_time:([-0-9.]+)", text)]
    return sorted({int(np.abs(seconds - time).argmin()) for time in times})


def _filtered(film: Path, filters: str, *, log: str = "error") -> str:
    command = ["ffmpeg", "-nostdin", "-threads", "1", "-loglevel", log, "-i", str(film.resolve())]
    command += ["-an", "-vsync", "0", "-vf", filters, "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def _output(command: Sequence[str]) -> str:
    with tempfile.TemporaryDirectory() as folder:  # katna leaves a folder where it runs
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout.strip().splitlines()[-1]
