from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vidattn
from vidattn.errors import VideoError
from vidattn.models import LoadedRecogniser
from vidattn.video import VideoWriter, open_video


def test_heat_and_strip_show_the_action(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_flash(frame_count=60, span=(30, 40), box=(60, 16, 84, 40))
    found = vidattn.explain(
        path, checkpoint=loaded_brightness, output=tmp_path / "out", progress=False
    )
    assert 30 <= int(found.frame_weights.argmax()) < 40
    assert found.frame_weights.sum() == pytest.approx(1)
    assert found.label == "bright"
    record = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert len(record["frame_scores"]) == 60
    with Image.open(tmp_path / "out" / "overlay.png") as sheet:
        assert sheet.size[0] > 96

    with open_video(path) as before, open_video(tmp_path / "out" / "overlay.mp4") as after:
        assert len(after) == len(before) == 60
        assert after.fps == pytest.approx(before.fps)
        assert after.size[0] > before.size[0]  # the strip
        plain = before.frames_at([5, 35]).pixels.numpy().astype(int)
        painted = after.frames_at([5, 35]).pixels[:, :, :64].numpy().astype(int)
    change = np.abs(painted - plain).mean(1)
    inside = change[1, 20:36, 64:80].mean()
    assert inside > 20  # the box is painted during the action,
    assert change[1, 44:, :40].mean() < inside / 3  # the far corner is not,
    assert change[0, 20:36, 64:80].mean() < inside / 3  # nor the box's place before it


def test_a_broken_video_leaves_nothing(loaded_brightness: LoadedRecogniser, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0" * 5000)
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        vidattn.explain(path, checkpoint=loaded_brightness, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_overlay_keeps_the_times_of_the_video(
    loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    times = [0.04 * number + (1.5 if number >= 8 else 0) for number in range(16)]
    path = tmp_path / "variable.mkv"
    with VideoWriter(path, fps=25, size=(64, 64), timed=True) as writer:
        for number, seconds in enumerate(times):
            writer.write(np.full((64, 64, 3), 8 * number, np.uint8), seconds=seconds)
    vidattn.explain(path, checkpoint=loaded_brightness, output=tmp_path / "out", progress=False)
    with open_video(tmp_path / "out" / "overlay.mp4") as after:
        assert after.seconds_of(range(16)) == pytest.approx(times, abs=2e-3)
