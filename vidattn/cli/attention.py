from __future__ import annotations

import argparse
import textwrap
from typing import Any

from vidattn.cli.arguments import add_json, command
from vidattn.cli.streams import print_json

HELP = "list the attention mechanisms, or describe one"

EPILOG = """\
examples:
  vidattn attention list
  vidattn attention list --family channel --json
  vidattn attention show cbam
  vidattn attention show non_local --channels 256
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's two forms and their options."""
    parser = command(commands, "attention", help_line=HELP, epilog=EPILOG)
    forms = parser.add_subparsers(required=True, metavar="list|show")
    listing = command(forms, "list", help_line="one line for each mechanism", epilog=EPILOG)
    listing.add_argument("--family", help="only this family, such as channel")
    listing.add_argument("--kind", help="only this kind, such as gate")
    add_json(listing)
    listing.set_defaults(run=run_list)
    about = "show the formula, paper, cost, map and tests of a mechanism"
    showing = command(forms, "show", help_line=about, epilog=EPILOG)
    showing.add_argument("name", metavar="NAME", help="name or alias, such as cbam")
    showing.add_argument(
        "--channels",
        type=int,
        default=64,
        help="compute the cost for this many channels (default: 64)",
    )
    add_json(showing)
    showing.set_defaults(run=run_show)


def run_list(parsed: argparse.Namespace) -> int:
    """Print one line for each mechanism, by family."""
    from vidattn.jobs import attention_list

    found = attention_list(family=parsed.family, kind=parsed.kind)
    if parsed.json:
        print_json(found, indent=1)
        return 0
    wide = max(len(one["name"]) for one in found)
    for family in sorted({one["family"] for one in found}):
        print(family)
        for one in (one for one in found if one["family"] == family):
            ranks = ",".join(str(rank) for rank in one["ranks"])
            print(f"  {one['name']:{wide}}  {one['kind']:11}  {ranks:5}  {one['summary']}")
    print(f"{len(found)} mechanisms; `vidattn attention show NAME` for all about one.")
    return 0


def run_show(parsed: argparse.Namespace) -> int:
    """Print all about one mechanism."""
    from vidattn.jobs import attention_facts

    found = attention_facts(parsed.name, channels=parsed.channels)
    if parsed.json:
        print_json(found, indent=1)
        return 0
    print(f"{found['name']}: {found['summary']}\n")
    print(textwrap.indent(found["formula"], "  ") + "\n")
    for label, text in _lines(found):
        head = f"{label + ':' if label else '':10} "
        print(textwrap.fill(head + text, 100, subsequent_indent=" " * 11))
    return 0


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    from vidattn.jobs.attention import cost_words, flags, positions, verified_by

    settings = ", ".join(f"{name}={value!r}" for name, value in found["settings"].items())
    lines = [
        ("source", found["source"]),
        ("family", found["family"]),
        ("kind", found["kind"]),
        ("positions", positions(found["ranks"])),
        ("settings", settings),
        ("context", found["context"] or ""),
        ("aliases", ", ".join(found["aliases"])),
        ("cost", cost_words(found["cost"])),
        ("map", f"{found['map_kind']}: {found['map_meaning']}"),
        ("limits", "; ".join(flags(found))),
        ("verified", verified_by(found["verified"])),
        *(("", f"- {test}") for test in (found["verified"] or {"tests": []})["tests"]),
        ("class", found["class"]),
    ]
    return [(label, text) for label, text in lines if text]
