"""What results say of the run that they come from."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from vidattn import __version__


def times(started: float) -> dict[str, Any]:
    """What of a result is not the same in a second run."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 3),
    }


def versions(decoder: str = "pyav") -> dict[str, str]:
    """What a figure depends on besides the checkpoint and the data."""
    names = ["torch", "torchvision", "av", "numpy"]
    if decoder != "pyav":
        names.append(decoder)
    return {
        "vidattn": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }
