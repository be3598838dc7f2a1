from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from vidattn.data.synthetic import write_actions
from vidattn.errors import AnnotationError, EarlierRunError
from vidattn.jobs import demo_folder, demo_material, demo_run


def predictions(labels: list[str], scores: list[list[float]]) -> dict:
    rows = [
        {"label": label, "class_scores": row, "truth": None}
        for label, row in zip(labels, scores, strict=True)
    ]
    return {"classes": ["a", "b"], "seed": 0, "key_frames": 3, "videos": rows, "failures": {}}


def test_recognition_is_counted_without_truth_about_when_and_where() -> None:
    found = demo_run.summarise(
        predictions(["a", "a", "b", "b"], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    )
    assert found["top1"] == 0.75
    assert found["chance"] == 0.5
    assert found["confusion_matrix"] == [[1, 1], [0, 2]]
    assert "keyframe_precision" not in found
    with pytest.raises(AnnotationError, match="no video was read"):
        demo_run.summarise(predictions([], []))


def test_truth_is_found_beside_the_videos_and_a_foreign_file_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_actions(
        tmp_path, clips_per_class={"train": 1, "test": 1}, size=(32, 32), frame_count=16
    )
    material = demo_material.read_folder(tmp_path)
    assert len(material.test) == len(material.truths) == material.training_count == 10
    for row in truth:
        if row.path.startswith("train/"):
            continue
        found = material.truths[row.path.removeprefix("test/")]
        assert (found.start_frame, found.end_frame) == (row.start_frame, row.end_frame)
    (tmp_path / "truth.json").write_text('{"somebody": "else"}')
    assert demo_material.read_folder(tmp_path).truths == {}
    assert "truth.json" in capsys.readouterr().err


def test_a_folder_of_classes_is_split_by_file(
    write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    for label in ("early", "late"):
        for number in range(10):
            write_flash(f"own/{label}/{number}.mp4", frame_count=4, size=(32, 32))
    material = demo_material.own_videos(tmp_path / "own", tmp_path / "out", 0)
    assert len(material.test) == 6  # 30 %, of each class
    trained = material.training.read_text().splitlines()[1:]
    assert len(trained) == 14
    assert not {sample.video_id for sample in material.test} & {
        line.split('"')[1] for line in trained
    }


def test_training_takes_as_long_for_few_videos_as_for_many() -> None:
    assert demo_run.epochs(1200) == 12
    assert demo_run.epochs(480) == 30
    assert demo_run.epochs(100_000) == 1


class TestFolder:
    """Which files in the demo's folder it takes for its own."""

    @pytest.fixture
    def finished(self, tmp_path: Path) -> Path:
        output = tmp_path / "demo"
        output.mkdir()
        (output / "model.ckpt").write_bytes(b"weights")
        values = {"seed_everything": 3, "data": {"root": str(output / "actions" / "train")}}
        (output / "training.yaml").write_text(yaml.safe_dump(values))
        digest = hashlib.sha256(b"weights").hexdigest()
        (output / "predictions.json").write_text(json.dumps({"checkpoint_sha256": digest}))
        return output

    def test_the_same_demo_may_be_run_again(self, finished: Path) -> None:
        root = demo_material.training_root(finished, None)
        demo_folder.refuse_other_files(finished, root, 3)
        (finished / "predictions.json").unlink()  # as an interruption leaves it
        demo_folder.refuse_other_files(finished, root, 3)
        demo_folder.refuse_other_files(finished.parent / "new", root, 3)

    @pytest.mark.parametrize(
        ("videos", "seed", "said"),
        [(None, 4, "seed 3"), ("other", 3, "actions/train, seed 3"), ("split", 3, "seed 3")],
    )
    def test_another_demo_is_refused(self, finished: Path, videos, seed, said) -> None:
        for part in ("train", "test"):
            (finished.parent / "split" / part).mkdir(parents=True)
        given = None if videos is None else finished.parent / videos
        with pytest.raises(EarlierRunError, match=said) as caught:
            demo_run.demo(finished, videos=given, seed=seed, progress=False)
        assert "--overwrite" in str(caught.value)
        assert (finished / "model.ckpt").read_bytes() == b"weights"
        assert not (finished / "actions").exists()

    def test_a_checkpoint_that_was_trained_since_is_kept(self, finished: Path) -> None:
        (finished / "model.ckpt").write_bytes(b"others")
        with pytest.raises(EarlierRunError, match=r"model\.ckpt was trained since then"):
            demo_run.demo(finished, seed=3, progress=False)

    @pytest.mark.parametrize("name", ["report.html", "summary.json", "training.csv"])
    def test_files_of_a_persons_are_kept(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("mine")
        with pytest.raises(EarlierRunError, match=f"{name} would be written over"):
            demo_run.demo(tmp_path, progress=False)
        assert (tmp_path / name).read_text() == "mine"
