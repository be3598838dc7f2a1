"""What the tests made of mistakes: kept in a file, counted, shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

KILLED = ("failed", "crashed", "timed out")
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.json")
Result = dict[str, Any]


class Results:
    """What is known so far, in a file that is written after each mistake."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Result] = {}
        if path.is_file():
            self.known = {one["key"]: one for one in read(path)}

    def add(self, result: Result) -> None:
        self.known[result["key"]] = result
        self.write(self.known.values())

    def write(self, results: Iterable[Result]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        listed = list(results)
        text = json.dumps({"rates": rates(listed), "mutants": listed}, indent=1, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(self.path)


def read(path: Path) -> list[Result]:
    """The results in a file."""
    found: list[Result] = json.loads(path.read_text(encoding="utf-8"))["mutants"]
    return found


def reasons() -> dict[str, str]:
    """Mechanism and identity of each mistake that a reader found to change nothing -> why."""
    found: dict[str, str] = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    return found


def name_of(one: Result) -> str:
    """The mechanism and the identity of the mutant, without the version of its tests."""
    mechanism, identity, _ = one["key"].split(":")
    return f"{mechanism}:{identity}"


def rates(results: Iterable[Result]) -> dict[str, dict[str, float]]:
    """Mechanism (and "all") -> mutants, killed, rate, and the rate among those that run."""
    groups: dict[str, list[Result]] = {}
    for one in results:
        if one["outcome"] != "not run":
            groups.setdefault(one["mechanism"], []).append(one)
    groups = {name: groups[name] for name in sorted(groups)}
    groups["all"] = [one for group in groups.values() for one in group]
    return {name: _rate(group) for name, group in groups.items() if group}


def _rate(group: Sequence[Result]) -> dict[str, float]:
    killed = sum(one["outcome"] in KILLED for one in group)
    running = [one for one in group if one["outcome"] in ("failed", "survived")]
    noticed = sum(one["outcome"] == "failed" for one in running)
    return {
        "mutants": len(group),
        "killed": killed,
        "by_default": sum(one["by"] == "default tests" for one in group),
        "rate": killed / len(group),
        "rate_of_running": noticed / len(running) if running else 1.0,
    }


def show(results: Sequence[Result], harmless: Mapping[str, str]) -> None:
    """The rates as a table, then the survivors with what was changed, and the time.

    Args:
        results: of the mistakes that were asked for.
        harmless: see `reasons`; these are counted neither as noticed nor as survivors.
    """
    counted = [one for one in results if one["outcome"] in KILLED or name_of(one) not in harmless]
    heads = ("mistakes", "noticed", "by default", "rate", "of running")
    print(
        f"{'mechanism':34} {heads[0]:>8} {heads[1]:>7} {heads[2]:>10} {heads[3]:>7} {heads[4]:>10}"
    )
    for name, one in rates(counted).items():
        print(
            f"{name:34} {one['mutants']:8.0f} {one['killed']:7.0f} {one['by_default']:10.0f} "
            f"{one['rate']:7.1%} {one['rate_of_running']:10.1%}"
        )
    survivors = [one for one in counted if one["outcome"] not in KILLED]
    for one in survivors:
        print(f"\n{one['outcome']}: {one['mechanism']}, {one['operator']}, key {name_of(one)}")
        print(f"{one['file']}:{one['line']}\n{one['difference']}")
    left_out = len(results) - len(counted)
    if left_out:
        print(f"\n{left_out} more change nothing ({EQUIVALENT.name} says why)")
    if results:
        spent = sum(one["processor_seconds"] for one in results)
        print(f"\n{spent:.0f} s of processor time, {spent / len(results):.1f} s a mistake")
