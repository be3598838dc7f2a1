"""What documents and help texts name in passing is there: commands, options, files, names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.examples import helping, reading
from tests.examples.reading import PROJECT

HELPS = helping.light_helps()
HEAVY = helping.heavy_commands()
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
# Of programs that are not ours.
FOREIGN_OPTIONS = {"--index-url", "--extra-index-url", "--editable"}


def spans(path: Path) -> Iterator[str]:
    """What a document writes as code within its sentences, on one line."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "", path.read_text(encoding="utf-8"))
    for span in _SPAN.findall(text):
        yield " ".join(span.split())


TEXTS = {str(path.relative_to(PROJECT)): list(spans(path)) for path in reading.documents()} | {
    " ".join(["vidattn", *words, "--help"]): _SPAN.findall(text) for words, text in HELPS.items()
}


def command_of(span: str) -> tuple[str, ...]:
    """The longest command that its words begin with."""
    words = span.split()[1:]
    known = set(HELPS) | set(HEAVY)
    return max(tuple(words[:n]) for n in range(len(words) + 1) if tuple(words[:n]) in known)


def script_options() -> set[str]:
    found: set[str] = set()
    for path in reading.scripts():
        found |= set(re.findall(r'"(--[\w-]+)"', path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("place", TEXTS)
def test_commands_and_options_are_there(place: str) -> None:
    everywhere = set.union(*map(helping.options_in, HELPS.values())) | script_options()
    for span in TEXTS[place]:
        named = {option for option in helping.options_in(span) if "." not in option}
        if span.startswith("vidattn ") and (command := command_of(span)) not in HEAVY:
            assert named <= helping.options_in(HELPS[command]), span
            follows = span.split()[1 + len(command) :]
            offers = any(words[:-1] == command for words in HELPS)
            assert not (offers and follows and re.match("[a-z]", follows[0])), span
        elif span.startswith("--") and not named <= everywhere | FOREIGN_OPTIONS:
            assert named <= heavy_options(), span


@pytest.mark.slow
@pytest.mark.parametrize("place", TEXTS)
def test_options_of_a_long_help_are_there(place: str) -> None:
    for span in TEXTS[place]:
        dotted = {option for option in helping.options_in(span) if "." in option}
        if dotted or (span.startswith("vidattn ") and command_of(span) in HEAVY):
            assert helping.options_in(span) <= heavy_options(), span


_heavy: set[str] = set()


def heavy_options() -> set[str]:
    """Options of the commands whose help takes long: read once, where one is asked for."""
    if not _heavy:
        _heavy.update(*(helping.options_in(helping.help_of(words)) for words in HEAVY))
    return _heavy


@pytest.mark.parametrize("place", TEXTS)
def test_targets_and_files_are_there(place: str) -> None:
    targets = set(re.findall(r"(?m)^([\w-]+):", (PROJECT / "Makefile").read_text()))
    folders = [PROJECT, PROJECT / "vidattn"]
    for span in TEXTS[place]:
        if found := re.fullmatch(r"make ([\w-]+)( .*)?", span):
            assert found[1] in targets, span
        if re.fullmatch(r"(tools|tests|vidattn|configs|docs)/[\w./-]+", span):
            assert (PROJECT / span).exists(), span
        elif re.fullmatch(r"[a-z_]+(/[a-z_]+)*/?[a-z_]+\.py", span) and "/" in span:
            assert any((folder / span).exists() for folder in folders), span


@pytest.mark.parametrize("place", TEXTS)
def test_python_names_are_there(place: str) -> None:
    for span in TEXTS[place]:
        for name in re.findall(r"(?<![\w./-])vidattn(?:\.[A-Za-z_]\w*)+", span):
            assert exists(name), f"{span}: no {name}"


def exists(name: str) -> bool:
    """Whether a dotted name can be reached after importing its packages."""
    found: object = import_module("vidattn")
    path = "vidattn"
    for part in name.split(".")[1:]:
        path = f"{path}.{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = import_module(path)
            except ImportError:
                return False
    return True


def test_a_name_that_is_not_there_is_noticed() -> None:
    assert exists("vidattn.models.load")
    assert not exists("vidattn.models.laod")
    assert command_of("vidattn protocols show pyslowfast-10x3") == ("protocols", "show")
