"""How each mechanism was compared with something independent: what its test file is seen to do.

The record is a file inside the package, since the tests are not; a test compares the two.
"""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

RECORD = Path(__file__).with_name("verification.json")

# What a test file imports without comparing anything with it.
TOOLS = {"__future__", "hypothesis", "numpy", "pytest", "torch", "vidattn"}


@dataclass(frozen=True)
class Verification:
    """What tests of its own a mechanism has, besides those that all mechanisms share.

    Attributes:
        test_file: inside a checkout of the project.
        libraries: other people's libraries that the test file uses; where there are none, the
            references are written in the test file.
        tests: what each test says, as words.
    """

    test_file: str
    libraries: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def verifications() -> dict[str, Verification]:
    """Name of a mechanism -> how it was verified, as recorded in the package."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    return {
        name: Verification(found["test_file"], tuple(found["libraries"]), tuple(found["tests"]))
        for name, found in record.items()
    }


def as_json(found: dict[str, Verification]) -> str:
    """The record's text."""
    return json.dumps({name: asdict(found[name]) for name in sorted(found)}, indent=1) + "\n"


def read_test_file(path: Path, root: Path) -> Verification:
    """What a test file imports, and the names of its tests; nothing is run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return Verification(
        test_file=path.relative_to(root).as_posix(),
        libraries=tuple(sorted(_imported(tree) - TOOLS - sys.stdlib_module_names)),
        tests=tuple(
            node.name.removeprefix("test_").replace("_", " ")
            for node in sorted(functions, key=lambda node: node.lineno)
            if node.name.startswith("test_")
        ),
    )


def _imported(tree: ast.Module) -> set[str]:
    """Names of packages, by `import`, `from` or `pytest.importorskip`."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("importorskip")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            names.append(str(node.args[0].value))
    return {name.partition(".")[0] for name in names}
