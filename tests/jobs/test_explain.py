from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vidattn
from tests.video.test_sound import packets, write_film
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError, VideoError
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


def test_a_part_of_the_film_keeps_its_times_and_sound(
    loaded_brightness: LoadedRecogniser, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "film.mp4"
    write_film(path, seconds=4.0)
    output = tmp_path / "out"
    found = vidattn.explain(
        path, checkpoint=loaded_brightness, output=output, start_seconds=1.0, end_seconds=2.5
    )
    record = json.loads((output / "explanation.json").read_text())
    assert (record["first_frame"], record["first_seconds"]) == (25, 1.0)
    assert record["last_seconds"] == pytest.approx(2.48)
    assert len(found.frame_scores) == len(record["frame_weights"]) == 38
    assert record["sound"] == "copied"
    with open_video(output / "overlay.mp4") as after:
        assert len(after) == 38
    copied = [content for _, content in packets(output / "overlay.mp4")]
    # To the end of the last frame.
    assert copied == [content for seconds, content in packets(path) if 1.0 <= seconds < 2.52]
    assert capfd.readouterr().err == ""  # what is over in a moment is not talked about


def test_a_part_without_frames_is_refused_before_anything_is_written(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match=r"flash\.mp4: no frame lies from 7 to 9 seconds"):
        vidattn.explain(
            write_flash(),
            checkpoint=loaded_brightness,
            output=tmp_path / "out",
            start_seconds=7,
            end_seconds=9,
        )
    assert not (tmp_path / "out").exists()


def test_pictures_of_a_part_are_those_of_the_whole_where_attention_is_the_same(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    """Frame 30 to 40 of 60 are bright: cutting at frame 12 moves nothing but the count."""
    path = write_flash(frame_count=60, span=(30, 40))
    whole = vidattn.explain(path, checkpoint=loaded_brightness)
    part = vidattn.explain(path, checkpoint=loaded_brightness, start_seconds=12 / 25 - 0.01)
    assert part.details["first_frame"] == 12
    np.testing.assert_allclose(part.frame_scores[4:], whole.frame_scores[16:], atol=0.05)
    assert part.frame_weights.argmax() + 12 == pytest.approx(whole.frame_weights.argmax(), abs=2)


def test_the_command_explains_a_part_and_says_what_becomes_of_the_sound(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_film(tmp_path / "film.mov", "pcm_mulaw", seconds=2.0)
    arguments = ["explain", str(film), "--checkpoint", str(untrained), "--output"]
    assert main([*arguments, str(tmp_path / "out"), "--from", "0.5", "--to", "1.5", "--json"]) == 0
    found = capsys.readouterr()
    record = json.loads(found.out)
    assert (record["first_frame"], len(record["frame_scores"])) == (13, 25)  # 0.52 to 1.48 s
    assert "pcm_mulaw" in record["sound"]
    assert found.err.startswith("vidattn: sound left out: it is pcm_mulaw")
    assert main([*arguments, str(tmp_path / "none"), "--from", "5"]) == 1
    assert "film.mov: no frame lies" in capsys.readouterr().err


@pytest.mark.slow
def test_a_film_takes_no_longer_than_it_lasts(untrained: Path, tmp_path: Path) -> None:
    """CPU seconds of all threads, whatever else the machine does: 20 s at 480 × 360."""
    generator = np.random.default_rng(0)
    with VideoWriter(tmp_path / "film.mp4", fps=30, size=(360, 480), preset="ultrafast") as writer:
        for number in range(600):
            frame = np.full((360, 480, 3), 90, np.uint8)
            frame[100:200, number % 380 : number % 380 + 100] = generator.integers(0, 255, (3,))
            writer.write(frame)
    loaded = vidattn.load(untrained)
    started = time.process_time()
    vidattn.explain(
        tmp_path / "film.mp4", checkpoint=loaded, output=tmp_path / "out", progress=False
    )
    assert time.process_time() - started < 20
