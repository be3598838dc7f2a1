from __future__ import annotations

from pathlib import Path
from typing import Any

from vidattn import report
from vidattn.evaluation import Interval
from vidattn.files import write_text
from vidattn.jobs.attention_evaluation import FIGURES, TITLES
from vidattn.jobs.failures_shown import failure_table, print_failures

WORST = 20


def write_localisation_page(path: Path, result: dict[str, Any]) -> None:
    """Every figure by method with its interval, and the videos that attention does worst on."""
    sections: list[Any] = [_bars(name, figure) for name, figure in result["figures"].items()]
    sections.append(_worst(result))
    if result["failures"]:
        sections.append(failure_table(result["failures"]))
    what = "Key frames" if result["task"] == "keyframes" else "Regions"
    page = report.render_page(
        f"{what} against true actions",
        sections,
        summary=(
            f"{result['videos_done']} of {result['videos_expected']} videos; "
            "every method has the same budget."
        ),
        facts={
            "checkpoint": f"{result['checkpoint']} ({result['checkpoint_sha256'][:12]})",
            "data": result["data"],
            "key frames a video": str(result["key_frames"]),
            "decoder": result["decoder"],
            **result["versions"],
        },
    )
    write_text(path, page)


def print_localisation(result: dict[str, Any]) -> None:
    """The figures as tables on the terminal, with what went wrong below."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for name, figure in result["figures"].items():
        table = Table(
            f"{TITLES[name]}, {figure['videos']} videos", "mean (95 %)", "attention − it (95 %)"
        )
        for method, interval in figure["methods"].items():
            minus = figure["attention_minus"].get(method)
            table.add_row(method, percent(interval), percent(minus, "+") if minus else "")
        console.print(table)
    print_failures(result["failures"])


def percent(interval: dict[str, float], sign: str = "") -> str:
    """A mean and its bounds.

    >>> percent({"mean": 0.5, "low": 0.25, "high": 0.75}, "+")
    '+50% (+25% to +75%)'
    """
    mean, low, high = (f"{interval[name]:{sign}.0%}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def _bars(name: str, figure: dict[str, Any]) -> report.Bars:
    bars = [
        report.Bar(method, own["mean"], Interval(**own), strong=method == "attention")
        for method, own in figure["methods"].items()
    ]
    note = f"{figure['videos']} videos of {figure['groups']} groups; bars show 95 % intervals."
    heading = TITLES[name]
    return report.Bars(heading[0].upper() + heading[1:], bars, percent=True, note=note)


def _worst(result: dict[str, Any]) -> report.Table:
    figures = FIGURES[result["task"]]
    first = figures[0]
    order = sorted(result["videos"], key=lambda video: video[first]["attention"])[:WORST]
    rows = [
        [
            video["video"],
            video["share_with_action"],
            *(video[name]["attention"] for name in figures),
        ]
        for video in order
    ]
    header = ["video", "frames with an action", *(TITLES[name] for name in figures)]
    return report.Table("The videos it does worst on", header, rows, percent=True)
