from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import DataLoader, Sampler

from vidattn.data.collate import ClipBatch, LabelledClip, collate_clips
from vidattn.data.dataset import ClipDataset, Draw
from vidattn.data.failures import Failure
from vidattn.errors import ArgumentError


class DrawSampler(Sampler[Draw]):
    """The order of an epoch: every sample `repeat` times, or drawn by weight.

    `set_epoch`, which Lightning calls by itself, changes the order and the clips drawn; the same
    seed and epoch always give the same.

    Args:
        count: number of samples.
        seed: of the order, 0 or more.
        repeat: passes over the samples in an epoch.
        weights: float (count,), how often each sample is drawn, with replacement, in place of
            passes; `count · repeat` draws in all.
    """

    def __init__(
        self, count: int, *, seed: int = 0, repeat: int = 1, weights: np.ndarray | None = None
    ) -> None:
        if count < 1 or repeat < 1:
            raise ArgumentError(f"expected samples and passes from 1, got {count} and {repeat}")
        self.count = count
        self.seed = seed
        self.repeat = repeat
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is of."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count * self.repeat

    def __iter__(self) -> Iterator[Draw]:
        generator = np.random.default_rng([self.seed, self.epoch])
        if self.weights is None:
            order = np.concatenate([generator.permutation(self.count) for _ in range(self.repeat)])
        else:
            order = generator.choice(self.count, len(self), p=self.weights)
        occurrences = np.zeros(self.count, dtype=np.int64)
        for index in order.tolist():
            yield Draw(index, self.epoch, int(occurrences[index]))
            occurrences[index] += 1


class ClipLoader(DataLoader[Sequence[LabelledClip] | Failure]):
    """Batches of a `ClipDataset`; what its workers could not read is recorded in the dataset.

    Batches shrink by the videos that failed, and one of which nothing is left is left out.
    """

    dataset: ClipDataset

    def __iter__(self) -> Iterator[ClipBatch]:  # type: ignore[override]
        for batch in super().__iter__():
            self.dataset.record(batch.failures)
            if len(batch):
                yield batch


def training_loader(
    dataset: ClipDataset,
    *,
    batch_size: int,
    workers: int = 0,
    repeat: int = 1,
    weights: np.ndarray | None = None,
    seed: int = 0,
    pin_memory: bool = False,
) -> ClipLoader:
    """Shuffled batches; the incomplete last one is left out unless it is the only one."""
    sampler = DrawSampler(len(dataset), seed=seed, repeat=repeat, weights=weights)
    return ClipLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate_clips,
        drop_last=len(sampler) >= batch_size,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


def evaluation_loader(
    dataset: ClipDataset, *, batch_size: int, workers: int = 0, pin_memory: bool = False
) -> ClipLoader:
    """All clips in order; `batch_size` counts videos, each of views × crops clips."""
    return ClipLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate_clips,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )
