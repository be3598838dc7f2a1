from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.cli.arguments import add_json, add_overwrite, command
from vidattn.cli.parser import Parser
from vidattn.cli.streams import print_json
from vidattn.evaluation.tasks.built_in import TASKS

if TYPE_CHECKING:
    from vidattn.evaluation.tasks.task import Score, ScoreTask

HELP = "score a file of predictions as a published benchmark does"

EPILOG = """\
tasks:
{tasks}

Every task has its own formats, protocols and options: `vidattn score TASK --help`. A file with an
error is refused, and the message names the line.

examples:
  vidattn score detection predictions.csv ava_val_v2.2.csv --labels action_list.pbtxt
  vidattn score localisation results.json truth.json --protocol opentad --json
"""

SHOWN_CLASSES = 20


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; what follows the task is read by the task's own parser."""
    parser = command(commands, "score", help_line=HELP, epilog=_epilog)
    parser.usage = "vidattn score TASK PREDICTIONS TRUTH [--protocol NAME] [options]"
    parser.add_argument("task", metavar="TASK", help="one of the tasks below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="FILES", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Score and print the figures."""
    from vidattn.evaluation.scoring import score, task
    from vidattn.files import check_unused, write_json

    chosen = task(parsed.task)
    given = vars(_task_parser(chosen).parse_args(parsed.rest))
    names = {option.name for option in chosen.options}
    settings = {key: value for key, value in given.items() if key in names}
    written = {key: given.get(key) for key in ("output", "confusion")}
    read = [file for key, file in given.items() if key not in written and isinstance(file, Path)]
    for output in filter(None, written.values()):
        check_unused(output, overwrite=given["overwrite"], inputs=read)
    found = score(
        chosen.name, given["predictions"], given["truth"], protocol=given["protocol"], **settings
    )
    record = {**found.to_json(), "files": [str(given["predictions"]), str(given["truth"])]}
    if given["output"]:
        write_json(given["output"], record)
    if given["json"]:
        print_json(record)
    else:
        _print(found, all_classes=given["classes"])
    return 0


def _epilog() -> str:
    """Every task with its summary, from modules that no other command's help needs."""
    from vidattn.evaluation.scoring import task

    wide = max(map(len, TASKS))
    summaries = {name: task(name).summary for name in TASKS}
    return EPILOG.format(
        tasks="\n".join(f"  {name:{wide}}  {words}" for name, words in summaries.items())
    )


def _task_parser(task: ScoreTask) -> argparse.ArgumentParser:
    protocols = "\n".join(f"  {name}: {about}" for name, about in task.protocols.items())
    parser = Parser(
        prog=f"vidattn score {task.name}",
        description=task.summary,
        text=f"protocols:\n{protocols}\n\nexample:\n  vidattn score {task.example}\n",
    )
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help=task.predictions)
    parser.add_argument("truth", type=Path, metavar="TRUTH", help=task.truth)
    default = next(iter(task.protocols))
    parser.add_argument(
        "--protocol", default=default, help=f"one of the protocols below (default: {default})"
    )
    for option in task.options:
        _add_option(parser, option)
    parser.add_argument("--classes", action="store_true", help="print a row for every class")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON to this file")
    add_overwrite(parser)
    add_json(parser)
    return parser


def _add_option(parser: argparse.ArgumentParser, option: Any) -> None:
    flag = f"--{option.name.replace('_', '-')}"
    if option.read is bool:
        parser.add_argument(flag, action="store_true", default=None, help=option.summary)
        return
    about = option.summary if option.default is None else f"{option.summary} (default: %(default)s)"
    kind = option.read if option.read in (int, float, Path) else str
    metavar = "FILE" if option.read is Path else None
    choices = option.choices or None
    parser.add_argument(
        flag, type=kind, default=option.default, help=about, metavar=metavar, choices=choices
    )


def _print(score: Score, *, all_classes: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from vidattn.evaluation.tasks.task import shown_number

    console = Console()
    table = Table("figure", "value", title=f"{score.task}, protocol {score.protocol}")
    for name, value in score.figures.items():
        interval = score.intervals.get(name)
        about = f"  ({interval[0]:.4f} – {interval[1]:.4f})" if interval else ""
        table.add_row(name, f"{shown_number(value)}{about}")
    for name, count in score.counts.items():
        table.add_row(name.replace("_", " "), str(count))
    console.print(table)
    if score.classes and (all_classes or len(score.classes) <= SHOWN_CLASSES):
        names = list(next(iter(score.classes.values())))
        listing = Table("class", *names)
        for name, values in score.classes.items():
            listing.add_row(name, *(shown_number(values.get(key, math.nan)) for key in names))
        console.print(listing)
    for note in score.notes:
        console.print(f"note: {note}", markup=False)
