"""How many key frames there are, and how far apart: by the frames' own times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vidattn
from vidattn.cli.entry import main
from vidattn.data.actions import Truth
from vidattn.errors import VideoError
from vidattn.inference.features import FeatureExtractor
from vidattn.inference.windows import VideoAttention, WindowedRecogniser
from vidattn.jobs import attention_figures
from vidattn.models import LoadedRecogniser
from vidattn.video import VideoWriter, open_video
from vidattn.video.readers.indexed_reader import IndexedReader

PHONE = np.unique(np.concatenate([np.arange(0, 60, 2.0), np.arange(30, 32, 1 / 60)]).round(4))
PAUSE = np.concatenate([np.arange(0, 3, 0.1), 33 + np.arange(0, 3, 0.1)])
LATE = 100 + np.concatenate([np.arange(0, 4, 0.04), 4 + np.arange(0, 20, 1.0)])
SCREEN = np.concatenate([np.arange(12) * 10.0, 111 + np.arange(0, 1, 0.02)])


def write(path: Path, seconds: Iterable[float]) -> Path:
    """A bright bar that grows with time, in noise."""
    times = np.asarray(list(seconds))
    generator = np.random.default_rng(0)
    with VideoWriter(path, fps=30, size=(48, 64), timed=True, preset="ultrafast") as writer:
        for second in times:
            frame = generator.integers(0, 60, (48, 64, 3), np.uint8)
            frame[:, : int(1 + 62 * (second - times[0]) / (times[-1] - times[0] or 1))] += 150
            writer.write(frame, seconds=float(second))
    return path


@pytest.mark.parametrize("seconds", [PHONE, PAUSE, LATE, SCREEN])
@pytest.mark.parametrize("with_model", [False, True])
def test_gaps_are_seconds_where_the_rate_varies(
    seconds: np.ndarray, with_model: bool, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    path = write(tmp_path / "v.mp4", seconds)
    checkpoint = loaded_brightness if with_model else None
    for gap in (0.5, 1.0):
        found = vidattn.extract_keyframes(
            path, count=5, checkpoint=checkpoint, minimum_gap_seconds=gap
        )
        chosen = np.array([frame.seconds for frame in found.frames])
        assert len(chosen) == 5
        assert np.diff(chosen).min() >= gap - 1e-3
        assert found.details["remarks"] == []


@pytest.mark.parametrize("frame_count", [75, 10, 8])
@pytest.mark.parametrize("with_model", [False, True])
def test_the_gap_gives_way_to_the_count(
    frame_count: int, with_model: bool, loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    path = write(tmp_path / "v.mp4", np.arange(frame_count) / 25)
    checkpoint = loaded_brightness if with_model else None
    found = vidattn.extract_keyframes(path, count=8, checkpoint=checkpoint)
    assert len({frame.frame_index for frame in found.frames}) == 8
    assert found.details["remarks"] == []


@pytest.mark.parametrize("with_model", [False, True])
def test_fewer_frames_than_asked_for_are_told(
    with_model: bool,
    untrained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path / "v.mp4", np.arange(5) / 25)
    model = ["--checkpoint", str(untrained)] if with_model else []
    output = tmp_path / "out"
    assert main(["keyframes", str(path), "--count", "8", "--output", str(output), *model]) == 0
    remark = "expected 8 key frames, the video has 5 frames"
    assert f"{path}: {remark}" in capsys.readouterr().err
    [record] = json.loads((output / "keyframes.json").read_text())["videos"]
    assert record["remarks"] == [remark]
    assert len(record["frames"]) == 5


def test_a_truncated_file_is_told(shared_data: Path) -> None:
    path = shared_data / "codecs" / "derived" / "trunc_60pct_faststart.mp4"
    found = vidattn.extract_keyframes(path, count=3)
    [remark] = found.details["remarks"]
    assert remark.startswith("only its first 29 frames can be decoded")
    assert "--salvage" in remark


def test_scores_that_are_no_numbers_are_that_videos_failure(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    with torch.no_grad():
        for parameter in loaded_brightness.recogniser.pooling.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(VideoError, match="frame scores are not finite"):
        vidattn.extract_keyframes(write_flash(), checkpoint=loaded_brightness)


@pytest.mark.parametrize("seconds", [PHONE, PAUSE, LATE, SCREEN])
@pytest.mark.parametrize("clip", [{"frames_per_second": 4.0}, {"sampling": "segments"}])
def test_windows_last_equally_long_and_leave_nothing_out(
    seconds: np.ndarray, clip: dict[str, Any], loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    loaded = replace(loaded_brightness, clip=replace(loaded_brightness.clip, **clip))
    path = write(tmp_path / "v.mp4", seconds)
    longest = np.diff(seconds).max()
    span = 1.75 if "frames_per_second" in clip else min(10.0, seconds[-1] - seconds[0])
    with open_video(path) as reader:
        windows = list(WindowedRecogniser(loaded, reader).windows())
        attention = VideoAttention(windows)
        assert len(attention.frame_scores) == len(seconds)
        for window in windows[:-1]:
            assert np.ptp(window.seconds) == pytest.approx(span, abs=longest / 2 + 1e-3)
        features = FeatureExtractor(loaded).features(reader)
        lengths = features.end_seconds - features.start_seconds
        assert lengths[:-1].max() <= span + 2 * longest
        assert (features.start_seconds[1:] <= features.end_seconds[:-1] + 1e-9).all()


def test_regions_and_key_frames_hold_few_large_frames(
    loaded_brightness: LoadedRecogniser,
    write_flash: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    frames_at = IndexedReader.frames_at

    def counted(self: IndexedReader, indices: Any, *, short_side: int | None = None) -> Any:
        if short_side is None:
            asked.append(len(indices))
        return frames_at(self, indices, short_side=short_side)

    monkeypatch.setattr(IndexedReader, "frames_at", counted)
    boxes = [[60.0, 16.0, 84.0, 40.0]] * 10
    with open_video(write_flash(frame_count=150)) as reader:
        attention_figures.measure(
            loaded_brightness, reader, [Truth(20, 30, boxes)], tasks=["keyframes", "regions"]
        )
    assert 0 < max(asked) <= 8
