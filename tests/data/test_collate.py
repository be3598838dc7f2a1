from __future__ import annotations

import pytest
import torch

from vidattn.data import ClipBatch, ClipWithTarget, collate_clips
from vidattn.data.failures import Failure
from vidattn.errors import ArgumentError
from vidattn.video import Clip, Geometry


def labelled(number: int, *, size: int = 6, frames: int = 4) -> ClipWithTarget:
    rows = torch.randint(0, 256, (frames, size + 4, size + 4, 3), dtype=torch.uint8)
    pixels = rows.permute(0, 3, 1, 2)[:, :, 2 : size + 2, 1 : size + 1]
    clip = Clip(
        pixels,
        seconds=torch.arange(frames, dtype=torch.float64) + number,
        indices=torch.arange(frames) + 10 * number,
        valid=torch.arange(frames) < 3,
        geometry=Geometry.whole((size, size)),
        video_id=f"video {number}",
        view=number,
    )
    return ClipWithTarget(clip, torch.tensor(number))


def test_stacks_clips_of_several_videos_in_order():
    clips = [labelled(number) for number in range(4)]
    batch = collate_clips([clips[:1], clips[1:3], clips[3:]])
    assert len(batch) == 4
    assert batch.pixels.shape == (4, 3, 4, 6, 6)
    assert batch.pixels.dtype == torch.uint8
    assert batch.pixels.is_contiguous(memory_format=torch.channels_last_3d)
    for number, one in enumerate(clips):
        assert torch.equal(batch.pixels[number].transpose(0, 1), one.clip.pixels)
    assert batch.labels.tolist() == [0, 1, 2, 3]
    assert batch.valid.tolist() == [[True, True, True, False]] * 4
    assert batch.seconds[2].tolist() == [2, 3, 4, 5]
    assert batch.indices[3].tolist() == [30, 31, 32, 33]
    assert batch.video_id == ["video 0", "video 1", "video 2", "video 3"]
    assert batch.view == [0, 1, 2, 3]
    assert batch.geometry == [clip.clip.geometry for clip in clips]


def test_failures_shrink_the_batch():
    failure = Failure("broken.mp4", "why")
    batch = collate_clips([failure, [labelled(1)], failure])
    assert len(batch) == 1
    assert batch.failures == [failure, failure]
    empty = collate_clips([failure])
    assert len(empty) == 0
    assert empty.failures == [failure]


def test_to_moves_and_keeps_the_rest():
    batch = collate_clips([[labelled(0)], [labelled(1)]])
    moved = batch.to("meta", non_blocking=True)
    assert isinstance(moved, ClipBatch)
    assert moved.pixels.device.type == "meta"
    assert moved.labels.device.type == "meta"
    assert moved.valid.device.type == "meta"
    assert moved.seconds is batch.seconds
    assert moved.pixels.is_contiguous(memory_format=torch.channels_last_3d)
    assert batch.pixels.device.type == "cpu"


def test_refuses_clips_of_different_sizes():
    with pytest.raises(ArgumentError, match="one shape"):
        collate_clips([[labelled(0)], [labelled(1, size=8)]])
