"""What mistakes are made in, and which tests should notice them.

Nothing is listed by hand: the mechanisms come from the catalogue of the tree, their own tests are
the mirror of the module and the files that import it, and the tests that mechanisms share are
those with a mechanism's name in their ids.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from server import Server

TESTS = Path("tests", "attention")
USERS = 6  # mechanisms whose tests a shared module is run with, at most


@dataclass(frozen=True)
class Subject:
    """A module and the tests that should notice mistakes in it.

    Attributes:
        name: for the table.
        module: dotted name.
        path: its file.
        own: test files that are run whole.
        names: of mechanisms; tests with one of them in their ids are run too.
        shared: the files that these are in.
    """

    name: str
    module: str
    path: Path
    own: tuple[Path, ...]
    names: tuple[str, ...] = ()
    shared: tuple[Path, ...] = ()

    @property
    def version(self) -> str:
        """Changes when the tests do."""
        read = sha256()
        for path in (*self.own, *self.shared):
            read.update(path.read_bytes())
        return read.hexdigest()[:8]


class Tree:
    """A checkout: its mechanisms and their tests.

    Args:
        root: its folder.
        server: runs in it.

    Raises:
        RuntimeError: its tests cannot be collected.
    """

    def __init__(self, root: Path, server: Server) -> None:
        self.root = root
        found = server.ask({"look_at": str(root / TESTS), "seconds": 600})
        if found["outcome"] != "seen":
            raise RuntimeError(f"{root}: {found['detail']}")
        self.modules = {name: one["module"] for name, one in found["mechanisms"].items()}
        self.paths = {name: Path(one["path"]) for name, one in found["mechanisms"].items()}
        outside = [path for path in self.paths.values() if not path.is_relative_to(root)]
        if outside:
            raise RuntimeError(f"{root}: its mechanisms were imported from {outside[0]}")
        self.files = {Path(path): set(names) for path, names in found["files"].items()}
        self.imports = {path: _imported(path) for path in sorted((root / TESTS).rglob("test_*.py"))}

    def mechanism(self, name: str) -> Subject:
        """A mechanism with the tests of all that its module makes.

        Raises:
            KeyError: there is no such mechanism.
        """
        module = self.modules[name]
        names = tuple(sorted(one for one, other in self.modules.items() if other == module))
        return Subject(
            name, module, self.paths[name], self._own(module), names, self._shared(names)
        )

    def shared_module(self, name: str, *, with_users: bool) -> Subject:
        """A module such as "masking", with its own tests, or those of mechanisms that import it.

        Args:
            name: without "vidattn.attention.".
            with_users: the latter too if there are tests of its own.
        """
        module = f"vidattn.attention.{name}"
        path = self.root.joinpath(*module.split(".")).with_suffix(".py")
        users = [
            one for one, other in self.paths.items() if module in other.read_text(encoding="utf-8")
        ][:USERS]
        mirror = self._mirror(module)
        own = (mirror,) if mirror.is_file() else ()
        if not own or with_users:
            tests = {test for one in users for test in self._own(self.modules[one])}
            own = tuple(sorted({*own, *tests}))
        names = tuple(users) if with_users else ()
        return Subject(name, module, path, own, names, self._shared(names))

    def _own(self, module: str) -> tuple[Path, ...]:
        mirror = self._mirror(module)
        others = [path for path, imported in self.imports.items() if module in imported]
        return tuple(sorted({*others, *([mirror] if mirror.is_file() else [])}))

    def _mirror(self, module: str) -> Path:
        _, _, *folders, last = module.split(".")
        return self.root.joinpath(TESTS, *folders, f"test_{last}.py")

    def _shared(self, names: Sequence[str]) -> tuple[Path, ...]:
        return tuple(path for path, found in self.files.items() if found.intersection(names))


def _imported(path: Path) -> set[str]:
    """The modules that a file imports from."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {one.module or "" for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)}
    return found | {
        name.name for one in ast.walk(tree) if isinstance(one, ast.Import) for name in one.names
    }


def draw_names(names: Iterable[str], count: int, seed: int) -> list[str]:
    """So many of them, in the order of the alphabet; more or fewer names elsewhere change few."""
    ordered = sorted(names, key=lambda name: random.Random(f"{seed} {name}").random())
    return sorted(ordered[:count])
