"""How far a run is, from the files in its output folder; nothing of the run is changed."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidattn.errors import ArgumentError
from vidattn.runs.failures import up_to_date
from vidattn.runs.journal import SETTINGS_FILE, Journal
from vidattn.runs.outcome import VideoFailure
from vidattn.runs.part_files import PART_FILE, PartState, part_prefix, part_states
from vidattn.runs.result_files import JOURNAL_FOLDER, WRITTEN
from vidattn.runs.worker import LEASE_SECONDS, PREFIX

# The pace is that of the last so many seconds of work.
PACE_SECONDS = 600.0
# A video that was tried so often has ended, blocked or filled the process that opened it.
QUARANTINED_ATTEMPTS = 2


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
        folder: of its results, or the report of `index`.
        command: such as "keyframes"; None where the run does not say.
        state: "finished", "at work" (a process has said so within the last minute) or "stopped".
        videos_expected: of the list; None where the run does not say.
        videos_done: with a result.
        videos_failed: without one.
        processes: that are at work.
        videos_per_second: lately; None where that is not known.
        seconds_left: at this pace.
        reasons: why videos failed -> how many did, the most frequent first.
        quarantined: videos that have ended, blocked or filled their process; no run opens them
            again, unless it is asked to.
    """

    folder: str
    command: str | None
    state: str
    videos_expected: int | None
    videos_done: int
    videos_failed: int
    processes: int
    videos_per_second: float | None
    seconds_left: float | None
    reasons: Mapping[str, int]
    quarantined: tuple[VideoFailure, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types."""
        return asdict(self) | {"quarantined": [each.to_json() for each in self.quarantined]}


def run_status(folder: str | Path) -> RunStatus:
    """How far the run in an output folder is, or the `index` run of a report.

    Args:
        folder: what the command was given as `--output` or `--report`.

    Raises:
        ArgumentError: there is no run.
    """
    place = Path(folder)
    beside = place.with_name(f"{JOURNAL_FOLDER}-{place.name}")
    for journal in (place / JOURNAL_FOLDER, beside):
        if Journal.is_begun(journal):
            return _unfinished(str(folder), journal)
    records = [place] if place.is_file() else sorted(place.glob("*.json"))
    for path in records:
        if found := _finished(str(folder), path):
            return found
    raise ArgumentError(
        f"{folder}: expected the --output folder of a command that works on a list of videos, or "
        "the --report of `vidattn index`, found neither"
    )


def _unfinished(folder: str, journal: Path) -> RunStatus:
    settings = _read(journal / SETTINGS_FILE)
    prefix = part_prefix(settings)
    states = part_states(journal, prefix)
    failures = list(_failures(journal, prefix, states))
    open_parts = {part: state for part, state in states.items() if not state.is_done}
    recorded = sum(len(_lines(journal, prefix, part, open_parts[part])) for part in open_parts)
    finished = sum(state.items or 0 for state in states.values())
    expected = settings.get("videos")
    count = expected.get("count") if isinstance(expected, dict) else settings.get("videos_expected")
    done = finished + recorded
    processes = _at_work(journal)
    pace = _pace(journal, prefix) if processes else None
    return RunStatus(
        folder=folder,
        command=_read(journal / "replaced.json").get("command", settings.get("command")),
        state="at work" if processes else "stopped",
        videos_expected=count,
        videos_done=done - len(failures),
        videos_failed=len(failures),
        processes=processes,
        videos_per_second=pace,
        seconds_left=(count - done) / pace if pace and count is not None else None,
        reasons=_reasons(failures),
        quarantined=_quarantined(failures),
    )


def _finished(folder: str, path: Path) -> RunStatus | None:
    content = _read(path)
    if not (WRITTEN in content or content.get("command") == "index") or (
        "videos_failed" not in content
    ):
        return None
    failures = [_failure(each) for each in content.get("failures", [])]
    return RunStatus(
        folder=folder,
        command=content.get(WRITTEN, content).get("command"),
        state="finished",
        videos_expected=content.get("videos_expected"),
        videos_done=content["videos_done"],
        videos_failed=content["videos_failed"],
        processes=0,
        videos_per_second=None,
        seconds_left=0.0,
        reasons=_reasons(failures),
        quarantined=_quarantined(failures),
    )


def _failures(
    journal: Path, prefix: str, states: Mapping[int, PartState]
) -> Iterator[VideoFailure]:
    """Of parts that are done and have some, and of those that are not done."""
    for part, state in states.items():
        if state.failed == 0:
            continue
        for line in _lines(journal, prefix, part, state).values():
            if b'"error": ' not in line and b'"failure": ' not in line:
                continue
            record = up_to_date(json.loads(line)["record"])
            if "error" in record:
                yield _failure(record)


def _lines(journal: Path, prefix: str, part: int, state: PartState) -> dict[bytes, bytes]:
    """What identifies a record -> its line, of all records of a part, the later one of two."""
    found: dict[bytes, bytes] = {}
    for generation in range(1, state.generation + 1):
        try:
            content = (journal / f"{prefix}{part:07}.{generation:04}.jsonl").read_bytes()
        except OSError:
            continue
        for line in content.split(b"\n")[:-1]:
            if line.startswith(b'{"number": '):
                found[line.partition(b",")[0]] = line
    return found


def _failure(record: Mapping[str, Any]) -> VideoFailure:
    keys = ("video", "error", "reason", "attempts")
    return VideoFailure(**{key: record[key] for key in keys if key in record})


def _reasons(failures: list[VideoFailure]) -> dict[str, int]:
    return dict(Counter(each.reason for each in failures).most_common())


def _quarantined(failures: list[VideoFailure]) -> tuple[VideoFailure, ...]:
    return tuple(each for each in failures if each.attempts >= QUARANTINED_ATTEMPTS)


def _at_work(journal: Path) -> int:
    """Processes whose file has changed within the time after which they are taken for dead."""
    now, count = time.time(), 0
    for file in journal.glob(f"{PREFIX}*"):
        try:
            is_late = now - file.stat().st_mtime > LEASE_SECONDS
            count += not is_late and not file.read_text().rstrip().endswith("ended")
        except OSError:
            continue
    return count


def _pace(journal: Path, prefix: str) -> float | None:
    """Videos a second, by the times at which parts were done."""
    times: list[tuple[float, int]] = []
    with os.scandir(journal) as entries:
        for entry in entries:
            name = PART_FILE.fullmatch(entry.name)
            if name and name["items"] and entry.name.startswith(prefix):
                times.append((entry.stat().st_mtime, int(name["items"])))
    if len(times) < 2:
        return None
    last = max(moment for moment, _ in times)
    recent = [each for each in times if each[0] > last - PACE_SECONDS]
    first = min(moment for moment, _ in recent)
    count = sum(items for moment, items in recent if moment > first)
    return count / (last - first) if last > first else None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
