from __future__ import annotations

from pathlib import Path

import pytest

from vidattn.attention import catalogue
from vidattn.attention.verification import verifications

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def read_test_file(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import verification_record

    return verification_record.read_test_file


def test_record_says_what_the_tests_do(read_test_file):
    found = {}
    for name, facts in catalogue().items():
        *_, family, module = facts.type.__module__.split(".")
        path = ROOT / "tests" / "attention" / family / f"test_{module}.py"
        found[name] = read_test_file(path, ROOT)
    assert verifications() == found, "run `python tools/write_attention_docs.py`"


def test_libraries_are_those_imported_and_tests_are_named(read_test_file, tmp_path):
    path = tmp_path / "test_it.py"
    path.write_text(
        "import math, torch\n"
        "from torchvision.ops import SqueezeExcitation\n"
        "def test_equals_them():\n"
        "    timm = pytest.importorskip('timm.layers')\n"
        "def helper(): pass\n"
        "def test_traps_of_the_axis(): pass\n"
    )
    found = read_test_file(path, tmp_path)
    assert found.test_file == "test_it.py"
    assert found.libraries == ("timm", "torchvision")
    assert found.tests == ("equals them", "traps of the axis")
