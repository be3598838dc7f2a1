"""Damaged videos through the commands: what is left is used, and what is not valid is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.video.test_salvaging_reader import damage, group_film
from vidattn.cli.entry import main
from vidattn.errors import DecodeError
from vidattn.files import write_bytes
from vidattn.inference import extract_keyframes
from vidattn.jobs import index_videos
from vidattn.report import encode_image
from vidattn.video import open_video


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Frames 13 to 19 of 40 are damaged."""
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    return damage(group_film(tmp_path, "h264.mp4"), [14])


def test_key_frames_are_valid_ones(broken: Path) -> None:
    found = extract_keyframes(broken, count=30, minimum_gap_seconds=0, salvage=True)
    chosen = {frame.frame_index for frame in found.frames}
    assert len(chosen) == 30
    assert not chosen & set(range(13, 20))
    assert len(found.scores) == 40
    assert [span[:2] for span in found.to_json()["damaged_spans"]] == [[13, 19]]


def test_the_index_names_what_is_damaged(broken: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    (plain,) = index_videos([broken], report=report, progress=False)
    assert plain.damaged_spans is None
    (found,) = index_videos([broken], report=report, progress=False, salvage=True)
    [record] = json.loads(report.read_text())["videos"]
    assert found.damaged_spans is not None
    assert found.damaged_spans[0][:2] == (13, 19)
    assert record["salvage"]["frame_count"] == record["salvage"]["packet_count"] == 40
    assert record["salvage"]["valid_frames"] == 33
    assert record["salvage"]["damaged_spans"][0][:2] == [13, 19]
    (again,) = index_videos([broken], report=report, progress=False)
    assert again.damaged_spans == found.damaged_spans


def test_on_the_command_line(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", str(broken), "--salvage", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["videos"][0]["salvage"]["valid_frames"] == 33
    assert main(["index", str(broken), "--salvage"]) == 0
    assert "33 of 40" in " ".join(capsys.readouterr().out.split())
    output = ["--output", str(tmp_path / "found")]
    assert main(["keyframes", str(broken), "--salvage", "--count", "3", *output]) == 0
    found = json.loads((tmp_path / "found" / "keyframes.json").read_text())
    assert found["videos"][0]["damaged_spans"][0][:2] == [13, 19]
    pictures = list((tmp_path / "found").rglob("frame_*.jpg"))
    assert len(pictures) == len(found["videos"][0]["frames"]) > 0


def test_a_folder_of_images_is_refused_before_anything_is_done(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, output = tmp_path / "images", tmp_path / "found"
    write_bytes(images / "0.png", encode_image(np.zeros((48, 64, 3), np.uint8)))
    assert main(["keyframes", str(images), "--output", str(tmp_path / "plain")]) == 0
    videos = [str(broken), str(images)]
    assert main(["keyframes", *videos, "--salvage", "--output", str(output)]) == 1
    assert f"{images}: salvage is for video files" in capsys.readouterr().err
    assert not output.exists()


def test_nothing_valid_is_an_error(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(broken, salvage=True) as reader:
        monkeypatch.setattr(type(reader), "valid_indices", lambda self: [])
    with pytest.raises(DecodeError, match="no frame is left"):
        extract_keyframes(broken, salvage=True)
