"""`vidattn keyframes` on the command line: what its options write."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError
from vidattn.jobs.keyframe_pictures import picture_name
from vidattn.video import open_video


@pytest.fixture
def film(write_flash: Callable[..., Path]) -> Path:
    return write_flash("film.mp4", frame_count=100, size=(64, 96))


def run(film: Path, output: Path, *options: str) -> dict[str, Any]:
    command = ["keyframes", str(film), "--output", str(output), "--processes", "0", *options]
    assert main(command) == 0
    [video] = json.loads((output / "keyframes.json").read_text())["videos"]
    return dict(video)


@pytest.mark.parametrize(
    ("form", "ending", "kind"), [("jpeg", ".jpg", "JPEG"), ("webp", ".webp", "WEBP")]
)
def test_pictures_in_each_format_with_their_times(
    form: str, ending: str, kind: str, film: Path, tmp_path: Path
) -> None:
    video = run(film, tmp_path / "out", "--format", form, "--quality", "95", "--count", "3")
    with open_video(film) as reader:
        for frame in video["frames"]:
            path = tmp_path / "out" / frame["image"]
            index, seconds = frame["frame_index"], frame["seconds"]
            assert path.name == f"frame_{index:06d}_00-00-{seconds:06.3f}{ending}"
            with Image.open(path) as image:
                assert image.format == kind
                shown = np.asarray(image.convert("RGB")).astype(int)
            [expected] = reader.frames_at([index]).array.astype(int)
            assert np.abs(shown - expected).mean() < 8


def test_jpeg_is_the_default_and_quality_counts(film: Path, tmp_path: Path) -> None:
    sizes = []
    for quality in ((), ("--quality", "10")):
        output = tmp_path / f"out{len(sizes)}"
        video = run(film, output, "--count", "2", *quality)
        assert {Path(frame["image"]).suffix for frame in video["frames"]} == {".jpg"}
        sizes.append((output / video["frames"][0]["image"]).stat().st_size)
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize(("width", "expected"), [(48, (48, 32)), (500, (96, 64))])
def test_wider_pictures_are_made_smaller(
    width: int, expected: tuple[int, int], film: Path, tmp_path: Path
) -> None:
    video = run(film, tmp_path / "out", "--width", str(width), "--format", "png")
    with Image.open(tmp_path / "out" / video["frames"][0]["image"]) as image:
        assert image.size == expected


def test_the_table_holds_what_the_record_holds(film: Path, tmp_path: Path) -> None:
    video = run(film, tmp_path / "out", "--count", "4")
    with open(tmp_path / "out" / "keyframes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame_index"]) for row in rows] == [
        frame["frame_index"] for frame in video["frames"]
    ]
    for row, frame in zip(rows, video["frames"], strict=True):
        assert float(row["seconds"]) == pytest.approx(frame["seconds"], abs=1e-6)
        assert (row["reason"], row["image"]) == (frame["reason"], frame["image"])
        assert row["shot"] == str(frame["shot"] or "")


def test_a_poster_is_the_best_of_the_frames(film: Path, tmp_path: Path) -> None:
    video = run(film, tmp_path / "out", "--poster", "--format", "png")
    best = max(video["frames"], key=lambda frame: frame["score"])
    assert video["poster"]["frame_index"] == best["frame_index"]
    poster = tmp_path / "out" / video["poster"]["image"]
    assert poster.name == "poster.png"
    assert poster.read_bytes() == (tmp_path / "out" / best["image"]).read_bytes()


def test_what_was_dropped_is_listed_where_that_is_asked_for(film: Path, tmp_path: Path) -> None:
    assert "dropped" not in run(film, tmp_path / "plain")
    video = run(film, tmp_path / "out", "--explain", "--count", "3")
    assert len(video["dropped"]) == 97
    assert all({"frame_index", "seconds", "reason"} <= set(each) for each in video["dropped"])


def test_the_choice_reaches_the_selection(film: Path, tmp_path: Path) -> None:
    options = "--from 1 --to 3 --per-shot 2 --margin 0.1 --minimum-gap-seconds 0.2 --distinct"
    video = run(film, tmp_path / "out", *options.split())
    found = vidattn.extract_keyframes(
        film,
        start_seconds=1,
        end_seconds=3,
        per_shot=2,
        margin_seconds=0.1,
        minimum_gap_seconds=0.2,
        distinct=True,
    )
    assert [frame["seconds"] for frame in video["frames"]] == [
        frame.seconds for frame in found.frames
    ]
    assert len(run(film, tmp_path / "every", "--every", "1")["frames"]) == 4
    assert len(run(film, tmp_path / "share", "--count", "5%")["frames"]) == 5
    run(film, tmp_path / "fast", "--fast", "--count", "auto")


def test_a_part_that_a_video_has_not_is_that_videos_failure(
    film: Path, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    short = write_flash("short.mp4", frame_count=10)
    output = tmp_path / "out"
    assert main(["keyframes", str(short), str(film), "--from", "1", "--output", str(output)]) == 1
    record = json.loads((output / "keyframes.json").read_text())
    [failure] = record["failures"]
    assert failure["video"] == str(short)
    assert failure["reason"].startswith("no frame lies from 1 to the end seconds")
    assert [video["video"] for video in record["videos"]] == [str(film)]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("--quality 0", "quality"),
        ("--quality 101", "quality"),
        ("--width 0", "width"),
        ("--count some", "count"),
        ("--every 0", "every"),
        ("--every 1 --count 3", "every"),
        ("--per-shot -1", "per"),
        ("--from 5 --to 2", "end_seconds"),
        ("--to nan", "start_seconds"),
        ("--margin nan", "margin"),
        ("--fast --per-shot 1", "fast"),
        ("--fast --checkpoint x.ckpt", "fast"),
        ("--score attention", "checkpoint"),
        ("--score differences", "score: unknown name 'differences'; did you mean difference"),
        ("--class fight", "checkpoint"),
        ("--query-model folder", "query_model"),
        ("--uniformity 2", "uniformity"),
        ("--uniformity 0.5 --per-shot 1", "per_shot"),
        ("--score random --every 2", "every"),
    ],
)
def test_wrong_options_are_one_line_before_anything_is_done(
    options: str, name: str, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["keyframes", str(film), "--output", str(output), *options.split()]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vidattn: {name}") or f"--{name}" in line
    assert not output.exists()


@pytest.mark.parametrize("score", ["difference", "packets", "random", "uniform", "coverage"])
def test_scores_reach_the_selection_and_the_tables(score: str, film: Path, tmp_path: Path) -> None:
    options = ["--score", score, "--uniformity", "0.25", "--count", "4", "--score-table"]
    video = run(film, tmp_path / "out", *options)
    found = vidattn.extract_keyframes(film, count=4, scorer=score, uniformity=0.25)
    assert [frame["frame_index"] for frame in video["frames"]] == [
        frame.frame_index for frame in found.frames
    ]
    assert video["score"] == score
    with open(tmp_path / "out" / video["scores"], newline="") as file:
        rows = list(csv.DictReader(file))
    places = [int(row["frame_index"]) for row in rows]  # those that were looked at
    expected = found.scores[places]
    assert [float(row["score"]) for row in rows] == pytest.approx(expected, abs=1e-6)
    assert "scores" not in run(film, tmp_path / "plain", "--score", score)


def test_a_class_by_several_processes(
    untrained: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["keyframes", str(film), "--checkpoint", str(untrained), "--threads", "1"]
    records = []
    for processes in ("0", "1"):
        output = tmp_path / processes
        command = [*given, "--class", "bright", "--processes", processes, "--output", str(output)]
        assert main(command) == 0
        records.append(json.loads((output / "keyframes.json").read_text()))
    assert records[0]["videos"] == records[1]["videos"]
    assert {frame["scored_by"] for frame in records[0]["videos"][0]["frames"]} == {"class"}
    capsys.readouterr()
    output = tmp_path / "wrong"
    assert main([*given, "--class", "brigth", "--output", str(output)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line == "vidattn: class: unknown name 'brigth'; did you mean bright?"
    assert not output.exists()


def test_a_run_takes_scores_by_name_only(film: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="scorer: expected the name of a score"):
        vidattn.write_keyframes([film], tmp_path / "out", scorer=lambda video: [0] * len(video))


@pytest.mark.parametrize(
    ("seconds", "time"),
    [
        (0.0, "00-00-00.000"),
        (59.9996, "00-01-00.000"),
        (3723.5, "01-02-03.500"),
        (-0.25, "-00-00-00.250"),
        (360000.0, "100-00-00.000"),
    ],
)
def test_names_say_when_a_frame_is(seconds: float, time: str) -> None:
    assert picture_name(7, seconds, ".webp") == f"frame_000007_{time}.webp"
