from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn import report
from vidattn.files import write_text
from vidattn.jobs.attention_figures import FIGURES
from vidattn.jobs.attention_record import TITLES, AttentionEvaluation, AttentionFigure
from vidattn.jobs.failures_shown import failure_table

if TYPE_CHECKING:
    from vidattn.report.sections import Cell

WORST = 20


def write_attention_page(path: Path, found: AttentionEvaluation) -> None:
    """Every figure by method with its interval, and the videos that attention does worst on."""
    settings = found.settings
    sections: list[Any] = [_bars(name, figure) for name, figure in found.figures.items()]
    sections.append(_worst(found))
    if found.failures:
        sections.append(failure_table(found.failures))
    what = "Key frames" if found.task == "keyframes" else "Regions"
    page = report.render_page(
        f"{what} against true actions",
        sections,
        summary=(
            f"{len(found.videos)} of {settings['videos_expected']} videos; "
            "every method has the same budget."
        ),
        facts={
            "checkpoint": f"{settings['checkpoint']} ({settings['checkpoint_sha256'][:12]})",
            "data": settings["data"],
            "key frames a video": str(settings["keyframes_per_video"]),
            "decoder": settings["decoder"],
            **settings["versions"],
        },
    )
    write_text(path, page)


def _bars(name: str, figure: AttentionFigure) -> report.Bars:
    bars = [
        report.Bar(method, own.mean, own, strong=method == "attention")
        for method, own in figure.methods.items()
    ]
    note = f"{figure.videos} videos of {figure.groups} groups; bars show 95 % intervals."
    heading = TITLES[name]
    return report.Bars(heading[0].upper() + heading[1:], bars, percent=True, note=note)


def _worst(found: AttentionEvaluation) -> report.Table:
    figures = FIGURES[found.task]
    first = figures[0]
    order = sorted(found.videos, key=lambda video: video.figures[first]["attention"])[:WORST]
    rows: list[list[Cell]] = [
        [
            video.name,
            video.share_with_action,
            *(video.figures[name]["attention"] for name in figures),
        ]
        for video in order
    ]
    header = ["video", "frames with an action", *(TITLES[name] for name in figures)]
    return report.Table("The videos it does worst on", header, rows, percent=True)
