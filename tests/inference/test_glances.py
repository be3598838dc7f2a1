"""Shots and key frames of encoded films, where not every frame is decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.video.numbered_films import encode_pixels
from vidattn import extract_keyframes, find_shots, selection, stream_shots
from vidattn.inference.glances import glance_at
from vidattn.video import VideoReader, open_video
from vidattn.video.readers.pyav_reader import PyavReader
from vidattn.video.span import ReaderSpan

X264 = {"g": "250", "bf": "3", "x264-params": "b-pyramid=none:b-adapt=0:scenecut=40"}
LENGTHS = (700, 811, 402, 1303)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Still scenes with a moving bar, joined by cuts."""
    generator = np.random.default_rng(0)
    frames = []
    for length in LENGTHS:
        picture = generator.integers(20, 230, (8, 12, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        for number in range(length):
            shown = picture.copy()
            shown[number % 60 : number % 60 + 4, :8] = 255
            frames.append(shown)
    path = tmp_path_factory.mktemp("glances") / "film.mp4"
    return encode_pixels(path, frames, **X264)


def test_shots_are_those_of_all_frames(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(film) as reader:
        pictures = (frames.array for frames in reader.chunks(short_side=32))
        expected = list(selection.find_transitions(pictures))
    assert [each.first_new for each in expected] == np.cumsum(LENGTHS)[:-1].tolist()
    asked: list[int] = []
    original = PyavReader._decode

    def decode(self: PyavReader, indices: np.ndarray, short_side: int | None) -> np.ndarray:
        asked.extend(indices.tolist())
        return original(self, indices, short_side)

    monkeypatch.setattr(PyavReader, "_decode", decode)
    assert list(find_shots(film).transitions) == expected
    assert len(asked) < 0.6 * sum(LENGTHS)


def test_the_first_shots_come_before_the_end_is_read(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    furthest = [0]
    original = PyavReader._decode

    def decode(self: PyavReader, indices: np.ndarray, short_side: int | None) -> np.ndarray:
        furthest[0] = max(furthest[0], int(indices.max()))
        return original(self, indices, short_side)

    monkeypatch.setattr(PyavReader, "_decode", decode)
    coming = stream_shots(film)
    first = next(coming)
    assert (first.start_frame, first.end_frame) == (0, LENGTHS[0])
    assert furthest[0] < LENGTHS[0] + 1300
    assert [first, *coming] == list(find_shots(film))


def test_a_part_of_a_film_is_looked_at_by_its_own_numbers(film: Path) -> None:
    with open_video(film) as whole:
        reader: VideoReader = ReaderSpan(whole, 20.0, 100.0)
        with glance_at(reader, frames_at_once=32, short_side=32) as (pictures, glance):
            found = [each.first_new for each in selection.find_transitions(pictures, glance)]
            assert glance is not None
            again = glance.look_again(np.array([7, 900]))
        assert found == (np.cumsum(LENGTHS)[:-1] - 500).tolist()
        np.testing.assert_array_equal(again, whole.frames_at([507, 1400], short_side=32).array)


def test_key_frames_cover_the_shots(film: Path) -> None:
    found = extract_keyframes(film, count=len(LENGTHS))
    ends = np.cumsum(LENGTHS)
    frames = [each.frame_index for each in found.frames]
    assert np.searchsorted(ends, frames, side="right").tolist() == [0, 1, 2, 3]
    assert len(extract_keyframes(film, count=3000).frames) == 3000
