from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from vidattn import __version__
from vidattn.errors import VidattnError

COMMANDS = (
    "train",
    "evaluate",
    "compare",
    "score",
    "features",
    "keyframes",
    "explain",
    "index",
    "convert",
    "show",
    "demo",
    "attention",
    "protocols",
)

# Besides 0 for success and argparse's own 2 for a wrong command line.
FAILED = 1
INTERRUPTED = 130

EPILOG = """\
exit codes: 0 all went well; 1 something given could not be used, said in one line;
2 the command line is wrong; 130 interrupted.

examples:
  vidattn keyframes match.mp4 --output keyframes --count 8
  vidattn train --config configs/demo.yaml
  vidattn COMMAND --help
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; nothing heavy is imported for it."""
    parser = argparse.ArgumentParser(
        prog="vidattn",
        description="Video understanding with attention that selects key frames and key regions.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vidattn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f"vidattn.cli.{name}").add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. What a person can mend is said in one line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        # Everything after `train` belongs to Lightning's own parser.
        parsed = argparse.Namespace(run=import_module("vidattn.cli.train").run, rest=arguments[1:])
    else:
        parsed = build_parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        return code
    except VidattnError as error:
        print(f"vidattn: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:  # a folder that cannot be written, a full disk
        print(f"vidattn: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("vidattn: interrupted", file=sys.stderr)
        return INTERRUPTED
