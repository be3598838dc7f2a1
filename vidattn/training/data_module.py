from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningDataModule

from vidattn.data.annotations import Sample, read_annotations
from vidattn.data.collate import ClipBatch
from vidattn.data.dataset import ClipDataset
from vidattn.data.labels import balancing_weights, class_names
from vidattn.data.loader import (
    TIMEOUT_SECONDS,
    ClipLoader,
    TrainingLoader,
    evaluation_loader,
    training_loader,
)
from vidattn.data.mixing import Mixing
from vidattn.data.overlap import describe_overlap
from vidattn.data.spec import ClipSpec
from vidattn.data.split import split_by_fold, split_by_group
from vidattn.data.transforms import EvaluationTransform, TrainTransform
from vidattn.errors import ArgumentError
from vidattn.training.settings import Augmentation

logger = logging.getLogger(__name__)


class Splits(NamedTuple):
    """Who is trained on, validated on and tested on; the last two may be empty."""

    training: list[Sample]
    validation: list[Sample]
    test: list[Sample]


class VideoDataModule(LightningDataModule):
    """Annotated videos for a Lightning trainer; batches arrive on the device, normalised.

    Validation is at most one of: other annotations, a fraction split off by group, or (where
    test folds are named and no fraction) the test folds.

    Args:
        annotations: folder of class folders, tar file or folder of some, `.txt` list or `.csv`
            file; see `vidattn.data.read_annotations`.
        root: folder that the videos lie under; by default that of the annotations.
        allow_remote: see `vidattn.open_video`; None for nothing.
        validation: annotations of videos to validate on.
        validation_fraction: share of the training videos to validate on; groups stay whole.
        test_folds: folds to leave out of training and to test on.
        clip: what a clip is.
        augmentation: how training clips are varied.
        batch_size: videos a batch; in training each gives `clips_per_video` clips.
        workers: processes that decode; 0 decodes in this one.
        repeat: passes over the videos in an epoch: small data sets spend their time in what
            happens between epochs.
        clips_per_video: random clips that a training video gives each time it is drawn, from one
            pass over its file: cheaper than passes, where decoding is what training waits for.
        class_weighted_sampling: draw videos so that classes come up equally often.
        multi_label: videos have any number of labels.
        cache_frames: decode every video once, before training, and keep its frames in memory.
        decoder: see `vidattn.open_video`.
        maximum_failures: unreadable videos allowed in training; others take their places.
        worker_timeout_seconds: without a batch, after which workers count as hung and training
            ends with a `WorkerError` that names the videos they are at.
        seed: of splits, order and clips.

    Attributes:
        classes: names of all labels, sorted; known before training.
        train_dataset, val_dataset, test_dataset: after `setup`; None where there is none.
    """

    def __init__(
        self,
        annotations: str,
        *,
        root: str | None = None,
        allow_remote: list[str] | None = None,
        validation: str | None = None,
        validation_fraction: float | None = None,
        test_folds: list[int] | None = None,
        clip: ClipSpec = ClipSpec(),  # noqa: B008 - frozen
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        batch_size: int = 8,
        workers: int = 0,
        repeat: int = 1,
        clips_per_video: int = 1,
        class_weighted_sampling: bool = False,
        multi_label: bool = False,
        cache_frames: bool = False,
        decoder: str = "pyav",
        maximum_failures: int = 10,
        worker_timeout_seconds: float = TIMEOUT_SECONDS,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if validation is not None and (validation_fraction is not None or test_folds is not None):
            raise ArgumentError(
                "validation: expected it alone, or validation_fraction or test_folds without it"
            )
        counts = {"batch_size": batch_size, "repeat": repeat, "clips_per_video": clips_per_video}
        for name, value in counts.items():
            if value < 1:
                raise ArgumentError(f"{name}: expected 1 or more, got {value}")
        if workers < 0:
            raise ArgumentError(f"workers: expected 0 or more, got {workers}")
        self.annotations = annotations
        self.root = root
        self.allow_remote = allow_remote
        self.validation = validation
        self.validation_fraction = validation_fraction
        self.test_folds = test_folds
        self.clip = clip
        self.batch_size = batch_size
        self.workers = workers
        self.repeat = repeat
        self.clips_per_video = clips_per_video
        self.class_weighted_sampling = class_weighted_sampling
        self.multi_label = multi_label
        self.cache_frames = cache_frames
        self.decoder = decoder
        self.maximum_failures = maximum_failures
        self.worker_timeout_seconds = worker_timeout_seconds
        self.seed = seed
        self.train_dataset: ClipDataset | None = None
        self.val_dataset: ClipDataset | None = None
        self.test_dataset: ClipDataset | None = None
        self._augmentation = torch.Generator().manual_seed(seed)
        self.train_transform = TrainTransform(
            clip,
            crop_scale=augmentation.crop_scale,
            crop_ratio=augmentation.crop_ratio,
            flip=augmentation.flip,
            colour_jitter=augmentation.colour_jitter,
            generator=self._augmentation,
        )
        self.evaluation_transform = EvaluationTransform(clip)
        self.mixing: Mixing | None = None
        if augmentation.mixup_alpha or augmentation.cutmix_alpha:
            self.mixing = Mixing(
                len(self.classes),
                mixup_alpha=augmentation.mixup_alpha,
                cutmix_alpha=augmentation.cutmix_alpha,
            )

    @cached_property
    def splits(self) -> Splits:
        """The samples of each side, read and split once."""
        samples = self._read(self.annotations)
        if self.validation is not None:
            return Splits(samples, self._read(self.validation), [])
        test: list[Sample] = []
        if self.test_folds is not None:
            samples, test = split_by_fold(samples, self.test_folds)
        if self.validation_fraction is None:
            return Splits(samples, test, test)
        training, validation = split_by_group(samples, self.validation_fraction, seed=self.seed)
        return Splits(training, validation, test)

    @cached_property
    def classes(self) -> list[str]:
        """Names of all labels in the annotations, sorted."""
        return class_names([*self.splits.training, *self.splits.validation, *self.splits.test])

    def setup(self, stage: str) -> None:
        """Make the datasets, and with `cache_frames` decode what this stage needs."""
        if self.train_dataset is None:
            self.train_dataset = self._dataset(self.splits.training, training=True)
            if self.splits.validation:
                self.val_dataset = self._dataset(self.splits.validation, training=False)
            if self.splits.test is self.splits.validation:
                self.test_dataset = self.val_dataset
            elif self.splits.test:
                self.test_dataset = self._dataset(self.splits.test, training=False)
            self._warn_of_overlap()
            self._warn_of_unlearned_classes()
        if self.cache_frames:
            for dataset in self._datasets_of(stage):
                dataset.fill_cache(threads=max(self.workers, os.cpu_count() or 1))

    def train_dataloader(self) -> TrainingLoader:
        """Random clips, shuffled."""
        assert self.train_dataset is not None, "setup() comes first"
        weights = None
        if self.class_weighted_sampling:
            weights = balancing_weights(self.train_dataset.samples)
        return training_loader(
            self.train_dataset,
            batch_size=self.batch_size,
            workers=self.workers,
            repeat=self.repeat,
            clips=self.clips_per_video,
            weights=weights,
            seed=self.seed,
            pin_memory=torch.cuda.is_available(),
            timeout_seconds=self.worker_timeout_seconds,
        )

    def val_dataloader(self) -> ClipLoader | list[ClipLoader]:
        """One centred clip of each validation video; none where there are no such videos."""
        return self._evaluation_loader(self.val_dataset)

    def test_dataloader(self) -> ClipLoader | list[ClipLoader]:
        """One centred clip of each video of the test folds; none where none are named."""
        return self._evaluation_loader(self.test_dataset)

    def state_dict(self) -> dict[str, Any]:
        """Where the random crops, flips and colours are; Lightning keeps it in checkpoints."""
        return {"augmentation": self._augmentation.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the crops, flips and colours that would have followed."""
        self._augmentation.set_state(state_dict["augmentation"].cpu())

    def on_after_batch_transfer(self, batch: ClipBatch, dataloader_idx: int) -> ClipBatch:
        """Augment (in training) and normalise, on the device."""
        if not len(batch):
            return batch
        device = batch.pixels.device
        if self.trainer is None or not self.trainer.training:
            return replace(batch, pixels=self.evaluation_transform.to(device)(batch.pixels))
        size = (batch.pixels.shape[3], batch.pixels.shape[4])
        augmentation = self.train_transform.draw(len(batch), size)
        batch = replace(
            batch,
            pixels=self.train_transform.to(device)(batch.pixels, augmentation),
            geometry=augmentation.apply_to(batch.geometry, self.clip.crop_size),
        )
        if self.mixing is not None:
            batch = self.mixing(batch)
        return batch

    def _read(self, annotations: str) -> list[Sample]:
        separator = "," if self.multi_label else None
        return read_annotations(
            annotations,
            root=self.root,
            label_separator=separator,
            allow_remote=self.allow_remote or (),
        )

    def _dataset(self, samples: list[Sample], *, training: bool) -> ClipDataset:
        return ClipDataset(
            samples,
            spec=self.clip,
            classes=self.classes,
            training=training,
            multi_label=self.multi_label,
            decoder=self.decoder,
            cache_frames=self.cache_frames,
            maximum_failures=self.maximum_failures if training else None,
            seed=self.seed,
        )

    def _warn_of_overlap(self) -> None:
        if self.trainer is not None and not self.trainer.is_global_zero:
            return
        sides = {"validation": self.splits.validation, "test": self.splits.test}
        if self.splits.test is self.splits.validation:
            sides.pop("test")
        for side, samples in sides.items():
            if line := describe_overlap(self.splits.training, samples, side):
                logger.warning("vidattn: %s", line)

    def _warn_of_unlearned_classes(self) -> None:
        if self.trainer is not None and not self.trainer.is_global_zero:
            return
        learned = set(class_names(self.splits.training))
        missing = [name for name in self.classes if name not in learned]
        if missing:
            shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
            logger.warning(
                "vidattn: no training video has these classes of the held-out videos, so they "
                "cannot be learned: %s",
                shown,
            )

    def _datasets_of(self, stage: str) -> list[ClipDataset]:
        wanted: dict[str, list[Any]] = {
            "fit": [self.train_dataset, self.val_dataset],
            "validate": [self.val_dataset],
            "test": [self.test_dataset],
        }
        return [dataset for dataset in wanted.get(stage, []) if dataset is not None]

    def _evaluation_loader(self, dataset: ClipDataset | None) -> ClipLoader | list[ClipLoader]:
        if dataset is None:
            return []
        return evaluation_loader(
            dataset,
            batch_size=self.batch_size,
            workers=self.workers,
            keeps_empty=True,
            pin_memory=torch.cuda.is_available(),
            timeout_seconds=self.worker_timeout_seconds,
        )
