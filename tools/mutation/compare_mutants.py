"""Says which mistakes the tests of two trees notice: is nothing protected less than before?

The second results are of the same mistakes as the first, made by
`mutate_attention.py --tree OTHER --like FIRST`. Exits with 1 if one is noticed no more.

Example:
  python tools/mutation/compare_mutants.py runs/before.json runs/after.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from results import KILLED, Result, read


@dataclass(frozen=True)
class Comparison:
    """The same mistakes by what became of them.

    Attributes:
        as_before: noticed in both, or in neither.
        lost: noticed before, and now no more.
        gained: noticed now only.
        later: noticed by default tests before, and by slow ones only now.
        absent: the code that was changed is no more, or its tests did not run.
    """

    as_before: list[Result]
    lost: list[Result]
    gained: list[Result]
    later: list[Result]
    absent: list[Result]


def compare(before: Sequence[Result], after: Sequence[Result]) -> Comparison:
    """What became of the mistakes of the first results."""
    now = {_words(one): one for one in after if one["outcome"] != "not run"}
    found = Comparison([], [], [], [], [])
    for one in before:
        other = now.get(_words(one))
        if other is None or one["outcome"] == "not run":
            found.absent.append(one)
            continue
        noticed, noticed_now = (each["outcome"] in KILLED for each in (one, other))
        if noticed == noticed_now:
            found.as_before.append(one)
            if noticed and one["by"] == "default tests" != other["by"]:
                found.later.append(one)
        else:
            (found.lost if noticed else found.gained).append(one)
    return found


def _words(one: Result) -> tuple[str | int, ...]:
    names = ("mechanism", "operator", "function", "before", "after", "occurrence")
    return tuple(one[name] for name in names)


def show(found: Comparison) -> None:
    """One line for each group, then the mistakes that are noticed no more or later."""
    print(f"as before: {len(found.as_before)}")
    print(f"noticed now only: {len(found.gained)}")
    print(f"no more there, or not run: {len(found.absent)}")
    print(f"noticed by slow tests only, by default tests before: {len(found.later)}")
    print(f"noticed no more: {len(found.lost)}")
    for title, group in (("by slow tests only", found.later), ("no more", found.lost)):
        for one in group:
            print(f"\n{title}: {one['mechanism']}, {one['operator']} (before: {one['test']})")
            print(f"{one['file']}:{one['line']}\n{one['difference']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path, metavar="JSON")
    parser.add_argument("after", type=Path, metavar="JSON")
    given = parser.parse_args()
    found = compare(read(given.before), read(given.after))
    show(found)
    sys.exit(1 if found.lost else 0)


if __name__ == "__main__":
    main()
