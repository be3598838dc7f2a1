"""Print the lowest version of each dependency that pyproject.toml declares, as pip constraints.

Those of users' extras too: the newest of these may need a newer version of a dependency.

Example: python tools/lowest_versions.py > lowest.txt && pip install -e '.[dev]' -c lowest.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

# Extras of those who work on the project, in whatever version.
MAINTAINERS = {"dev", "docs", "oracles"}


def lowest(requirement: str) -> str:
    """'name[extra]>=1.2; marker' -> 'name==1.2; marker'."""
    specifier, _, marker = requirement.partition(";")
    name, version = re.fullmatch(r"([\w.-]+)(?:\[.*?\])?>=([\w.]+)", specifier.strip()).groups()
    return f"{name}=={version}" + (f"; {marker.strip()}" if marker else "")


def requirements() -> list[str]:
    """What users install: the dependencies and those of the extras, each once."""
    content = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    found = dict.fromkeys(content["project"]["dependencies"])
    for extra, own in content["project"]["optional-dependencies"].items():
        if extra not in MAINTAINERS:
            found |= dict.fromkeys(own)
    return list(found)


if __name__ == "__main__":
    for each in requirements():
        print(lowest(each))
