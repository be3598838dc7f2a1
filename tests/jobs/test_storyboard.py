from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidattn.cli.entry import main
from vidattn.errors import ArgumentError
from vidattn.jobs.storyboard import StoryboardSettings, write_storyboard
from vidattn.video import VideoWriter, open_video

FPS, COUNT = 10, 263


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """26.3 s of 64 × 48 pixels; frame n has the brightness n mod 250."""
    path = tmp_path_factory.mktemp("film") / "grey.mp4"
    with VideoWriter(path, fps=FPS, size=(48, 64)) as writer:
        for number in range(COUNT):
            writer.write(np.full((48, 64, 3), number % 250, np.uint8))
    return path


def cues(folder: Path) -> list[tuple[float, float, str, list[int]]]:
    """Start, end, sheet and x, y, w, h of each cue, read by its own pattern."""
    text = (folder / "storyboard.vtt").read_text()
    time = r"(\d\d):(\d\d):(\d\d\.\d{3})"
    pattern = rf"^{time} --> {time}\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)$"
    found = []
    for each in re.finditer(pattern, text, re.M):
        hours, minutes, seconds, *end = each.groups()[:6]
        start = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        stop = int(end[0]) * 3600 + int(end[1]) * 60 + float(end[2])
        found.append((start, stop, each[7], [int(each[place]) for place in range(8, 12)]))
    assert text.startswith("WEBVTT\n\n")
    assert text.count("-->") == len(found)
    return found


def test_each_cue_shows_the_middle_of_its_stretch(film: Path, tmp_path: Path) -> None:
    with open_video(film) as reader:
        names = write_storyboard(tmp_path, reader, StoryboardSettings(0.25))
    found = cues(tmp_path)
    assert names == ["storyboard.vtt", "storyboard-001.jpg", "storyboard-002.jpg"]
    assert len(found) == 106  # 26.3 s in stretches of 0.25 s
    sheets = {name: np.asarray(Image.open(tmp_path / name).convert("L")) for name in names[1:]}
    assert {name: sheet.shape for name, sheet in sheets.items()} == {
        "storyboard-001.jpg": (480, 640),
        "storyboard-002.jpg": (48, 384),
    }
    for number, (start, end, name, (x, y, width, height)) in enumerate(found):
        assert start == pytest.approx(number * 0.25, abs=1e-3)
        assert end == pytest.approx(min((number + 1) * 0.25, 26.3), abs=1e-3)
        assert name == f"storyboard-{number // 100 + 1:03d}.jpg"
        place = number % 100
        assert [x, y, width, height] == [place % 10 * 64, place // 10 * 48, 64, 48]
        level = sheets[name][y : y + height, x : x + width].mean()
        assert level == pytest.approx(int((start + end) / 2 * FPS + 1e-6) % 250, abs=4)


@pytest.mark.oracle
def test_another_reader_takes_the_cues(film: Path, tmp_path: Path) -> None:
    webvtt = pytest.importorskip("webvtt", reason="webvtt-py is not installed")
    with open_video(film) as reader:
        write_storyboard(tmp_path, reader, StoryboardSettings())
    captions = webvtt.read(str(tmp_path / "storyboard.vtt"))
    assert len(captions) == 27
    assert captions[3].start_in_seconds == 3
    assert captions[3].text == "storyboard-001.jpg#xywh=192,0,64,48"


@pytest.mark.parametrize(
    ("duration", "expected"), [(3, 1), (60, 1), (104, 1.04), (600, 6), (7200, 10)]
)
def test_long_films_have_pictures_less_often(duration: float, expected: float) -> None:
    assert StoryboardSettings().stretch(duration) == pytest.approx(expected)


def test_pictures_are_made_smaller_in_proportion(film: Path, tmp_path: Path) -> None:
    with open_video(film) as reader:
        write_storyboard(tmp_path, reader, StoryboardSettings(5, 32))
    assert [each[3] for each in cues(tmp_path)] == [[32 * n, 0, 32, 24] for n in range(6)]


@pytest.mark.parametrize(("seconds", "width"), [(0, 160), (float("nan"), 160), (1, 0), (1, 15)])
def test_wrong_numbers(seconds: float, width: int) -> None:
    with pytest.raises(ArgumentError, match="storyboard_"):
        StoryboardSettings(seconds, width)


def test_on_the_command_line(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    command = ["summarise", str(film), "--output", str(output), "--processes", "0"]
    assert main([*command, "--storyboard", "--storyboard-seconds", "2"]) == 0
    assert len(cues(output / "grey")) == 14
    assert main([*command, "--overwrite"]) == 0
    assert not list((output / "grey").glob("storyboard*"))
    assert main([*command, "--overwrite", "--storyboard-seconds", "2"]) == 1
    assert "--storyboard" in capsys.readouterr().err
