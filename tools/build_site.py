"""Makes the documentation site: the documents, and a page for each public package.

    python tools/build_site.py

The site goes to build/site. Its pages are the README, the documents beside it, those in docs/, and
what the docstrings say of every public name; a warning is an error. Which packages and names are
public is asked of the packages.
"""

from __future__ import annotations

import argparse
import pkgutil
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import vidattn
from vidattn.attention import catalogue

PROJECT = Path(__file__).resolve().parents[1]
# The guides first, in the order in which somebody new wants them; pages that are not here follow.
FIRST = ("evaluation", "protocols", "checkpoints", "scoring", "scoring_frames", "attention")
BESIDE = ("CONTRIBUTING", "SECURITY", "CHANGELOG")


def public_packages() -> Iterator[ModuleType]:
    """The package, and all below it that say what is public in them."""
    yield vidattn
    offered = {name for name in vidattn.__all__ if isinstance(getattr(vidattn, name), ModuleType)}
    for found in pkgutil.walk_packages(vidattn.__path__, "vidattn."):
        parts = found.name.split(".")[1:]
        if parts[0] not in offered or any(part.startswith("_") for part in parts):
            continue
        if found.ispkg or len(parts) == 1:
            module = import_module(found.name)
            if public_names(module):
                yield module


def public_names(module: ModuleType) -> list[str]:
    """What a package lists, or a module defines; packages in packages have pages of their own."""
    if hasattr(module, "__all__"):
        listed = module.__all__
    elif hasattr(module, "__path__"):
        listed = []
    else:
        listed = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        ]
    return [name for name in listed if not isinstance(getattr(module, name), ModuleType)]


def described_names() -> Iterator[tuple[ModuleType, list[str]]]:
    """Each package with the names that its page describes.

    Some names are public in two packages: the page of the first describes them, since Sphinx wants
    one description of a thing.
    """
    seen: set[int] = set()
    for module in public_packages():
        names = [name for name in public_names(module) if id(getattr(module, name)) not in seen]
        things = [getattr(module, name) for name in names]
        seen.update(id(thing) for thing in things if callable(thing))
        if names:
            yield module, names


def page_of(module: ModuleType, names: list[str]) -> str:
    """reStructuredText: what the package is for, a table of its names, and each of them."""
    title = module.__name__
    lines = [*heading(title), f".. automodule:: {title}", "   :no-members:", "", *table(names)]
    for name in names:
        value = getattr(module, name)
        kind = "class" if isinstance(value, type) else "function" if callable(value) else "data"
        lines += [f".. auto{kind}:: {name}", ""]
    return "\n".join(lines)


def mechanism_pages() -> dict[str, str]:
    """A page for each family of attention, with the classes behind the names of `build`."""
    families: dict[str, list[str]] = {}
    for facts in catalogue().values():
        name = f"{facts.type.__module__}.{facts.type.__qualname__}"
        families.setdefault(facts.family, []).append(name)
    pages = {}
    for family, names in sorted(families.items()):
        lines = heading(f"Mechanisms: {family.replace('_', ' ')}")
        lines += table([f"~{name}" for name in sorted(names)])
        lines += [line for name in sorted(names) for line in (f".. autoclass:: {name}", "")]
        pages[f"mechanisms.{family}"] = "\n".join(lines)
    return pages


def heading(title: str) -> list[str]:
    """The title of a page."""
    return [title, "=" * len(title), ""]


def table(names: list[str]) -> list[str]:
    """Each name with the first sentence of its docstring."""
    return [".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]


def contents(pages: dict[str, list[str]]) -> str:
    """The table of contents, as MyST writes it; the front page shows it at the side."""
    lines = []
    for caption, names in pages.items():
        lines += ["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```"]
    return "\n".join(lines)


def write_sources(folder: Path) -> None:
    """Lay out what Sphinx reads as it lies in the project, so that links between pages hold."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PROJECT / "docs", folder / "docs", ignore=shutil.ignore_patterns("*.py"))
    for name in BESIDE:
        shutil.copy(PROJECT / f"{name}.md", folder)
    (folder / "api").mkdir()
    packages = {module.__name__: page_of(module, names) for module, names in described_names()}
    mechanisms = mechanism_pages()
    for name, text in (packages | mechanisms).items():
        (folder / "api" / f"{name}.rst").write_text(text, encoding="utf-8")
    guides = sorted(path.stem for path in (folder / "docs").glob("*.md"))
    ordered = [*(name for name in FIRST if name in guides), *(g for g in guides if g not in FIRST)]
    pages = {
        "Guides": [f"docs/{name}" for name in ordered],
        "Python": [f"api/{name}" for name in packages],
        "Attention": [f"api/{name}" for name in mechanisms],
        "Project": list(BESIDE),
    }
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (folder / "index.md").write_text(readme + contents(pages) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the documentation site.")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "site", metavar="DIR")
    given = parser.parse_args()
    from sphinx.cmd.build import build_main  # of the extra `docs`

    sources = PROJECT / "build" / "site-sources"
    write_sources(sources)
    strictly = ["--fail-on-warning", "--keep-going", "--quiet", "--fresh-env"]
    configuration = ["--conf-dir", str(PROJECT / "docs")]
    return build_main([*strictly, *configuration, str(sources), str(given.output)])


if __name__ == "__main__":
    raise SystemExit(main())
