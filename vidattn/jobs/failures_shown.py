"""Videos that gave no result, as a page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vidattn import report

Failures = Sequence[Mapping[str, Any]]


def failure_table(failures: Failures) -> report.Table:
    """A section of a page.

    Args:
        failures: of a result; see `vidattn.runs.failures.counted`.
    """
    rows: list[list[Any]] = [
        [each["video"], each["reason"], each["error"], each["attempts"]] for each in failures
    ]
    header = ["video", "reason", "error", "attempts"]
    return report.Table("Videos without a result", header, rows)
