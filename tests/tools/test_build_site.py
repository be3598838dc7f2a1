"""What the documentation site is made from; whether it can be made, `make docs` says."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import vidattn
from vidattn.attention import catalogue

PROJECT = Path(vidattn.__file__).parents[1]
STUBS = sorted((PROJECT / "vidattn").rglob("__init__.pyi"))


def _loaded(path: str) -> ModuleType:
    spec = spec_from_file_location(Path(path).stem, PROJECT / path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "sources"
    _loaded("tools/build_site.py").write_sources(folder)
    return folder


@pytest.fixture(scope="module")
def described(sources: Path) -> list[tuple[str, object]]:
    """Each name that a page describes: its full name, and the thing."""
    found = []
    for path in sources.glob("api/vidattn*.rst"):
        names = re.findall(r"\.\. auto(?:class|function|data):: (\w+)", path.read_text("utf-8"))
        package = import_module(path.stem)
        found += [(f"{path.stem}.{name}", getattr(package, name)) for name in names]
    return found


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_every_public_name_has_its_place(stub: Path, described: list[tuple[str, object]]) -> None:
    package = ".".join(stub.parent.relative_to(PROJECT).parts)
    body = ast.parse(stub.read_text(encoding="utf-8")).body
    imports = [node for node in body if isinstance(node, ast.ImportFrom) and node.module]
    for name in (alias.asname or alias.name for node in imports for alias in node.names):
        thing = getattr(import_module(package), name)
        places = {where for where, other in described if other is thing}
        assert f"{package}.{name}" in places or (callable(thing) and places), name


def test_everything_is_described_once(described: list[tuple[str, object]]) -> None:
    """Sphinx warns of this only where the same process reads both pages."""
    things = [id(thing) for _, thing in described if callable(thing)]
    assert len(things) == len(set(things))


def test_every_mechanism_has_its_place(sources: Path) -> None:
    text = "".join(path.read_text("utf-8") for path in sources.glob("api/mechanisms.*.rst"))
    for facts in catalogue().values():
        assert f".{facts.type.__qualname__}\n" in text, facts.name


def test_every_page_is_in_the_table_of_contents(sources: Path) -> None:
    listed = set((sources / "index.md").read_text(encoding="utf-8").split())
    pages = {
        path.relative_to(sources).with_suffix("").as_posix()
        for path in sources.rglob("*")
        if path.suffix in (".md", ".rst")
    }
    assert pages - {"index"} <= listed
    assert {"docs/architecture", "docs/evaluation", "CONTRIBUTING"} <= pages


def test_formulas_are_read_as_they_stand() -> None:
    rewrite = _loaded("docs/conf.py").rewrite
    text = ["y = x * w(x) + |b_i| for every_ *positions, see `insert` and `x * y`.", ""]
    assert rewrite("class", "vidattn.attention.Gate", text)[0] == (
        r"y = x \* w(x) + \|b_i\| for every\_ \*positions, see "
        ":py:obj:`insert <vidattn.attention.insert>` and ``x * y``."
    )


def test_indented_blocks_are_code_and_sections_are_none() -> None:
    rewrite = _loaded("docs/conf.py").rewrite
    text = ["Say so.", "", "    insert(x * 2)", "", "Args:", "    x: C.", "    y: of a * b."]
    assert rewrite("function", "vidattn.attention.insert", text) == [
        *("Say so.", "", "", ".. code-block:: python", "", "    insert(x * 2)", "", ""),
        *("Args:", r"    x: C\.", r"    y: of a \* b."),
    ]
