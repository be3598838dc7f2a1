"""The parser of every command: what is wrong with a command line is one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from vidattn.errors import UnknownNameError
from vidattn.naming import choose


class Parser(argparse.ArgumentParser):
    """An argument parser that names a wrong word, and the one that was probably meant.

    argparse prints the whole usage before its message, and complains of options that are missing
    before it looks at one that is misspelt.

    Args:
        text: what follows the options in the help; a function is called when help is asked for.
        renamed: options of earlier versions -> what they are called now.
    """

    def __init__(
        self,
        *,
        text: str | Callable[[], str] = "",
        renamed: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)
        self._text = text
        self.renamed = dict(renamed or {})
        self._commands: Any = None

    def add_subparsers(self, **settings: Any) -> Any:
        """As in argparse; a wrong name of a command is answered with close ones."""
        self._commands = super().add_subparsers(**settings)
        return self._commands

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse, but nothing is left over, and words are looked at first."""
        given = sys.argv[1:] if args is None else list(args)
        try:
            self._check(given)
        except UnknownNameError as error:
            self.error(str(error))
        found, rest = super().parse_known_args(given, namespace)
        if rest:
            self.error(f"not understood: {' '.join(rest)}")
        return found, []

    def format_help(self) -> str:
        """As in argparse."""
        self.epilog = self._text() if callable(self._text) else self._text
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and one line."""
        line = " ".join(message.splitlines())
        self.exit(2, f"{self.prog}: {line} (see `{self.prog} --help`)\n")

    def _check(self, given: Sequence[str]) -> None:
        known = [name for action in self._actions for name in action.option_strings]
        for word in self._own_words(given):
            if word.startswith("--"):
                name = word.partition("=")[0]
                if not any(own.startswith(name) for own in known):  # argparse completes names
                    choose("option", name, known, renamed=self.renamed)
            elif self._commands is not None and not word.startswith("-"):
                choose("command", word, self._commands.choices)
                return

    def _own_words(self, given: Sequence[str]) -> Iterator[str]:
        """All words before `--`; none where a positional argument takes the rest as it is."""
        if any(action.nargs == argparse.REMAINDER for action in self._actions):
            return
        for word in given:
            if word == "--":
                return
            if not (word.startswith("--") and " " in word.partition("=")[0]):
                yield word
