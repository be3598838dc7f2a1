from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn import evaluation
from vidattn.cli.entry import main
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.jobs import compare


def video(name: str, label: str, predicted: str, **more: Any) -> dict[str, Any]:
    scores = [0.75, 0.25] if predicted == "a" else [0.25, 0.75]
    return {"video": name, "labels": [label], "predicted": predicted, "scores": scores} | more


def write(path: Path, videos: list[dict[str, Any]], **more: Any) -> Path:
    record = {"classes": ["a", "b"], "views": 1, "videos": videos} | more
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    ours = [video(f"{n}.mp4", "a", "a" if n < 6 else "b", group=str(n // 2)) for n in range(8)]
    theirs = [video(f"{n}.mp4", "a", "a" if n % 2 else "b", group=str(n // 2)) for n in range(1, 9)]
    first = write(tmp_path / "first.json", ours)
    return first, write(tmp_path / "second.json", theirs, views=10)


def test_the_difference_is_paired_over_the_videos_that_both_have(two: tuple[Path, Path]) -> None:
    found = compare(*two)
    assert found.videos == 7
    assert (found.only_in_first, found.only_in_second) == (["0.mp4"], ["8.mp4"])
    assert found.first == pytest.approx(5 / 7)
    assert found.second == pytest.approx(4 / 7)
    assert found.right_in_first == ["2.mp4", "4.mp4"]
    assert found.right_in_second == ["7.mp4"]
    expected = evaluation.bootstrap_mean(
        [0, 1, 0, 1, 0, 0, -1], seed=0, clusters=[0, 1, 1, 2, 2, 3, 3]
    )
    assert found.difference == pytest.approx(expected.mean)
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert found.settings == {"views": [1, 10]}
    turned = compare(*two[::-1])
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.right_in_first == found.right_in_second


def test_the_command_prints_words_or_json(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *map(str, two), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["videos"] == 7
    assert main(["compare", *map(str, two)]) == 0
    printed = capsys.readouterr().out
    assert "+14.3" in printed
    assert "recognised by the first only: 2 (2.mp4, 4.mp4)" in printed
    assert "views differs: 1 and 10" in printed


def test_rankings_of_several_labels_are_compared_by_class_name(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = [["a"], ["b"], ["a", "b"], ["b"], ["a"], ["a", "b"]]
    scores = generator.random((2, 6, 2))

    def videos(own: np.ndarray) -> list[dict[str, Any]]:
        return [{"video": str(n), "labels": labels[n], "scores": own[n].tolist()} for n in range(6)]

    figure = {"video_mean_average_precision": 0.0}
    first = write(tmp_path / "1.json", videos(scores[0]), **figure)
    second = write(tmp_path / "2.json", videos(scores[1][:, ::-1]), **figure, classes=["b", "a"])
    truth = np.array([[name in own for name in "ab"] for own in labels])
    found = compare(first, second)
    expected = [evaluation.mean_average_precision(own, truth) for own in scores]
    assert (found.first, found.second) == pytest.approx(expected)
    assert found.interval is not None
    assert found.interval[0] <= found.difference <= found.interval[1]
    assert compare(first, first).interval == (0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": ["b"]}, r"labels: 1 of 8 common videos.*3\.mp4: \['a'\] and \['b'\]"),
        ({"group": "another"}, r"group: 1 of 8"),
    ],
)
def test_another_truth_is_refused(
    two: tuple[Path, Path], tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    record = json.loads(two[0].read_text())
    record["videos"][3] |= change
    other = tmp_path / "other.json"
    other.write_text(json.dumps(record))
    with pytest.raises(ArgumentError, match=reason):
        compare(two[0], other)


def test_what_is_no_result_is_named(two: tuple[Path, Path], tmp_path: Path) -> None:
    for name, content in {"list.json": "[1]", "text.json": "text", "none.json": "{}"}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(AnnotationError, match=name):
            compare(two[0], tmp_path / name)
    with pytest.raises(AnnotationError, match=r"absent\.json"):
        compare(tmp_path / "absent.json", two[0])
    strangers = write(tmp_path / "strangers.json", [video("x", "a", "a")])
    with pytest.raises(ArgumentError, match="none in common"):
        compare(two[0], strangers)
    classes = write(tmp_path / "classes.json", [video("1.mp4", "a", "a")], classes=["a", "c"])
    with pytest.raises(ArgumentError, match="only one result knows b, c"):
        compare(two[0], classes)


def test_a_result_of_another_task_is_named(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({"task": "regions", "videos": []}))
    with pytest.raises(AnnotationError, match=r"\(recognition\), got .*the task regions"):
        compare(path, path)
