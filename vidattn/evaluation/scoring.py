"""Scores files of predictions against files of truth: no model, no torch."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from vidattn.errors import ArgumentError
from vidattn.evaluation.tasks.built_in import RENAMED, TASKS
from vidattn.evaluation.tasks.task import Option, Score, ScoreTask
from vidattn.naming import choose


def task_names() -> list[str]:
    """Names that `score` knows."""
    return list(TASKS)


def task(name: str) -> ScoreTask:
    """All about one task.

    Raises:
        UnknownNameError: there is none; the message has close matches.
    """
    found: ScoreTask = import_module(TASKS[choose("task", name, TASKS, renamed=RENAMED)]).TASK
    return found


def score(
    name: str,
    predictions: str | os.PathLike[str],
    truth: str | os.PathLike[str],
    *,
    protocol: str | None = None,
    **settings: Any,
) -> Score:
    """Score a file of predictions against a file of truth.

    Args:
        name: the task, one of `task_names()`.
        predictions, truth: paths of files in one of the task's formats.
        protocol: which convention; by default the first of the task's.
        settings: options of the task, see `task(name).options`.

    Raises:
        MalformedFileError: a file cannot be scored; names file, line, what was expected and
            what came.
        ArgumentError, UnknownNameError: task, protocol or setting.
    """
    chosen = task(name)
    protocol = next(iter(chosen.protocols)) if protocol is None else protocol
    choose(f"protocol of {name}", protocol, chosen.protocols)
    options = {option.name: option for option in chosen.options}
    for key in settings:
        choose(f"setting of {name}", key, options)
    values = {key: _value(option, settings.get(key)) for key, option in options.items()}
    with _without_collection():
        return chosen.run(Path(predictions), Path(truth), protocol, values)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Files become millions of objects without cycles; looking for cycles takes half the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _value(option: Option, value: Any) -> Any:
    if value is None:
        return option.default
    try:
        value = option.read(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{option.name}: {option.summary}; got {value!r}") from error
    if option.choices:
        choose(option.name, value, option.choices)
    return value
