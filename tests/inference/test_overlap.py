from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidattn.inference.overlap import OverlappingFrames
from vidattn.video import VideoReader, VideoWriter, open_video


@pytest.fixture
def film(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    with VideoWriter(tmp_path / "film.mp4", fps=25, size=(48, 64), preset="ultrafast") as writer:
        for _ in range(40):
            writer.write(generator.integers(0, 256, (48, 64, 3), np.uint8))
    return tmp_path / "film.mp4"


def asked_of(reader: VideoReader, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    asked: list[list[int]] = []
    original = reader.frames_at
    monkeypatch.setattr(reader, "frames_at", lambda i, **kw: asked.append(i) or original(i, **kw))
    return asked


def test_frames_of_two_batches_are_decoded_once(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [[0, 2, 4, 6], [4, 5, 6, 9], [5, 6], [1, 6, 7], [20], [20]]
    decoded = [[0, 2, 4, 6], [5, 9], [], [1, 7], [20], []]
    with open_video(film) as reader:
        expected = {number: reader.frames_at([number], short_side=32) for number in range(21)}
        asked = asked_of(reader, monkeypatch)
        source = OverlappingFrames(reader, 32)
        for wanted, following in zip(batches, [*batches[1:], []], strict=True):
            found = source.take(np.array(wanted), np.array(following, np.int64))
            assert found.indices_array.tolist() == wanted
            for place, number in enumerate(wanted):
                np.testing.assert_array_equal(found.array[place], expected[number].array[0])
                assert found.seconds_array[place] == expected[number].seconds_array[0]
            assert found.source_size == (48, 64)
    assert asked == [each for each in decoded if each]


def test_damaged_frames_stay_marked(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(film) as reader:
        original = reader.frames_at

        def half_damaged(indices: list[int], **settings: int) -> object:
            frames = original(indices, **settings)
            frames.valid_array[:] = frames.indices_array % 2 == 0
            return frames

        monkeypatch.setattr(reader, "frames_at", half_damaged)
        source = OverlappingFrames(reader, 32)
        source.take(np.array([1, 2, 3]), np.array([2, 3, 4]))
        found = source.take(np.array([2, 3, 4]), np.array([], np.int64))
        assert found.valid_array.tolist() == [True, False, True]
