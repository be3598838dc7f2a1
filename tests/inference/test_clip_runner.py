"""One loop from frames to outputs: what the network is given, and how much is held at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vidattn.errors import ArgumentError
from vidattn.inference.clip_runner import ClipRunner
from vidattn.models import LoadedRecogniser
from vidattn.video import open_video

INDICES = np.array([[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 6]])
VALID = np.array([[True] * 4, [True] * 4, [True, True, True, False]])


def given(clips: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    assert torch.is_inference_mode_enabled()
    return clips, valid


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_windows_show_whole_frames(
    batch_size: int, loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    # 96 x 64 pixels and a short side of 32: frames of 48 x 32; mean 0 and deviation 1.
    loaded = replace(
        loaded_brightness, clip=replace(loaded_brightness.clip, short_side=32, crop_size=32)
    )
    with open_video(write_flash(frame_count=7)) as reader:
        runner = ClipRunner(loaded, given, batch_size=batch_size)
        batches = list(runner.windows(reader, INDICES, VALID))
        frames = reader.frames_at(range(7), short_side=32)
    assert [len(batch) for batch in batches] == {1: [1, 1, 1], 2: [2, 1], 5: [3]}[batch_size]
    clips = torch.cat([batch.output[0] for batch in batches])
    expected = torch.stack([frames.pixels[row].transpose(0, 1) for row in INDICES])
    torch.testing.assert_close(clips, expected / 255)
    assert torch.cat([batch.output[1] for batch in batches]).tolist() == VALID.tolist()
    seconds = np.concatenate([batch.seconds for batch in batches])
    np.testing.assert_allclose(seconds, INDICES / 25)
    assert batches[0].geometry.window == (0, 0, 96, 64)
    assert batches[0].geometry.size == (32, 48)


def test_windows_show_the_centre_square(
    loaded_brightness: LoadedRecogniser, write_flash: Callable[..., Path]
) -> None:
    loaded = replace(loaded_brightness, clip=replace(loaded_brightness.clip, crop_size=40))
    with open_video(write_flash(frame_count=7)) as reader:
        runner = ClipRunner(loaded, given, batch_size=3, whole_frames=False)
        [batch] = runner.windows(reader, INDICES, VALID)
        frames = reader.frames_at(range(7))
    square = frames.pixels[:, :, 12:52, 28:68]  # 40 of 64 rows, 40 of 96 columns
    expected = torch.stack([square[row].transpose(0, 1) for row in INDICES])
    torch.testing.assert_close(batch.output[0], expected / 255)
    assert batch.geometry.window == (28, 12, 68, 52)


def test_clips_that_are_ready_go_through_in_batches(loaded_brightness: LoadedRecogniser) -> None:
    pixels = torch.randint(0, 256, (5, 3, 4, 8, 8), dtype=torch.uint8)
    valid = torch.rand(5, 4) > 0.5
    outputs = list(ClipRunner(loaded_brightness, given, batch_size=2).clips(pixels, valid))
    assert [len(clips) for clips, _ in outputs] == [2, 2, 1]
    torch.testing.assert_close(torch.cat([clips for clips, _ in outputs]), pixels / 255)
    assert torch.equal(torch.cat([kept for _, kept in outputs]), valid)


def test_frames_that_windows_share_are_decoded_once_and_few_are_held(
    loaded_brightness: LoadedRecogniser,
    write_flash: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_video(write_flash(frame_count=7)) as reader:
        asked: list[list[int]] = []
        original = reader.frames_at
        monkeypatch.setattr(
            reader, "frames_at", lambda i, **kw: asked.append(list(i)) or original(i, **kw)
        )
        runner = ClipRunner(loaded_brightness, given, batch_size=2)
        found = iter(runner.windows(reader, INDICES, VALID))
        next(found)
        assert asked == [[0, 1, 2, 3, 4, 5]]
        next(found)
        assert asked[1:] == [[6]]  # 4 and 5 are held


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.5])
def test_a_batch_holds_at_least_one_clip(
    batch_size: object, loaded_brightness: LoadedRecogniser
) -> None:
    with pytest.raises(ArgumentError, match="batch_size"):
        ClipRunner(loaded_brightness, given, batch_size=batch_size)  # type: ignore[arg-type]
