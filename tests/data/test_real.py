from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidattn.data import ClipDataset, ClipSpec, read_annotations
from vidattn.data.labels import class_names
from vidattn.data.loader import evaluation_loader, training_loader


@pytest.mark.parametrize(
    ("name", "videos", "classes", "groups"), [("fights", 241, 2, 37), ("basketball", 225, 5, None)]
)
def test_annotations(shared_data: Path, name, videos, classes, groups):
    samples = read_annotations(shared_data / name / "clips.csv")
    assert len(samples) == videos
    assert len(class_names(samples)) == classes
    assert {sample.fold for sample in samples} == {0, 1, 2, 3}
    assert groups is None or len({sample.group for sample in samples}) == groups
    folders = read_annotations(shared_data / name)
    assert {sample.path for sample in samples} <= {sample.path for sample in folders}


@pytest.mark.parametrize("name", ["fights", "basketball"])
def test_clips_of_some_videos(shared_data: Path, name):
    samples = read_annotations(shared_data / name / "clips.csv")[::40]
    spec = ClipSpec(frames=8, frames_per_second=8, short_side=64, crop_size=56)
    names = class_names(samples)
    training = ClipDataset(samples, spec=spec, classes=names, training=True)
    for batch in training_loader(training, batch_size=3):
        assert batch.pixels.shape == (3, 3, 8, 64, 64)
        assert not batch.failures
    testing = ClipDataset(samples, spec=spec, classes=names, training=False, views=2, crops=3)
    for batch in evaluation_loader(testing, batch_size=3):
        assert batch.pixels.shape[1:] == (3, 8, 56, 56)
        rising = batch.seconds.diff(dim=1)
        assert (rising[batch.valid[:, 1:]] > 0).all()
        for geometry in batch.geometry:
            x1, y1, x2, y2 = geometry.window
            height, width = geometry.source_size
            assert 0 <= x1 < x2 <= width + 1e-6
            assert 0 <= y1 < y2 <= height + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fights", "basketball"])
def test_every_video(shared_data: Path, name):
    samples = read_annotations(shared_data / name / "clips.csv")
    spec = ClipSpec(frames=8, frames_per_second=8, short_side=64, crop_size=56)
    dataset = ClipDataset(samples, spec=spec, classes=class_names(samples), training=False)
    seen = 0
    for batch in evaluation_loader(dataset, batch_size=16, workers=2):
        assert batch.pixels.float().flatten(1).std(1).min() > 0
        assert torch.isfinite(batch.seconds).all()
        seen += len(batch)
    assert not dataset.failures
    assert seen == len(samples)
