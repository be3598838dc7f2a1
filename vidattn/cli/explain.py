from __future__ import annotations

import argparse
from pathlib import Path

HELP = "show what a model looks at: a heat map over the video, frame weights below"

EPILOG = """\
writes to the output folder: overlay.mp4, overlay.png (the most important frames) and
explanation.json.

example:
  vidattn explain match.mp4 --checkpoint runs/demo/model.ckpt --output explanation
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "explain",
        help=HELP,
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("video", metavar="VIDEO", help="file, or folder of images")
    parser.add_argument("--checkpoint", required=True, type=Path, help="a trained model")
    parser.add_argument("--output", type=Path, default=Path("explanation"), metavar="DIR")
    parser.add_argument("--frames", type=int, default=6, help="frames in the PNG (default: 6)")
    parser.add_argument(
        "--decoder", default="pyav", help="pyav, decord or torchcodec (default: pyav)"
    )
    parser.add_argument("--json", action="store_true", help="print the JSON to standard output")
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
    )
    if parsed.json:
        print((parsed.output / "explanation.json").read_text(encoding="utf-8"), end="")
    else:
        print(f"{explanation.label} ({explanation.probability:.0%}): {parsed.output}/overlay.mp4")
    return 0
