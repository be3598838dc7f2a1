"""Files of an earlier training where a new one would write: found before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, OnExceptionCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from vidattn.errors import CheckpointError, EarlierRunError
from vidattn.models.checkpoint import read_checkpoint
from vidattn.models.starting_weights import is_own_checkpoint
from vidattn.training.run_files import LAST

INTERRUPTED = "interrupted.ckpt"
LATEST = f"{LAST}.ckpt"
_VERSION = r"(-v\d+)?"
_METRICS = "metrics.csv"
_LOGS = (_METRICS, "hparams.yaml", "events.out.tfevents*")
_CONFIG = re.compile(r"config(-\d+)?\.yaml")
# The first line of a configuration that Lightning's command line wrote.
_CONFIG_MARK = b"# pytorch_lightning=="


def refuse_earlier_run(found: Sequence[Path], *, resumes: bool) -> None:
    """Refuse to write where an earlier training lies.

    Args:
        found: files of it, see `foreign_files`.
        resumes: this training goes on from a checkpoint, of another one than that.

    Raises:
        EarlierRunError: there are any.
    """
    if not found:
        return
    names = ", ".join(sorted({file.name for file in found})[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    checkpoints = [file for file in found if file.suffix == ModelCheckpoint.FILE_EXTENSION]
    going_on = ""
    if checkpoints and not resumes:
        going_on = "go on with it (--resume), "
    raise EarlierRunError(
        f"{shown(found[0].parent)}: files of an earlier training are there ({names}{more}): "
        f"{going_on}write to another folder (--output), or let them be deleted (--overwrite)"
    )


def refuse_others_files(found: Sequence[Path]) -> None:
    """Refuse to delete files that have the name of a checkpoint and are none of a training.

    Args:
        found: what is to be replaced.

    Raises:
        EarlierRunError: there are any.
    """
    suffix = ModelCheckpoint.FILE_EXTENSION
    others = [file for file in found if file.suffix == suffix and not is_own_checkpoint(file)]
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise EarlierRunError(
            f"{shown(others[0])}{more}: this is in the way, and it is no whole checkpoint of "
            "`vidattn train`; it is not deleted. Give another --output, or move it away"
        )


def resumed_path(trainer: Trainer, given: bool | str) -> Path | None:
    """The checkpoint that a training goes on from.

    Args:
        trainer: with its callbacks.
        given: a path; True: the one that the training in its folder came furthest to; False: none.

    Raises:
        CheckpointError: there is none where this training writes.
    """
    if given is False or given is None:
        return None
    if given is not True:
        return Path(given)
    there = [file for file in earlier_files(trainer) if file.suffix == ".ckpt"]
    if not there:
        raise CheckpointError(
            f"{shown(checkpoint_folder(trainer) or Path())}: found no checkpoint of an earlier "
            "training to resume; leave --resume out to begin one"
        )
    named = [file for file in there if file.name in (INTERRUPTED, LATEST)] or there
    return named[0] if len(named) == 1 else max(named, key=_progress)


def _progress(path: Path) -> tuple[int, float]:
    """Steps done, and when it was written: times alone are lost by copying."""
    steps = read_checkpoint(path).get("global_step")
    return (steps if isinstance(steps, int) else 0), path.stat().st_mtime


def foreign_files(
    trainer: Trainer, resumed: dict[str, Any] | None = None, path: Path | None = None
) -> list[Path]:
    """Files of an earlier training that this one does not go on with, where it would write.

    Args:
        trainer: with its callbacks and loggers.
        resumed: what the checkpoint holds that it goes on from; None: it begins.
        path: of that checkpoint.
    """
    found = earlier_files(trainer)
    if resumed is None or path is None:
        return found
    own = folders_of(resumed, path)
    # Logs are added to, but a CSV logger deletes the metrics that it finds.
    return [
        file
        for file in found
        if file.name == _METRICS or not (_is_log(file) or file.parent.resolve() in own)
    ]


def keep_names(trainer: Trainer) -> None:
    """A callback that keeps one checkpoint gives it one name, and never `best-v1.ckpt`."""
    for callback in callbacks_of(trainer):
        if isinstance(callback, ModelCheckpoint) and callback.save_top_k == 1:
            callback._enable_version_counter = False


def earlier_files(trainer: Trainer) -> list[Path]:
    """Files that the trainer's callbacks and loggers would write over or beside."""
    if writes_nothing(trainer):
        return []
    return list(dict.fromkeys([*_checkpoints(trainer), *_logs(trainer)]))


def earlier_configurations(trainer: Trainer, inputs: Iterable[Path]) -> list[Path]:
    """Configurations that earlier trainings left where this one leaves its own.

    Args:
        trainer: see `earlier_files`.
        inputs: files that this training was configured by: they are never among them.
    """
    folder = configuration_folder(trainer)
    if folder is None or not folder.is_dir():
        return []
    given = {file.resolve() for file in inputs}
    return [
        file
        for file in sorted(folder.iterdir())
        if _CONFIG.fullmatch(file.name)
        and file.is_file()
        and file.resolve() not in given
        and file.read_bytes().startswith(_CONFIG_MARK)
    ]


def configuration_folder(trainer: Trainer) -> Path | None:
    """Where the configuration belongs: to the checkpoints, or else to the logs."""
    if (folder := checkpoint_folder(trainer)) is not None:
        return folder
    for logger in trainer.loggers:
        if isinstance(logger, CSVLogger | TensorBoardLogger):
            return Path(logger.log_dir)
    return None


def checkpoint_folder(trainer: Trainer) -> Path | None:
    """Where the first checkpoint callback writes; None: nothing is saved."""
    for callback in callbacks_of(trainer):
        if isinstance(callback, ModelCheckpoint):
            return folder_of(callback, trainer)
    return None


def folder_of(callback: ModelCheckpoint, trainer: Trainer) -> Path:
    """Where a callback writes: its own folder, or that of the logger's version, or the root's."""
    if callback.dirpath is not None:
        return Path(callback.dirpath)
    for logger in trainer.loggers[:1]:
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        root = logger.save_dir or trainer.default_root_dir
        return Path(root, str(logger.name), version, "checkpoints")
    return Path(trainer.default_root_dir, "checkpoints")


def folders_of(checkpoint: dict[str, Any], path: Path) -> set[Path]:
    """Folders that the training of a checkpoint wrote to: the file's own, and those it names."""
    states = checkpoint.get("callbacks", {}).values()
    named = [state.get("dirpath") for state in states if isinstance(state, dict)]
    return {path.resolve().parent, *(Path(folder).resolve() for folder in named if folder)}


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """A trainer's own list; Lightning sets it where no type checker sees it."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def writes_nothing(trainer: Trainer) -> bool:
    """Whether it is only a trial of a few batches."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def shown(path: Path) -> Path:
    """A path as a person would write it: relative where it lies in the working folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _checkpoints(trainer: Trainer) -> Iterator[Path]:
    for callback in callbacks_of(trainer):
        if isinstance(callback, OnExceptionCheckpoint) and Path(callback.ckpt_path).exists():
            yield Path(callback.ckpt_path)
        if not isinstance(callback, ModelCheckpoint):
            continue
        folder = folder_of(callback, trainer)
        pattern = re.compile("|".join(_patterns(callback)))
        deep = "/" in pattern.pattern
        for file in sorted(folder.rglob("*.ckpt") if deep else folder.glob("*.ckpt")):
            if pattern.fullmatch(file.relative_to(folder).as_posix()):
                yield file


def _patterns(callback: ModelCheckpoint) -> Iterator[str]:
    """Regular expressions of all file names that a callback may give."""
    suffix = re.escape(callback.FILE_EXTENSION)
    name = callback.filename or "{epoch}" + callback.CHECKPOINT_JOIN_CHAR + "{step}"
    if callback.save_top_k != 0:
        yield _pattern(name, callback) + _VERSION + suffix
    if callback.save_last:
        yield _pattern(callback.CHECKPOINT_NAME_LAST, callback) + _VERSION + suffix
    yield re.escape(INTERRUPTED)


def _pattern(template: str, callback: ModelCheckpoint) -> str:
    parts = []
    for text, group in re.findall(r"([^{]*)(\{[^}]*\})?", template):
        parts.append(re.escape(text))
        if group:
            key = re.split(r"[:!}]", group[1:])[0]
            known = re.escape(f"{key}{callback.CHECKPOINT_EQUALS_CHAR}")
            parts.append((known if callback.auto_insert_metric_name else "") + ".*")
    return "".join(parts)


def _logs(trainer: Trainer) -> Iterator[Path]:
    for logger in trainer.loggers:
        if isinstance(logger, CSVLogger | TensorBoardLogger):
            folder = Path(logger.log_dir)
            for name in _LOGS:
                yield from sorted(folder.glob(name))


def _is_log(file: Path) -> bool:
    return any(file.match(name) for name in _LOGS)
