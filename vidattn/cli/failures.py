"""Videos that gave no result, as every command names them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any


def print_failures(failures: Sequence[Mapping[str, Any]]) -> None:
    """A line for each on standard error.

    Args:
        failures: of a result; see `vidattn.runs.failures.counted`.
    """
    for each in failures:
        print(f"vidattn: {each['video']}: {each['reason']}", file=sys.stderr)
