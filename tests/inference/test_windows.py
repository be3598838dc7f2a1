"""Long videos: windows cover every frame, compete by unnormalised scores, and stay small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vidattn.inference.windows import WindowedRecogniser
from vidattn.models import LoadedRecogniser
from vidattn.selection import merge_windows
from vidattn.video import open_video


def test_scores_find_the_one_window_with_the_action(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    path = write_flash(frame_count=200, span=(131, 139))
    with open_video(path) as reader:
        windows = list(WindowedRecogniser(loaded_brightness, reader).windows())
    assert len(windows) > 20
    scores = merge_windows(window.scores_by_frame() for window in windows)
    assert len(scores) == 200
    assert 131 <= int(scores.argmax()) < 139
    # Weights sum to one in every window: they cannot say which window matters.
    for window in windows:
        assert window.frame_weights.sum() == pytest.approx(1, abs=1e-5)


def test_memory_is_bounded_by_the_batch(
    loaded_brightness: LoadedRecogniser,
    write_flash: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    with open_video(write_flash(frame_count=120)) as reader:
        original = reader.frames_at

        def counted(indices: list[int], **settings: object) -> object:
            asked.append(len(indices))
            return original(indices, **settings)  # type: ignore[arg-type]

        monkeypatch.setattr(reader, "frames_at", counted)
        for _ in WindowedRecogniser(loaded_brightness, reader, batch_size=3).windows():
            pass
    assert max(asked) <= 3 * 8
    # Half-overlapping windows: each frame is decoded about once, not once a window.
    assert sum(asked) < 1.5 * 120


@pytest.mark.parametrize("frame_count", [1, 2, 5, 8, 9])
def test_short_videos(
    frame_count: int, loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    with open_video(write_flash(frame_count=frame_count, span=(0, 1))) as reader:
        windowed = WindowedRecogniser(loaded_brightness, reader)
        scores = merge_windows(window.scores_by_frame() for window in windowed.windows())
    assert scores.shape == (frame_count,)
    assert int(scores.argmax()) == 0


@pytest.mark.parametrize("frame_count", [1, 3, 4, 6, 7])
def test_padding_is_no_place_of_a_short_video(
    frame_count: int, loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    # Its last frame is as bright as the others: a step centred on padding would say otherwise.
    path = write_flash(frame_count=frame_count, span=(0, frame_count), box=(0, 0, 96, 64))
    with open_video(path) as reader:
        [window] = WindowedRecogniser(loaded_brightness, reader).windows()
    _, scores = window.scores_by_frame()
    assert scores.min() > 0.8 * scores.max() > 0
    for index in range(frame_count):
        assert window.regions_at(index).sum() == pytest.approx(1)
    assert window.frame_weights.sum() == pytest.approx(1)


def test_windows_around_frames_are_centred_where_the_video_reaches(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    with open_video(write_flash(frame_count=40)) as reader:
        windowed = WindowedRecogniser(loaded_brightness, reader)
        first, middle, last = windowed.around(np.array([0, 20, 39]))
    assert first.indices.tolist() == list(range(8))
    assert middle.indices.tolist() == list(range(16, 24))
    assert last.indices.tolist() == list(range(32, 40))


def test_what_normalises_lies_where_the_network_lies(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    loaded_brightness.recogniser.to("meta")  # stands for a GPU: a device that is not the CPU
    with open_video(write_flash(frame_count=8)) as reader:
        windowed = WindowedRecogniser(loaded_brightness, reader)
    assert {buffer.device.type for buffer in windowed.runner.transform.buffers()} == {"meta"}
