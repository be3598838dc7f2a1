"""Videos that gave no result, as a page and a terminal show them."""

from __future__ import annotations

import sys
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


def print_failures(failures: Failures) -> None:
    """A line for each on standard error."""
    for each in failures:
        print(f"vidattn: {each['video']}: {each['reason']}", file=sys.stderr)
