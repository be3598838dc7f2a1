from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidattn import report
from vidattn.evaluation import Interval
from vidattn.files import write_text

if TYPE_CHECKING:
    from vidattn.jobs.evaluation_record import Evaluation

WORST = 20


def write_evaluation_page(path: Path, found: Evaluation) -> None:
    """Figures, per-class table, confusion matrix and the worst videos as one HTML page."""
    sections: list[report.Table | report.Confusion] = [_figures(found)]
    if not found.multi_label:
        sections += [
            report.Confusion(
                "Confusion matrix", found.confusion.tolist(), found.classes, note="Rows: truth."
            ),
            _worst(found),
        ]
    if found.failures:
        rows = [[name, reason] for name, reason in found.failures.items()]
        sections.append(report.Table("Videos that could not be read", ["video", "reason"], rows))
    settings = found.settings
    page = report.render_page(
        "Evaluation",
        sections,
        summary=_clips_in_words(found),
        facts={
            "checkpoint": f"{settings['checkpoint']} ({settings['checkpoint_sha256'][:12]})",
            "data": str(settings["data"]),
            "decoder": settings["decoder"],
            **settings["versions"],
        },
    )
    write_text(path, page)


def print_figures(found: Evaluation) -> None:
    """The figures as a table on the terminal, with what went wrong below."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "95 % interval")
    for name, value in found.figures.items():
        bounds = found.intervals.get(name)
        interval = f"{bounds[0]:.1%} – {bounds[1]:.1%}" if bounds else ""
        table.add_row(name.replace("_", " "), f"{value:.1%}", interval)
    console = Console()
    console.print(table)
    console.print(_clips_in_words(found), markup=False)
    console.print(
        f"frames of {found.video_ids[0]}: {', '.join(found.indices[0])}",
        markup=False,
        highlight=False,
    )
    for path, reason in found.failures.items():
        console.print(f"not evaluated: {path}: {reason}", style="red", markup=False)


def _clips_in_words(found: Evaluation) -> str:
    settings = found.settings
    protocol = settings["protocol"]
    named = f"protocol {protocol['name']}: " if protocol else ""
    return (
        f"{named}{len(found.video_ids)} of {settings['videos_expected']} videos, "
        f"{settings['views']} × {settings['crops']} clips each; {settings['aggregation']}."
    )


def _figures(found: Evaluation) -> report.Table:
    rows: list[list[str | float | Interval]] = []
    for name, value in found.figures.items():
        bounds = found.intervals.get(name)
        rows.append([name.replace("_", " "), Interval(value, *bounds) if bounds else value])
    return report.Table("Figures", ["figure", "value"], rows, percent=True)


def _worst(found: Evaluation) -> report.Table:
    own = found.scores[np.arange(len(found.labels)), found.labels]
    order = np.argsort(own, kind="stable")[:WORST]
    rows = [
        [
            found.video_ids[i],
            found.classes[int(found.labels[i])],
            found.classes[int(found.scores[i].argmax())],
            float(own[i]),
        ]
        for i in order
    ]
    header = ["video", "truth", "predicted", "score of the truth"]
    return report.Table("The videos it is most wrong about", header, rows)
