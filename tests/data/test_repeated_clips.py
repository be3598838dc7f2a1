"""Several clips of a video from one pass over its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vidattn.data import ClipDataset, ClipSpec, read_annotations
from vidattn.data.dataset import Draw
from vidattn.data.loader import training_loader
from vidattn.data.sampler import DrawSampler
from vidattn.errors import ArgumentError
from vidattn.video import open_video
from vidattn.video.packets.index import PacketTable
from vidattn.video.packets.index_cache import store_table
from vidattn.video.sources.local import LocalContent

SPEC = ClipSpec(frames=4, frame_stride=2, short_side=32, crop_size=24)


def dataset_of(samples, **settings) -> ClipDataset:
    settings = {"spec": SPEC, "classes": ["fall", "rise"], "training": True} | settings
    return ClipDataset(samples, **settings)


@pytest.mark.parametrize("cache_frames", [False, True])
@pytest.mark.parametrize("sampling", ["dense", "segments"])
def test_are_the_clips_that_would_be_drawn_one_by_one(small_set: Path, cache_frames, sampling):
    spec = ClipSpec(
        frames=4,
        sampling=sampling,
        frame_stride=2 if sampling == "dense" else 1,
        short_side=32,
        crop_size=24,
    )
    dataset = dataset_of(read_annotations(small_set), spec=spec, cache_frames=cache_frames)
    for index in range(len(dataset)):
        together = dataset[Draw(index, 3, 2, clips=4)]
        assert len(together) == 4
        assert [item.clip.view for item in together] == [0, 1, 2, 3]
        for number, item in enumerate(together):
            (alone,) = dataset[Draw(index, 3, 2 + number)]
            assert torch.equal(item.clip.pixels, alone.clip.pixels)
            assert torch.equal(item.clip.indices, alone.clip.indices)
            assert torch.equal(item.clip.seconds, alone.clip.seconds)
            assert torch.equal(item.clip.valid, alone.clip.valid)
            assert item.clip.geometry == alone.clip.geometry
            assert torch.equal(item.target, alone.target)
            assert item.clip.video_id == alone.clip.video_id


def test_a_file_is_opened_and_read_once(make_video, make_sample, monkeypatch):
    path = make_video("v.mp4", frames=40)
    opened, asked = [], []

    def counting(name, **settings):
        reader = open_video(name, **settings)
        frames_at = reader.frames_at

        def asking(indices, **more):
            asked.append(list(indices))
            return frames_at(indices, **more)

        opened.append(name)
        reader.frames_at = asking
        return reader

    monkeypatch.setattr("vidattn.video.open_video", counting, raising=False)
    items = dataset_of([make_sample(path)])[Draw(0, clips=3)]
    assert len(opened) == len(asked) == 1
    assert asked[0] == [i for item in items for i in item.clip.indices.tolist()]


def test_each_draw_goes_on_where_the_one_before_ended():
    draws = list(DrawSampler(3, repeat=2, clips=4))
    assert len(draws) == 6
    assert {draw.clips for draw in draws} == {4}
    assert sorted((d.index, d.occurrence) for d in draws) == [
        (i, k) for i in range(3) for k in (0, 4)
    ]
    with pytest.raises(ArgumentError, match="clips"):
        DrawSampler(3, clips=0)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_count_videos(small_set: Path, workers):
    dataset = dataset_of(read_annotations(small_set))
    batches = list(training_loader(dataset, batch_size=2, clips=3, workers=workers))
    assert [len(batch) for batch in batches] == [6, 6, 6]
    for batch in batches:
        assert batch.video_id == [name for name in batch.video_id[::3] for _ in range(3)]
        assert batch.pixels.is_contiguous(memory_format=torch.channels_last_3d)
    seen = np.concatenate([batch.video_id for batch in batches])
    assert (np.unique(seen, return_counts=True)[1] == 3).all()


def test_kept_packet_tables_are_used_without_being_asked_for(
    small_set: Path, tmp_path: Path, monkeypatch
):
    dataset = dataset_of(read_annotations(small_set))
    plain = [dataset[index][0].clip for index in range(len(dataset))]
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path))
    for sample in dataset.samples:
        with open_video(sample.path) as reader:
            store_table(LocalContent(str(sample.path), sample.path), reader.packet_table)

    def scan(*arguments):
        raise AssertionError("the packets are read although their table is kept")

    monkeypatch.setattr(PacketTable, "scan", scan)
    for index, expected in enumerate(plain):
        (item,) = dataset[index]
        assert torch.equal(item.clip.pixels, expected.pixels)
        assert torch.equal(item.clip.indices, expected.indices)
