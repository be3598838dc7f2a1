"""Reads from a mechanism's test file how the mechanism was verified; nothing is run."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import asdict
from pathlib import Path

from vidattn.attention.verification import Verification

# What a test file imports without comparing anything with it.
TOOLS = {"__future__", "hypothesis", "numpy", "pytest", "torch", "vidattn"}


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
