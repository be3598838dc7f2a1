"""The pages of `shots` and `keyframes` that play films: what they hold, and for which videos."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from tests.report.test_page import Reader
from vidattn.cli.entry import main
from vidattn.inference.keyframe_results import KeyFrame, KeyFrames, ScoreCurve
from vidattn.inference.keyframes import extract_keyframes
from vidattn.inference.shots import find_shots
from vidattn.jobs import player_page, write_keyframes, write_shots
from vidattn.jobs.keyframe_page import drawn
from vidattn.runs.result_files import WRITTEN
from vidattn.video import VideoWriter


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three scenes of 20, 15 and 25 frames, at 10 frames a second; the middle one is blank."""
    generator = np.random.default_rng(0)
    path = tmp_path / "films" / "a & b #1.mp4"
    path.parent.mkdir()
    with VideoWriter(path, fps=10, size=(48, 64)) as writer:
        for place, length in enumerate((20, 15, 25)):
            picture = generator.integers(0, 200, (6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
            for number in range(length):
                shown = picture * (place != 1) + number
                writer.write(shown.astype(np.uint8))
    return path


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


def places(page: Reader) -> list[tuple[float, float]]:
    spans = page.all("rect", **{"class": "span"})
    return [(float((each["x"] or "")[:-1]), float((each["width"] or "")[:-1])) for each in spans]


def test_a_page_has_each_shot_and_finds_the_film(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main(["shots", str(film), "--output", str(output), "--processes", "0"]) == 0
    page = read(output / "shots.html")
    third = 100 / 60
    expected = [(0, 20 * third), (20 * third, 15 * third), (35 * third, 25 * third)]
    np.testing.assert_allclose(places(page), expected, atol=1e-3)
    [video] = page.all("video")
    assert (output / unquote(video["src"] or "")).samefile(film)
    assert "Shot 2: frames 20 – 34, after a cut" in page.text
    assert "shots.html" in json.loads((output / "shots.json").read_text())[WRITTEN]["files"]


def test_key_frames_say_why_they_were_kept_and_others_why_not(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = ["keyframes", str(film), "--output", str(output), "--processes", "0", "--count", "3"]
    assert main([*command, "--explain"]) == 0
    [record] = json.loads((output / "keyframes.json").read_text())["videos"]
    page = read(output / "keyframes.html")
    marks = {each["data-seconds"] for each in page.all("line", **{"class": "point"})}
    assert record["dropped"]
    for frame in (*record["frames"], *record["dropped"]):
        assert f"Frame {frame['frame_index']}: {frame['reason']}" in page.text  # on the time axis
        assert f"{frame['seconds']:.6f}" in marks
    listed = page.all("button", **{"class": "goto"})
    assert len(listed) == len(record["frames"]) + len(record["dropped"])
    pictures = [output / unquote(each["src"] or "") for each in page.all("img")]
    assert pictures == [output / frame["image"] for frame in record["frames"]]
    assert all(path.is_file() for path in pictures)
    assert len(places(page)) == record["shots"] == 3
    assert "drawn" not in record
    assert main([*command, "--overwrite"]) == 0
    assert "Dropped" not in (output / "keyframes.html").read_text()


def test_other_scores_have_no_candidates(film: Path, tmp_path: Path) -> None:
    settings = {"scorer": "difference", "explain": True, "processes": 0}
    write_keyframes([film], tmp_path / "out", start_seconds=1, end_seconds=4, **settings)
    page = read(tmp_path / "out" / "keyframes.html")
    assert "only the score coverage has candidates" in page.text
    [slider] = page.all("div", role="slider")
    assert (slider["aria-valuemin"], slider["aria-valuemax"]) == ("1.0", "4.0")
    assert len(page.all("polyline")) == 1


def test_shots_of_key_frames_are_those_of_the_film(film: Path) -> None:
    found = extract_keyframes(film, count=3)
    shots = [(each.start_seconds, each.end_seconds) for each in find_shots(film)]
    np.testing.assert_allclose(found.shots, shots, atol=1e-6)
    for frame in found.frames:
        start, end = found.shots[(frame.shot or 0) - 1]
        assert start <= frame.seconds < end
    part = extract_keyframes(film, count=2, start_seconds=1, end_seconds=3)
    assert part.start_seconds == pytest.approx(1)
    np.testing.assert_allclose(part.shots, [(1, 2), (2, 3)], atol=1e-6)


def test_frames_at_one_time_and_long_films_can_be_drawn() -> None:
    frames = (KeyFrame(0, 0.0, 1.0),)
    seconds = np.repeat(np.arange(50_000.0), 2)
    curve = ScoreCurve(np.arange(100_000), seconds, np.arange(100_000.0))
    kept = drawn(KeyFrames("a", frames, curve.scores, "m", {}, (), curve))
    assert (np.diff(kept["curve_seconds"]) > 0).all()
    assert len(kept["curve_seconds"]) == len(kept["curve_scores"]) <= 1000
    assert drawn(KeyFrames("a", frames, curve.scores, "m", {}))["curve_seconds"] == []


def test_a_page_shows_the_first_films_and_counts_the_others(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert player_page.FILMS_SHOWN == 100
    for module in ("keyframes", "shot_page"):
        monkeypatch.setattr(f"vidattn.jobs.{module}.FILMS_SHOWN", 2)
    for name in ("b", "c", "d"):
        shutil.copy(film, film.with_name(f"{name}.mp4"))
    film.with_name("broken.mp4").write_bytes(b"no video")
    shots, frames = tmp_path / "shots", tmp_path / "frames"
    write_shots([film.parent], shots, processes=0)
    write_keyframes([film.parent], frames, count=1, processes=0)
    for path in (shots / "shots.html", frames / "keyframes.html"):
        page = read(path)
        assert len(page.all("video")) == len(page.all("option")) == 2
        assert f"2 more videos are in {path.stem}.json" in page.text
        assert "4 of 5 videos." in page.text
        assert "broken.mp4" in page.text


def test_folders_of_images_have_no_film_but_a_time_axis(tmp_path: Path) -> None:
    for number in range(5):
        pixels = np.full((32, 32, 3), 50 * number, np.uint8)
        pixels[:16, number : 2 * number + 3] = 255
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    write_shots([tmp_path / "images"], tmp_path / "out", processes=0)
    page = read(tmp_path / "out" / "shots.html")
    assert page.all("video") == []
    assert len(page.all("div", role="slider")) == 1


@pytest.mark.parametrize(
    "video", ["https://films.example/a.mp4?" + "k" * 300, "shard.tar::a.mp4", "absent.mp4"]
)
def test_what_is_no_file_here_is_not_fetched(video: str, tmp_path: Path) -> None:
    assert player_page.source_of(video, tmp_path / "page.html") == ""


def test_parquet_results_have_no_page(write_flash: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: vidattn[parquet]")
    film = write_flash("film.mp4", frame_count=8)
    write_keyframes([film], tmp_path / "out", count=1, results="parquet", processes=0)
    assert not list((tmp_path / "out").rglob("*.html"))
    rows = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.parquet"))
    assert b"curve_seconds" not in rows
