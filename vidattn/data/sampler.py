from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from vidattn.data.dataset import Draw
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
        clips: random clips of the video that each draw is of; they are decoded together.

    Attributes:
        start: draws that the next iteration leaves out at its beginning.

    Source: several clips a draw: Hoffer et al., Augment Your Batch: Improving Generalization
        Through Instance Repetition, CVPR 2020.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        repeat: int = 1,
        weights: np.ndarray | None = None,
        clips: int = 1,
    ) -> None:
        if min(count, repeat, clips) < 1:
            raise ArgumentError(
                f"expected samples, passes and clips from 1, got {count}, {repeat} and {clips}"
            )
        self.count = count
        self.seed = seed
        self.repeat = repeat
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)
        self.clips = clips
        self.epoch = 0
        self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is of."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count * self.repeat

    def __iter__(self) -> Iterator[Draw]:
        start, self.start = self.start, 0
        generator = np.random.default_rng([self.seed, self.epoch])
        if self.weights is None:
            order = np.concatenate([generator.permutation(self.count) for _ in range(self.repeat)])
        else:
            order = generator.choice(self.count, len(self), p=self.weights)
        occurrences = np.zeros(self.count, dtype=np.int64)
        for place, index in enumerate(order.tolist()):
            if place >= start:
                yield Draw(index, self.epoch, int(occurrences[index]), self.clips)
            occurrences[index] += self.clips
