"""How each mechanism was compared with something independent: what its test file is seen to do.

The record is a file inside the package, since the tests are not; a test compares the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RECORD = Path(__file__).with_name("verification.json")


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
