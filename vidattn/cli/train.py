from __future__ import annotations

import argparse

HELP = "train a recogniser from a YAML configuration (Lightning's own command-line conventions)"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """List the command; its options are parsed by Lightning, see `vidattn train --help`."""
    commands.add_parser("train", help=HELP, add_help=False)


def run(parsed: argparse.Namespace) -> int:
    """Train; `parsed.rest` holds everything after `train`."""
    from vidattn.jobs import train

    train(parsed.rest)
    return 0
