"""Print the lowest version of each dependency that pyproject.toml declares, as pip constraints.

Example: python tools/lowest_versions.py > lowest.txt && pip install -e '.[dev]' -c lowest.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def lowest(requirement: str) -> str:
    """'name[extra]>=1.2; marker' -> 'name==1.2; marker'."""
    specifier, _, marker = requirement.partition(";")
    name, version = re.fullmatch(r"([\w.-]+)(?:\[.*?\])?>=([\w.]+)", specifier.strip()).groups()
    return f"{name}=={version}" + (f"; {marker.strip()}" if marker else "")


if __name__ == "__main__":
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    for requirement in project["project"]["dependencies"]:
        print(lowest(requirement))
