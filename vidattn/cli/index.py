from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidattn.cli.arguments import (
    LISTS,
    add_allow_remote,
    add_failures,
    add_json,
    add_processes,
    add_salvage,
    command,
    start_children_early,
)
from vidattn.cli.outcome import say_share_is_done
from vidattn.cli.streams import print_json

HELP = "report the frames, times and errors of videos, and make opening them faster"

EPILOG = """\
Saves a packet table of each video in the cache folder ($VIDATTN_CACHE, else ~/.cache/vidattn).
Later commands use it automatically. You can delete the folder at any time. With --report, the same
command resumes an interrupted run, and updates an existing report. The exit code is 1 if a video
cannot be read.

index reads the packets and decodes only the first frame. To find damaged frames, use --salvage: it
decodes every video completely, which takes far longer.

examples:
  vidattn index match.mp4
  vidattn index videos/ more.txt --report health.json --processes 4
  vidattn index damaged.mp4 --salvage
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "index", help_line=HELP, epilog=EPILOG)
    parser.add_argument("paths", nargs="+", metavar="PATH", help=f"video, folder, {LISTS}")
    parser.add_argument("--report", type=Path, metavar="FILE", help="JSON file for the report")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="remove other videos from the report, and try failed videos again",
    )
    add_processes(parser, threads=False)
    add_failures(parser)
    add_salvage(parser)
    add_allow_remote(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Index, and print what was found."""
    start_children_early(parsed, "vidattn.jobs.index", network=False)
    from vidattn.jobs import index_videos

    found = index_videos(
        parsed.paths,
        report=parsed.report,
        processes=parsed.processes,
        engine=parsed.engine,
        address=parsed.address,
        video_seconds=parsed.video_seconds,
        video_memory=parsed.video_memory,
        maximum_failures=parsed.maximum_failures,
        salvage=parsed.salvage,
        allow_remote=parsed.allow_remote,
        overwrite=parsed.overwrite,
        retry_failed=parsed.retry_failed,
    )
    if found is None:
        say_share_is_done()
        return 0
    if parsed.json:
        print_json(found.to_json())
    else:
        _print(list(found.records.values()))
    if reasons := [each.table_not_kept for each in found if each.table_not_kept]:
        remark = f"{len(reasons)} packet tables are not kept ({reasons[0]})"
        print(f"vidattn: {remark}; VIDATTN_CACHE names another folder", file=sys.stderr)
    return 1 if found.failures else 0


def _print(records: Sequence[dict[str, Any]]) -> None:
    """A table of those that can be read, and below it what else is to be known, line by line."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 1000  # lines of a file need not be folded
    folder = _common_folder([record["video"] for record in records])
    names = [escape(os.path.relpath(record["video"], folder or ".")) for record in records]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("video", overflow="fold")
    for column in ("frames", "seconds", "fps", "size", "codec", "intra"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, record in zip(names, records, strict=True):
        if "error" not in record:
            table.add_row(name, *_cells(record))
    if folder:
        console.print(f"in {escape(folder)}:", soft_wrap=True)
    if table.row_count:
        console.print(table)
    for name, record in zip(names, records, strict=True):
        if remarks := _remarks(record):
            colour = "red" if "error" in record else "yellow"
            console.print(f"[{colour}]{name}[/]: {escape(remarks)}", soft_wrap=True)
    failed = sum("error" in record for record in records)
    looked_at = all("salvage" in record for record in records)
    unknown = "" if looked_at else "; pictures were not decoded: --salvage finds damage in them"
    console.print(f"{len(records)} videos, {failed} cannot be read{unknown}")


def _common_folder(videos: Sequence[str]) -> str:
    """The one that holds all of them, so that it need not be said for each; "" if there is none."""
    try:
        return os.path.commonpath([os.path.dirname(video) for video in videos])
    except ValueError:  # none at all, or some given in full and some not
        return ""


def _cells(record: dict[str, Any]) -> list[str]:
    return [
        str(record["frame_count"]),
        f"{record['duration_seconds']:.2f}",
        f"{record['fps']:.3g}",
        "×".join(map(str, record["size"][::-1])),
        record["codec"],
        str(record["intra_frame_count"]),
    ]


def _remarks(record: dict[str, Any]) -> str:
    if "error" in record:
        return "; ".join(filter(None, [record["reason"], _salvaged(record)]))
    turned = f"turned by {record['quarter_turns'] * 90}°" if record["quarter_turns"] else None
    mirrored = "mirrored" if record["mirrored"] else None
    counted = record["full_decode_reason"]
    remarks = [
        turned,
        mirrored,
        counted and f"frames counted by decoding: {counted}",
        record["damage"],
    ]
    return "; ".join(remark for remark in [*remarks, _salvaged(record)] if remark)


def _salvaged(record: dict[str, Any]) -> str | None:
    """What a look at every frame found, in a few words."""
    found = record.get("salvage")
    if found is None:
        return None
    if "error" in found:
        return "nothing to salvage"
    if not found["damaged_spans"]:
        return "every frame is valid"
    first, last, reason = found["damaged_spans"][0]
    more = len(found["damaged_spans"]) - 1
    return (
        f"{found['valid_frames']} of {found['frame_count']} frames are valid: {first} to {last} "
        f"are not ({reason})" + (f", and {more} more stretches" if more else "")
    )
