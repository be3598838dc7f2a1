from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidattn.data import ClipDataset, ClipSpec, read_annotations
from vidattn.data.dataset import Draw
from vidattn.data.failures import Failure, UnreadableVideosError
from vidattn.data.loader import evaluation_loader, training_loader
from vidattn.data.replacement import stand_ins


def dataset_of(samples, **settings) -> ClipDataset:
    spec = ClipSpec(frames=4, short_side=32, crop_size=32)
    settings = {"training": True, "maximum_failures": 10, **settings}
    return ClipDataset(samples, spec=spec, classes=["fall", "rise"], **settings)


@pytest.fixture
def samples(small_set: Path, tmp_path: Path, make_sample):
    """Two broken videos of "rise" before three good ones of each class."""
    for number in range(2):
        (tmp_path / f"bad{number}.mp4").write_bytes(b"")
    bad = [make_sample(tmp_path / f"bad{number}.mp4") for number in range(2)]
    return [*bad, *read_annotations(small_set)]


def test_stand_ins_are_all_others_with_those_of_the_same_class_first(samples):
    order = [draw.index for draw in stand_ins(samples, Draw(0, epoch=3), seed=1)]
    assert sorted(order) == [1, 2, 3, 4, 5, 6, 7]
    assert {samples[index].labels for index in order[:4]} == {("rise",)}
    assert {samples[index].labels for index in order[4:]} == {("fall",)}
    assert order == [draw.index for draw in stand_ins(samples, Draw(0, epoch=3), seed=1)]


def test_no_two_draws_have_a_clip_in_common(samples):
    draws = [Draw(index, 0, occurrence, 2) for index in (0, 1) for occurrence in (0, 2, 4)]
    found = [next(stand_ins(samples, draw, seed=0)) for draw in draws]
    assert all(draw.clips == 2 for draw in found)
    assert len({draw.occurrence for draw in found}) == len(draws)
    assert min(draw.occurrence for draw in found) > 1_000_000


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_batches_keep_their_size(samples, batch_size):
    given = []
    for workers in (0, 2):
        dataset = dataset_of(samples)
        loader = training_loader(dataset, batch_size=batch_size, workers=workers, clips=2)
        epochs = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            epochs.extend(loader)
        assert [len(batch) for batch in epochs] == [2 * batch_size] * (2 * 8 // batch_size)
        # A broken video takes no clip from its class: five of "rise" and three of "fall".
        labels = torch.cat([batch.labels for batch in epochs])
        assert labels.bincount().tolist() == [2 * 2 * 3, 2 * 2 * 5]
        assert len(dataset.failures) == 2
        given.append(epochs)
    for alone, shared in zip(*given, strict=True):
        assert alone.video_id == shared.video_id
        assert torch.equal(alone.pixels, shared.pixels)


def test_one_good_video_is_enough(samples):
    dataset = dataset_of(samples[:3])
    batches = list(training_loader(dataset, batch_size=3))
    assert [batch.video_id for batch in batches] == [[samples[2].video_id] * 3]
    # The same video at other times or places: three different draws.
    drawn = {batch.indices[row, 0].item() for batch in batches for row in range(3)}
    assert len(drawn) > 1


def test_no_more_videos_are_tried_than_may_fail(samples, make_sample, tmp_path: Path):
    for number in range(2, 30):
        (tmp_path / f"bad{number}.mp4").write_bytes(b"")
    many = [make_sample(tmp_path / f"bad{number}.mp4") for number in range(30)]
    dataset = dataset_of([*many, samples[-1]], maximum_failures=3)
    items = dataset.__getitems__([0])
    assert len(items) == 4
    assert all(isinstance(item, Failure) for item in items)
    with pytest.raises(UnreadableVideosError, match="4 videos cannot be read, at most 3"):
        list(training_loader(dataset_of(many, maximum_failures=3), batch_size=1))


def test_validation_gives_as_many_batches_as_it_says(samples):
    dataset = dataset_of(samples, training=False, maximum_failures=None)
    loader = evaluation_loader(dataset, batch_size=2, keeps_empty=True)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [0, 2, 2, 2]
    assert len(batches) == len(loader)
    assert [len(failure.path) > 0 for failure in batches[0].failures] == [True, True]


def test_parts_that_failed_are_not_tried_again(samples, make_sample, tmp_path: Path):
    """They are known by path and part."""
    times = [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    parts = [
        make_sample(
            tmp_path / "bad0.mp4", start_seconds=start, end_seconds=end, video_id=f"bad#{start}"
        )
        for start, end in times
    ]
    dataset = dataset_of([*parts, *samples[2:]])
    for _ in range(2):
        found = dataset.__getitems__([Draw(0), Draw(1), Draw(2)])
    failures = [item.path for item in found if isinstance(item, Failure)]
    assert sorted(failures) == sorted(part.name for part in parts)
    assert len(found) == 2 * len(parts)
