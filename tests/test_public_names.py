from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import vidattn

STUBS = sorted(Path(vidattn.__file__).parent.rglob("__init__.pyi"))
PACKAGES = {
    "attention",
    "backbones",
    "data",
    "errors",
    "evaluation",
    "jobs",
    "models",
    "report",
    "sampling",
    "selection",
    "training",
    "video",
}

# A user's script with seven mistakes, one in each line marked so.
SCRIPT = """\
import vidattn

with vidattn.open_video("a.mp4") as video:
    frames = video.frames_at([0, 1])
    video.frames_att([1])  # wrong
    frames.pixel  # wrong
    video.frames_at("0")  # wrong
found = vidattn.extract_keyframes("a.mp4", count=3)
found.frames[0].secs  # wrong
vidattn.extract_keyframes("a.mp4", cuont=3)  # wrong
vidattn.load(3)  # wrong
vidattn.loda("a.ckpt")  # wrong
seconds: float = found.frames[0].seconds
"""


def listed(stub: Path) -> list[str]:
    """Public names in a stub."""
    imports = [
        node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    return [name.asname or name.name for node in imports for name in node.names]


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_every_listed_name_is_there_and_nothing_else_is_public(stub: Path) -> None:
    parts = stub.parent.relative_to(Path(vidattn.__file__).parents[1]).parts
    package = import_module(".".join(parts))
    names = listed(stub)
    assert len(names) == len(set(names))
    assert sorted(package.__all__) == sorted(names)
    assert set(names) <= set(dir(package))
    for name in names:
        assert getattr(package, name) is not None


def test_every_package_is_reachable_after_import_vidattn() -> None:
    code = f"import vidattn; [getattr(vidattn, name).__name__ for name in {sorted(PACKAGES)}]"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(dir(vidattn)) >= PACKAGES


def test_a_wrong_name_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="open_vide"):
        vidattn.open_vide  # noqa: B018


@pytest.mark.slow
def test_a_type_checker_sees_the_mistakes_of_a_user(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    wrong = [number for number, line in enumerate(SCRIPT.splitlines(), 1) if "# wrong" in line]
    reported = [line for line in found.stdout.splitlines() if ": error: " in line]
    assert sorted({int(line.split(":")[1]) for line in reported}) == wrong, found.stdout


def test_a_class_has_a_name_of_its_own() -> None:
    """Else a reader of one module takes its class for another's."""
    places: dict[str, list[str]] = {}
    for path in sorted(Path(vidattn.__file__).parent.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path))
    twice = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert not twice
    assert len(places) > 250
