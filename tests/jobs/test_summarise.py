from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidattn import open_video, summarise, write_shots, write_summaries
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError
from vidattn.evaluation.files.summary_files import read_answers
from vidattn.selection.summaries import choose_parts
from vidattn.video import VideoReader, VideoWriter

RATE = 16000
# More frames than are held at once.
SCENE, COUNT = 40, 160


def numbered(number: int, scene: int) -> np.ndarray:
    """A picture of a scene, the number in eight black or white squares at the bottom."""
    generator = np.random.default_rng(scene)
    picture = generator.integers(60, 190, (8, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    bits = [255 * (number >> bit & 1) for bit in range(8)]
    picture[-8:] = np.repeat(bits, 8)[None, :, None]
    return picture.astype(np.uint8)


def read_numbers(path: Path) -> tuple[list[int], list[float]]:
    with open_video(path) as reader:
        frames = reader[:]
    bits = frames.array[:, 60, 4::8, 0] > 127
    return (bits @ (1 << np.arange(8))).tolist(), frames.seconds.tolist()


def times(count: int) -> list[float]:
    """Of a film of varying rate: each third frame is shown three times as long."""
    return np.cumsum([0.0] + [0.3 if each % 3 == 2 else 0.1 for each in range(count - 1)]).tolist()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Four scenes."""
    path = tmp_path / "four.mp4"
    with VideoWriter(path, fps=6, size=(64, 64), timed=True) as writer:
        for number, seconds in enumerate(times(COUNT)):
            writer.write(numbered(number, number // SCENE), seconds=seconds)
    return path


@pytest.fixture
def sounding(film: Path) -> Path:
    """The same; the pitch is 200 Hz and 100 Hz more each second."""
    path = film.with_name("sounding.mkv")
    moments = np.arange(27 * RATE) / RATE
    pitch = 200 + 100 * np.floor(moments)
    wave = (0.5 * np.sin(2 * np.pi * pitch * moments)).astype(np.float32)
    with av.open(str(film)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        audio = target.add_stream("pcm_s16le", rate=RATE)
        audio.codec_context.layout = "mono"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        samples = (wave * 32767).astype(np.int16)
        for start in range(0, len(samples), 1600):
            block = samples[None, start : start + 1600]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            target.mux(audio.encode(frame))
        target.mux(audio.encode(None))
    return path


def test_the_film_has_the_frames_of_its_parts_at_their_times(film: Path, tmp_path: Path) -> None:
    found = write_summaries([film], tmp_path / "out", budget="40%", processes=0)
    assert found is not None
    record = found[0].record
    assert 0 < record["summary_seconds"] <= 0.4 * record["duration_seconds"] + 1e-9
    numbers, seconds = read_numbers(tmp_path / "out" / found[0].film)
    shown = times(COUNT)
    expected, moments = [], []
    for part in record["parts"]:
        assert (
            part["start_frame"] // SCENE == (part["end_frame"] - 1) // SCENE
        )  # never across a cut
        own = range(part["start_frame"], part["end_frame"])
        expected += own
        moments += [part["summary_seconds"] + shown[each] - shown[own.start] for each in own]
    assert numbers == expected
    np.testing.assert_allclose(seconds, moments, atol=2e-3)
    with (tmp_path / "out" / "four" / "parts.csv").open(newline="") as file:
        assert [int(row["start_frame"]) for row in csv.DictReader(file)] == [
            each["start_frame"] for each in record["parts"]
        ]
    answer = read_answers(tmp_path / "out" / "four" / "frames.json")["four"]
    assert answer.is_summary
    assert np.flatnonzero(answer.values).tolist() == expected


def test_the_sound_stays_with_the_pictures(sounding: Path, tmp_path: Path) -> None:
    found = write_summaries([sounding], tmp_path / "out", budget="40%", processes=0)
    assert found is not None
    assert found[0].sound == "kept"
    with av.open(str(tmp_path / "out" / found[0].film)) as container:
        stream = container.streams.audio[0]
        blocks = [each.to_ndarray()[0] for each in container.decode(stream)]
        rate = stream.codec_context.sample_rate
    wave = np.concatenate(blocks)
    assert len(wave) / rate == pytest.approx(found[0].record["summary_seconds"], abs=0.1)
    for part in found[0].record["parts"]:
        second = int(np.ceil(part["start_seconds"]))
        if second + 1 > part["end_seconds"]:
            continue
        start = part["summary_seconds"] + second - part["start_seconds"]
        piece = wave[round((start + 0.1) * rate) : round((start + 0.9) * rate)]
        peak = np.abs(np.fft.rfft(piece)).argmax() * rate / len(piece)
        assert peak == pytest.approx(200 + 100 * second, abs=3)


@pytest.mark.parametrize("budget", ["0.01s", "100%", "500s"])
def test_budgets_at_the_ends(film: Path, budget: str) -> None:
    found = summarise(film, budget)
    kept = int(found.frames_kept.sum())
    assert kept == (1 if budget == "0.01s" else COUNT)
    assert bool(found.remarks) == (budget != "100%")


@pytest.mark.parametrize("budget", ["0%", "101%", "-3s", "soon", "nan"])
def test_wrong_budgets_are_refused(film: Path, budget: str) -> None:
    with pytest.raises(ArgumentError, match="budget: expected a share"):
        summarise(film, budget)


def test_one_frame_and_odd_size_and_a_broken_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with VideoWriter(tmp_path / "one.mkv", fps=5, size=(33, 47), pixel_format="yuv444p") as writer:
        writer.write(np.full((33, 47, 3), 90, np.uint8))
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    names = [str(tmp_path / "one.mkv"), str(tmp_path / "broken.mp4")]
    output = tmp_path / "out"
    assert main(["summarise", *names, "--output", str(output), "--processes", "0"]) == 1
    assert "broken.mp4" in capsys.readouterr().err
    with open_video(output / "one" / "summary.mp4") as reader:
        assert (len(reader), reader.size) == (1, (34, 48))
    assert len(json.loads((output / "summaries.json").read_text())["videos"]) == 1


def test_pixels_keep_their_shape(tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    with VideoWriter(path, fps=5, size=(48, 64), pixel_aspect=Fraction(4, 3)) as writer:
        for number in range(10):
            writer.write(np.full((48, 64, 3), 9 * number, np.uint8))
    found = write_summaries([path], tmp_path / "out", budget="1s", processes=0)
    assert found is not None
    with av.open(str(tmp_path / "out" / found[0].film)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_parts_are_the_best_that_fit() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores, lengths = generator.random(9), generator.integers(2, 9, 9) / 2
        budget = float(lengths.sum() * 0.4)
        subsets = (np.arange(512)[:, None] >> np.arange(9)) & 1
        fits = subsets @ lengths <= budget
        best = (subsets @ scores)[fits].max()
        chosen = choose_parts(scores, lengths, budget)
        assert lengths[chosen].sum() <= budget
        assert scores[chosen].sum() == pytest.approx(best)


def test_each_shot_as_a_film_has_no_frame_of_another(film: Path, tmp_path: Path) -> None:
    found = write_shots([film], tmp_path / "out", split=True, processes=0)
    assert found is not None
    shots = list(found[0])
    assert {0, 40, 80, 120} <= {each.start_frame for each in shots}
    assert max(each.end_frame - each.start_frame for each in shots) > 32
    shown = times(COUNT)
    for number, shot in enumerate(shots):
        path = tmp_path / "out" / "four" / f"shot_{number + 1:04d}.mp4"
        numbers, seconds = read_numbers(path)
        own = range(shot.start_frame, shot.end_frame)
        assert numbers == list(own)
        np.testing.assert_allclose(seconds, [shown[i] - shown[own.start] for i in own], atol=2e-3)
    with pytest.raises(ArgumentError, match="split"):
        write_shots([film], split=True)


def test_parts_of_the_highest_scores_are_kept(film: Path, tmp_path: Path) -> None:
    """The third scene alone is red."""

    def redness(video: VideoReader) -> np.ndarray:
        return (np.arange(len(video)) // SCENE == 2).astype(float)

    found = summarise(film, "20%", scorer=redness)
    kept = found.frames_kept.reshape(-1, SCENE).sum(axis=1)
    assert kept.argmax() == 2
    assert kept[2] > kept.sum() / 2
    best = max(found.parts, key=lambda each: each.score)
    assert best.score == pytest.approx(0.875)  # the middle of the highest quarter
    assert found.method == "redness"


def test_each_scene_is_kept_before_any_is_kept_twice(film: Path) -> None:
    """There is time for half of each of the four."""
    found = summarise(film, "55%")
    assert {each.start_frame // SCENE for each in found.parts} == {0, 1, 2, 3}
    assert sum(each.score for each in found.parts) <= 1


def test_equal_scores_are_spread_over_the_film(film: Path) -> None:
    found = summarise(film, "30%", scorer=lambda video: np.ones(len(video)))
    starts = [each.start_frame / COUNT for each in found.parts]
    assert len(starts) >= 2
    assert min(starts) < 0.4
    assert max(starts) > 0.6


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (["--score", "difference"], "difference"),
        (["--score", "random"], "random"),
        (["--checkpoint", "CHECKPOINT"], "attention"),
        (["--checkpoint", "CHECKPOINT", "--class", "bright"], "class"),
    ],
)
def test_scores_on_the_command_line(
    options: list[str], method: str, film: Path, untrained: Path, tmp_path: Path
) -> None:
    given = [str(untrained) if each == "CHECKPOINT" else each for each in options]
    command = ["summarise", str(film), "--output", str(tmp_path / "out"), "--processes", "0"]
    assert main([*command, *given]) == 0
    record = json.loads((tmp_path / "out" / "summaries.json").read_text())["videos"][0]
    assert record["method"].startswith(method)
    assert record["summary_seconds"] <= 0.15 * record["duration_seconds"] + 1e-6


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--score differences", "did you mean difference"),
        ("--score attention", "--checkpoint"),
        ("--class bright", "--checkpoint"),
        ("--query running", "--query-model"),
    ],
)
def test_wrong_scores_are_refused_first(
    options: str, named: str, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["summarise", str(film), "--output", str(output), *options.split()]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert named in line
    assert not output.exists()


def test_long_parts_have_every_frame(tmp_path: Path) -> None:
    """More frames than are decoded or encoded at once."""
    path = tmp_path / "long.mp4"
    with VideoWriter(path, fps=30, size=(64, 64)) as writer:
        for number in range(250):
            writer.write(numbered(number, number // 125))
    found = write_summaries([path], tmp_path / "out", budget="60%", progress=False)
    assert found is not None
    [own] = found
    expected = [
        number
        for part in own.record["parts"]
        for number in range(part["start_frame"], part["end_frame"])
    ]
    assert max(part["end_frame"] - part["start_frame"] for part in own.record["parts"]) > 100
    assert read_numbers(tmp_path / "out" / own.film)[0] == expected
