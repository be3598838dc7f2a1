"""Finds the examples in documents, in help texts and in the docstrings of scripts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# What an example can begin with, where it stands indented in a text and not in a block of its own.
PROGRAMS = ("vidattn", "python", "make", "pip", "torchrun", "srun")
LANGUAGES = {"sh", "python", "pycon", "json", "text", "yaml", "csv"}
_FENCE = re.compile(r"^ *```(\w*) *$")
_HEAD = re.compile(r"^examples?\b.*:$", re.IGNORECASE)


@dataclass(frozen=True)
class Example:
    """Something that a reader may type.

    Attributes:
        place: file and line, or the command whose help shows it.
        language: "sh" for one command, "python" or "pycon" for a snippet.
        text: without the line breaks of a command that goes on in the next line.
    """

    place: str
    language: str
    text: str

    def __str__(self) -> str:
        first = self.text if self.language == "sh" else self.text.splitlines()[0]
        return f"{self.place}: {first[:70]}"


@dataclass(frozen=True)
class Block:
    """A fenced or indented block of a document; `language` is "" where the fence names none."""

    line: int
    language: str
    fenced: bool
    text: str


def documents() -> list[Path]:
    """Every document that tells how the project is used today, not what it once was."""
    found = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("tools/**/*.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a Markdown file, in order."""
    language: str | None = None
    held: list[str] = []
    start = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if fence := _FENCE.match(line):
            if language is None:
                language, held, start = fence[1], [], number + 1
            else:
                yield Block(start, language, True, "\n".join(held))
                language = None
        elif language is not None:
            held.append(line)
        elif line.startswith("    ") and line.strip():
            yield Block(number, "", False, line)
    assert language is None, f"{path}: the block that begins in line {start} has no end"


def examples_of(path: Path) -> list[Example]:
    """Commands and snippets of a document."""
    name = path.relative_to(PROJECT)
    found = []
    for block in blocks(path):
        if block.language == "sh":
            found += [
                Example(f"{name}:{block.line + row}", "sh", command)
                for row, command in commands_in(block.text.splitlines())
            ]
        elif block.language in ("python", "pycon"):
            found.append(Example(f"{name}:{block.line}", block.language, block.text))
    return found


def commands_in(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Row and text of each command; one that ends with a backslash goes on in the next line."""
    held, start = "", 0
    for row, line in enumerate(lines):
        start = start if held else row
        held = f"{held} {line.strip()}".strip()
        if held.endswith("\\"):
            held = held[:-1].strip()
        elif held and not held.startswith("#"):
            yield start, held
            held = ""
        else:
            held = ""


def examples_in_text(place: str, text: str) -> list[Example]:
    """Commands of a help text or docstring: what is indented under "examples:" or by itself."""
    lines, under_head = [], False
    for line in text.splitlines():
        indented = line.startswith("  ")
        under_head = bool(_HEAD.match(line)) or (under_head and (indented or not line.strip()))
        goes_on = bool(lines) and lines[-1].endswith("\\")
        wanted = line.split() and (under_head or line.split()[0] in PROGRAMS)
        lines.append(line if indented and (wanted or goes_on) else "")
    return [Example(place, "sh", command) for _, command in commands_in(lines)]


def scripts() -> list[Path]:
    """Scripts of the project that are run from the command line."""
    found = PROJECT.glob("tools/**/*.py")
    return sorted(path for path in found if "__main__" in path.read_text(encoding="utf-8"))


def examples_of_script(path: Path) -> list[Example]:
    """Commands in the docstring of a script."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return examples_in_text(str(path.relative_to(PROJECT)), text)
