"""Writes what is said of the attention mechanisms, from the code and its tests.

    python tools/write_attention_docs.py

`vidattn/attention/verification.json` says how each was compared with something independent.
"""

from __future__ import annotations

from pathlib import Path

from vidattn.attention import catalogue
from vidattn.attention.verification import RECORD, Verification, as_json, read_test_file

ROOT = Path(__file__).resolve().parents[1]


def verified() -> dict[str, Verification]:
    """Name -> what the mirror of the mechanism's file does in the tests."""
    found = {}
    for name, facts in catalogue().items():
        *_, family, module = facts.type.__module__.split(".")
        path = ROOT / "tests" / "attention" / family / f"test_{module}.py"
        if path.is_file():
            found[name] = read_test_file(path, ROOT)
    return found


def main() -> None:
    RECORD.write_text(as_json(verified()), encoding="utf-8")


if __name__ == "__main__":
    main()
