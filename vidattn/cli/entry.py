from __future__ import annotations

import argparse
import errno
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module

from vidattn import __version__
from vidattn.cli.libraries import library_trouble
from vidattn.cli.parser import Parser
from vidattn.cli.streams import make_lenient, silence
from vidattn.errors import VidattnError

COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "compare",
    "score",
    "features",
    "keyframes",
    "shots",
    "summarise",
    "explain",
    "index",
    "runs",
    "convert",
    "show",
    "demo",
    "attention",
    "backbones",
    "protocols",
)

# Besides 0 for success and argparse's own 2 for a wrong command line.
FAILED = 1
INTERRUPTED = 130

# What a person wants to do -> the commands for it; a command that is in no group comes last.
GROUPS = {
    "train a recogniser": ("train", "convert", "attention", "backbones", "demo"),
    "find out what is in videos": (
        "predict",
        "keyframes",
        "explain",
        "shots",
        "summarise",
        "features",
        "index",
        "runs",
    ),
    "evaluate": ("evaluate", "compare", "score", "protocols", "show"),
}

EPILOG = """\
exit codes: 0 success; 1 an input could not be used, and one line says why; 2 the command line
is wrong; 130 interrupted with Ctrl-C (`train` and `demo`: 143 after SIGTERM).

examples:
  vidattn demo
  vidattn keyframes match.mp4 --output keyframes --count 8
  vidattn evaluate runs/demo/model.ckpt --data runs/demo/actions/test
  vidattn COMMAND --help
"""
WIDTH = 90
MARGIN = 14


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; nothing heavy is imported for it."""
    modules = {name: import_module(f"vidattn.cli.{name}") for name in COMMANDS}
    listed = _listed({name: module.HELP for name, module in modules.items()})
    parser = Parser(
        prog="vidattn",
        usage="vidattn COMMAND [options]",
        description="Recognise actions in videos, and find key frames and regions with attention.",
        text=f"{listed}\n\n{EPILOG}",
    )
    parser.add_argument("--version", action="version", version=f"vidattn {__version__}")
    # The list of the commands is in the epilog, in groups.
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog="vidattn"
    )
    for module in modules.values():
        module.add_parser(commands)
    return parser


def _listed(helps: Mapping[str, str]) -> str:
    """The commands with what they do, in groups."""
    grouped = {name for names in GROUPS.values() for name in names}
    more = tuple(name for name in helps if name not in grouped)
    parts = []
    for title, names in (*GROUPS.items(), ("more", more)):
        lines = [
            textwrap.fill(
                helps[name],
                WIDTH,
                initial_indent=f"  {name:{MARGIN - 2}}",
                subsequent_indent=" " * MARGIN,
            )
            for name in names
            if name in helps
        ]
        parts += ["\n".join([f"{title}:", *lines])] if lines else []
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. What a person can mend is said in one line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    make_lenient()
    if arguments[:1] == ["train"]:
        # Everything after `train` belongs to Lightning's own parser.
        parsed = argparse.Namespace(run=import_module("vidattn.cli.train").run, rest=arguments[1:])
    elif trouble := _empty_argument(arguments):
        return _failed(trouble)
    else:
        parsed = build_parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()  # now that it can still be said if that fails
        return code
    except VidattnError as error:
        return _failed(str(error))
    except BrokenPipeError:  # whoever reads what is printed, such as `head`, has had enough
        silence()
        return FAILED
    except ImportError as error:
        if trouble := library_trouble(error):
            return _failed(trouble)
        raise
    except OSError as error:  # a folder that cannot be written, a full disk, a broken library
        return _failed(library_trouble(error) or _said(error))
    except RuntimeError as error:  # PyTorch's own, over what a full disk made of a write
        from vidattn.files import system_error  # imports NumPy, which --help does without

        found = system_error(error)
        if found is None or found.errno != errno.ENOSPC:
            raise
        return _failed(_said(found))
    except KeyboardInterrupt:
        print("vidattn: interrupted", file=sys.stderr)
        return INTERRUPTED


def _empty_argument(arguments: Sequence[str]) -> str | None:
    """What to say of an empty argument, which as a path would be the working folder."""
    for place, argument in enumerate(arguments):
        before = arguments[place - 1] if place else ""
        if argument.startswith("--") and argument.endswith("="):
            return f"{argument[:-1]}: expected a value, got none"
        if argument == "" and before.startswith("--") and before != "--":
            return f"{before}: expected a value, got an empty one"
        if argument == "":
            return "expected a path or a name, got an empty argument"
    return None


def _failed(reason: str) -> int:
    print(f"vidattn: {reason}", file=sys.stderr)
    return FAILED


def _said(error: OSError) -> str:
    """What the operating system said, and of which file."""
    if error.strerror is None:
        return str(error)
    if error.filename is None and error.errno == errno.ENOSPC:  # all else names its file
        silence()
        return f"standard output: {error.strerror}"
    if error.filename is None:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror}"
