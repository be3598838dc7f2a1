"""What clips are to be told: stacked, ragged or unknown; moved, pickled and sent with the batch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.data.test_collate import labelled
from vidattn.data import ClipDataset, ClipSpec, Mixing, RaggedTarget, Sample, collate_clips
from vidattn.data.labels import balancing_weights, encode_labels
from vidattn.data.loader import evaluation_loader, training_loader
from vidattn.data.targets import Target
from vidattn.errors import ArgumentError
from vidattn.jobs import evaluate

BOXES = [torch.rand(count, 4) for count in (2, 0, 3)]


def batch_of(targets: list[Target]) -> object:
    items = [replace(labelled(number), target=target) for number, target in enumerate(targets)]
    return collate_clips([items])


def test_labels_are_stacked() -> None:
    assert batch_of([torch.tensor(3), torch.tensor(1)]).target.tolist() == [3, 1]
    hot = batch_of([torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])])
    assert hot.target.tolist() == hot.labels.tolist() == [[1, 0], [1, 1]]


def test_a_ragged_target_has_the_rows_of_each_clip() -> None:
    batch = batch_of([RaggedTarget.of_clip(boxes) for boxes in BOXES])
    assert len(batch.target) == 3
    assert batch.target.counts.tolist() == [2, 0, 3]
    for number, boxes in enumerate(BOXES):
        assert torch.equal(batch.target[number], boxes)
    moved = batch.to("meta").target
    assert (moved.rows.device.type, moved.counts.device.type) == ("meta", "cpu")
    again = pickle.loads(pickle.dumps(batch)).target
    assert torch.equal(again[2], BOXES[2])


def test_clips_may_have_no_target() -> None:
    batch = batch_of([None, None])
    assert batch.target is None
    assert batch.to("meta").target is None
    with pytest.raises(ArgumentError, match="video 0, video 1"):
        _ = batch.labels
    with pytest.raises(ArgumentError, match="no labels"):
        Mixing(2, mixup_alpha=1.0)(batch)


@pytest.mark.parametrize(
    "targets",
    [
        [torch.tensor(1), None],
        [RaggedTarget.of_clip(BOXES[0]), None],
        [RaggedTarget.of_clip(BOXES[0]), torch.tensor(1)],
    ],
)
def test_kinds_of_targets_are_not_mixed(targets: list[Target]) -> None:
    with pytest.raises(ArgumentError, match="one kind"):
        batch_of(targets)


@pytest.mark.parametrize(
    "counts",
    [torch.tensor([1]), torch.tensor([2.0]), torch.tensor([[2]]), torch.tensor([3, -1, 1])],
)
def test_counts_that_do_not_fit_are_refused(counts: Tensor) -> None:
    with pytest.raises(ArgumentError, match="counts"):
        RaggedTarget(torch.zeros(2, 4), counts)


def unlabelled(path: Path) -> Sample:
    return Sample(path, (), path.name)


SPEC = ClipSpec(frames=4, short_side=32, crop_size=32)


@pytest.mark.parametrize("workers", [0, 1])
def test_unlabelled_videos_give_clips(workers: int, write_flash: Callable[..., Path]) -> None:
    samples = [unlabelled(write_flash(f"{number}.mp4", frame_count=6)) for number in range(3)]
    dataset = ClipDataset(samples, spec=SPEC, classes=None, training=False)
    batches = list(evaluation_loader(dataset, batch_size=2, workers=workers))
    assert [batch.target for batch in batches] == [None, None]
    assert [batch.video_id for batch in batches] == [["0.mp4", "1.mp4"], ["2.mp4"]]
    with pytest.raises(ArgumentError, match="no labels"):
        _ = dataset.labels


@pytest.mark.parametrize("multi_label", [False, True])
def test_who_needs_labels_names_the_video_without_one(
    multi_label: bool, tmp_path: Path, untrained: Path
) -> None:
    samples = [Sample(tmp_path / "a.mp4", ("dark",), "a"), unlabelled(tmp_path / "b.mp4")]
    for needs in (
        lambda: encode_labels(samples, ["dark"], multi_label=multi_label),
        lambda: balancing_weights(samples),
        lambda: ClipDataset(
            samples, spec=SPEC, classes=["dark"], training=True, multi_label=multi_label
        ),
        lambda: evaluate(untrained, samples, progress=False),
    ):
        with pytest.raises(ArgumentError, match=r"b\.mp4: this video has no label"):
            needs()


def test_labels_come_out_of_a_worker_as_they_are(write_flash: Callable[..., Path]) -> None:
    samples = [
        Sample(write_flash(f"{number}.mp4", frame_count=6), (label,), f"{number}")
        for number, label in enumerate(["b", "a", "b", "a"])
    ]
    dataset = ClipDataset(samples, spec=SPEC, classes=["a", "b"], training=True)
    for batch in training_loader(dataset, batch_size=2, workers=1, seed=0):
        assert batch.target.tolist() == [[1, 0, 1, 0][int(name)] for name in batch.video_id]
