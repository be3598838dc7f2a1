from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vidattn
from vidattn.errors import ArgumentError, CheckpointError, VideoError
from vidattn.jobs.keyframe_files import folder_names
from vidattn.models import LoadedRecogniser, Recogniser, RecogniserSpec, save
from vidattn.video import open_video

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}


@pytest.fixture
def checkpoint(loaded_brightness: LoadedRecogniser, tmp_path: Path) -> Path:
    spec = RecogniserSpec(classes=("a", "b"), backbone_settings=SLIM)
    save(tmp_path / "model.ckpt", Recogniser(spec), loaded_brightness.clip)
    return tmp_path / "model.ckpt"


def test_key_frames_and_regions_lie_in_the_action_of_a_long_video(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    path = write_flash(frame_count=300, span=(220, 240), box=(60, 16, 84, 40))
    found = vidattn.extract_keyframes(
        path, count=3, checkpoint=loaded_brightness, minimum_gap_seconds=0.1
    )
    assert len(found.scores) == 300
    assert len(found.frames) == 3
    with open_video(path) as reader:
        for frame in found.frames:
            assert 219 <= frame.frame_index <= 240
            assert frame.seconds == reader.seconds_of([frame.frame_index])[0]
            assert frame.score == pytest.approx(found.scores[frame.frame_index])
            [(x1, y1, x2, y2)] = frame.regions
            assert x1 <= 72 <= x2
            assert y1 <= 28 <= y2
            # The box is 24 wide and cells are 4, give or take the kernel: no more than double.
            assert x2 - x1 <= 48
            assert y2 - y1 <= 48
            assert frame.label == "bright"
    assert "attention" in found.method
    assert found.details["decoder"].startswith("pyav")


def test_without_a_checkpoint_frames_stand_for_both_scenes(
    write_flash: Callable[..., Path],
) -> None:
    path = write_flash(span=(24, 48), box=(0, 0, 48, 64))
    found = vidattn.extract_keyframes(path, count=2)
    first, second = found.frames
    assert first.frame_index < 24 <= second.frame_index
    assert all(frame.regions == () and frame.label is None for frame in found.frames)


@pytest.mark.parametrize("frame_count", [1, 3])
def test_short_videos_give_what_they_have(
    frame_count: int,
    loaded_brightness: LoadedRecogniser,
    write_flash: Callable[..., Path],
) -> None:
    path = write_flash(frame_count=frame_count, span=(0, 1))
    for checkpoint in (None, loaded_brightness):
        found = vidattn.extract_keyframes(path, count=8, checkpoint=checkpoint)
        assert 1 <= len(found.frames) <= frame_count


def test_files_hold_full_frames_and_the_record(
    checkpoint: Path, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    videos = [
        write_flash("one.mp4"),
        write_flash("other/one.mp4", size=(48, 64), box=(8, 8, 20, 20)),
    ]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    output = tmp_path / "out"
    failures = vidattn.write_keyframes(
        [*videos, broken], output, checkpoint=checkpoint, count=3, minimum_gap_seconds=0
    )
    assert [failure.path for failure in failures] == [str(broken)]
    record = json.loads((output / "keyframes.json").read_text())
    assert [video["video"] for video in record["videos"]] == [str(video) for video in videos]
    assert record["failures"][0]["video"] == str(broken)
    for video, source in zip(record["videos"], videos, strict=True):
        assert {"method", "decoder", "vidattn", "checkpoint_sha256"} <= set(video)
        assert len(video["frames"]) == 3
        folder = (output / video["frames"][0]["image"]).parent
        assert (folder / "contact_sheet.png").is_file()
        with open_video(source) as reader:
            for frame in video["frames"]:
                assert {"frame_index", "seconds", "score", "regions"} <= set(frame)
                [expected] = reader.frames_at([frame["frame_index"]]).pixels.permute(0, 2, 3, 1)
                with Image.open(output / frame["image"]) as image:
                    assert np.array_equal(np.asarray(image), expected.numpy())


def test_nothing_is_written_for_a_video_that_cannot_be_read(
    checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    for name, content in (("empty.mp4", b""), ("text.mp4", b"hello" * 1000)):
        (tmp_path / name).write_bytes(content)
        [failure] = vidattn.write_keyframes([tmp_path / name], output, checkpoint=checkpoint)
        assert name in str(failure)
    [failure] = vidattn.write_keyframes(["http://localhost/a.mp4"], output)
    assert isinstance(failure, VideoError)
    assert not output.exists()


def test_wrong_arguments_are_named(write_flash: Callable[..., Path], tmp_path: Path) -> None:
    path = write_flash()
    with pytest.raises(ArgumentError, match="count"):
        vidattn.extract_keyframes(path, count=0)
    for gap in (-1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="minimum_gap_seconds"):
            vidattn.extract_keyframes(path, minimum_gap_seconds=gap)
    with pytest.raises(CheckpointError, match=r"absent\.ckpt"):
        vidattn.extract_keyframes(path, checkpoint=tmp_path / "absent.ckpt")


def test_no_folder_name_leads_out_of_the_output() -> None:
    videos = ["..", ".", "/", "a/clip.mp4", "b/clip.avi", "../.."]
    names = list(folder_names(videos).values())
    assert len(set(names)) == len(videos)
    for name in names:
        assert name not in ("", ".", "..")
        assert "/" not in name


def test_progress_does_not_mix_with_what_is_printed(
    checkpoint: Path,
    write_flash: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # rich then takes any output for a terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    videos = [write_flash(f"{number}.mp4", frame_count=4) for number in range(2)]
    vidattn.write_keyframes(videos, tmp_path / "out")
    vidattn.explain(videos[0], checkpoint=checkpoint, output=tmp_path / "explained")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "extracting" in captured.err
