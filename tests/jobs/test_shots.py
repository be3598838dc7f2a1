from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from vidattn import find_shots, write_shots
from vidattn.cli.entry import main
from vidattn.errors import AnnotationError, UnknownNameError
from vidattn.evaluation import score
from vidattn.video import VideoWriter


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three still scenes of 20, 15 and 25 frames, at 10 frames a second."""
    generator = np.random.default_rng(0)
    path = tmp_path / "three.mp4"
    with VideoWriter(path, fps=10, size=(48, 64)) as writer:
        for length in (20, 15, 25):
            picture = generator.integers(0, 256, (6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
            for _ in range(length):
                writer.write(picture.astype(np.uint8))
    return path


def test_shots_have_frames_times_and_what_begins_them(film: Path) -> None:
    found = find_shots(film)
    assert [(each.start_frame, each.end_frame) for each in found] == [(0, 20), (20, 35), (35, 60)]
    times = [(each.start_seconds, each.end_seconds) for each in found]
    np.testing.assert_allclose(times, [(0, 2), (2, 3.5), (3.5, 6)], atol=1e-6)
    assert [each.begins_with for each in found] == [None, "cut", "cut"]
    assert found[1].duration_seconds == pytest.approx(1.5)
    assert len(found) == 3
    assert repr(found) == "<Shots of three.mp4: 3 in 6.0 s>"
    assert found._repr_html_().count("<tr>") == 4


def test_files_and_the_scorer_that_reads_them(film: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    output = tmp_path / "out"
    found = write_shots(
        [film, tmp_path / "broken.mp4"], output, formats=["csv", "chapters"], processes=0
    )
    assert found is not None
    assert [each.error for each in found.failures] == ["NotAVideoError"]
    assert json.loads((output / "shots.json").read_text())["videos"] == found.to_json()["videos"]
    with (output / "three" / "shots.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["start_frame"], row["end_seconds"]) for row in rows] == [
        ("0", "2.0"), ("20", "3.5"), ("35", "6.0"),
    ]  # fmt: skip
    assert (output / "three" / "shots.chapters.txt").read_text().count("[CHAPTER]") == 3
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"three.mp4": [20, 35]}))
    assert score("shots", output / "shots.json", truth).figures["F1"] == 1


def test_on_the_command_line(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shots", str(film), "--processes", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{film}: 3 shots in 6.0 s"
    assert lines[2].split() == ["2", "2.00", "–", "3.50", "s", "frames", "20", "–", "34", "cut"]
    assert main(["shots", str(film), "--processes", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["videos"]["three.mp4"]["transitions"] == [
        [19, 20], [34, 35],
    ]  # fmt: skip
    assert main(["shots", str(film.with_name("absent.mp4")), "--processes", "0"]) == 1
    assert "absent.mp4" in capsys.readouterr().err


def test_wrong_arguments_are_refused_before_anything_is_read(film: Path) -> None:
    with pytest.raises(UnknownNameError, match="csv"):
        write_shots([film], formats=["cvs"])
    with pytest.raises(AnnotationError, match="no video found"):
        write_shots([])


def test_shots_are_printed_while_they_are_found(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    code = main(["shots", str(film), str(tmp_path / "broken.mp4"), "--stream"])
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert code == 1
    assert printed.err.startswith(f"vidattn: {tmp_path / 'broken.mp4'}: ")
    expected = [{"video": str(film)} | vars(each) for each in find_shots(film)]
    assert lines == expected
    assert main(["shots", str(film), "--stream", "--output", str(tmp_path / "out")]) == 1
    assert "expected no --output" in capsys.readouterr().err
    assert main(["shots", str(film), "--stream", "--split"]) == 1
    assert "expected no --split" in capsys.readouterr().err
