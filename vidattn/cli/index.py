from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidattn.cli.arguments import add_json, add_salvage, command

HELP = "look videos over: frames, times, key frames, what is wrong; later opening is quicker"

EPILOG = """\
keeps a packet table of each video in the cache folder ($VIDATTN_CACHE, else ~/.cache/vidattn),
which every later command uses by itself and which can be deleted at any time. With --report,
a run that was interrupted goes on where it was. The exit code is 1 if a video cannot be read.
With --salvage every video is decoded once, and the frames that are damaged are named.

examples:
  vidattn index match.mp4
  vidattn index videos/ more.txt --report health.json --workers 4
  vidattn index damaged.mp4 --salvage
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "index", help_line=HELP, epilog=EPILOG)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="video, folder, or .txt list")
    parser.add_argument("--report", type=Path, metavar="FILE", help="JSON file for the records")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    add_salvage(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Index and print a line for each video."""
    from vidattn.jobs import index_videos

    records = index_videos(
        parsed.paths, report=parsed.report, workers=parsed.workers, salvage=parsed.salvage
    )
    failed = [record for record in records if "error" in record]
    if parsed.json:
        print(json.dumps({"videos": records}, indent=2))
    else:
        _print(records)
    return 1 if failed or not records else 0


def _print(records: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("video", "frames", "seconds", "fps", "size", "codec", "key frames", "remarks")
    for record in records:
        if "error" in record:
            wrong = "; ".join(filter(None, [record["reason"], _salvaged(record)]))
            table.add_row(escape(record["video"]), *[""] * 6, f"[red]{escape(wrong)}[/red]")
            continue
        turned = f"turned by {record['quarter_turns'] * 90}°" if record["quarter_turns"] else None
        mirrored = "mirrored" if record["mirrored"] else None
        counted = record["full_decode_reason"]
        remarks = [turned, mirrored, counted and f"counted: {counted}", record["damage"]]
        remarks.append(_salvaged(record))
        table.add_row(
            escape(record["video"]),
            str(record["frame_count"]),
            f"{record['duration_seconds']:.2f}",
            f"{record['fps']:.3g}",
            "×".join(map(str, record["size"][::-1])),
            record["codec"],
            str(record["keyframe_count"]),
            escape("; ".join(remark for remark in remarks if remark)),
        )
    failed = sum("error" in record for record in records)
    console = Console()
    console.print(table)
    console.print(f"{len(records)} videos, {failed} cannot be read")


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
