"""Asks the command line for its help, command by command, as its parsers name them."""

from __future__ import annotations

import argparse
import io
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from unittest.mock import patch

from tests.examples.reading import PROJECT

NAME = "vidattn"
_PLACEHOLDER = re.compile(rf"{NAME} ((?:[a-z]+ )*)([A-Z]+) --help")


class ParsedEnoughError(Exception):
    """The command line was read without complaint, and that was all that was asked."""


def main() -> Callable[[Sequence[str]], int]:
    """The function behind the command, wherever it lies."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    module, _, function = tomllib.loads(text)["project"]["scripts"][NAME].partition(":")
    found: Callable[[Sequence[str]], int] = getattr(import_module(module), function)
    return found


def run(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command that runs in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            code = main()(list(arguments))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 2 - (end.code is None) * 2
    return code, output.getvalue(), errors.getvalue()


def help_of(arguments: Sequence[str]) -> str:
    """What `--help` prints."""
    code, text, errors = run([*arguments, "--help"])
    assert code == 0, errors
    return text


def root_parser() -> argparse.ArgumentParser:
    """The parser that prints the help of the whole."""
    found: list[argparse.ArgumentParser] = []

    def remember(self: argparse.ArgumentParser, file: object = None) -> None:
        found.append(self)

    with patch.object(argparse.ArgumentParser, "print_help", remember):
        run(["--help"])
    return found[0]


def commands() -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Each command by its words, the empty one first, with its parser."""
    waiting: list[tuple[tuple[str, ...], argparse.ArgumentParser]] = [((), root_parser())]
    while waiting:
        words, parser = waiting.pop(0)
        yield words, parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += [((*words, name), each) for name, each in action.choices.items()]


def light_helps() -> dict[tuple[str, ...], str]:
    """The help of every command that argparse itself gives, and of what these offer."""
    found = {words: help_of(words) for words, parser in commands() if parser.add_help}
    for text in list(found.values()):
        found |= {words: help_of(words) for words in offered(text) if words not in found}
    return found


def heavy_commands() -> list[tuple[str, ...]]:
    """Commands whose help is another library's, which takes long to import."""
    return [words for words, parser in commands() if not parser.add_help]


def offered(text: str) -> list[tuple[str, ...]]:
    """What a text offers by a word in capitals: `NAME task KIND --help`, and a list `kinds:`.

    The list is `kinds: a, b`, or a line `  a  what it is` for each. Where the word is the usual
    one for commands, these are found by their parsers already.
    """
    found = []
    for before, word in _PLACEHOLDER.findall(text):
        names: list[str] = []
        if listed := re.search(rf"^{word.lower()}s: (.*?)\.?$", text, re.MULTILINE):
            names = [name.strip() for name in listed[1].split(",")]
        elif lines := re.search(rf"^{word.lower()}s:\n((?:  \S.*\n)+)", text, re.MULTILINE):
            names = [line.split()[0] for line in lines[1].splitlines()]
        found += [(*before.split(), name) for name in names]
    return found


def options_in(text: str) -> set[str]:
    """The options that a help text names."""
    return set(re.findall(r"(?<![\w-])--[a-zA-Z][\w.-]*\w", text))
