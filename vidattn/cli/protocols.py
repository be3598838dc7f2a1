from __future__ import annotations

import argparse
import re
import textwrap
from typing import TYPE_CHECKING

from vidattn.cli.arguments import add_json, command
from vidattn.cli.streams import print_json

if TYPE_CHECKING:
    import numpy as np

    from vidattn.sampling import Protocol

HELP = "list the evaluation protocols, or show which frames and crops one takes"

EPILOG = """\
examples:
  vidattn protocols list
  vidattn protocols show pyslowfast-10x3
  vidattn protocols show mmaction2-10x3 --frames 250 --fps 25 --clip 32x2
  vidattn protocols show tsn-25x10 --frames 900 --json
"""

WIDTH = 100
HEAD = ("name", "frames × stride", "at", "views × crops", "resized → crop", "averaged")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's two forms and their options."""
    parser = command(commands, "protocols", help_line=HELP, epilog=EPILOG)
    forms = parser.add_subparsers(required=True, metavar="list|show")
    listing = command(forms, "list", help_line="one line for each protocol", epilog=EPILOG)
    add_json(listing)
    listing.set_defaults(run=run_list)
    about = "what it does, whose code does the same, and its frames of a video"
    showing = command(forms, "show", help_line=about, epilog=EPILOG)
    showing.add_argument("name", metavar="NAME", help="such as pyslowfast-10x3")
    showing.add_argument(
        "--frames", type=int, default=300, metavar="N", help="frames of the video (default: 300)"
    )
    showing.add_argument(
        "--fps",
        type=float,
        default=30.0,
        metavar="F",
        help="frames per second of the video (default: 30)",
    )
    showing.add_argument(
        "--clip",
        type=_clip,
        metavar="TxS",
        help="frames and stride, such as 16x4, if the protocol does not fix them "
        "(default: those of its published results)",
    )
    add_json(showing)
    showing.set_defaults(run=run_show)


def _clip(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected frames x stride, such as 16x4, got {text!r}")
    return int(found[1]), int(found[2])


def run_list(parsed: argparse.Namespace) -> int:
    """Print one line for each protocol."""
    from vidattn.sampling import protocol, protocol_names

    found = [protocol(name) for name in protocol_names()]
    if parsed.json:
        print_json([one.to_json() for one in found], indent=1)
        return 0
    rows = [HEAD] + [_row(one) for one in found]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, wide, strict=True)).rstrip())
    print("(in brackets: the model's own, and what it was for published results)")
    print(f"{len(found)} protocols; `vidattn protocols show NAME` says all about one.")
    return 0


def run_show(parsed: argparse.Namespace) -> int:
    """Print what one protocol does and its frames of a video."""
    from vidattn.sampling import protocol

    asked = protocol(parsed.name)
    frames, stride = parsed.clip or asked.usual_clip
    filled = asked.for_clip(frames=frames, stride=stride)
    indices = filled.indices(parsed.frames, parsed.fps)
    if parsed.json:
        video = {"frames": parsed.frames, "fps": parsed.fps}
        clip = {"frames": filled.frames, "stride": filled.stride}
        whole = {**asked.to_json(), "video": video, "clip": clip, "indices": indices.tolist()}
        print_json(whole, indent=None)
        return 0
    print(textwrap.fill(f"{asked.name}: {asked.summary}", WIDTH) + "\n")
    for label, text in _lines(asked):
        print(_wrapped(f"{label + ':' if label else '':10} ", text))
    print(
        f"\nof a video of {parsed.frames} frames at {parsed.fps:g} fps, "
        f"clips of {filled.frames} frames, stride {filled.stride}:"
    )
    for number, view in enumerate(indices):
        print(_wrapped(f"view {number:2}:   ", _listed(view)))
    return 0


def _row(asked: Protocol) -> tuple[str, ...]:
    words = (_clip_words, _rate_words, _count_words, _size_words)
    return (asked.name, *(word(asked) for word in words), asked.aggregation)


def _lines(asked: Protocol) -> list[tuple[str, str]]:
    rate = "the video's own rate" if asked.target_fps is None else _rate_words(asked)
    return [
        ("clip", _clip_words(asked) + ("" if asked.frames else ", the model's own")),
        *([("strides", f"at {rate}")] if asked.stride is None or asked.target_fps else []),
        ("clips", f"{_count_words(asked)} = {asked.views * asked.crops} a video"),
        ("size", _size_words(asked)),
        ("averaged", asked.aggregation),
        ("source", asked.source),
        *(("published" if not number else "", one) for number, one in enumerate(asked.figures)),
    ]


def _clip_words(asked: Protocol) -> str:
    if asked.frames is not None:
        return f"{asked.frames} × {asked.stride}"
    frames, stride = asked.usual_clip
    return f"({frames} × {stride})" if asked.stride is None else f"({frames}) spread"


def _rate_words(asked: Protocol) -> str:
    return "own rate" if asked.target_fps is None else f"{asked.target_fps:g} fps"


def _count_words(asked: Protocol) -> str:
    return f"{asked.views} × {asked.crops}"


def _size_words(asked: Protocol) -> str:
    resized = "×".join(map(str, asked.resize_to)) if asked.resize_to else str(asked.short_side)
    return f"{resized} → {asked.crop_size}"


def _listed(view: np.ndarray) -> str:
    return " ".join(map(str, view.tolist()))


def _wrapped(head: str, text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
