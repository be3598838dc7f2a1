"""Each option of key frames without a model, on films whose shots are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import vidattn
from tests.selection.test_coverage import scenes
from vidattn.errors import ArgumentError
from vidattn.inference import KeyFrames
from vidattn.models import LoadedRecogniser
from vidattn.video import open_video

# 48 × 64 pixels, 25 frames a second; an intra frame every 5.
LENGTHS = [75, 25, 100, 50]
STARTS = np.cumsum([0, *LENGTHS])[:-1]


def write(path: Path, frames: np.ndarray, *, intra_every: int = 250, crf: int = 18) -> Path:
    options = {"crf": str(crf), "preset": "ultrafast", "sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.gop_size = "yuv420p", intra_every
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = scenes(LENGTHS, seed=11)
    return write(tmp_path_factory.mktemp("films") / "four.mp4", frames, intra_every=5)


def places(found: KeyFrames) -> list[int]:
    return [frame.frame_index for frame in found.frames]


def shots_of(found: KeyFrames) -> list[int]:
    return (np.searchsorted(STARTS, places(found), side="right") - 1).tolist()


@pytest.mark.parametrize(
    ("count", "expected"),
    [(None, 8), (5, 5), ("7", 7), ("2%", 5), ("10 %", 25), ("60/min", 10), ("0.5/s", 5), ("1%", 2)],
)
def test_forms_of_a_count(count: Any, expected: int, film: Path) -> None:
    found = vidattn.extract_keyframes(film, count=count)
    assert len(set(places(found))) == expected
    assert found.details["remarks"] == []


def test_as_many_as_the_film_needs(film: Path) -> None:
    found = vidattn.extract_keyframes(film, count="auto")
    assert shots_of(found) == [0, 1, 2, 3]
    assert [frame.shot for frame in found.frames] == [1, 2, 3, 4]
    assert found.details["shots"] == 4


@pytest.mark.parametrize("number", [1, 3])
def test_so_many_of_each_shot(number: int, film: Path) -> None:
    found = vidattn.extract_keyframes(film, per_shot=number)
    assert np.bincount(shots_of(found)).tolist() == [number] * 4
    both = vidattn.extract_keyframes(film, per_shot=number, count=100)
    assert len(both.frames) == 4 * number
    assert both.details["remarks"] == [
        f"expected 100 key frames, {4 * number} the limit per shot allows"
    ]


@pytest.mark.parametrize("margin", [0.2, 0.4])
def test_frames_keep_away_from_cuts(margin: float, film: Path) -> None:
    found = vidattn.extract_keyframes(film, count=12, margin_seconds=margin)
    away = np.abs(np.array(places(found))[:, None] + 0.5 - STARTS[1:]).min()
    assert away >= round(margin * 25)
    assert len(found.frames) == 12


@pytest.mark.parametrize("seconds", [1, 2.5, 3])
def test_one_frame_of_each_so_many_seconds(seconds: float, film: Path) -> None:
    found = vidattn.extract_keyframes(film, every_seconds=seconds)
    own = [int(frame.seconds / seconds + 1e-6) for frame in found.frames]
    assert own == list(range(int(np.ceil(10 / seconds))))


@pytest.mark.parametrize(("start", "end"), [(3.0, 4.0), (None, 2.0), (6.0, None)])
def test_only_a_part(
    start: float | None, end: float | None, film: Path, loaded_brightness: LoadedRecogniser
) -> None:
    for checkpoint in (None, loaded_brightness):
        found = vidattn.extract_keyframes(
            film, count=4, start_seconds=start, end_seconds=end, checkpoint=checkpoint
        )
        assert len(found.frames) == 4
        with open_video(film) as reader:
            for frame in found.frames:
                assert (start or 0) <= frame.seconds < (end or 10)
                assert reader.seconds_of([frame.frame_index]) == [frame.seconds]
    with pytest.raises(ArgumentError, match="no frame lies from 20"):
        vidattn.extract_keyframes(film, start_seconds=20)


def test_fast_takes_one_of_each_so_many_seconds(film: Path) -> None:
    for seconds in (0.3, 1.0):  # there are too few intra frames for the first
        found = vidattn.extract_keyframes(film, every_seconds=seconds, fast=True)
        own = [int(frame.seconds / seconds + 1e-6) for frame in found.frames]
        assert own == list(range(int(np.ceil(10 / seconds))))
        assert bool(found.details["remarks"]) == (seconds == 0.3)


def test_copies_are_dropped_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "still.mp4", np.repeat(scenes([1]), 100, axis=0))
    assert len(vidattn.extract_keyframes(path, count=8).frames) == 8
    found = vidattn.extract_keyframes(path, count=8, distinct=True)
    assert len(found.frames) == 1
    assert found.details["remarks"] == ["expected 8 key frames, 1 look different"]


def test_fast_looks_at_few_frames_and_finds_the_shots(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidattn.inference import keyframe_coverage

    looked_at: list[int] = []
    small = keyframe_coverage._small_pictures

    def counted(reader: Any, frames: Any) -> Any:
        looked_at.append(len(frames))
        return small(reader, frames)

    monkeypatch.setattr(keyframe_coverage, "_small_pictures", counted)
    found = vidattn.extract_keyframes(film, count=4, fast=True)
    assert shots_of(found) == [0, 1, 2, 3]
    assert sum(looked_at) <= 250 / 5 + 5 + 4 * 5
    assert "intra frames" in found.method


def test_fast_finds_shots_of_few_intra_frames(tmp_path: Path) -> None:
    """Most jumps between intra frames are cuts: an ordinary jump is no measure of motion."""
    lengths = [5, 5, 5, 10, 5, 5, 5, 5, 10, 5, 5, 30, 5, 5]
    path = write(tmp_path / "short.mp4", scenes(lengths, seed=5), intra_every=5)
    found = vidattn.extract_keyframes(path, count=10, fast=True)
    shots = np.searchsorted(np.cumsum(lengths), places(found), side="right")
    assert len(set(shots.tolist())) == 10
    assert not found.details["remarks"]


def test_fast_takes_the_sharpest_of_those_behind(tmp_path: Path) -> None:
    frames = scenes([60, 60], seed=3).astype(np.float32)
    soft = np.mean([np.roll(frames, shift, 2) for shift in (-1, 0, 1)], axis=0)
    soft[13::20] = frames[13::20]
    path = write(tmp_path / "soft.mp4", soft.astype(np.uint8), intra_every=20, crf=10)
    found = vidattn.extract_keyframes(path, count=2, fast=True)
    assert {place % 20 for place in places(found)} == {13}


def test_fast_says_where_it_could_not(tmp_path: Path) -> None:
    path = write(tmp_path / "one.mp4", scenes([50]), intra_every=100)
    found = vidattn.extract_keyframes(path, count=4, fast=True)
    assert len(found.frames) == 4
    assert found.details["remarks"] == [
        "every frame was looked at: 1 intra frames are too few for a fast choice"
    ]


def test_a_black_start_of_a_film(tmp_path: Path) -> None:
    frames = scenes([80, 80], seed=2)
    black = np.zeros((60, *frames.shape[1:]), np.uint8)
    path = write(tmp_path / "v.mp4", np.concatenate([black, frames]))
    for fast in (False, True):
        found = vidattn.extract_keyframes(path, count=6, fast=fast)
        assert min(places(found)) >= 60
        assert len(found.frames) == 6


def test_reasons_of_what_was_kept_and_dropped(film: Path) -> None:
    found = vidattn.extract_keyframes(film, count=6)
    assert all(frame.reason and not frame.flaw for frame in found.frames)
    assert all(frame.reason for frame in found.dropped)
    assert not set(places(found)) & {frame.frame_index for frame in found.dropped}
    record = found.to_json(explain=True)
    assert len(record["dropped"]) == len(found.dropped) > 0
    assert "dropped" not in found.to_json()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": "many"}, "count: expected a number of frames, 'auto', a share such as 5%"),
        ({"count": "0%"}, "count: expected .* above 0 and at most 100%"),
        ({"count": "101%"}, "count: expected .* above 0 and at most 100%"),
        ({"count": "-3"}, "count"),
        ({"per_shot": 0}, "per_shot"),
        ({"margin_seconds": -1}, "margin_seconds"),
        ({"margin_seconds": float("nan")}, "margin_seconds"),
        ({"every_seconds": 0}, "every_seconds"),
        ({"every_seconds": 2, "count": 4}, "every_seconds.*leave count"),
        ({"every_seconds": 2, "per_shot": 1}, "every_seconds"),
        ({"per_shot": 2, "count": "auto"}, "per_shot"),
        ({"fast": True, "margin_seconds": 0.1}, "fast.*margin_seconds"),
        ({"fast": True, "per_shot": 1}, "fast.*per_shot"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str, film: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        vidattn.extract_keyframes(film, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"per_shot": 1},
        {"margin_seconds": 1.0},
        {"every_seconds": 1.0},
        {"distinct": True},
        {"fast": True},
        {"count": "auto"},
    ],
)
def test_what_a_model_does_not_do_is_refused(
    settings: dict[str, Any], film: Path, loaded_brightness: LoadedRecogniser
) -> None:
    with pytest.raises(ArgumentError, match=rf"{next(iter(settings))}.*without a checkpoint"):
        vidattn.extract_keyframes(film, checkpoint=loaded_brightness, **settings)


def test_a_share_and_a_rate_with_a_model(
    film: Path, loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    for count, expected in (("2%", 5), ("30/min", 5)):
        found = vidattn.extract_keyframes(film, count=count, checkpoint=loaded_brightness)
        assert len(found.frames) == expected
