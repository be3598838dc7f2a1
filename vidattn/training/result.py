"""What a training reached, where it lies, and which of its videos it could not read."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from vidattn.data import Sample
from vidattn.data.dataset import ClipDataset
from vidattn.models.checkpoint import read_checkpoint
from vidattn.training.data_module import VideoDataModule
from vidattn.training.earlier_run import callbacks_of, shown
from vidattn.training.recognition import RecognitionTask

_NAMES = {"top1": "top-1", "mean_average_precision": "mean average precision"}


@dataclass(frozen=True)
class Validation:
    """How well a checkpoint does on the validation videos, one centred clip each.

    Where the best of several epochs is chosen by this figure, new videos are recognised less well.

    Attributes:
        metric: "top1", or "mean_average_precision" where videos have several labels.
        value: from 0 to 1.
        epoch: after which it was measured, from 1.
        videos: in validation.
        chance: what guessing gives; None for several labels.
        majority: what always answering the most frequent class gives; None for several labels.
    """

    metric: str
    value: float
    epoch: int
    videos: int
    chance: float | None
    majority: float | None

    def __str__(self) -> str:
        beside = ""
        if self.chance is not None and self.majority is not None:
            beside = f" (chance {self.chance:.1%}, most frequent class {self.majority:.1%})"
        return (
            f"{_NAMES[self.metric]} {self.value:.1%} on {self.videos} validation videos after "
            f"epoch {self.epoch}{beside}"
        )


@dataclass(frozen=True)
class Training:
    """A training that has ended.

    Attributes:
        output: its folder.
        best: checkpoint with the best validation; None where nothing is validated.
        last: checkpoint of the end; None where none is written.
        validation: figures of `checkpoint`.
        classes: names in the order of the model's outputs.
        epochs, steps: done, those before a resumption included.
        failures: videos that could not be read -> reason.
        next_commands: what to type next, ready to run.
    """

    output: Path
    best: Path | None
    last: Path | None
    validation: Validation | None
    classes: tuple[str, ...]
    epochs: int
    steps: int
    failures: dict[str, str]
    next_commands: tuple[str, ...] = ()

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to use: the best, or else the last."""
        return self.best or self.last

    def to_json(self) -> dict[str, Any]:
        """All fields as what JSON knows."""
        values = asdict(self)
        for name in ("output", "best", "last"):
            values[name] = None if values[name] is None else str(values[name])
        return values | {"classes": list(self.classes), "next_commands": list(self.next_commands)}

    def __repr__(self) -> str:
        reached = "" if self.validation is None else f", {self.validation}"
        return f"<Training: {self.epochs} epochs{reached}, checkpoint {self.checkpoint}>"

    def __str__(self) -> str:
        reached = (
            self.validation or "no validation videos: data.validation_fraction sets some aside"
        )
        lines = [f"trained {self.epochs} epochs, {self.steps} steps: {reached}"]
        files = [str(shown(path)) for path in (self.best, self.last) if path is not None]
        lines.append(f"checkpoints: {', '.join(files) or 'none'}")
        if self.next_commands:
            lines += ["next:", *(f"  {line}" for line in self.next_commands)]
        return "\n".join(lines)


def training_result(
    trainer: Trainer, task: RecognitionTask, data: VideoDataModule, output: Path
) -> Training:
    """What a trainer reached that has just ended."""
    best, last, score = _checkpoints(trainer)
    validation, held_out = None, data.splits.validation
    if best is not None and score is not None:
        epoch = int(read_checkpoint(best)["epoch"]) + 1
        validation = _validation(score, epoch, task, held_out)
    elif (value := trainer.callback_metrics.get(f"validation/{task.metric_name}")) is not None:
        validation = _validation(float(value), trainer.current_epoch, task, held_out)
    failures = [each.failures for _, each in _datasets(data)]
    return Training(
        output=output,
        best=best,
        last=last,
        validation=validation,
        classes=task.spec.classes,
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        failures={path: reason for each in failures for path, reason in each.items()},
        next_commands=tuple(_next_commands(best or last, data, output)),
    )


def report_failures(data: VideoDataModule) -> None:
    """Say which videos were left out, and which classes with them: nothing else would tell."""
    for name, dataset in _datasets(data):
        if not dataset.failures:
            continue
        place = "; others took their places" if name == "training" else ""
        _say(f"{len(dataset.failures)} of {len(dataset)} videos of {name} could not be read{place}")
        for path, reason in dataset.failures.items():
            _say(f"left out of {name}: {path}: {reason}")
        for label, count in unread_classes(dataset):
            _say(
                f"class {label}: not one of its {count} videos of {name} could be read"
                + ("; the model has not learned it" if name == "training" else "")
            )


def unread_classes(dataset: ClipDataset) -> Iterator[tuple[str, int]]:
    """Classes of which no video could be read, and how many videos they have."""
    every = Counter(label for sample in dataset.samples for label in sample.labels)
    failed = Counter(
        label
        for sample in dataset.samples
        if sample.name in dataset.failures
        for label in sample.labels
    )
    yield from ((label, count) for label, count in every.items() if failed[label] == count)


def _datasets(data: VideoDataModule) -> list[tuple[str, ClipDataset]]:
    both = (("training", data.train_dataset), ("validation", data.val_dataset))
    return [(name, dataset) for name, dataset in both if dataset is not None]


def _checkpoints(trainer: Trainer) -> tuple[Path | None, Path | None, float | None]:
    """The best checkpoint, the last one, and the best one's score."""
    best, last, score = None, None, None
    for callback in callbacks_of(trainer):
        if not isinstance(callback, ModelCheckpoint):
            continue
        found = callback.last_model_path or callback.best_model_path
        if callback.monitor and callback.best_model_score is not None:
            best, score = Path(callback.best_model_path), float(callback.best_model_score)
            found = callback.last_model_path
        if found and Path(found).is_file():
            last = Path(found)
    return best, last, score


def _validation(
    value: float, epoch: int, task: RecognitionTask, samples: Sequence[Sample]
) -> Validation:
    labels = Counter(label for sample in samples for label in sample.labels)
    single = not task.spec.multi_label
    return Validation(
        metric=task.metric_name,
        value=value,
        epoch=epoch,
        videos=len(samples),
        chance=1 / len(task.spec.classes) if single else None,
        majority=max(labels.values()) / len(samples) if single else None,
    )


def _next_commands(checkpoint: Path | None, data: VideoDataModule, output: Path) -> Iterator[str]:
    if checkpoint is None:
        return
    path = str(shown(checkpoint))
    root = [] if data.root is None else ["--root", data.root]
    allowed = [word for name in data.allow_remote or () for word in ("--allow-remote", name)]
    held_out: list[str] = []
    if data.validation is not None:
        held_out = ["--data", data.validation, *root, *allowed]
    elif data.test_folds is not None:
        held_out = [
            "--data",
            data.annotations,
            *root,
            *allowed,
            "--folds",
            *map(str, data.test_folds),
        ]
    if held_out:
        folder = str(shown(output / "evaluation"))
        yield shlex.join(["vidattn", "evaluate", path, *held_out, "--output", folder])
    first = (data.splits.validation or data.splits.training)[0].path
    video = str(shown(first) if isinstance(first, Path) else first)
    yield shlex.join(["vidattn", "predict", video, "--checkpoint", path, *allowed])
    folder = str(shown(output / "keyframes"))
    yield shlex.join(
        ["vidattn", "keyframes", video, "--checkpoint", path, "--output", folder, *allowed]
    )


def _say(line: str) -> None:
    print(f"vidattn: {line}", file=sys.stderr)
