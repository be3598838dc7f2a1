from __future__ import annotations

import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from vidattn import jobs
from vidattn.cli.entry import main
from vidattn.data import read_annotations
from vidattn.data.synthetic import write_actions
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.jobs import demo_material, demo_page
from vidattn.training.interruption import TrainingInterrupted

# The package gives the function of this name.
demo_run = import_module("vidattn.jobs.demo")


def predictions(labels: list[str], scores: list[list[float]]) -> dict:
    rows = [
        {"label": label, "class_scores": row, "truth": None}
        for label, row in zip(labels, scores, strict=True)
    ]
    return {
        "classes": ["a", "b"],
        "seed": 0,
        "keyframes_per_video": 3,
        "videos": rows,
        "failures": {},
    }


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


def test_the_interval_of_few_videos_is_wide_and_no_more_is_claimed() -> None:
    """Seven right answers in seven: resampling them would say 100 to 100 %."""
    found = demo_run.summarise(predictions(["a"] * 4 + ["b"] * 3, [[0.9, 0.1]] * 4 + [[0, 1]] * 3))
    # Wilson's lower bound for n of n is n / (n + z²).
    low, high = found["intervals_95"]["top1"]
    assert (low, high) == (pytest.approx(7 / (7 + 1.959964**2)), 1.0)
    assert found["majority"] == pytest.approx(4 / 7)
    found["seconds"] = {"training": 150.0}
    claim = demo_page._claim(found)
    assert "100% of 7 test videos (95 % interval 65% to 100%; chance 50%" in claim
    assert "most frequent class 57%" in claim
    assert "attention says" not in claim


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_ends_with_the_signals_code(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise TrainingInterrupted(number, 0, 3)

    monkeypatch.setattr(jobs, "demo", interrupted)
    assert main(["demo", "--output", str(tmp_path / "out")]) == code
    said = capsys.readouterr().err
    assert said == ("vidattn: interrupted in epoch 0, after step 3; the same command begins anew\n")


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
    assert demo_run.epochs_and_passes(1200) == (12, 1)
    assert demo_run.epochs_and_passes(100_000) == (1, 1)
    for count in (1, 2, 17, 24, 480, 700, 900):
        epochs, passes = demo_run.epochs_and_passes(count)
        assert epochs * passes * count == pytest.approx(14_400, rel=0.05)
        assert 8 <= epochs <= 24  # what happens between epochs takes no time to speak of


@pytest.mark.parametrize(
    "name",
    [
        *("report.html", "actions/train/up/0000.mp4", "model.ckpt", "summary.json", "csv/a.csv"),
        *("model-v1.ckpt", "interrupted.ckpt"),  # such as another training leaves
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_person_has_there_is_refused_before_anything_is_made(
    name: str, overwrite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("three months of work")
    monkeypatch.setattr(demo_material, "write_actions", lambda *_, **__: pytest.fail("begun"))
    with pytest.raises(ArgumentError, match=Path(name).parts[0]):
        demo_run.demo(tmp_path / "out", overwrite=overwrite, progress=False)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files == [mine]
    assert mine.read_text() == "three months of work"


def test_an_earlier_demo_is_replaced_only_when_asked_for(
    write_flash: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("dark", "bright"):
        for number in range(4):
            write_flash(f'own/{label}/a "{number}".mp4', frame_count=4, size=(32, 32))
    output = tmp_path / "out"
    trained: list[int] = []

    def train(folder: Path, material: demo_material.Material, seed: int) -> None:
        assert not (folder / "model.ckpt").exists()
        assert len(read_annotations(material.training, root=material.root)) == 6
        (folder / "model.ckpt").write_text("a model")
        trained.append(seed)

    monkeypatch.setattr(demo_run, "train_on", train)
    monkeypatch.setattr(demo_run.models, "load", lambda _: None)
    monkeypatch.setattr(demo_run, "predict", lambda *_, **__: {})
    monkeypatch.setattr(demo_run, "summarise", lambda _: {"top1": 1.0})
    monkeypatch.setattr(demo_run, "write_demo_page", lambda path, *_: path.write_text("page"))
    own = tmp_path / "own"
    demo_run.demo(output, videos=own, progress=False)
    with pytest.raises(ArgumentError, match="--overwrite"):
        demo_run.demo(output, videos=own, progress=False)
    (output / "notes.txt").write_text("mine")
    demo_run.demo(output, videos=own, seed=1, overwrite=True, progress=False)
    assert trained == [0, 1]
    assert sorted(path.name for path in output.iterdir()) == [
        "model.ckpt", "notes.txt", "predictions.json", "report.html", "summary.json", "training.csv"
    ]  # fmt: skip
