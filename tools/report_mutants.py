"""Says in Markdown what the mutants of `mutate_attention.py` came to, by family.

Mistakes that change nothing that could be seen are no survivors: tools/equivalent_mutants.json
says which those are, and why; the key is the mechanism and the identity of the mutant.

Example:
  python tools/report_mutants.py runs/mutants.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mutate_attention import KILLED

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.json")
Result = dict[str, Any]


def report(
    results: Iterable[Result], families: Mapping[str, str], reasons: Mapping[str, str]
) -> str:
    """A table by family, then the survivors, then those that change nothing.

    Args:
        results: what mutate_attention.py wrote.
        families: of each mechanism; others count as shared.
        reasons: mechanism and identity, "non_local:0123…" -> why nothing changes.
    """
    found = [one for one in results if one["outcome"] != "not run"]
    groups: dict[str, list[Result]] = {}
    for one in found:
        groups.setdefault(families.get(one["mechanism"], "shared modules"), []).append(one)
    lines = [
        "| family | mechanisms | mistakes | change nothing | noticed | rate | of silent ones |",
        "|---|---|---|---|---|---|---|",
        *(_row(name, groups[name], reasons) for name in sorted(groups)),
        _row("all", found, reasons),
    ]
    survivors = [one for one in found if one["outcome"] not in KILLED]
    harmful = [one for one in survivors if _name(one) not in reasons]
    if harmful:
        lines += ["", "Not noticed:", "", *(f"- {_words(one)}." for one in harmful)]
    harmless = [one for one in survivors if _name(one) in reasons]
    if harmless:
        lines += ["", "Change nothing that could be seen:", ""]
        lines += [f"- {_words(one)}: {reasons[_name(one)]}." for one in harmless]
    return "\n".join(lines) + "\n"


def _row(name: str, found: list[Result], reasons: Mapping[str, str]) -> str:
    counted = [one for one in found if _name(one) not in reasons or one["outcome"] in KILLED]
    noticed = sum(one["outcome"] in KILLED for one in counted)
    silent = [one for one in counted if one["outcome"] in ("failed", "survived")]
    asserted = sum(one["outcome"] == "failed" for one in silent)
    subjects = len({one["mechanism"] for one in found})
    return (
        f"| {name.replace('_', ' and ')} | {subjects} | {len(found)} | {len(found) - len(counted)} "
        f"| {noticed} | {_percent(noticed, len(counted))} | {_percent(asserted, len(silent))} |"
    )


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _name(one: Result) -> str:
    """The mechanism and the identity of the mutant, without that of its tests."""
    mechanism, identity, _ = one["key"].split(":")
    return f"{mechanism}:{identity}"


def _words(one: Result) -> str:
    before, after = (" ".join(str(one[side]).split()) for side in ("before", "after"))
    return f"`{one['mechanism']}` line {one['line']}, {one['operator']}: `{before}` → `{after}`"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="JSON")
    given = parser.parse_args()
    from vidattn.attention.built_in import catalogue

    results = [one for path in given.results for one in json.loads(path.read_text())["mutants"]]
    families = {name: facts.family for name, facts in catalogue().items()}
    reasons = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    print(report(results, families, reasons), end="")


if __name__ == "__main__":
    main()
