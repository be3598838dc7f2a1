"""Says in Markdown what the mutants of `mutate_attention.py` came to, by family.

Mistakes that change nothing that could be seen are no survivors: equivalent_mutants.json says
which those are, and why; the key is the mechanism and the identity of the mutant. Only people
write there.

Example:
  python tools/mutation/report_mutants.py runs/mutants.json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from results import KILLED, Result, name_of, read, reasons


def report(
    results: Iterable[Result], families: Mapping[str, str], harmless: Mapping[str, str]
) -> str:
    """A table by family, then the survivors, then those that change nothing.

    Args:
        results: what mutate_attention.py wrote.
        families: of each mechanism; others count as shared.
        harmless: mechanism and identity, "non_local:0123…" -> why nothing changes.
    """
    found = [one for one in results if one["outcome"] != "not run"]
    groups: dict[str, list[Result]] = {}
    for one in found:
        groups.setdefault(families.get(one["mechanism"], "shared modules"), []).append(one)
    lines = [
        "| family | mechanisms | mistakes | change nothing | noticed | rate | of silent ones |",
        "|---|---|---|---|---|---|---|",
        *(_row(name, groups[name], harmless) for name in sorted(groups)),
        _row("all", found, harmless),
    ]
    survivors = [one for one in found if one["outcome"] not in KILLED]
    harmful = [one for one in survivors if name_of(one) not in harmless]
    if harmful:
        lines += ["", "Not noticed:", "", *(f"- {_words(one)}." for one in harmful)]
    seen = [one for one in survivors if name_of(one) in harmless]
    if seen:
        lines += ["", "Change nothing that could be seen:", ""]
        lines += [f"- {_words(one)}: {harmless[name_of(one)]}." for one in seen]
    return "\n".join(lines) + "\n"


def _row(name: str, found: list[Result], harmless: Mapping[str, str]) -> str:
    counted = [one for one in found if name_of(one) not in harmless or one["outcome"] in KILLED]
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


def _words(one: Result) -> str:
    before, after = (" ".join(str(one[side]).split()) for side in ("before", "after"))
    return f"`{one['mechanism']}` line {one['line']}, {one['operator']}: `{before}` → `{after}`"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="JSON")
    given = parser.parse_args()
    from vidattn.attention import catalogue

    results = [one for path in given.results for one in read(path)]
    families = {name: facts.family for name, facts in catalogue().items()}
    print(report(results, families, reasons()), end="")


if __name__ == "__main__":
    main()
