"""Videos that gave no result, as a page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vidattn import report
from vidattn.runs.outcome import VideoFailure

if TYPE_CHECKING:
    from vidattn.report.sections import Cell


def failure_table(failures: Sequence[VideoFailure]) -> report.Table:
    """A section of a page.

    Args:
        failures: of a result, at least one.
    """
    rows: list[list[Cell]] = [
        [each.video, each.reason, each.error, each.attempts] for each in failures
    ]
    header = ["video", "reason", "error", "attempts"]
    return report.Table("Videos without a result", header, rows)
