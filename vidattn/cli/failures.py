"""Videos that gave no result, as every command names them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vidattn.runs.outcome import VideoFailure


def print_failures(failures: Sequence[VideoFailure]) -> None:
    """A line for each on standard error.

    Args:
        failures: of a result.
    """
    for each in failures:
        print(f"vidattn: {each.video}: {each.reason}", file=sys.stderr)
