"""The names of a run's files, which say how far the run is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

PART_FILE = re.compile(
    r"part-[0-9a-f]{8}-(?P<part>\d{7})\.(?P<generation>\d{4})\."
    r"(jsonl|done-(?P<items>\d+)-(?P<failed>\d+))"
)


@dataclass(frozen=True)
class PartState:
    """What the names of a part's files say.

    Attributes:
        generation: of the process that took the part last, from 1.
        items: videos of the part; None where it is not done.
        failed: those that gave no result; None where it is not done.
    """

    generation: int
    items: int | None = None
    failed: int | None = None

    @property
    def is_done(self) -> bool:
        """Whether all videos of the part have records."""
        return self.failed is not None


def part_prefix(settings: Mapping[str, Any]) -> str:
    """How the names of the files of a run begin, other than those of other settings."""
    text = json.dumps(settings, sort_keys=True)
    return f"part-{sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}-"


def part_states(folder: Path, prefix: str) -> dict[int, PartState]:
    """Parts of a run that were taken, from the names of its files.

    Args:
        prefix: of these names.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    found: dict[int, PartState] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = PART_FILE.fullmatch(entry.name)
            if not name or not entry.name.startswith(prefix):
                continue
            part, state = int(name["part"]), state_of(name)
            before = found.get(part, PartState(0))
            is_said = state.generation == before.generation and state.is_done
            if is_said or state.generation > before.generation:
                found[part] = state
    return found


def taken(folder: Path) -> list[int]:
    """Parts that a run has taken, whatever its settings; none where there is no run."""
    try:
        names = map(PART_FILE.fullmatch, os.listdir(folder))
    except FileNotFoundError:
        return []
    return sorted({int(name["part"]) for name in names if name})


def state_of(name: re.Match[str]) -> PartState:
    """What one name says, matched by `PART_FILE`."""
    if name["failed"] is None:
        return PartState(int(name["generation"]))
    return PartState(int(name["generation"]), int(name["items"]), int(name["failed"]))
