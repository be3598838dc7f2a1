from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vidattn.cli.arguments import (
    add_allow_remote,
    add_decoder,
    add_device,
    add_json,
    add_output,
    add_overwrite,
    add_salvage,
    command,
)
from vidattn.cli.streams import print_json

HELP = "paint the attention of a model over a video, with the weight of each frame"

EPILOG = """\
Writes to the output folder: overlay.mp4 with the sound of the film, overlay.png with the most
important frames, and explanation.json. With --from and --to, the overlay shows a part of the film.

examples:
  vidattn explain match.mp4 --checkpoint runs/demo/model.ckpt --output explanation
  vidattn explain match.mp4 --checkpoint runs/demo/model.ckpt --from 60 --to 75
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "explain", help_line=HELP, epilog=EPILOG)
    parser.add_argument("video", metavar="VIDEO", help="file, or folder of images")
    parser.add_argument("--checkpoint", required=True, type=Path, help="a trained model")
    add_output(parser, "explanation")
    add_overwrite(parser)
    parser.add_argument(
        "--frames",
        type=int,
        default=6,
        metavar="N",
        help="number of frames in overlay.png (default: 6)",
    )
    parser.add_argument(
        "--from",
        dest="start_seconds",
        type=float,
        metavar="SECONDS",
        help="start at this second of the film (default: its start)",
    )
    parser.add_argument(
        "--to",
        dest="end_seconds",
        type=float,
        metavar="SECONDS",
        help="end at this second of the film (default: its end)",
    )
    add_decoder(parser)
    add_salvage(parser)
    add_allow_remote(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Explain one video."""
    from vidattn.jobs import explain

    explanation = explain(
        parsed.video,
        checkpoint=parsed.checkpoint,
        output=parsed.output,
        frames=parsed.frames,
        decoder=parsed.decoder,
        salvage=parsed.salvage,
        allow_remote=parsed.allow_remote,
        device=parsed.device,
        overwrite=parsed.overwrite,
        start_seconds=parsed.start_seconds,
        end_seconds=parsed.end_seconds,
    )
    if (sound := explanation.details["sound"]).startswith("left out"):
        print(f"vidattn: sound {sound}", file=sys.stderr)
    if parsed.json:
        print_json(json.loads((parsed.output / "explanation.json").read_text(encoding="utf-8")))
    else:
        print(f"{explanation.label} ({explanation.probability:.0%}): {parsed.output}/overlay.mp4")
    return 0
