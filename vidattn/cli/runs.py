from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.cli.arguments import add_json, command
from vidattn.cli.streams import print_json

if TYPE_CHECKING:
    from vidattn.runs.status import RunStatus

HELP = "show how far a run over many videos is, and which videos failed"

EPILOG = """\
Give the folder that another command was given as --output, or the --report of `vidattn index`. The
run may be at work, here or on another machine; nothing of it is changed. Quarantined videos have
ended, blocked or filled the process that opened them. To try failed videos again, give the command
of the run once more, with --retry-failed.

examples:
  vidattn runs keyframes/
  vidattn runs keyframes/ --json
"""
SHOWN = 20


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "runs", help_line=HELP, epilog=EPILOG)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the run's result")
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Look, and print."""
    from vidattn.runs.status import run_status

    found = run_status(parsed.folder)
    if parsed.json:
        print_json(found.to_json())
    else:
        for line in _lines(found):
            print(line)
    return 0


def _lines(found: RunStatus) -> list[str]:
    from vidattn.runs.waiting import in_words

    name = f"vidattn {found.command}: " if found.command else ""
    recorded = found.videos_done + found.videos_failed
    of = "" if found.videos_expected is None else f" of {found.videos_expected}"
    lines = [f"{found.folder}: {name}{found.state}, {recorded}{of} videos"]
    if found.state == "at work":
        lines[0] += f", {found.processes} processes"
    if found.videos_per_second:
        left = found.seconds_left
        rest = "" if left is None else f", about {in_words(left)} left"
        lines.append(f"  {found.videos_per_second:.3g} videos a second{rest}")
    if found.videos_failed:
        share = found.videos_failed / recorded
        lines.append(f"  {found.videos_failed} failed ({share:.1%}):")
        lines += [f"    {count:>7} {reason}" for reason, count in _few(list(found.reasons.items()))]
    if found.quarantined:
        lines.append(f"  {len(found.quarantined)} quarantined:")
        shown = [f"    {each.video}: {each.reason}" for each in found.quarantined]
        lines += shown[:SHOWN]
        if len(shown) > SHOWN:
            lines.append(f"    … and {len(shown) - SHOWN} more (--json lists them all)")
    return lines


def _few(reasons: list[tuple[str, int]]) -> list[tuple[str, int]]:
    rest = sum(count for _, count in reasons[SHOWN:])
    return reasons[:SHOWN] + ([("other reasons", rest)] if rest else [])
