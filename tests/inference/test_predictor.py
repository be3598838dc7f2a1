"""What is in a video, and when: against windows and averages by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vidattn
from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError, VideoError
from vidattn.inference import RecognitionPrediction, RecognitionPredictor
from vidattn.inference.predictor import PredictionSettings, begin_prediction
from vidattn.inference.windows import VideoAttention, WindowedRecogniser, window_spacing
from vidattn.models import LoadedRecogniser
from vidattn.threads import limited_threads
from vidattn.video import VideoReader, VideoWriter, open_video


@pytest.fixture
def predictor(loaded_brightness: LoadedRecogniser) -> RecognitionPredictor:
    """Says "bright" of clips brighter than half, on clips of 8 frames."""
    recogniser = loaded_brightness.recogniser
    with torch.no_grad():
        recogniser.head.bias.copy_(torch.tensor([5.0, -5.0]))
    return RecognitionPredictor(recogniser, loaded_brightness.clip, "m.ckpt", "0" * 64)


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Writes a film of pictures that are as bright as they are told, 25 a second."""

    def write(brightness: Sequence[int], *, seconds: Sequence[float] | None = None) -> Path:
        path = tmp_path / "film.mp4"
        with VideoWriter(path, fps=25, size=(64, 96), timed=seconds is not None) as writer:
            for number, value in enumerate(brightness):
                time = None if seconds is None else seconds[number]
                writer.write(np.full((64, 96, 3), value, np.uint8), seconds=time)
        return path

    return write


CHANGES = [10] * 50 + [245] * 50 + [10] * 25  # dark, bright from 2 s on, dark from 4 s on


def by_hand(
    predictor: RecognitionPredictor, reader: VideoReader
) -> list[tuple[float, float, np.ndarray]]:
    """Start, end and probabilities of windows of 8 frames, 4 frames apart, one by one."""
    windows = []
    last = len(reader) - 8
    for first in [*range(0, last, 4), last]:
        clip = reader.frames_at(range(first, first + 8)).pixels.transpose(0, 1)[None] / 255
        with torch.no_grad():
            own = predictor.recogniser(clip).logits.double()[0]
        windows.append((first / 25, (first + 8) / 25, torch.softmax(own, 0).numpy()))
    return windows


@pytest.mark.parametrize("every", [0.2, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_steps_are_averages_of_the_windows_that_show_them(
    every: float, batch_size: int, predictor: RecognitionPredictor, film: Callable[..., Path]
) -> None:
    path = film(CHANGES)
    found = predictor.predict(path, every_seconds=every, top=2, batch_size=batch_size)
    with open_video(path) as reader:
        windows = by_hand(predictor, reader)
    assert found.windows == len(windows) == 31
    assert len(found) == round(5 / every)
    for number, step in enumerate(found):
        low, high = number * every, (number + 1) * every
        assert (step.start_seconds, step.end_seconds) == pytest.approx((low, high))
        shares = [max(min(end, high) - max(start, low), 0.0) for start, end, _ in windows]
        pairs = zip(shares, windows, strict=True)
        expected = sum(share * own for share, (*_, own) in pairs) / sum(shares)
        named = dict(step.labels)
        assert [named["dark"], named["bright"]] == pytest.approx(expected, abs=1e-5)
        assert sum(named.values()) == pytest.approx(1, abs=1e-6)
        assert step.probability == max(named.values())


def test_changes_are_found_when_they_are(
    predictor: RecognitionPredictor, film: Callable[..., Path]
) -> None:
    found = predictor.predict(film(CHANGES), every_seconds=0.5)
    segments = found.segments()
    assert [each.label for each in segments] == ["dark", "bright", "dark"]
    assert [each[:2] for each in segments] == [(0, 2), (2, 4), (4, 5)]
    assert [step.label for step in found] == ["dark"] * 4 + ["bright"] * 4 + ["dark"] * 2
    assert (found.label, found[0].label, found[-1].label) == ("dark", "dark", "dark")
    assert found[4].start_seconds == 2
    assert found.probability == found.probabilities["dark"] > 0.5


def test_the_whole_video_is_what_its_attention_says(
    predictor: RecognitionPredictor, film: Callable[..., Path]
) -> None:
    path = film(CHANGES)
    found = predictor.predict(path)
    with open_video(path) as reader:
        windows = by_hand(predictor, reader)
        attention = VideoAttention(list(WindowedRecogniser(predictor, reader).windows()))
    mean = np.mean([own for *_, own in windows], axis=0)
    assert list(found.probabilities.values()) == pytest.approx(mean, abs=1e-6)
    assert list(found.probabilities.values()) == pytest.approx(attention.probabilities, abs=1e-6)
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-6)


def test_a_pause_lasts_as_long_as_it_is_shown(
    predictor: RecognitionPredictor, film: Callable[..., Path]
) -> None:
    # 20 dark frames, a bright one that stays for three seconds, 20 dark ones.
    times = [number / 10 for number in range(21)] + [5 + number / 10 for number in range(20)]
    path = film([10] * 20 + [245] + [10] * 20, seconds=times)
    clip = replace(predictor.clip, frames=4, frames_per_second=10.0)
    found = replace(predictor, clip=clip).predict(path, every_seconds=1.0)
    labels = [step.label for step in found]
    assert labels == ["dark"] * 2 + ["bright"] * 3 + ["dark"] * 2
    assert found[-1].end_seconds == pytest.approx(found.duration_seconds)


@pytest.mark.parametrize("count", [1, 3, 8, 9])
def test_short_videos(
    count: int, predictor: RecognitionPredictor, film: Callable[..., Path]
) -> None:
    found = predictor.predict(film([245] * count))
    assert [step.label for step in found] == ["bright"]
    assert found[0].end_seconds == pytest.approx(count / 25)
    assert found.frame_count == count
    assert [bool(found.remarks)] == [count == 1]


def test_several_classes_at_once(
    predictor: RecognitionPredictor, film: Callable[..., Path]
) -> None:
    recogniser = predictor.recogniser
    recogniser.spec = replace(recogniser.spec, multi_label=True)
    with torch.no_grad():  # dark: always likely; bright: where it is
        recogniser.head.weight.copy_(torch.tensor([[0.0], [10.0]]))
        recogniser.head.bias.copy_(torch.tensor([2.0, -5.0]))
    found = predictor.predict(film(CHANGES), every_seconds=0.5)
    always = 1 / (1 + np.exp(-2.0))
    for step in found:
        assert dict(step.labels)["dark"] == pytest.approx(always, abs=1e-5)
    assert sum(dict(found[5].labels).values()) > 1.5
    segments = {each.label: each[:2] for each in found.segments()}
    assert segments == {"dark": (0, 5), "bright": (2, 4)}
    assert len(found.segments()) == 2


def test_a_picture_is_one_frame(
    predictor: RecognitionPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value, label in ((10, "dark"), (245, "bright")):
        path = tmp_path / f"{label}.png"
        Image.fromarray(np.full((64, 96, 3), value, np.uint8)).save(path)
        found = predictor.predict(path)
        assert (found.label, found.frame_count, found.windows) == (label, 1, 1)
        assert (found[0].start_seconds, found[0].end_seconds) == (0, 1)
        [remark] = found.remarks
        assert "no motion" in remark
        assert "8 frames" in remark
    monkeypatch.setattr(type(predictor.recogniser.backbone), "mixes_frames", False)
    assert predictor.predict(path).remarks == ()


@pytest.mark.parametrize(("threads", "most_asked"), [(1, 1), (2, 2)])
def test_frames_are_held_by_the_batch_and_parts_are_told(
    predictor: RecognitionPredictor,
    film: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    most_asked: int,
) -> None:
    with open_video(film(CHANGES)) as reader:
        asked: list[int] = []
        original = reader.frames_at
        monkeypatch.setattr(
            reader, "frames_at", lambda i, **kw: asked.append(len(i)) or original(i, **kw)
        )
        settings = PredictionSettings(top=1)
        with (
            limited_threads(threads),
            closing(begin_prediction(predictor, reader, settings)) as run,
        ):
            parts = run.shares()
            shares = [next(parts)]
            assert len(asked) <= most_asked
            shares += list(parts)
    assert len(shares) == 8  # 31 windows, 4 at a time
    assert sum(shares) == pytest.approx(1)
    assert max(asked) <= 4 * 8
    assert sum(asked) < 1.5 * len(CHANGES)


def test_an_open_reader_is_taken_and_left_open(
    predictor: RecognitionPredictor, film: Callable[..., Path]
) -> None:
    path = film(CHANGES[:30])
    with open_video(path) as reader:
        found = predictor.predict(reader)
        assert len(reader.frames_at([0])) == 1
    assert found.to_json() == predictor.predict(path).to_json()


def test_scores_that_are_no_numbers_are_the_videos_error(
    predictor: RecognitionPredictor, film: Callable[..., Path]
) -> None:
    with torch.no_grad():
        predictor.recogniser.head.bias.fill_(float("nan"))
    with pytest.raises(VideoError, match="probabilities are not finite"):
        predictor.predict(film([10] * 10))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every_seconds": 0}, "every_seconds: expected at least 0.01"),
        ({"every_seconds": float("nan")}, "every_seconds"),
        ({"top": 0}, "top: expected a whole number of at least 1"),
        ({"top": 1.5}, "top"),
        ({"batch_size": 0}, "batch_size"),
        ({"window_seconds": 2.0}, "window_seconds: expected None, for the clips of this model"),
        ({"window_seconds": 0.0}, "window_seconds: expected more than 0"),
    ],
)
def test_bad_numbers_are_named(
    settings: dict[str, float], message: str, predictor: RecognitionPredictor
) -> None:
    with pytest.raises(ArgumentError, match=message):
        predictor.predict("absent.mp4", **settings)


def test_load_gives_what_predicts(untrained: Path, write_flash: Callable[..., Path]) -> None:
    model = vidattn.load(untrained)
    assert isinstance(model, LoadedRecogniser)
    found = model.predict(write_flash(frame_count=30), top=9)
    assert {each.label for each in found.labels} == {"dark", "bright"}
    assert found.checkpoint == str(untrained)
    assert len(found[0].labels) == 2


@pytest.mark.parametrize(
    ("window_seconds", "span", "count"), [(None, 125, 1), (2.0, 50, 4), (1.0, 25, 10)]
)
def test_how_long_a_window_of_a_model_of_whole_videos_is(
    window_seconds: float | None,
    span: int,
    count: int,
    predictor: RecognitionPredictor,
    film: Callable[..., Path],
) -> None:
    model = replace(predictor, clip=replace(predictor.clip, sampling="even"))
    path = film(CHANGES)
    with open_video(path) as reader:
        spacing = window_spacing(model.clip, reader, window_seconds=window_seconds)
        indices, _ = spacing.windows()
    assert (indices[:, -1] - indices[:, 0] + 1).tolist() == [span] * count
    assert indices[-1, -1] == 124
    found = model.predict(path, every_seconds=0.5, window_seconds=window_seconds)
    assert found.windows == count
    if window_seconds == 1.0:
        assert [found[number].label for number in (0, 5, 9)] == ["dark", "bright", "dark"]


def test_json_and_back(predictor: RecognitionPredictor, film: Callable[..., Path]) -> None:
    found = predictor.predict(film(CHANGES), every_seconds=0.3, top=1)
    record = json.loads(json.dumps(found.to_json()))
    again = RecognitionPrediction.from_json(record)
    for name in record.keys() - {"segments"}:  # whose means are of rounded numbers then
        assert again.to_json()[name] == record[name]
    assert [len(step.labels) for step in again] == [1] * 17
    assert (again.label, again.video, len(again)) == (found.label, found.video, len(found))
    assert record["steps"][3]["start_seconds"] == 0.9  # and not 0.8999999999999999


def test_how_it_is_shown(predictor: RecognitionPredictor, film: Callable[..., Path]) -> None:
    found = predictor.predict(film(CHANGES), every_seconds=0.5)
    assert repr(found) == (
        f"<RecognitionPrediction film.mp4: dark {found.probability:.0%}, 10 steps of 0.5 s>"
    )
    html = replace(found, video="<b>.mp4")._repr_html_()
    assert "<b>.mp4" not in html
    assert html.count("title='dark' style='width:40.000%") == 1
    assert html.count("<tr><td>") == 3


def test_clips_are_those_of_the_model(predictor: RecognitionPredictor) -> None:
    assert predictor.clip == ClipSpec(
        frames=8, short_side=64, crop_size=64, mean=(0, 0, 0), std=(1, 1, 1)
    )
    assert repr(predictor).startswith("<RecognitionPredictor ")
