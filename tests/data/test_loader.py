from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vidattn.data import ClipDataset, ClipSpec, UnreadableVideosError, read_annotations
from vidattn.data.dataset import Draw
from vidattn.data.labels import balancing_weights
from vidattn.data.loader import evaluation_loader, training_loader
from vidattn.data.sampler import DrawSampler
from vidattn.errors import ArgumentError

SPEC = ClipSpec(frames=4, short_side=32, crop_size=24)


def dataset_of(samples, *, training: bool, **settings) -> ClipDataset:
    return ClipDataset(samples, spec=SPEC, classes=["fall", "rise"], training=training, **settings)


class TestDrawSampler:
    def test_every_sample_as_often_as_repeated_in_a_new_order(self):
        sampler = DrawSampler(7, repeat=3)
        draws = list(sampler)
        assert len(draws) == len(sampler) == 21
        expected = {Draw(i, 0, k) for i in range(7) for k in range(3)}
        assert set(draws) == expected
        assert list(sampler) == draws
        sampler.set_epoch(1)
        others = list(sampler)
        assert {draw.epoch for draw in others} == {1}
        assert [d.index for d in others] != [d.index for d in draws]
        assert list(DrawSampler(7, repeat=3, seed=5)) != draws

    def test_weights_are_frequencies_and_repeats_are_new_draws(self, make_sample):
        labels = "a" * 60 + "b" * 30 + "c" * 10
        samples = [make_sample(str(number), label) for number, label in enumerate(labels)]
        sampler = DrawSampler(100, repeat=100, weights=balancing_weights(samples))
        draws = list(sampler)
        assert len(set(draws)) == len(draws) == 10_000
        drawn = np.array([labels[draw.index] for draw in draws])
        for name in "abc":
            # Three standard deviations of a share of 1/3 in 10,000 draws are 0.014.
            assert (drawn == name).mean() == pytest.approx(1 / 3, abs=0.015)

    def test_refuses_nothing_to_draw(self):
        for settings in ({"count": 0}, {"count": 3, "repeat": 0}):
            with pytest.raises(ArgumentError):
                DrawSampler(**settings)


def epoch_of(small_set: Path, workers: int, epoch: int) -> list:
    dataset = dataset_of(read_annotations(small_set), training=True, seed=3)
    loader = training_loader(dataset, batch_size=2, workers=workers, repeat=2, seed=3)
    batches = []
    for number in range(epoch + 1):
        loader.sampler.set_epoch(number)
        batches = list(loader)
    return batches


def test_batches_are_the_same_for_any_number_of_workers(small_set: Path):
    alone = epoch_of(small_set, 0, 1)
    assert len(alone) == 6
    for workers in (1, 2):
        # Two epochs, so that persistent workers have to learn of the second.
        batches = epoch_of(small_set, workers, 1)
        for one, two in zip(alone, batches, strict=True):
            assert torch.equal(one.pixels, two.pixels)
            assert torch.equal(one.indices, two.indices)
            assert torch.equal(one.labels, two.labels)
            assert one.video_id == two.video_id
            assert one.geometry == two.geometry
            assert two.pixels.is_contiguous(memory_format=torch.channels_last_3d)


def test_evaluation_sees_every_clip_once_in_order(small_set: Path):
    samples = read_annotations(small_set)
    loader = evaluation_loader(
        dataset_of(samples, training=False, views=2, crops=3), batch_size=4, workers=1
    )
    batches = list(loader)
    assert [len(batch) for batch in batches] == [24, 12]
    seen = [(v, w) for batch in batches for v, w in zip(batch.video_id, batch.view, strict=True)]
    assert seen == [(sample.video_id, view) for sample in samples for view in range(6)]


def test_the_last_batch_is_left_out_unless_it_is_the_only_one(small_set: Path):
    samples = read_annotations(small_set)
    sizes = {
        batch_size: [
            len(b)
            for b in training_loader(dataset_of(samples, training=True), batch_size=batch_size)
        ]
        for batch_size in (4, 6, 9)
    }
    assert sizes == {4: [4], 6: [6], 9: [6]}


class TestFailures:
    @pytest.fixture
    def samples(self, small_set: Path, tmp_path: Path, make_sample):
        for number in range(3):
            (tmp_path / f"bad{number}.mp4").write_bytes(b"")
        bad = [make_sample(tmp_path / f"bad{number}.mp4") for number in range(3)]
        return [*bad, *read_annotations(small_set)]

    @pytest.mark.parametrize("workers", [0, 2])
    def test_are_recorded_and_leave_out_empty_batches(self, samples, workers):
        dataset = dataset_of(samples, training=False)
        batches = list(evaluation_loader(dataset, batch_size=2, workers=workers))
        assert [len(batch) for batch in batches] == [1, 2, 2, 1]
        assert sorted(Path(path).name for path in dataset.failures) == [
            "bad0.mp4",
            "bad1.mp4",
            "bad2.mp4",
        ]

    @pytest.mark.parametrize("workers", [0, 2])
    def test_stop_training_beyond_the_limit(self, samples, workers):
        allowed = dataset_of(samples, training=True, maximum_failures=3)
        for _ in range(2):
            clips = sum(len(b) for b in training_loader(allowed, batch_size=3, workers=workers))
            assert clips == 9
        refused = dataset_of(samples, training=True, maximum_failures=2)
        with pytest.raises(UnreadableVideosError, match="3 videos cannot be read, at most 2"):
            list(training_loader(refused, batch_size=3, workers=workers))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_share_a_filled_cache(small_set: Path, workers, monkeypatch):
    dataset = dataset_of(read_annotations(small_set), training=True, cache_frames=True)
    dataset.fill_cache()
    # Workers are forked with this in place: none of them can open a file.
    monkeypatch.setattr("vidattn.video.open_video", None, raising=False)
    batches = list(training_loader(dataset, batch_size=2, workers=workers))
    assert sum(len(batch) for batch in batches) == 6
    assert not dataset.failures
