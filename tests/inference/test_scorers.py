"""Scores of frames that need no query: each by its name, and those of a caller."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import vidattn
from vidattn.errors import ArgumentError, UnknownNameError
from vidattn.inference import (
    AttentionScorer,
    ClassScorer,
    CoverageScorer,
    DifferenceScorer,
    FrameScores,
    KeyFrames,
    PacketScorer,
    RandomScorer,
    UniformScorer,
)
from vidattn.inference.keyframe_settings import SCORES
from vidattn.inference.windows import WindowedRecogniser
from vidattn.models import LoadedRecogniser
from vidattn.selection import random_frames, uniform_frames
from vidattn.video import VideoReader, VideoWriter, open_video


@pytest.fixture
def flash(write_flash: Callable[..., Path]) -> Path:
    """Bright in frames 40 to 59 of 100, at 25 frames a second."""
    return write_flash(frame_count=100, span=(40, 60))


def places(found: KeyFrames) -> list[int]:
    return [frame.frame_index for frame in found.frames]


def test_difference_is_the_mean_change_of_the_pixels(flash: Path) -> None:
    with open_video(flash) as video:
        found = DifferenceScorer()(video)
        pixels = video[:].array.astype(float)
    expected = np.abs(np.diff(pixels, axis=0)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, [0, *expected], atol=1e-3)
    assert places(vidattn.extract_keyframes(flash, count=2, scorer="difference")) == [40, 60]


def test_packets_are_the_sizes_of_packets_beside_their_neighbours(flash: Path) -> None:
    with av.open(str(flash)) as container:
        packets = [each for each in container.demux(video=0) if each.size]
    order = np.argsort([each.pts for each in packets])
    sizes = np.log([packets[place].size for place in order])
    with open_video(flash) as video:
        found = PacketScorer()(video)
        intra = video.intra_frame_indices()
    assert len(found) == 100
    # All but the intra frames are of one kind where no frame is left unreferenced.
    others = np.setdiff1d(np.arange(5, 95), intra)
    assert np.corrcoef(found[others], sizes[others])[0, 1] > 0.5


def test_coverage_is_how_well_a_frame_stands_for_all(flash: Path) -> None:
    with open_video(flash) as video:
        found = CoverageScorer()(video)
    assert found.min() >= 0
    assert found.max() <= 1
    rare = np.arange(40, 60)  # a fifth of the video looks so
    assert found[rare].mean() < np.delete(found, rare).mean()


def test_chance_and_the_same_for_all(flash: Path) -> None:
    assert places(vidattn.extract_keyframes(flash, count=7, scorer="uniform")) == list(
        uniform_frames(100, 7)
    )
    with open_video(flash) as video:
        assert (RandomScorer()(video) == RandomScorer(0)(video)).all()
        assert (RandomScorer(1)(video) != RandomScorer(0)(video)).any()
        assert (UniformScorer()(video) == 1).all()
    chosen = [
        places(
            vidattn.extract_keyframes(
                flash, count=10, scorer=RandomScorer(seed), minimum_gap_seconds=0
            )
        )
        for seed in range(40)
    ]
    expected = np.mean([random_frames(100, 10, np.random.default_rng(s)) for s in range(40)])
    assert np.mean(chosen) == pytest.approx(expected, abs=8)  # 4 standard errors
    assert len({tuple(each) for each in chosen}) == 40


@pytest.mark.parametrize("score", SCORES)
def test_every_score_is_used_in_the_same_way(
    score: str, flash: Path, loaded_brightness: LoadedRecogniser
) -> None:
    if score == "query":
        pytest.skip("it needs a model; see test_query.py")
    given: dict[str, Any] = {}
    if score in ("attention", "class"):
        given["checkpoint"] = loaded_brightness
    if score == "class":
        given["class_name"] = "bright"
    found = vidattn.extract_keyframes(flash, count=5, scorer=score, **given)
    assert len(places(found)) == 5
    assert {frame.scored_by for frame in found.frames} == {score}
    assert found.details["score"] == score
    assert found.method.startswith(score)
    assert all(frame.reason for frame in found.frames)
    even = vidattn.extract_keyframes(flash, count=5, scorer=score, uniformity=1.0, **given)
    assert places(even) == uniform_frames(100, 5).tolist()
    assert even.curve is not None
    assert len(even.curve.rows()) == 100
    for frame in even.frames:
        assert even.curve.scores[frame.frame_index] == frame.score


@pytest.mark.parametrize("uniformity", [None, 0.0, 0.5])
def test_frames_keep_the_gap(uniformity: float | None, flash: Path) -> None:
    def spike(video: VideoReader) -> np.ndarray:
        return np.exp(-((np.arange(len(video)) - 50.0) ** 2))

    near, apart = (
        places(
            vidattn.extract_keyframes(
                flash, count=5, scorer=spike, uniformity=uniformity, minimum_gap_seconds=gap
            )
        )
        for gap in (0.0, 0.4)
    )
    assert np.diff(near).min() < 10
    assert np.diff(apart).min() >= 10
    assert 50 in apart


def test_the_highest_scores_lie_in_the_bright_part(
    flash: Path, loaded_brightness: LoadedRecogniser
) -> None:
    settings: dict[str, Any] = {
        "count": 3,
        "checkpoint": loaded_brightness,
        "minimum_gap_seconds": 0.2,
    }
    for given in ({}, {"class_name": "bright"}, {"uniformity": 0.0}):
        found = vidattn.extract_keyframes(flash, **settings, **given)
        assert all(38 <= place <= 61 for place in places(found)), given
    dark = vidattn.extract_keyframes(flash, **settings, class_name="dark")
    assert not any(40 <= place < 60 for place in places(dark))
    # A model shows regions of frames that another score has chosen.
    other = vidattn.extract_keyframes(flash, **settings, scorer="uniform")
    assert places(other) == uniform_frames(100, 3).tolist()
    box = other.frames[1].regions[0]  # of the bright box 60, 16, 84, 40
    assert box[0] <= 72 <= box[2]
    assert box[1] <= 28 <= box[3]
    assert {frame.label for frame in other.frames} <= {"dark", "bright"}


def test_evidence_for_a_class_is_its_log_odds(
    flash: Path, loaded_brightness: LoadedRecogniser
) -> None:
    """Weighted over a window's steps as the model weighs them, it is the window's log odds."""
    from vidattn.inference.scorers import by_model

    with open_video(flash) as video:
        bright = ClassScorer(loaded_brightness, "bright")(video)
        dark = ClassScorer(loaded_brightness, "dark")(video)
        usual = list(WindowedRecogniser(loaded_brightness, video).windows())
        own = list(by_model._ClassWindows(loaded_brightness, video, 1, batch_size=3).windows())
    np.testing.assert_allclose(bright, -dark, atol=1e-4)  # of two classes
    assert len(usual) == len(own) > 5
    for window, evidence in zip(usual, own, strict=True):
        dark_share, bright_share = window.probabilities.astype(float)
        expected = np.log(bright_share / dark_share)
        got = (evidence.frame_scores * window.frame_weights).sum()
        assert got == pytest.approx(expected, abs=1e-3)


def test_a_long_film_is_scored_window_by_window(
    write_flash: Callable[..., Path], loaded_brightness: LoadedRecogniser
) -> None:
    """The same moment has the same score in a short film and in a long one."""
    short = write_flash("short.mp4", frame_count=60, span=(20, 40))
    scores = {}
    for start, end in ((None, None), (0.0, 1.6)):
        with open_video(short) as video:
            from vidattn.video.span import ReaderSpan

            part = video if start is None else ReaderSpan(video, start, end)
            for scorer in (
                AttentionScorer(loaded_brightness),
                ClassScorer(loaded_brightness, "bright"),
            ):
                scores[scorer.name, end] = scorer(part)
    for name in ("attention", "class"):
        np.testing.assert_allclose(scores[name, None][:32], scores[name, 1.6][:32], atol=1e-4)


def test_an_unknown_class_is_refused_with_the_nearest(
    flash: Path, loaded_brightness: LoadedRecogniser
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean bright"):
        vidattn.extract_keyframes(flash, checkpoint=loaded_brightness, class_name="brigth")


def redness(video: VideoReader) -> np.ndarray:
    chunks = video.chunks(frames_at_once=16)
    return np.concatenate([each.array[..., 0].mean(axis=(1, 2)) for each in chunks])


class Sampled:
    """Every tenth frame only."""

    name = "sampled"

    def __call__(self, video: VideoReader) -> FrameScores:
        indices = np.arange(0, len(video), 10)
        return FrameScores(indices, redness(video)[indices])


def test_a_scorer_of_the_caller(flash: Path) -> None:
    found = vidattn.extract_keyframes(flash, count=4, scorer=redness, minimum_gap_seconds=0)
    with open_video(flash) as video:
        expected = np.sort(np.argsort(-redness(video), kind="stable")[:4])
    assert places(found) == expected.tolist()
    assert found.frames[0].scored_by == "redness"
    sampled = vidattn.extract_keyframes(flash, count=2, scorer=Sampled(), minimum_gap_seconds=0)
    assert places(sampled) == [40, 50]
    assert sampled.curve is not None
    assert sampled.curve.frame_indices.tolist() == list(range(0, 100, 10))
    assert sampled.frames[0].scored_by == "sampled"
    # Where more are wanted than were looked at, the others count too.
    assert len(vidattn.extract_keyframes(flash, count=30, scorer=Sampled()).frames) == 30
    part = vidattn.extract_keyframes(
        flash,
        count=2,
        scorer=Sampled(),
        start_seconds=1.0,
        end_seconds=3.0,
        minimum_gap_seconds=0,
    )
    assert places(part) == [45, 55]


@pytest.mark.parametrize(
    ("scores", "what"),
    [
        (lambda video: np.full(len(video), np.nan), "NaN"),
        (lambda video: np.ones(len(video) - 1), "shape"),
        (lambda video: FrameScores(np.array([3, 2]), np.ones(2)), "increasing"),
        (lambda video: FrameScores(np.array([], np.int64), np.ones(0)), "at least one"),
        (lambda video: FrameScores(np.array([2, 100]), np.ones(2)), "100"),
        (lambda video: FrameScores(np.array([2, 3]), np.array([1, np.inf])), "NaN or infinity"),
        (lambda video: None, "shape"),
        (lambda video: ["a"] * len(video), "numbers"),
    ],
)
def test_what_no_scorer_may_return(scores: Callable[..., Any], what: str, flash: Path) -> None:
    with pytest.raises(ArgumentError, match=rf"scores of <lambda>.*{what}"):
        vidattn.extract_keyframes(flash, scorer=scores)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scorer": "differences"}, "did you mean difference"),
        ({"scorer": "attention"}, "checkpoint.*--checkpoint"),
        ({"class_name": "fight"}, "checkpoint"),
        ({"scorer": "class"}, "class_name"),
        ({"scorer": "query"}, "--query"),
        ({"query": "a dog"}, "--query-model"),
        ({"query_model": "folder"}, "--query"),
        ({"query": "a dog", "query_model": "x", "class_name": "y"}, "expected one of them"),
        ({"query": "a dog", "query_model": "x", "scorer": "random"}, "leave one of them out"),
        ({"query": "a dog", "query_model": "x", "query_seconds": 0}, "query_seconds"),
        ({"uniformity": 1.5}, "uniformity"),
        ({"uniformity": float("nan")}, "uniformity"),
        ({"uniformity": 0.5, "per_shot": 1}, "per_shot.*not with uniformity"),
        ({"scorer": "packets", "fast": True}, "fast.*'packets'"),
        ({"scorer": redness, "distinct": True}, "distinct.*the scorer redness"),
        ({"scorer": redness, "query": "a dog"}, "query.*redness"),
    ],
)
def test_what_does_not_go_together_is_named_before_anything_is_read(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ArgumentError, match=message):
        vidattn.extract_keyframes(tmp_path / "absent.mp4", **settings)


def test_packets_of_pictures_are_refused(flash: Path, tmp_path: Path) -> None:
    vidattn.write_keyframes([flash], tmp_path / "frames", count=4)
    with pytest.raises(ArgumentError, match="packet sizes: expected a video file"):
        vidattn.extract_keyframes(tmp_path / "frames" / "flash", scorer="packets")


def test_frames_of_an_uneven_film_are_spread_over_its_time(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        times = [*range(0, 1000, 20), *range(1000, 11000, 200)]
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                np.full((32, 32, 3), number, np.uint8), format="rgb24"
            )
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = vidattn.extract_keyframes(path, count=11, scorer="uniform")
    seconds = [frame.seconds for frame in found.frames]
    np.testing.assert_allclose(seconds, np.arange(11) + 0.5, atol=0.25)


def test_scores_without_a_model_load_no_torch(flash: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from vidattn.cli.entry import main
for score in ("coverage", "difference", "packets", "random", "uniform"):
    given = ["--score", score, "--uniformity", "0.5", "--output", {str(tmp_path)!r} + "/" + score]
    assert main(["keyframes", {str(flash)!r}, "--processes", "0", *given]) == 0
assert not {{"torch", "transformers", "torchvision"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    record = json.loads((tmp_path / "packets" / "keyframes.json").read_text())
    assert record["videos"][0]["score"] == "packets"


def test_a_still_film_has_a_spread_choice_too(tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    with VideoWriter(path, fps=25, size=(32, 32)) as writer:
        for _ in range(40):
            writer.write(np.full((32, 32, 3), 90, np.uint8))
    found = vidattn.extract_keyframes(path, count=4, scorer="difference", uniformity=0.0)
    assert places(found) == uniform_frames(40, 4).tolist()
