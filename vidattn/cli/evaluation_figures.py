"""What `evaluate` prints when it has finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.cli.outcome import print_failures
from vidattn.jobs.attention_record import BEST_POSSIBLE, TITLES
from vidattn.jobs.evaluation_page import clips_in_words

if TYPE_CHECKING:
    from vidattn.evaluation import Interval
    from vidattn.jobs import AttentionEvaluation, Evaluation


def print_evaluation(found: Evaluation) -> None:
    """The figures of a recognition as a table, with what went wrong below."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "95 % interval", "without a model")
    for name, value in found.figures.items():
        bounds = found.intervals.get(name)
        interval = f"{bounds[0]:.1%} – {bounds[1]:.1%}" if bounds else ""
        beside = found.beside if name == found.main_figure else {}
        without = "\n".join(f"{other} {share:.1%}" for other, share in beside.items())
        table.add_row(name.replace("_", " "), f"{value:.1%}", interval, without)
    console = Console()
    console.print(table)
    first, *others = found.indices[0]
    more = f", and {len(others)} more views" if others else ""
    frames = f"frames of {found.video_ids[0]}: {first}{more}"
    for line in (clips_in_words(found), frames):
        console.print(line, markup=False, highlight=False)
    print_failures(found.failures)
    console.print(reached(found), markup=False, highlight=False)
    if found.settings.get("clip_scores") == "none":
        line = "scores of single clips are not kept: --clip-scores npz keeps them"
        console.print(line, markup=False, highlight=False)


def reached(found: Evaluation) -> str:
    """The most important figure in a sentence, beside what needs no model."""
    name = found.main_figure
    value, bounds = found.figures[name], found.intervals.get(name)
    interval = f" (95 % interval {bounds[0]:.1%} – {bounds[1]:.1%})" if bounds else ""
    meanings = {"chance": "guessing gives", "majority": "always naming the most frequent class"}
    others = ", ".join(f"{meanings[each]} {share:.1%}" for each, share in found.beside.items())
    sentence = f"reached: {name.replace('_', ' ')} {value:.1%}{interval}; {others}"
    best = max(found.beside.values())
    if bounds and bounds[0] <= best <= bounds[1]:
        return f"{sentence}; the interval includes that: this is no proof that the model learned"
    return f"{sentence}: worse than without a model" if value < best else sentence


def print_attention(found: AttentionEvaluation) -> None:
    """The figures of where attention looks as tables, with what went wrong below."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name, figure in found.figures.items():
        table = Table(
            f"{TITLES[name]}, {figure.videos} videos", "mean (95 %)", "attention − it (95 %)"
        )
        for method, interval in figure.methods.items():
            minus = figure.attention_minus.get(method)
            table.add_row(method, percent(interval), percent(minus, "+") if minus else "")
        console.print(table)
    print_failures(found.failures)
    console.print(reached_by_attention(found), markup=False, highlight=False)


def reached_by_attention(found: AttentionEvaluation) -> str:
    """The first figure in a sentence, beside the best method that needs no model."""
    name, figure = next(iter(found.figures.items()))
    rivals = {
        method: own.mean
        for method, own in figure.methods.items()
        if method not in ("attention", "shuffled", BEST_POSSIBLE)
    }
    best = max(rivals, key=lambda method: rivals[method])
    gain = figure.attention_minus[best]
    sentence = (
        f"reached: {TITLES[name]} {percent(figure.methods['attention'])}; the best of what needs "
        f"no model is {best} with {rivals[best]:.0%}, attention minus it {percent(gain, '+')}"
    )
    if gain.low <= 0 <= gain.high:
        return f"{sentence}; the interval includes 0: this is no proof that attention is better"
    return f"{sentence}: worse than without a model" if gain.high < 0 else sentence


def print_ending(output: Path) -> None:
    """Where the result lies, and what one does next."""
    path = output / "evaluation.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    files = [path, *(output / name for name in record["written"]["files"])]
    print(f"written: {', '.join(map(str, files))}")
    print(f"next: open {output / 'evaluation.html'} in a browser")
    if record["task"] == "recognition":
        print(f"      vidattn compare {path} OTHER/evaluation.json   # is another model better?")


def percent(interval: Interval, sign: str = "") -> str:
    """A mean and its bounds.

    >>> from vidattn.evaluation import Interval
    >>> percent(Interval(0.5, 0.25, 0.75), "+")
    '+50% (+25% to +75%)'
    """
    mean, low, high = (f"{value:{sign}.0%}" for value in interval)
    return f"{mean} ({low} to {high})"
