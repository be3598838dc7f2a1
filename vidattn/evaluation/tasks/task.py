"""What every task that files can be scored for declares, and what scoring it gives."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.notebook import html_table

# Of a score's figures, in its `repr`.
FIGURES_SHOWN = 4


@dataclass(frozen=True)
class Score:
    """What one file of predictions is worth.

    Attributes:
        task, protocol: what was scored, by which convention.
        figures: name -> value; NaN where nothing could be counted.
        classes: class -> its figures and counts.
        counts: name -> how many, such as the videos expected and those without predictions.
        notes: what a reader must know, such as rows that the protocol left out.
        settings: every setting with the value that was used.
        intervals: name of a figure -> (low, high), 95 %.
    """

    task: str
    protocol: str
    figures: dict[str, float]
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        figures = [f"{name} {shown_number(value)}" for name, value in self.figures.items()]
        more = ", …" if len(figures) > FIGURES_SHOWN else ""
        return (
            f"<Score {self.task}, protocol {self.protocol}: "
            f"{', '.join(figures[:FIGURES_SHOWN])}{more}>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: figures, then counts."""
        rows = [
            (name, shown_number(value), _bounds(self.intervals.get(name)))
            for name, value in self.figures.items()
        ]
        rows += [(name.replace("_", " "), str(count), "") for name, count in self.counts.items()]
        title = f"{self.task}, protocol {self.protocol}"
        return html_table(title, ("figure", "value", "95 % interval"), rows)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON types; None stands for NaN."""
        from vidattn import __version__

        record = {
            "task": self.task,
            "protocol": self.protocol,
            "figures": self.figures,
            "intervals_95": self.intervals,
            "counts": self.counts,
            "notes": self.notes,
            "settings": self.settings,
            "classes": self.classes,
            "versions": {"vidattn": __version__, "numpy": np.__version__},
        }
        plain: dict[str, Any] = _plain(record)
        return plain


@dataclass(frozen=True)
class Option:
    """A setting of a task; `--name` on the command line, `name=` in Python.

    Attributes:
        name: with underscores.
        read: str, int, float, bool or Path; a bool is a flag. Text is converted by it.
        summary: one line.
        default: None where the protocol decides, or nothing is needed.
        choices: the only values, where there are few.
    """

    name: str
    read: Callable[[Any], Any]
    summary: str
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreTask:
    """One task that files can be scored for.

    Attributes:
        name: as on the command line.
        summary: one line.
        predictions, truth: formats of the two files, one line each.
        protocols: name -> what it does; the first is the default.
        example: the arguments of a command, without `vidattn score`.
        run: `run(predictions, truth, protocol, settings)`, with all of `options` in `settings`.
        options: settings besides the protocol.
    """

    name: str
    summary: str
    predictions: str
    truth: str
    protocols: Mapping[str, str]
    example: str
    run: Callable[[Path, Path, str, dict[str, Any]], Score]
    options: tuple[Option, ...] = ()


def shown_number(value: float) -> str:
    """A figure or a count as people read it; a dash where nothing could be counted."""
    if isinstance(value, int):
        return str(value)
    return "–" if math.isnan(value) else f"{value:.6f}"


def _bounds(interval: tuple[float, float] | None) -> str:
    return f"{interval[0]:.4f} – {interval[1]:.4f}" if interval else ""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value
