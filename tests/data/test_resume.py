"""A run that is stopped and resumed sees what it would have seen."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Lightning's own imports
    import pytorch_lightning as lightning

    from vidattn.training import VideoDataModule

from vidattn.data import ClipBatch, ClipDataset, ClipSpec, collate_clips, read_annotations
from vidattn.data.loader import TrainingLoader, training_loader
from vidattn.errors import ArgumentError

SPEC = ClipSpec(frames=4, short_side=32, crop_size=24)


def loader_of(folder: Path, workers: int, **settings) -> TrainingLoader:
    dataset = ClipDataset(
        read_annotations(folder), spec=SPEC, classes=["fall", "rise"], training=True, seed=5
    )
    settings = {"batch_size": 2, "repeat": 2, "clips": 2, "seed": 5} | settings
    return training_loader(dataset, workers=workers, **settings)


def epochs(loader: TrainingLoader, numbers) -> list[ClipBatch]:
    batches = []
    for number in numbers:
        loader.sampler.set_epoch(number)
        batches += list(loader)
    return batches


def assert_same(one: list[ClipBatch], two: list[ClipBatch]) -> None:
    for left, right in zip(one, two, strict=True):
        assert left.video_id == right.video_id
        assert left.view == right.view
        assert left.geometry == right.geometry
        for name in ("pixels", "labels", "valid", "seconds", "indices"):
            assert torch.equal(getattr(left, name), getattr(right, name))


@pytest.fixture(scope="module")
def whole(small_set: Path) -> list[ClipBatch]:
    """What a run that is not stopped sees in three epochs of six batches."""
    return epochs(loader_of(small_set, 0), [0, 1, 2])


@pytest.mark.parametrize(("workers_before", "workers"), [(0, 0), (2, 0), (0, 1), (2, 2)])
def test_in_the_middle_of_an_epoch(small_set: Path, whole, workers, workers_before):
    assert len(whole) == 18
    stopped = loader_of(small_set, workers_before)
    epochs(stopped, [0])
    stopped.sampler.set_epoch(1)
    batches = iter(stopped)
    for _ in range(4):
        next(batches)
    state = stopped.state_dict()
    resumed = loader_of(small_set, workers)
    resumed.load_state_dict(state)
    # A trainer asks for the iterator, then says which epoch it is, then asks for batches.
    batches = iter(resumed)
    resumed.sampler.set_epoch(1)
    assert_same(list(batches), whole[10:12])
    assert resumed.state_dict() == state | {"batches": 6}
    assert_same(epochs(resumed, [2]), whole[12:])


def test_between_two_epochs(small_set: Path, whole):
    stopped = loader_of(small_set, 0)
    epochs(stopped, [0])
    resumed = loader_of(small_set, 0)
    resumed.load_state_dict(stopped.state_dict())
    assert_same(epochs(resumed, [1]), whole[6:12])
    # The state belongs to its epoch and is used once.
    fresh = loader_of(small_set, 0)
    batches = iter(fresh)
    next(batches)
    resumed.load_state_dict(fresh.state_dict())
    assert_same(epochs(resumed, [1]), whole[6:12])
    assert_same(epochs(resumed, [0]), whole[:6])


def test_refuses_another_order_in_the_middle_only(small_set: Path):
    loader = loader_of(small_set, 0)
    batches = iter(loader)
    next(batches)
    unfinished = loader.state_dict()
    list(batches)
    for settings in ({"batch_size": 3}, {"repeat": 3}, {"clips": 1}, {"seed": 6}):
        other = loader_of(small_set, 0, **settings)
        with pytest.raises(ArgumentError, match="middle of an epoch"):
            other.load_state_dict(unfinished)
    other = loader_of(small_set, 0, repeat=1)
    other.load_state_dict(loader.state_dict())
    assert len(list(other)) == 3


def test_the_state_is_of_the_epoch_that_was_begun(small_set: Path, whole):
    loader = loader_of(small_set, 0)
    batches = iter(loader)
    next(batches)
    loader.sampler.set_epoch(1)
    assert loader.state_dict()["epoch"] == 0
    resumed = loader_of(small_set, 0)
    resumed.load_state_dict(loader.state_dict())
    assert_same(epochs(resumed, [1])[:1], whole[6:7])


def test_other_samplers_resume_between_epochs_only(small_set: Path):
    dataset = loader_of(small_set, 0).dataset
    loader = TrainingLoader(dataset, batch_size=2, collate_fn=collate_clips)
    batches = iter(loader)
    next(batches)
    with pytest.raises(ArgumentError, match="SequentialSampler"):
        loader.load_state_dict(loader.state_dict())
    list(batches)
    loader.load_state_dict(loader.state_dict())
    assert len(list(loader)) == 3


class Watcher(lightning.LightningModule):
    """Keeps what a trainer gives it, and the state of the checkpoint after batch `stop`."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 2)
        self.seen: list[tuple[int, ClipBatch]] = []

    def training_step(self, batch: ClipBatch, batch_index: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch))
        return self.head(batch.pixels.mean((2, 3, 4))).square().mean()

    def validation_step(self, batch: ClipBatch, batch_index: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(folder: Path, videos: Path, *, workers: int, resume: Path | None = None) -> Watcher:
    keep = lightning.callbacks.ModelCheckpoint(
        folder, filename="{step}", every_n_train_steps=1, save_top_k=-1
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        callbacks=[keep],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    watcher = Watcher()
    data = VideoDataModule(
        str(videos), clip=SPEC, batch_size=2, clips_per_video=2, workers=workers, seed=4
    )
    trainer.fit(watcher, data, ckpt_path=resume, weights_only=True)
    return watcher


# Lightning's own, with the newest torch.
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero:UserWarning")
@pytest.mark.filterwarnings("ignore:.*exists and is not empty:UserWarning")
def test_with_a_trainer_from_every_step(small_set: Path, tmp_path: Path):
    whole = fit(tmp_path, small_set, workers=0).seen
    assert len(whole) == 9
    assert [epoch for epoch, _ in whole] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # The beginning, the middle and the end of an epoch.
    for step, workers in ((1, 0), (3, 0), (4, 1), (5, 2), (6, 0)):
        checkpoint = tmp_path / f"step={step}.ckpt"
        resumed = fit(tmp_path, small_set, workers=workers, resume=checkpoint).seen
        assert [epoch for epoch, _ in resumed] == [epoch for epoch, _ in whole[step:]]
        assert_same([batch for _, batch in resumed], [batch for _, batch in whole[step:]])
