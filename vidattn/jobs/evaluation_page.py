from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidattn import evaluation, report
from vidattn.errors import VideoError
from vidattn.evaluation import Interval
from vidattn.files import write_text
from vidattn.jobs.clip_scores import spread
from vidattn.jobs.evaluation_record import CALIBRATION_BINS
from vidattn.jobs.failures_shown import failure_table
from vidattn.jobs.thumbnails import frame_strip

if TYPE_CHECKING:
    from vidattn.jobs.evaluation_record import Evaluation
    from vidattn.report.sections import Cell, Section

WORST = 12
# Above this many classes a matrix is a grey field, and the pairs confused most say more.
LARGEST_MATRIX = 40
CONFUSED_PAIRS = 30


def write_evaluation_page(path: Path, found: Evaluation) -> None:
    """Figures, per-class table, confusions, worst videos and calibration as one HTML page."""
    warnings = found.settings.get("warnings", [])
    sections: list[Section] = [report.Text("Mind this", warnings)] if warnings else []
    sections.append(_figures(found))
    if not found.multi_label:
        sections += [_confusions(found), _calibration(found), _worst(found)]
    sections.append(_classes(found))
    if found.failures:
        sections.append(failure_table(found.failures))
    settings = found.settings
    page = report.render_page(
        "Evaluation",
        sections,
        summary=clips_in_words(found),
        facts={
            "protocol": settings["protocol"]["name"] if settings["protocol"] else "none",
            "checkpoint": f"{settings['checkpoint']} ({settings['checkpoint_sha256'][:12]})",
            "data": str(settings["data"]),
            "decoder": settings["decoder"],
            **settings["versions"],
        },
    )
    write_text(path, page)


def clips_in_words(found: Evaluation) -> str:
    """How many videos, and what of each, in a sentence."""
    settings = found.settings
    protocol = settings["protocol"]
    named = f"protocol {protocol['name']}: " if protocol else ""
    return (
        f"{named}{len(found.samples)} of {settings['videos_expected']} videos, "
        f"{settings['views']} × {settings['crops']} clips each; {settings['aggregation']}."
    )


def _figures(found: Evaluation) -> report.Table:
    rows: list[list[str | float | Interval]] = []
    for name, value in found.figures.items():
        bounds = found.intervals.get(name)
        rows.append([name.replace("_", " "), Interval(value, *bounds) if bounds else value])
    for name, value in found.beside.items():
        rows.append([f"{name} (without a model, {found.main_figure.replace('_', ' ')})", value])
    return report.Table("Figures", ["figure", "value"], rows, percent=True)


def _classes(found: Evaluation) -> report.Table:
    rows: list[list[Cell]] = [[name, *row.values()] for name, row in found.class_table.items()]
    figure = "average precision" if found.multi_label else "right"
    return report.Table("Classes", ["class", "videos", figure], rows, percent=True)


def _confusions(found: Evaluation) -> report.Confusion | report.Table:
    matrix = found.confusion
    if len(matrix) <= LARGEST_MATRIX:
        return report.Confusion(
            "Confusion matrix", matrix.tolist(), found.classes, note="Rows: truth."
        )
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSED_PAIRS]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    rows: list[list[Cell]] = [
        [found.classes[true], found.classes[given], int(wrong[true, given])]
        for true, given in pairs
        if wrong[true, given]
    ]
    return report.Table("Classes confused most", ["truth", "predicted", "videos"], rows)


def _calibration(found: Evaluation) -> report.Reliability:
    bins = evaluation.confidence_bins(found.scores, found.labels, bins=CALIBRATION_BINS)
    return report.Reliability(
        "Calibration",
        bins.counts.tolist(),
        bins.accuracies.tolist(),
        bins.confidences.tolist(),
        note="On the dashed line a model is as often right as it is sure. "
        f"Expected calibration error: {found.figures['calibration_error']:.1%}.",
    )


def _worst(found: Evaluation) -> report.Gallery:
    own = found.scores[np.arange(len(found.labels)), found.labels]
    order = np.argsort(own, kind="stable")[:WORST].tolist()
    pictures = [
        report.Picture(picture, caption)
        for number in order
        for picture, caption in _strips(found, number, float(own[number]))
    ]
    return report.Gallery(
        "The videos it is most wrong about",
        pictures,
        wide=True,
        note="Frames that the network saw, spread over its clips.",
    )


def _strips(found: Evaluation, number: int, score: float) -> Iterable[tuple[np.ndarray, str]]:
    """One picture of a video's frames with its caption; none if they cannot be read any more."""
    sample = found.samples[number]
    predicted = int(found.scores[number].argmax())
    caption = (
        f"{sample.video_id}: {sample.labels[0]} with {score:.1%}; "
        f"predicted {found.classes[predicted]} with {found.scores[number, predicted]:.1%}"
    )
    seen: Sequence[int] = sorted(
        {frame for view in found.indices[number] for frame in spread(view)}
    )
    try:
        yield frame_strip(sample.path, seen, decoder=found.settings["decoder"]), caption
    except (VideoError, OSError, IndexError):  # gone or changed since its clips were read
        return
