"""How Sphinx makes the site: `make docs`, which calls tools/build_site.py."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from vidattn import __version__

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.build_site import described_names

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "vidattn"
copyright = "the vidattn authors"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
root_doc = "index"
html_theme = "furo"
html_title = "vidattn"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 4
myst_links_external_new_tab = False

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True}
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Class attributes", "Attributes")]
python_maximum_signature_line_length = 88
_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_SECTION = re.compile(r"^[A-Z][\w ]*:$")


@cache
def public_objects() -> dict[str, str]:
    """Every public name, alone and with its package before it -> all that Sphinx calls so."""
    found: dict[str, str] = {}
    for package, names in described_names():
        for name in names:
            full = f"{package.__name__}.{name}"
            found[full] = full
            found.setdefault(name, full)
    return found


def linked(code: str, package: str) -> str:
    """Code in backticks, as a link where it is the name of something on the site."""
    name = code.strip("`").removesuffix("()")
    names = public_objects()
    full = names.get(f"{package}.{name}") or names.get(name)
    return f":py:obj:`{name} <{full}>`" if full else f"``{code.strip('`')}``"


def plain(text: str) -> str:
    """Keep reStructuredText from reading formulas: x * y, |x| and x_ mean what they say.

    "C." is the number of channels, and no third item of a list; nor is "r." one.
    """
    escaped = re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", text)
    return re.sub(r"(?<=: )(\w{1,3})\.", r"\1\\.", escaped)


def sentences(text: str, package: str) -> str:
    """Text with code in backticks."""
    parts, last = [], 0
    for code in _CODE.finditer(text):
        parts += [plain(text[last : code.start()]), linked(code[0], package)]
        last = code.end()
    return "".join([*parts, plain(text[last:])])


def paragraphs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """The lines in pieces, and whether a piece is an indented block, which shows code.

    What is indented below "Args:" and its like is no block.
    """
    held: list[str] = []
    in_block = in_section = False
    for line in lines:
        indented = line.startswith("    ")
        if line.strip() and not indented:
            in_section = bool(_SECTION.match(line))
        begins = indented and not in_section and not in_block and bool(held)
        if begins or (in_block and line.strip() and not indented):
            yield in_block, held
            held, in_block = [], begins
        held.append(line)
    yield in_block, held


def language_of(code: str) -> str:
    """`python` where it is that, else plain text."""
    try:
        compile(code, "example", "exec")
    except SyntaxError:
        return "text"
    return "python"


def rewrite(what: str, name: str, lines: list[str]) -> list[str]:
    """A docstring as the project writes it -> reStructuredText; sections are left to napoleon."""
    if what == "data":  # what is there is the docstring of its type
        return []
    package = ".".join(name.split(".")[:2])
    # Without this comment, napoleon takes what is before a colon for the type of a property.
    found = ["..", ""] if what in ("attribute", "property") else []
    for is_block, piece in paragraphs(lines):
        text = "\n".join(piece)
        if is_block:
            found += ["", f".. code-block:: {language_of(dedent(text))}", "", *piece, ""]
        else:
            found += sentences(text, package).split("\n")
    return found


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""

    def process(
        app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
    ) -> None:
        lines[:] = rewrite(what, name, lines)

    app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon's
