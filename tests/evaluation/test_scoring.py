from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidattn.errors import MalformedFileError
from vidattn.evaluation import score
from vidattn.evaluation.scoring import task, task_names
from vidattn.evaluation.tasks.task import Score


def test_scoring_needs_neither_torch_nor_scipy(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("v,1,0,0,1,1,1,0.5\n")
    code = (
        "import sys\n"
        "from vidattn.evaluation.scoring import score, task, task_names\n"
        "for name in task_names(): task(name)\n"
        "score('detection', sys.argv[1], sys.argv[1])\n"
        "heavy = {'torch', 'torchvision', 'pytorch_lightning', 'av', 'scipy', 'h5py', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.csv")], check=True)


@pytest.mark.parametrize("name", task_names())
def test_every_task_says_what_it_takes(name: str) -> None:
    found = task(name)
    assert found.name == name
    assert found.example.startswith(f"{name} ")
    assert all((found.summary, found.predictions, found.truth, *found.protocols.values()))


def test_nothing_counted_is_null_in_the_record() -> None:
    found = Score("any", "own", {"mean": float("nan")}, {"a": {"x": float("inf"), "y": 0.5}})
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["figures"] == {"mean": None}
    assert record["classes"] == {"a": {"x": None, "y": 0.5}}
    assert record["versions"]["numpy"]


@pytest.mark.parametrize("protocol", ["official", "pyslowfast", "mmaction2"])
def test_detections_of_mmaction2(shared_data: Path, protocol: str) -> None:
    folder = shared_data / "metrics" / "ava"
    found = score(
        "detection",
        folder / "pred.csv",
        folder / "gt.csv",
        protocol=protocol,
        labels=folder / "action_list.txt",
    )
    assert found.figures["mAP@0.5"] == pytest.approx(0.09385522, abs=5e-9)


def test_boxes_of_object_detection_metrics(shared_data: Path) -> None:
    """The figures of that project's read-me: 24.57 % and 26.84 % at an overlap of 0.3."""
    files = [shared_data / "metrics" / "boxes" / name for name in ("detections", "groundtruths")]
    for protocol, expected in (("voc", 0.24568668046928915), ("voc-11-point", 0.26839826839826836)):
        found = score("boxes", *files, protocol=protocol, overlap=0.3)
        assert found.figures["mAP@0.3"] == pytest.approx(expected, abs=1e-12)


def test_a_perfect_detector_in_every_protocol(tmp_path: Path) -> None:
    boxes = [f"v,{second:04d},0.1,0.1,0.{second % 7 + 2},0.9" for second in range(902, 912)]
    (tmp_path / "truth.csv").write_text("".join(f"{box},3,0\n" for box in boxes))
    (tmp_path / "found.csv").write_text("".join(f"{box},3,0.7\n" for box in boxes))
    for protocol in task("detection").protocols:
        found = score(
            "detection", tmp_path / "found.csv", tmp_path / "truth.csv", protocol=protocol
        )
        assert found.figures == {"mAP@0.5": 1.0}
        assert found.classes["3"]["hits"] == 10


def test_settings_of_detection(tmp_path: Path) -> None:
    truth, found, excluded = (tmp_path / f"{name}.csv" for name in "abc")
    truth.write_text("v,1,0,0,1,1,1,0\nv,2,0,0,1,1,1,0\nv,3\n")
    rows = ["v,1,0,0,1,1,1,0.9", "v,1,0,0,0.2,1,1,0.95", "v,3,0,0,1,1,1,0.99", "w,1,0,0,1,1,1,1"]
    found.write_text("\n".join(rows))
    excluded.write_text("v,2\n")

    def value(**settings: object) -> float:
        return score("detection", found, truth, **settings).figures["mAP@0.5"]

    assert value() == pytest.approx(1 / 3 / 2)  # frame 3 is listed, w is not
    assert value(excluded=excluded) == pytest.approx(1 / 3)
    assert value(frames="boxes") == pytest.approx(1 / 2 / 2)
    assert value(frames="all") == pytest.approx(1 / 4 / 2)
    assert value(cap=1) == 0
    assert value(minimum_score=0.9) == 0
    low = score("detection", found, truth, overlap=0.2)
    assert low.figures["mAP@0.2"] == pytest.approx(1 / 2 / 2)


def test_mmaction2_ranks_by_float32(tmp_path: Path) -> None:
    """Two scores that float32 cannot tell apart: of equal ones the later frame comes first."""
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text("v,1,0,0,1,1,1,0\nv,2,0,0,1,1,1,0\n")
    found.write_text("v,1,0,0,1,1,1,0.50000001\nv,2,0,0,0.1,1,1,0.5\n")
    values = {
        protocol: score("detection", found, truth, protocol=protocol).figures["mAP@0.5"]
        for protocol in task("detection").protocols
    }
    assert values == {"official": 0.5, "pyslowfast": 0.5, "mmaction2": 0.25}


def test_garbage_collection_is_as_it_was(tmp_path: Path) -> None:
    assert gc.isenabled()
    with pytest.raises(MalformedFileError):
        score("detection", tmp_path / "absent", tmp_path / "absent")
    assert gc.isenabled()
