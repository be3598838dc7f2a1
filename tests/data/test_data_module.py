from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Lightning's own imports
    import pytorch_lightning as lightning

    from vidattn.training import Augmentation, VideoDataModule

from vidattn.data import ClipBatch, ClipSpec, UnreadableVideosError
from vidattn.errors import ArgumentError

SPEC = ClipSpec(frames=4, short_side=32, crop_size=24)


def module_of(annotations: Path, **settings) -> VideoDataModule:
    return VideoDataModule(str(annotations), clip=SPEC, batch_size=2, **settings)


class Watcher(lightning.LightningModule):
    """Keeps the batches that a trainer gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 2)
        self.trained: list[ClipBatch] = []
        self.validated: list[ClipBatch] = []
        self.tested: list[ClipBatch] = []

    def training_step(self, batch: ClipBatch, batch_index: int) -> torch.Tensor:
        self.trained.append(batch)
        return self.head(batch.pixels.mean((2, 3, 4))).square().mean()

    def validation_step(self, batch: ClipBatch, batch_index: int) -> None:
        self.validated.append(batch)

    def test_step(self, batch: ClipBatch, batch_index: int) -> None:
        self.tested.append(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def new_trainer(folder: Path) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=1,
        default_root_dir=folder,
    )


@pytest.fixture
def trainer(tmp_path: Path) -> lightning.Trainer:
    return new_trainer(tmp_path)


def table(root: Path, name: str = "clips.csv") -> Path:
    rows = [
        f"{label}/{number}.mp4,{label},g{number},{number % 3}"
        for label in ("fall", "rise")
        for number in range(3)
    ]
    path = root / name
    path.write_text("path,label,group,fold\n" + "\n".join(rows) + "\n")
    return path


# Lightning's own, with the newest torch.
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero:UserWarning")
class TestWithATrainer:
    @pytest.mark.parametrize("cache_frames", [False, True])
    def test_fit(self, small_set: Path, trainer, cache_frames):
        data = module_of(
            table(small_set), validation_fraction=0.34, repeat=3, cache_frames=cache_frames
        )
        watcher = Watcher()
        trainer.fit(watcher, data)
        # 4 of 6 videos, 3 passes, 2 a batch, 2 epochs.
        assert len(watcher.trained) == 12
        batch = watcher.trained[0]
        assert batch.pixels.shape == (2, 3, 4, 24, 24)
        assert batch.pixels.dtype == torch.float32
        assert batch.pixels.is_contiguous(memory_format=torch.channels_last_3d)
        assert all(geometry.size == (24, 24) for geometry in batch.geometry)
        trained = {name for batch in watcher.trained for name in batch.video_id}
        validated = {name for batch in watcher.validated for name in batch.video_id}
        assert len(trained) == 4
        assert len(validated) == 2
        assert not trained & validated
        epochs = [torch.cat([b.indices for b in watcher.trained[i : i + 6]]) for i in (0, 6)]
        assert not torch.equal(epochs[0], epochs[1])
        first, last = watcher.validated[0], watcher.validated[-1]
        assert torch.equal(first.pixels, last.pixels)

    def test_fit_with_workers_draws_the_same(self, small_set: Path, tmp_path: Path):
        seen = []
        for workers in (0, 2):
            watcher = Watcher()
            new_trainer(tmp_path).fit(watcher, module_of(table(small_set), workers=workers, seed=4))
            seen.append(watcher.trained)
        assert len(seen[0]) == 6
        for one, two in zip(*seen, strict=True):
            assert torch.equal(one.pixels, two.pixels)
            assert torch.equal(one.labels, two.labels)

    def test_mixup_makes_soft_labels_in_training_only(self, small_set: Path, trainer):
        watcher = Watcher()
        trainer.fit(
            watcher,
            module_of(table(small_set), test_folds=[0], augmentation=Augmentation(mixup_alpha=1.0)),
        )
        assert watcher.trained[0].labels.shape == (2, 2)
        assert watcher.trained[0].labels.sum(1).tolist() == pytest.approx([1, 1])
        assert watcher.validated[0].labels.shape == (2,)

    def test_test_folds(self, small_set: Path, trainer):
        watcher = Watcher()
        trainer.test(watcher, module_of(table(small_set), test_folds=[1]), verbose=False)
        tested = [name for batch in watcher.tested for name in batch.video_id]
        assert sorted(tested) == ["fall/1.mp4", "rise/1.mp4"]

    @pytest.mark.parametrize("workers", [0, 1])
    def test_unreadable_videos(self, small_set: Path, tmp_path: Path, workers):
        broken = small_set / "rise" / "broken.mp4"
        broken.write_bytes(b"nothing")
        try:
            data = module_of(small_set, maximum_failures=1, workers=workers)
            new_trainer(tmp_path).fit(Watcher(), data)
            assert list(data.train_dataset.failures) == [str(broken)]
            refused = module_of(small_set, maximum_failures=0, workers=workers)
            with pytest.raises(UnreadableVideosError, match=r"broken\.mp4"):
                new_trainer(tmp_path).fit(Watcher(), refused)
        finally:
            broken.unlink()


def test_classes_are_known_before_setup(small_set: Path):
    data = module_of(small_set)
    assert data.classes == ["fall", "rise"]
    assert data.train_dataset is None


def test_folds_with_an_inner_validation_split(small_set: Path):
    data = module_of(table(small_set), test_folds=[2], validation_fraction=0.5)
    sides = [{s.group for s in side} for side in data.splits]
    assert sides[2] == {"g2"}
    assert sorted(map(len, sides)) == [1, 1, 1]
    assert len(set.union(*sides)) == 3
    plain = module_of(table(small_set), test_folds=[2])
    plain.setup("fit")
    assert plain.val_dataset is plain.test_dataset
    assert {s.fold for s in plain.val_dataset.samples} == {2}


def test_other_annotations_to_validate_on(small_set: Path, tmp_path: Path):
    other = tmp_path / "other.csv"
    other.write_text("path,label\nfall/1.mp4,fall\n")
    data = module_of(small_set, root=str(small_set), validation=str(other))
    data.setup("fit")
    assert [s.video_id for s in data.val_dataset.samples] == ["fall/1.mp4"]
    assert len(data.train_dataset) == 6
    assert data.test_dataset is None
    assert data.test_dataloader() == []


def test_multi_label(small_set: Path, tmp_path: Path):
    path = tmp_path / "labels.csv"
    path.write_text('path,label\nfall/1.mp4,"down, fast"\nrise/1.mp4,up\n')
    data = module_of(path, root=str(small_set), multi_label=True)
    assert data.classes == ["down", "fast", "up"]
    data.setup("fit")
    assert data.train_dataset.labels.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert module_of(path, root=str(small_set)).classes == ["down, fast", "up"]


def test_weighted_sampling_balances_classes(small_set: Path, tmp_path: Path):
    path = tmp_path / "four.csv"
    path.write_text(
        "path,label\nfall/0.mp4,fall\nfall/1.mp4,fall\nfall/2.mp4,fall\nrise/0.mp4,rise\n"
    )
    data = module_of(path, root=str(small_set), class_weighted_sampling=True, repeat=1000)
    data.setup("fit")
    drawn = [data.train_dataset.labels[draw.index] for draw in data.train_dataloader().sampler]
    assert torch.stack(drawn).double().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_command_line_can_build_it(small_set: Path, monkeypatch):
    from jsonargparse import ArgumentParser

    # Newer ones want `instantiate`, which older ones lack.
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    parser = ArgumentParser()
    parser.add_class_arguments(VideoDataModule, "data")
    parsed = parser.parse_object(
        {
            "data": {
                "annotations": str(small_set),
                "clip": {"frames": 8, "sampling": "segments", "mean": [0.5, 0.5, 0.5]},
                "test_folds": None,
                "augmentation": {"crop_scale": [0.4, 1.0]},
            }
        }
    )
    data = parser.instantiate_classes(parsed).data
    assert data.clip == ClipSpec(frames=8, sampling="segments", mean=(0.5, 0.5, 0.5))
    assert data.train_transform.crop_scale == (0.4, 1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"validation": "x.csv", "validation_fraction": 0.2},
        {"validation": "x.csv", "test_folds": [0]},
        {"repeat": 0},
        {"workers": -1},
        {"validation_fraction": 1.5},
        {"test_folds": [0]},
    ],
)
def test_refuses_settings_that_do_not_fit(small_set: Path, settings):
    with pytest.raises(ArgumentError, match=next(iter(settings))):
        assert module_of(small_set, **settings).splits
