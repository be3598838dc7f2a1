"""Our indices and crops against digests of what other projects' own code gave."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
FIXTURES = Path(__file__).parent / "fixtures"
INDICES = json.loads((FIXTURES / "peer_indices.json").read_text())
CROPS = json.loads((FIXTURES / "peer_crops.json").read_text())


@pytest.fixture
def sampling_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import compare_sampling

    yield compare_sampling
    sys.modules.pop("compare_sampling", None)


@pytest.fixture
def crops_tool(monkeypatch, sampling_tool):
    import compare_crops

    yield compare_crops
    sys.modules.pop("compare_crops", None)


@pytest.mark.parametrize("name", INDICES)
def test_indices_are_the_peers(sampling_tool, name):
    stored = INDICES[name]
    assert stored["cases"] >= 10_000
    assert stored["differences"] == 0
    drawn = sampling_tool.cases(name, stored["seed"], stored["cases"])
    assert (
        sampling_tool.digest(sampling_tool.indices(name, case) for case in drawn)
        == (stored["sha256"])
    )


@pytest.mark.parametrize("name", CROPS)
def test_crops_are_the_peers(crops_tool, sampling_tool, name):
    stored = CROPS[name]
    assert stored["cases"] >= 10_000
    assert stored["differences"] == 0
    drawn = crops_tool.cases(name, stored["seed"], stored["cases"])
    assert (
        sampling_tool.digest(crops_tool.positions(name, case) for case in drawn)
        == (stored["sha256"])
    )


def test_nothing_that_the_tools_can_compare_is_left_out(crops_tool, sampling_tool):
    assert set(INDICES) == set(sampling_tool.CONVENTIONS)
    assert set(CROPS) == set(crops_tool.RULES)
