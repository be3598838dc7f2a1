"""What results say of the run that they come from."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from vidattn import __version__


def times(started: float) -> dict[str, Any]:
    """What of a result is not the same in a second run."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
    }


def versions(decoder: str = "pyav") -> dict[str, str | None]:
    """What a figure depends on besides the checkpoint and the data; None: not installed."""
    names = ["torch", "torchvision", "av", "numpy"]
    if decoder != "pyav":
        names.append(decoder)
    return {
        "vidattn": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in names},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # commands that need no torch also run without it
        return None
