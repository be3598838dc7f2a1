from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from vidattn.data.collate import ClipBatch, ClipWithTarget, collate_clips
from vidattn.data.dataset import ClipDataset
from vidattn.data.failures import Failure
from vidattn.data.sampler import DrawSampler
from vidattn.data.workers import CurrentSamples, WorkerError, end, watch
from vidattn.errors import ArgumentError

# Seconds without a batch after which the workers count as hung.
TIMEOUT_SECONDS = 300.0


class ClipLoader(DataLoader[Sequence[ClipWithTarget] | Failure]):
    """Batches of a `ClipDataset`; what its workers could not read is recorded in the dataset.

    Test batches shrink by the videos that failed, and one of which nothing is left is left out;
    in training other videos take their places.

    Raises:
        UnreadableVideosError: while it is iterated over: more videos failed than the dataset
            allows.
        WorkerError: likewise: a worker died, or no batch came within `timeout` seconds. All
            workers are ended then; iterating again starts new ones.
    """

    dataset: ClipDataset
    _leaves_out_empty = True
    _processes: Sequence[Any] = ()

    def __iter__(self) -> Iterator[ClipBatch]:  # type: ignore[override]
        for batch in self._batches():
            self.dataset.record(batch.failures)
            if len(batch) or not self._leaves_out_empty:
                yield batch

    def worker_error(self, *, timed_out: bool = False) -> WorkerError | None:
        """What is wrong with the workers; None if they all run and are in time."""
        if not self._processes or not isinstance(self.worker_init_fn, CurrentSamples):
            return None
        paths = [sample.name for sample in self.dataset.samples]
        states = self.worker_init_fn.states(self._processes, paths)
        if dead := [state for state in states if state.exit_code is not None]:
            return WorkerError("a worker process died", dead)
        if timed_out:
            return WorkerError(f"no batch came within {self.timeout:g} s", states)
        return None

    def _batches(self) -> Iterator[ClipBatch]:
        if self.worker_error():
            self._end_workers()
        try:
            batches = super().__iter__()
            self._processes = getattr(batches, "_workers", [])
            if self._processes:
                watch(self)
            while (batch := next(batches, None)) is not None:
                yield batch
        except (RuntimeError, WorkerError) as error:
            timed_out = str(error).startswith("DataLoader timed out")
            failure = self.worker_error(timed_out=timed_out)
            if failure is None:
                raise
            self._end_workers()
            raise failure from error

    def _end_workers(self) -> None:
        end(self._processes)
        self._processes = ()
        self._iterator = None  # where PyTorch keeps persistent workers


class ValidationLoader(ClipLoader):
    """A `ClipLoader` that gives empty batches too: there are as many batches as its length says.

    A trainer counts them, and each of its processes has to take the same number of steps.
    """

    _leaves_out_empty = False


class TrainingLoader(ClipLoader):
    """A `ClipLoader` over a `DrawSampler` that can go on in the middle of an epoch.

    Lightning saves `state_dict()` in its checkpoints and loads it when it resumes. The batches
    that follow are those that would have followed, whatever the number of workers: an epoch and
    a place in it name them.
    """

    _epoch = 0
    _given = 0
    _resume: tuple[int, int] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is: the epoch, batches given in it, and what the order hangs on."""
        return {"epoch": self._epoch, "batches": self._given, "order": self._order()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin the next iteration where `state` says, if it is of the same epoch.

        Raises:
            ArgumentError: it says the middle of an epoch, and this loader has another order, or
                a sampler that is no `DrawSampler` (a trainer puts one in for several devices).
        """
        unfinished = 0 < state["batches"] < len(self)
        if unfinished and (state["order"] != self._order() or not self._draws):
            raise ArgumentError(
                "resume in the middle of an epoch: expected the order of the checkpoint, "
                f"{state['order']}, got {self._order()}; checkpoints between epochs fit any"
            )
        self._resume = (state["epoch"], state["batches"]) if unfinished else None

    @property
    def _draws(self) -> DrawSampler | None:
        return self.sampler if isinstance(self.sampler, DrawSampler) else None

    def _batches(self) -> Iterator[ClipBatch]:
        # Nothing before the first batch is asked for: only then has a trainer set the epoch.
        epoch, given = self._resume or (None, 0)
        self._resume = None
        self._epoch = getattr(self.sampler, "epoch", 0)
        self._given = given if epoch == self._epoch else 0
        if self._draws:
            self._draws.start = self._given * (self.batch_size or 1)
        for batch in super()._batches():
            self._given += 1
            yield batch

    def _order(self) -> dict[str, Any]:
        if self._draws is None:
            return {"sampler": type(self.sampler).__name__}
        names = ("count", "repeat", "seed", "clips")
        order = {name: int(getattr(self._draws, name)) for name in names}
        return order | {"batch_size": self.batch_size or 1}


def training_loader(
    dataset: ClipDataset,
    *,
    batch_size: int,
    workers: int = 0,
    repeat: int = 1,
    clips: int = 1,
    weights: np.ndarray | None = None,
    seed: int = 0,
    pin_memory: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> TrainingLoader:
    """Shuffled batches; the incomplete last one is left out unless it is the only one.

    Args:
        dataset: in training.
        batch_size: videos a batch; each gives `clips` clips.
        workers: processes that decode; 0 decodes in this one. Each keeps shared memory for up to
            four batches.
        repeat, clips, weights, seed: see `DrawSampler`.
        pin_memory: batches in page-locked memory.
        timeout_seconds: without a batch, after which the workers count as hung.
    """
    sampler = DrawSampler(len(dataset), seed=seed, repeat=repeat, weights=weights, clips=clips)
    return TrainingLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=len(sampler) >= batch_size,
        **_settings(workers, pin_memory, timeout_seconds),
    )


def evaluation_loader(
    dataset: ClipDataset,
    *,
    batch_size: int = 1,
    batches: Iterable[list[int]] | None = None,
    workers: int = 0,
    keeps_empty: bool = False,
    pin_memory: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> ClipLoader:
    """All clips in order.

    Args:
        dataset: not in training.
        batch_size: videos a batch; each gives views × crops clips.
        batches: instead of it, the videos of each batch, taken when there is room for them.
        keeps_empty: give batches of which no video could be read, as empty ones.
        workers, pin_memory, timeout_seconds: see `training_loader`.
    """
    order: dict[str, Any] = {"batch_size": batch_size}
    if batches is not None:
        order = {"batch_sampler": batches}
    loader = ValidationLoader if keeps_empty else ClipLoader
    return loader(dataset, **order, **_settings(workers, pin_memory, timeout_seconds))


def _settings(workers: int, pin_memory: bool, timeout_seconds: float) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "collate_fn": collate_clips,
        "persistent_workers": workers > 0,
        "pin_memory": pin_memory,
        "timeout": timeout_seconds if workers else 0,
        "worker_init_fn": CurrentSamples(workers) if workers else None,
    }
