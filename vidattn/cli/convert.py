from __future__ import annotations

import argparse
from pathlib import Path

from vidattn.cli.arguments import add_json, add_overwrite, command
from vidattn.cli.streams import print_json

HELP = "convert a checkpoint of another project; the logits stay the same"

EPILOG = """\
Writes a checkpoint that all other commands accept. docs/checkpoints.md lists which networks can
be converted. The file must contain only tensors and plain values; pickled code is refused.

example:
  vidattn convert SLOWFAST_8x8_R50.pyth --backbone slowfast_r50 --classes kinetics.txt \\
    --output model.ckpt
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = command(commands, "convert", help_line=HELP, epilog=EPILOG)
    parser.add_argument("checkpoint", type=Path, help="file of the other project")
    parser.add_argument(
        "--backbone", required=True, metavar="NAME", help="our name of the network in the file"
    )
    parser.add_argument(
        "--layout",
        metavar="NAME",
        help="pyslowfast, mmaction2, torchvision, pytorchvideo, videomae or huggingface "
        "(default: detected from the parameter names)",
    )
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="class names, one in each line, in the order of the logits",
    )
    parser.add_argument(
        "--frames",
        type=int,
        metavar="T",
        help="frames in a clip (default: as usual for the network)",
    )
    parser.add_argument(
        "--frame-stride",
        type=int,
        metavar="N",
        help="take every Nth frame of the video (default: as usual for the network)",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="checkpoint to write"
    )
    add_overwrite(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Convert and say what the file is for."""
    from vidattn.jobs import convert

    found = convert(
        parsed.checkpoint,
        backbone=parsed.backbone,
        output=parsed.output,
        layout=parsed.layout,
        classes=parsed.classes,
        frames=parsed.frames,
        frame_stride=parsed.frame_stride,
        overwrite=parsed.overwrite,
    )
    if parsed.json:
        print_json(found.to_json(), indent=1)
        return 0
    print(f"{found.output}: {found.backbone} from {found.layout}, {len(found.classes)} classes")
    clip = found.clip
    print(f"clips of {clip.frames} frames, {clip.sampling}, {clip.crop_size} pixels")
    figure = f" (published: {found.figure})" if found.figure else ""
    print(f"evaluate it with --protocol {found.protocol}{figure}")
    return 0
