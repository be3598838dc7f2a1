"""Runs an example, or does what comes nearest to it where running it takes hours or a network."""

from __future__ import annotations

import argparse
import doctest
import glob
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from tests.examples.helping import ParsedEnoughError, run
from tests.examples.reading import PROJECT

# What is not run to its end, and what is done instead. Everything else runs as it stands.
INSTEAD = {
    "make": "makes environments: `make -n` says whether the target is there",
    "pip": "installs: the extras that it names must be declared",
    "python": "measures for hours or wants other projects: the script reads its options",
    "vidattn demo": "trains for minutes, and CI runs it: its options are read",
    "--device cuda": "where there is no such device, the options are read",
    "--allow-remote": "the servers are not there: the options are read",
    "--engine ray": "Ray is optional, and the clusters are not there: the options are read",
    "torchrun": "the command behind it runs in one process; other tests start several",
    "srun": "as torchrun",
}
# The files that an option names are written by the command: they must not be there before.
WRITTEN_BY = ("--output", "--report", "--confusion")
# What a usage line has and an example must not: FILE, [--option], "and so on".
_PLACEHOLDER = re.compile(r"^[A-Z]{3,}$|^\[-|\.\.\.$|…")
_OPERATORS = {"&&", ";"}
_IGNORED_AFTER = {"|", ">", ">>"}


def run_commands(text: str, folder: Path) -> None:
    """Run a line of a shell: its commands must succeed, one after the other."""
    for words in _commands(text):
        named = [word for word in words if _PLACEHOLDER.search(word)]
        assert not named, f"{named}: an example names real things"
        while re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # the environment of one command
            words = words[1:]
        assert words[0] in PROGRAMS, f"{words[0]}: say in running.py how an example with it is run"
        PROGRAMS[words[0]](words, folder)


def _commands(text: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;>")
    lexer.commenters = "#"
    lexer.whitespace_split = True
    words: list[str] = []
    ignoring = False
    for word in [*lexer, ";"]:
        if word in _OPERATORS:
            if words:
                yield words
            words, ignoring = [], False
        elif word in _IGNORED_AFTER:
            ignoring = True
        elif not ignoring:
            words.append(word)


def _run_own(words: list[str], folder: Path) -> None:
    arguments = [found for word in words[1:] for found in _expanded(word, folder)]
    if any(word.startswith("timm:") for word in words):
        pytest.importorskip("timm", reason="image networks of timm are an extra")
    for option, value in pairwise(arguments):
        if option in WRITTEN_BY and "--overwrite" not in arguments:
            remove(folder / value)
    wants_gpu = "cuda" in arguments and not torch.cuda.is_available()
    elsewhere = "--allow-remote" in arguments or "--engine" in arguments
    if arguments[0] == "demo" or wants_gpu or elsewhere:
        with parsing_only():
            run_and_expect(arguments)
    else:
        run_and_expect(arguments)


def run_and_expect(arguments: list[str]) -> None:
    """Run a command of ours here; it must end with exit code 0."""
    try:
        code, output, errors = run(arguments)
    except ParsedEnoughError:
        return
    assert code == 0, f"exit code {code}\n{output}\n{errors}"


def _expanded(word: str, folder: Path) -> list[str]:
    if "*" not in word:
        return [word]
    found = sorted(glob.glob(word, root_dir=folder))
    assert found, f"{word}: no file of this name"
    return found


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it, if it is there."""
    if path.is_file():
        path.unlink()
    elif path.is_dir():
        for child in path.iterdir():
            remove(child)
        path.rmdir()


@contextmanager
def parsing_only() -> Iterator[None]:
    """Whoever reads a command line in here gets no further."""
    original = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        raise ParsedEnoughError

    with patch.object(argparse.ArgumentParser, "parse_args", parse):
        yield


def _read_options_of_script(words: list[str], folder: Path) -> None:
    script = PROJECT / words[1]
    assert script.is_file(), f"{words[1]}: no such script"
    paths = [str(script.parent), *sys.path]
    with parsing_only(), patch.object(sys, "argv", words[1:]), patch.object(sys, "path", paths):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except ParsedEnoughError:
            return
        except ModuleNotFoundError as error:
            pytest.skip(f"{words[1]} needs {error.name}, which is no dependency")
        except SystemExit as end:
            if end.code:
                pytest.fail(f"{words[1:]}: exit code {end.code}")


def _look_up_target(words: list[str], folder: Path) -> None:
    done = subprocess.run(
        ["make", "-n", *words[1:]], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _check_extras(words: list[str], folder: Path) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extras in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys(), extras


def _run_behind(words: list[str], folder: Path) -> None:
    _run_own(words[words.index("vidattn") :], folder)


PROGRAMS: dict[str, Callable[[list[str], Path], None]] = {
    "vidattn": _run_own,
    "python": _read_options_of_script,
    "make": _look_up_target,
    "pip": _check_extras,
    "torchrun": _run_behind,
    "srun": _run_behind,
}


def run_snippets(texts: list[str], name: str) -> None:
    """Run the snippets of a document in order, as a reader does who types them all."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for text in texts:
        for output in re.findall(r"\boutput=\"([^\"]+)\"", text):
            remove(Path(output))
        if ">>> " in text:
            test = doctest.DocTestParser().get_doctest(text, names, name, name, 0)
            result = doctest.DocTestRunner().run(test, clear_globs=False)
            assert not result.failed, f"{result.failed} of {result.attempted} examples differ"
            names = test.globs
        else:
            exec(compile(text, name, "exec"), names)


@contextmanager
def random_published_weights() -> Iterator[None]:
    """Published weights have their network's names and shapes, and are random; none is fetched."""

    def load(url: str, *given: Any, **named: Any) -> dict[str, torch.Tensor]:
        from torchvision import models
        from torchvision.models import video

        name = Path(url).name.partition("-")[0]
        network = getattr(video, name, None) or getattr(models, name)
        state: dict[str, torch.Tensor] = network().state_dict()
        return state

    with patch.object(torch.hub, "load_state_dict_from_url", load):
        yield
