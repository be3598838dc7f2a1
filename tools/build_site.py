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

from sphinx.cmd.build import build_main

import vidattn

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


def page_of(module: ModuleType) -> str:
    """reStructuredText: what the package is for, a table of its names, and each of them."""
    names = public_names(module)
    title = module.__name__
    lines = [title, "=" * len(title), "", f".. automodule:: {title}", "   :no-members:", ""]
    lines += [".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]
    for name in names:
        value = getattr(module, name)
        kind = "class" if isinstance(value, type) else "function" if callable(value) else "data"
        lines += [f".. auto{kind}:: {name}", ""]
    return "\n".join(lines)


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
    packages = list(public_packages())
    for module in packages:
        (folder / "api" / f"{module.__name__}.rst").write_text(page_of(module), encoding="utf-8")
    guides = sorted(path.stem for path in (folder / "docs").glob("*.md"))
    ordered = [*(name for name in FIRST if name in guides), *(g for g in guides if g not in FIRST)]
    pages = {
        "Guides": [f"docs/{name}" for name in ordered],
        "Python": [f"api/{module.__name__}" for module in packages],
        "Project": list(BESIDE),
    }
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (folder / "index.md").write_text(readme + contents(pages) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the documentation site.")
    parser.add_argument("--output", type=Path, default=PROJECT / "build" / "site", metavar="DIR")
    given = parser.parse_args()
    sources = PROJECT / "build" / "site-sources"
    write_sources(sources)
    strictly = ["--fail-on-warning", "--keep-going", "--quiet", "--fresh-env", "--jobs", "auto"]
    configuration = ["--conf-dir", str(PROJECT / "docs")]
    return build_main([*strictly, *configuration, str(sources), str(given.output)])


if __name__ == "__main__":
    raise SystemExit(main())
