from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import AnnotationError, ArgumentError, CheckpointError
from vidattn.inference import KeyFrames
from vidattn.jobs import keyframe_work
from vidattn.models import LoadedRecogniser, Recogniser, RecogniserSpec, save
from vidattn.runs import provenance
from vidattn.runs.result_files import JOURNAL_FOLDER
from vidattn.runs.result_names import result_names
from vidattn.runs.results import KEPT_FOLDER
from vidattn.video import open_video
from vidattn.video.sources.source import VideoSource

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
    found = vidattn.write_keyframes(
        [*videos, broken],
        output,
        checkpoint=checkpoint,
        count=3,
        minimum_gap_seconds=0,
        picture_format="png",
    )
    record = json.loads((output / "keyframes.json").read_text())
    assert record.items() >= json.loads(json.dumps(found.to_json())).items()
    assert [len(video.images) for video in found] == [3, 3]
    assert found[0].frames[0].seconds == record["videos"][0]["frames"][0]["seconds"]
    assert [video["video"] for video in record["videos"]] == [str(video) for video in videos]
    [failure] = record["failures"]
    assert (failure["video"], failure["error"]) == (str(broken), "NotAVideoError")
    other = f"one~{sha256(str(videos[1]).encode()).hexdigest()[:8]}"
    assert sorted(path.name for path in output.iterdir()) == [
        KEPT_FOLDER, "keyframes.csv", "keyframes.html", "keyframes.json", "one", other
    ]  # fmt: skip
    for video, source in zip(record["videos"], videos, strict=True):
        assert {"method", "decoder", "vidattn", "checkpoint_sha256"} <= set(video)
        assert len(video["frames"]) == 3
        folder = (output / video["frames"][0]["image"]).parent
        assert (folder / "contact_sheet.jpg").is_file()
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
        found = vidattn.write_keyframes([tmp_path / name], output, checkpoint=checkpoint)
        assert [name in failure.video for failure in found.failures] == [True]
    [failure] = vidattn.write_keyframes(["http://localhost/a.mp4"], output).failures
    assert failure.error == "UnsafePathError"
    assert failure.video == "http://localhost/a.mp4"
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(AnnotationError, match="no video found"):
        vidattn.write_keyframes([tmp_path / "list.txt"], output)
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


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"regions": 0},
        {"region_threshold": 0.0},
        {"batch_size": 0},
        {"minimum_gap_seconds": -1},
        {"decoder": "none"},
        {"decoder": "decord", "salvage": True},
        {"processes": -1},
        {"video_seconds": -1},
        {"video_memory": "4 apples"},
    ],
)
def test_nothing_is_begun_with_wrong_arguments(
    wrong: dict[str, Any], write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match=next(reversed(wrong))):
        vidattn.write_keyframes([write_flash()], tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_lists_and_folders_of_videos_and_of_images(
    write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    first = write_flash("videos/below/first.mp4", frame_count=6)
    second = write_flash("second.mp4", frame_count=6)
    (tmp_path / "list.txt").write_text("second.mp4\nvideos/below/first.mp4\n")
    vidattn.write_keyframes([first], tmp_path / "frames", count=4, minimum_gap_seconds=0)
    for sheet in (tmp_path / "frames").rglob("contact_sheet.jpg"):
        sheet.unlink()
    images = tmp_path / "frames" / "first"
    given = [tmp_path / "videos", tmp_path / "list.txt", images]
    found = vidattn.write_keyframes(given, tmp_path / "out", count=2, minimum_gap_seconds=0)
    assert [video.video for video in found] == list(map(str, [first, second, images]))
    assert [video.record["frame_count"] for video in found] == [6, 6, 4]


def test_a_run_that_was_interrupted_goes_on(
    write_flash: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [write_flash(f"{number}.mp4", frame_count=6) for number in range(3)]
    whole = vidattn.write_keyframes(videos, tmp_path / "whole")
    output, extract, read = tmp_path / "out", keyframe_work.extract_keyframes, []

    def extract_two(video: VideoSource, **settings: Any) -> KeyFrames:
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(video.file_name)
        return extract(video, **settings)

    monkeypatch.setattr(keyframe_work, "extract_keyframes", extract_two)
    with pytest.raises(KeyboardInterrupt):
        vidattn.write_keyframes(videos, output, processes=0)
    with pytest.raises(ArgumentError, match=r"unfinished run with other settings.*count"):
        vidattn.write_keyframes(videos, output, count=2)
    with monkeypatch.context() as other:
        other.setattr(provenance, "__version__", "another")
        with pytest.raises(ArgumentError, match="versions"):
            vidattn.write_keyframes(videos, output)
    read.clear()
    again = vidattn.write_keyframes(videos, output, device="cpu:0", processes=0)
    assert again.to_json() == whole.to_json()
    assert read == ["2.mp4"]
    record = json.loads((output / "keyframes.json").read_text())
    assert record.items() >= json.loads(json.dumps(whole.to_json())).items()
    assert not (output / JOURNAL_FOLDER).exists()
    assert len(list(output.rglob("contact_sheet.jpg"))) == 3


def test_processes_share_the_videos(
    checkpoint: Path,
    write_flash: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    videos = [write_flash(f"{number}.mp4", frame_count=9 - number) for number in range(3)]
    settings: dict[str, Any] = {"checkpoint": checkpoint, "threads": 1, "count": 3}
    whole = vidattn.write_keyframes(videos, tmp_path / "whole", **settings)
    given = [*map(str, videos), "--checkpoint", str(checkpoint), "--threads", "1", "--count", "3"]
    output = tmp_path / "shared"
    assert main(["keyframes", *given, "--processes", "2", "--output", str(output)]) == 0
    written = f"{output}/keyframes.html, .csv and .json"
    assert capsys.readouterr().out == f"3 of 3 videos, 9 key frames: {written}\n"
    record = json.loads((output / "keyframes.json").read_text())
    assert record.items() >= json.loads(json.dumps(whole.to_json())).items()
    assert len(list(output.rglob("frame_*.jpg"))) == 9


def test_no_folder_name_leads_out_of_the_output() -> None:
    videos = ["..", ".", "/", "a/clip.mp4", "b/clip.avi", "../.."]
    names = result_names(videos)
    assert len(set(names)) == len(videos)
    for name in names:
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))


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
