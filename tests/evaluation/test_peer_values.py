"""Ours against what published scorers gave for the same random files."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = sorted((ROOT / "tests" / "evaluation" / "fixtures").glob("*-*.json"))
TOOLS = ("compare_scores", "score_cases", "score_peers")


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    yield importlib.import_module("compare_scores")
    for name in TOOLS:
        sys.modules.pop(name, None)


def _compare(tool: ModuleType, fixture: Path, folder: Path, stop: int) -> None:
    kept = json.loads(fixture.read_text())
    comparison = tool.COMPARISONS[kept["peer"]]
    for seed, expected in list(enumerate(kept["values"]))[:stop]:
        found = tool.numbers(comparison.ours(comparison.case(seed, folder / str(seed))))
        assert tool.difference(expected, found) <= 1e-9, f"seed {seed}"


def test_every_scorer_has_values_of_500_files(tool: ModuleType) -> None:
    counts = {file.stem: len(json.loads(file.read_text())["values"]) for file in FIXTURES}
    assert set(counts) >= set(tool.COMPARISONS)
    assert all(counts[name] >= 500 for name in tool.COMPARISONS)


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda file: file.stem)
def test_the_first_files(tool: ModuleType, fixture: Path, tmp_path: Path) -> None:
    _compare(tool, fixture, tmp_path, 80)


@pytest.mark.slow
@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda file: file.stem)
def test_all_files(tool: ModuleType, fixture: Path, tmp_path: Path) -> None:
    _compare(tool, fixture, tmp_path, 10**6)


def test_a_difference_is_seen(tool: ModuleType) -> None:
    assert tool.difference([0.5, None], [0.5, None]) == 0
    assert tool.difference([0.5, None], [0.5, 0.0]) == float("inf")
    assert tool.difference([0.5, 0.25], [0.5, 0.5]) == 0.25
