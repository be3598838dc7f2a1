"""Ours against the stored figures of published scripts, on the cases that they were run on."""

from __future__ import annotations

import json
import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

FIXTURES = Path(__file__).parent / "fixtures" / "frames"
PEERS = sorted(path.stem for path in FIXTURES.glob("*.json"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "compare_frame_scores.py"
    spec = util.spec_from_file_location("compare_frame_scores", path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_peer_has_a_fixture(tool: ModuleType) -> None:
    assert sorted(tool.PEERS) == PEERS


@pytest.mark.parametrize("peer", PEERS)
def test_figures_are_those_of_the_peer(peer: str, tool: ModuleType) -> None:
    stored = json.loads((FIXTURES / f"{peer}.json").read_text())
    assert stored["cases"] >= 500
    assert stored["largest_difference"] <= 1e-9
    defined = 0
    for number, wanted in enumerate(stored["figures"]):
        if None in wanted:
            continue
        defined += 1
        case = tool.case_of(peer, stored["seed"], number)
        assert tool.PEERS[peer][1](case) == pytest.approx(wanted, abs=1e-9)
    assert defined > len(stored["figures"]) / 2
