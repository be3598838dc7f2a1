from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from vidattn.cli.arguments import add_json, command

if TYPE_CHECKING:
    from vidattn.jobs import BackboneFacts

HELP = "list the backbones, or show the stages and weights of one"

EPILOG = """\
Every image network of the timm library is a backbone too: timm:NAME runs it on each frame
(pip install 'vidattn[timm]').

examples:
  vidattn backbones list
  vidattn backbones show r2plus1d_18
  vidattn backbones show timm:convnext_tiny --json
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's two forms and their options."""
    parser = command(commands, "backbones", help_line=HELP, epilog=EPILOG)
    forms = parser.add_subparsers(required=True, metavar="list|show")
    listing = command(forms, "list", help_line="one line for each backbone", epilog=EPILOG)
    add_json(listing)
    listing.set_defaults(run=run_list)
    showing = command(forms, "show", help_line="stages, normalisation, weights", epilog=EPILOG)
    showing.add_argument("name", metavar="NAME", help="such as r2plus1d_18")
    add_json(showing)
    showing.set_defaults(run=run_show)


def run_list(parsed: argparse.Namespace) -> int:
    """Print one line for each backbone."""
    from vidattn.jobs import backbone_list

    found = backbone_list()
    if parsed.json:
        print(json.dumps([one.to_json() for one in found], indent=1))
        return 0
    wide = max(len(one.name) for one in found)
    print(f"{'name':{wide}}  parameters  stride (T, H, W)  channels  published weights")
    for one in found:
        last = one.stages[-1]
        stride = " × ".join(map(str, last.stride))
        weights = ", ".join(one.weights) or "none"
        millions = f"{one.parameters / 1e6:.1f} M"
        print(f"{one.name:{wide}}  {millions:>10}  {stride:>16}  {last.channels:>8}  {weights}")
    print(f"{len(found)} backbones; `vidattn backbones show NAME` for the stages of one.")
    return 0


def run_show(parsed: argparse.Namespace) -> int:
    """Print all about one backbone."""
    from vidattn.jobs import backbone_facts

    found = backbone_facts(parsed.name)
    if parsed.json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        print("\n".join(_lines(found)))
    return 0


def _lines(found: BackboneFacts) -> list[str]:
    lines = [
        f"{found.name}: {found.parameters:,} parameters without a head",
        f"published weights: {', '.join(found.weights) or 'none'}",
        f"normalisation: mean {_numbers(found.mean)}, std {_numbers(found.std)}",
        "stage         channels  stride (T, H, W)  centre of the first feature (T, H, W)",
    ]
    for stage in found.stages:
        stride = " × ".join(map(str, stage.stride))
        lines.append(
            f"{stage.name:12}  {stage.channels:>8}  {stride:>16}  {_numbers(stage.offset)}"
        )
    return lines


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
