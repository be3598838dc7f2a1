from __future__ import annotations

from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vidattn import evaluation
from vidattn.data import ClipBatch, ClipDataset, Sample
from vidattn.data.evaluation_clips import EvaluationClips
from vidattn.data.loader import evaluation_loader
from vidattn.errors import ArgumentError, VideoError
from vidattn.inference.clip_runner import ClipRunner
from vidattn.models import LoadedRecogniser
from vidattn.runs.failures import failed, failure
from vidattn.runs.run_network import loaded_in
from vidattn.runs.shards import Shard
from vidattn.runs.work import Group, Record

Aggregation = Literal["probabilities", "logits"]


@dataclass(frozen=True, eq=False)
class EvaluationWork:
    """The work of an evaluation: what a model says of each video.

    Attributes:
        model: a checkpoint file, or what `vidattn.models.load` returned.
        samples: the videos.
        classes: names in the order of the logits.
        multi_label: whether scores are sigmoids.
        clips: which test clips a video gives.
        batch_size: clips that go through the network at once. Several videos share a batch only
            where all their clips fit; then they do so for any number of processes.
        workers: processes that decode; 0 decodes in this one.
        device: where the network runs.
        decoder: see `vidattn.open_video`.
        keep_clips: note the logits of every clip, too, and not only of each video.
    """

    model: str | LoadedRecogniser
    samples: Sequence[Sample]
    classes: Sequence[str]
    multi_label: bool
    clips: EvaluationClips
    batch_size: int = 8
    workers: int = 0
    device: str = "cpu"
    decoder: str = "pyav"
    keep_clips: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ArgumentError(f"batch_size: expected at least 1, got {self.batch_size}")
        if len({sample.video_id for sample in self.samples}) < len(self.samples):
            raise ArgumentError("data: a video is listed twice")
        self.dataset()  # foreign labels and unknown decoders are found out now

    @property
    def aggregation(self) -> Aggregation:
        """What is averaged over the clips of a video."""
        return self.clips.protocol.aggregation if self.clips.protocol else "probabilities"

    def groups(self) -> list[list[int]]:
        """Videos that go through the network together: as many as fill a batch, at least one."""
        size = max(self.batch_size // self.clips.count, 1)
        numbers = range(len(self.samples))
        return [list(numbers[start : start + size]) for start in range(0, len(numbers), size)]

    def dataset(self) -> ClipDataset:
        """The test clips of all videos."""
        return ClipDataset(
            self.samples,
            spec=self.clips.spec,
            classes=self.classes,
            training=False,
            views=self.clips.views,
            crops=self.clips.crops,
            protocol=self.clips.protocol,
            multi_label=self.multi_label,
            decoder=self.decoder,
        )

    def records(
        self, groups: Iterable[Group], shard: Shard
    ) -> Iterator[Mapping[int, Record] | float]:
        """Scores of each video of the groups, or why it has none; see `Work`."""
        loaded = loaded_in(shard, self.model, self.device)

        def logits(clips: Tensor, valid: Tensor) -> NDArray[np.float32]:
            found: Tensor = loaded.recogniser(clips, valid).logits
            own: NDArray[np.float32] = found.float().cpu().numpy()
            return own

        network = ClipRunner(loaded, logits, batch_size=self.batch_size)
        dataset = self.dataset()
        taken: deque[Group] = deque()
        loader = evaluation_loader(
            dataset, batches=_noted(groups, taken), workers=self.workers, keeps_empty=True
        )
        numbers = {sample.video_id: number for number, sample in enumerate(self.samples)}
        for batch in loader:
            rows: dict[int, list[int]] = {}
            for row, name in enumerate(batch.video_id):
                rows.setdefault(numbers[name], []).append(row)
            parts = []
            with self._named_sizes(batch):
                clips = network.clips(batch.pixels, batch.valid) if len(batch) else ()
                for part in clips:
                    parts.append(part)
                    yield len(part) / self.clips.count
            found = self._scored(dataset, batch, rows, np.concatenate(parts)) if parts else {}
            failures = {each.path: each for each in batch.failures}
            for number in taken[0]:
                if number not in found:
                    why = failures[self.samples[number].name]
                    found[number] = failed(why.error(why.path, why.reason))
            yield {number: found[number] for number in taken.popleft()}

    @contextmanager
    def _named_sizes(self, batch: ClipBatch) -> Iterator[None]:
        """A protocol may make clips that a network's kernels do not fit."""
        try:
            yield
        except RuntimeError as error:
            if self.clips.protocol is None or "memory" in str(error):
                raise
            raise ArgumentError(
                f"protocol {self.clips.protocol.name}: the network cannot take its clips of "
                f"(T, H, W) = {tuple(batch.pixels.shape[2:])} ({str(error).splitlines()[0]})"
            ) from error

    def _scored(
        self,
        dataset: ClipDataset,
        batch: ClipBatch,
        rows: Mapping[int, Sequence[int]],
        logits: NDArray[np.float32],
    ) -> dict[int, Record]:
        """Number of the video -> its scores; `rows` are its clips in the batch."""
        return {
            number: {
                **self._scores(logits[list(own)], dataset.labels[number].numpy()),
                "indices": [
                    compact(batch.indices[row].tolist()) for row in own[:: self.clips.crop_count]
                ],
            }
            for number, own in rows.items()
        }

    def _scores(self, logits: NDArray[np.float32], label: NDArray[Any]) -> Record:
        if not np.isfinite(logits).all():
            return failure(VideoError.__name__, "the network's logits are not finite")
        if self.multi_label:
            clips = 1 / (1 + np.exp(-logits.astype(np.float64)))
            mean = logits.astype(np.float64).mean(0)
            scores = (
                clips.mean(0) if self.aggregation == "probabilities" else 1 / (1 + np.exp(-mean))
            )
            return {"scores": scores.tolist(), "clip_logits": packed(logits)}
        _, [scores] = evaluation.average_views(logits, [0] * len(logits), method=self.aggregation)
        if self.aggregation == "logits":
            scores = evaluation.softmax(scores)
        ranks = evaluation.true_class_ranks(logits, np.repeat(label, len(logits)))
        kept = {"clip_logits": packed(logits)} if self.keep_clips else {}
        return {"scores": scores.tolist(), "clip_ranks": ranks.tolist(), **kept}


def packed(logits: NDArray[np.float32]) -> str:
    """(clips, classes) as text: a third of the numbers' own, and the same bits."""
    return b64encode(np.ascontiguousarray(logits, "<f4").tobytes()).decode("ascii")


def unpacked(text: str, class_count: int) -> NDArray[np.float32]:
    """The (clips, classes) that `packed` put into a text.

    >>> unpacked(packed(np.array([[0.5, 2.0]], np.float32)), 2).tolist()
    [[0.5, 2.0]]
    """
    return np.frombuffer(b64decode(text), "<f4").reshape(-1, class_count).astype(np.float32)


def _noted(groups: Iterable[Group], taken: deque[Group]) -> Iterator[list[int]]:
    """The groups as a loader takes them, in time for it to read ahead."""
    for group in groups:
        taken.append(group)
        yield list(group)


def compact(indices: Sequence[int]) -> str:
    """Frame numbers in one string: "start:end:step", the end not included, or each of them.

    >>> compact([4, 6, 8]), compact([5]), compact([0, 1, 1])
    ('4:10:2', '5', '0 1 1')
    """
    steps = set(np.diff(indices).tolist())
    if len(steps) == 1 and min(steps) > 0:
        [step] = steps
        return f"{indices[0]}:{indices[-1] + step}:{step}"
    return " ".join(map(str, indices))


def spread(text: str) -> list[int]:
    """The frame numbers that `compact` put into a string.

    >>> spread("4:10:2"), spread("0 1 1")
    ([4, 6, 8], [0, 1, 1])
    """
    if ":" in text:
        return list(range(*map(int, text.split(":"))))
    return list(map(int, text.split()))
