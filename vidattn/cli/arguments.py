"""Options and layout that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from vidattn.runs.limits import VIDEO_MEMORY, VIDEO_SECONDS

# Of videos, for the help of commands that take any number of them.
LISTS = "tar file, or list (.txt, .csv, .parquet)"
# Command -> its options of earlier versions -> what these are called now.
RENAMED = {
    "evaluate": {"--gap": "--minimum-gap-seconds"},
    "index": {"--workers": "--processes"},
}


def command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    *,
    help_line: str,
    epilog: str | Callable[[], str],
) -> argparse.ArgumentParser:
    """The parser of one command: its help says what it does, what it writes, and an example."""
    return commands.add_parser(
        name,
        help=help_line,
        description=help_line,
        text=epilog,
        renamed=RENAMED.get(name),
    )


def add_decoder(parser: argparse.ArgumentParser) -> None:
    """`--decoder NAME`."""
    parser.add_argument(
        "--decoder",
        default="pyav",
        metavar="NAME",
        help="decoder library: pyav, decord or torchcodec (default: pyav)",
    )


def add_salvage(parser: argparse.ArgumentParser) -> None:
    """`--salvage`."""
    parser.add_argument(
        "--salvage",
        action="store_true",
        help="also read damaged videos, as far as possible, and mark the damaged frames",
    )


def add_allow_remote(parser: argparse._ActionsContainer) -> None:
    """`--allow-remote NAME`."""
    parser.add_argument(
        "--allow-remote",
        action="append",
        default=[],
        metavar="NAME",
        help="read videos from servers: s3, gs, https or the like, or one server or bucket, such "
        "as https://videos.example.org; may be given several times (default: from none)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device NAME`."""
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="device for the network, such as cuda or cuda:1 (default: cpu)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_output(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """`--output DIR`, required where there is no default."""
    parser.add_argument(
        "--output",
        type=Path,
        default=None if default is None else Path(default),
        required=default is None,
        metavar="DIR",
        help="folder for the result" + ("" if default is None else f" (default: {default})"),
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """`--overwrite`."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the result of an earlier run, and no other files",
    )


def add_processes(parser: argparse.ArgumentParser, *, threads: bool = True) -> None:
    """`--processes N`, `--threads N`, `--video-seconds S` and `--video-memory SIZE`."""
    group = parser.add_argument_group(
        "processes",
        "Child processes open the videos. If one crashes, only its video fails.",
    )
    group.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="number of child processes that divide the videos (default: 1); with 0 there are "
        "none, and a video that crashes ends the run",
    )
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where these processes are: on this machine, or on a Ray cluster (default: local)",
    )
    group.add_argument(
        "--address",
        metavar="ADDRESS",
        help="of the Ray cluster (default: Ray is started on this machine for this run)",
    )
    if threads:
        group.add_argument(
            "--threads",
            type=int,
            metavar="N",
            help="PyTorch threads in each process; keep it equal to get bit-identical results "
            "(default: the cores of the machine, divided by the processes)",
        )
    group.add_argument(
        "--video-seconds",
        type=float,
        default=VIDEO_SECONDS,
        metavar="S",
        help="stop a video after this many seconds without progress; a long film may take hours "
        f"(default: {VIDEO_SECONDS:g}; 0: no limit)",
    )
    group.add_argument(
        "--video-memory",
        default=VIDEO_MEMORY,
        metavar="SIZE",
        help="stop a video if its process uses more memory than this, such as 500MB or 4GB "
        f"(default: {VIDEO_MEMORY}; 0: no limit)",
    )


def add_failures(parser: argparse.ArgumentParser) -> None:
    """`--retry-failed` and `--maximum-failures N`."""
    group = parser.add_argument_group("failures", "Failed videos are listed; the others go on.")
    group.add_argument(
        "--retry-failed",
        action="store_true",
        help="try the videos again that failed in an earlier run of this command",
    )
    group.add_argument(
        "--maximum-failures",
        metavar="N",
        help="stop the run if more videos fail than this: a number, or a part of the list such as "
        "5%% (default: never)",
    )


def start_children_early(parsed: argparse.Namespace, work: str, *, network: bool) -> None:
    """Have child processes get ready while this one imports what it needs itself.

    Args:
        parsed: with `processes`.
        work: the module whose work they do.
        network: whether they run a network.
    """
    from vidattn.runs.isolation import start_server
    from vidattn.runs.run_network import NETWORK_MODULES

    if parsed.processes > 0 and parsed.engine == "local":
        start_server(work, *(NETWORK_MODULES if network else ()))


def add_scores(
    group: argparse._ArgumentGroup,
    default: str = "what --query, --class or --checkpoint says, else coverage",
) -> None:
    """What a frame is worth: the options of `vidattn.inference.scorers.named`."""
    group.add_argument(
        "--score",
        metavar="NAME",
        help="attention or class (with --checkpoint), coverage, difference, packets, query, random "
        f"or uniform (default: {default})",
    )
    group.add_argument(
        "--query", metavar="TEXT", help="frames that go with a sentence; needs --query-model"
    )
    group.add_argument(
        "--query-model",
        metavar="MODEL",
        help="folder of a CLIP or SigLIP model, or its name on the Hugging Face hub",
    )
    group.add_argument(
        "--query-seconds",
        type=float,
        default=0.5,
        metavar="SECONDS",
        help="look at one frame of each so many seconds (default: 0.5)",
    )
    group.add_argument(
        "--class", dest="class_name", metavar="NAME", help="frames where the model sees this class"
    )
