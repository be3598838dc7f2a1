from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from vidattn import models
from vidattn.cli.entry import main
from vidattn.errors import AnnotationError, UnknownNameError
from vidattn.jobs import write_features
from vidattn.runs.result_files import JOURNAL_FOLDER
from vidattn.runs.result_names import result_names
from vidattn.video import open_video


def test_windows_know_their_seconds_and_are_what_the_backbone_says(
    untrained: Path, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_flash(frame_count=21, size=(48, 64), fps=10)
    found = write_features(
        untrained, [path], tmp_path / "out", hop=5, batch_size=2, stage="stem", progress=False
    )
    assert found is not None
    assert found.settings["stage"] == "stem"
    assert (found[0].windows, found[0].fps) == (4, 10)
    with np.load(tmp_path / "out" / found[0].file) as file:
        content = dict(file)
    # Windows of 8 of 21 frames, 5 apart; the last is moved back to end with the video.
    assert content["indices"][:, 0].tolist() == [0, 5, 10, 13]
    assert content["indices"][1].tolist() == list(range(5, 13))
    assert content["start_seconds"] == pytest.approx([0, 0.5, 1.0, 1.3])
    assert content["end_seconds"] == pytest.approx([0.8, 1.3, 1.8, 2.1])
    assert content["centre_seconds"] == pytest.approx([0.4, 0.9, 1.4, 1.7])
    assert content["features"].dtype == np.float32

    loaded = models.load(untrained)
    with open_video(path) as reader:
        frames = reader.frames_at(range(21), short_side=32).pixels[:, :, :, 5:37].double() / 255
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (loaded.clip.mean, loaded.clip.std))
    clip = ((frames - mean) / std).float()
    with torch.inference_mode():
        for row, start in zip(content["features"], (0, 5, 10, 13), strict=True):
            window = clip[start : start + 8].transpose(0, 1)[None]
            stage = loaded.recogniser.backbone.features(window, ["stem"])["stem"]
            assert row == pytest.approx(stage.mean((0, 2, 3, 4)).numpy(), abs=1e-5)


def test_padding_of_a_short_video_does_not_count(
    untrained: Path, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_flash(frame_count=3, size=(32, 32))
    write_features(untrained, [path], tmp_path / "out", progress=False)
    with np.load(tmp_path / "out" / "flash.npz") as file:
        assert file["indices"].tolist() == [[0, 1, 2, 2, 2, 2, 2, 2]]
        assert file["end_seconds"] == pytest.approx([3 / 25])
        found = file["features"]
    loaded = models.load(untrained)
    with open_video(path) as reader:
        frames = reader.frames_at([0, 1, 2, 2, 2, 2, 2, 2]).pixels.double() / 255
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (loaded.clip.mean, loaded.clip.std))
    clip = ((frames - mean) / std).float().transpose(0, 1)[None]
    with torch.inference_mode():
        stage = loaded.recogniser.backbone(clip)  # a step for each frame
    assert stage.shape[2] == 8
    assert found == pytest.approx(stage[:, :, :3].mean((2, 3, 4)).numpy(), abs=1e-5)


def test_shares_and_interruptions_do_not_change_the_files(
    untrained: Path, class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"hop": 3, "threads": 1, "progress": False}
    whole = write_features(untrained, [class_folders], tmp_path / "whole", **settings)
    assert whole is not None
    assert len(whole) == 6
    assert [Path(each.video).name for each in whole.failures] == ["broken.mp4"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    shared = write_features(untrained, [class_folders], tmp_path / "shared", **settings)
    monkeypatch.setenv("RANK", "0")  # it comes too late to do anything
    late = write_features(untrained, [class_folders], tmp_path / "shared", **settings)
    assert shared is not None
    assert late is None
    record = json.loads((tmp_path / "shared" / "features.json").read_text())
    assert shared.to_json() == whole.to_json()
    assert record.items() >= whole.to_json().items()
    counts = [record[f"videos_{name}"] for name in ("expected", "done", "failed")]
    assert counts == [7, 6, 1]
    assert [video.file for video in whole][:2] == ["bright/0.npz", "bright/1.npz"]
    for video in whole:
        with (
            np.load(tmp_path / "whole" / video.file) as one,
            np.load(tmp_path / "shared" / video.file) as other,
        ):
            assert all(np.array_equal(one[name], other[name]) for name in one.files)
    assert not (tmp_path / "shared" / JOURNAL_FOLDER).exists()


def test_the_command(
    untrained: Path, class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{class_folders / 'dark' / '0.mp4'}\n")
    arguments = ["features", str(untrained), "--data", str(listed), "--output"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert "1 of 1 videos, 7 windows of 8 channels" in capsys.readouterr().out
    with pytest.raises(UnknownNameError, match="stage"):
        write_features(untrained, [listed], tmp_path / "out", stage="stage9")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="no video"):
        write_features(untrained, [tmp_path / "empty"], tmp_path / "out")


def test_names_tell_videos_apart() -> None:
    paths = [Path("/x/a.mp4"), Path("/x/b/a.mp4"), Path("/x/b/a.avi"), Path("/x/b/c.d.mp4")]
    digest = sha256(b"/x/b/a.mp4").hexdigest()[:8]
    assert result_names(paths) == ["a", f"a~{digest}", "a.avi", "c.d"]
    assert result_names([Path("/x/a.mp4")]) == ["a"]
    assert result_names([]) == []
