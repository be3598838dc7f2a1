from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.cli.arguments import add_json, command
from vidattn.cli.streams import print_json

if TYPE_CHECKING:
    from vidattn.jobs.compare import Comparison

HELP = "compare two results of `evaluate` on the same videos"

EPILOG = """\
Prints the difference in video top-1 (or mean average precision) with its 95 % interval. The
difference is paired over the videos that both results contain, and groups are resampled as a
whole. If the interval contains 0, the difference may be chance. Results with different labels or
groups are refused.

example:
  vidattn compare with_attention/evaluation.json average_pooling/evaluation.json
"""
SHOWN = 10


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "compare", help_line=HELP, epilog=EPILOG)
    parser.add_argument("first", type=Path, metavar="A.json", help="evaluation.json of one model")
    parser.add_argument(
        "second",
        type=Path,
        metavar="B.json",
        help="evaluation.json of another model on the same videos",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Compare and print."""
    from vidattn.jobs import compare

    found = compare(parsed.first, parsed.second)
    if parsed.json:
        print_json(found.to_json())
    else:
        _print(found)
    return 0


def _print(found: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    interval = " to ".join(f"{100 * bound:+.1f}" for bound in found.interval or ())
    table = Table(found.figure.replace("_", " "), "value", "95 % interval")
    table.add_row("first", f"{found.first:.1%}", "")
    table.add_row("second", f"{found.second:.1%}", "")
    table.add_row("first − second, points", f"{100 * found.difference:+.1f}", interval)
    console = Console()
    console.print(table)
    console.print(f"{found.videos} videos that both have")
    for words, names in (
        ("recognised by the first only", found.right_in_first),
        ("recognised by the second only", found.right_in_second),
        ("evaluated in the first only", found.only_in_first),
        ("evaluated in the second only", found.only_in_second),
    ):
        if names:
            more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            line = f"{words}: {len(names)} ({', '.join(names[:SHOWN])}{more})"
            console.print(line, markup=False, highlight=False)
    for name, (first, second) in found.settings.items():
        line = f"{name} differs: {json.dumps(first)} and {json.dumps(second)}"
        console.print(line, markup=False, highlight=False)
