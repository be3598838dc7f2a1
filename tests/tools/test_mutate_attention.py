from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SOURCE = '''
"""A made-up module."""


class Gate:
    """x times a weight."""

    kind = "gate"

    def weights(self, x, scale=2.0):
        """The docstring - is left alone."""
        if len(x) < 1:
            raise ValueError(f"expected {1 + 1}")
        self.observer(x[0])
        first, last = x[0], x[-1]
        zip(x, strict=True)
        return x.mean((2, 3)).sigmoid() * 0.5 + self.residual(first, last)
'''


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import mutate_attention
    import source_mutants

    yield mutate_attention, source_mutants
    for name in ("mutate_attention", "source_mutants"):
        sys.modules.pop(name, None)


def test_mistakes_are_those_that_are_meant(tools):
    found = {(one.operator, one.before, one.after) for one in tools[1].mutants(SOURCE)}
    total = "x.mean((2, 3)).sigmoid() * 0.5 + self.residual(first, last)"
    weight = "x.mean((2, 3)).sigmoid()"
    assert found == {
        ("missing term", total, f"{weight} * 0.5"),
        ("missing term", total, "self.residual(first, last)"),
        ("flipped sign", total, f"{weight} * 0.5 - self.residual(first, last)"),
        ("changed scale", f"{weight} * 0.5", weight),
        ("changed scale", f"{weight} * 0.5", "0.5"),
        ("changed scale", "0.5", "1.0"),
        ("other function", weight, "x.mean((2, 3)).tanh()"),
        ("missing function", weight, "x.mean((2, 3))"),
        ("other function", "x.mean((2, 3))", "x.sum((2, 3))"),
        ("wrong axis", "x.mean((2, 3))", "x.mean((2,))"),
        ("wrong axis", "x.mean((2, 3))", "x.mean((3,))"),
        ("swapped", "(2, 3)", "(3, 2)"),
        ("swapped", "self.residual(first, last)", "self.residual(last, first)"),
        ("swapped", "first, last = (x[0], x[-1])", "last, first = (x[0], x[-1])"),
        ("swapped", "(x[0], x[-1])", "(x[-1], x[0])"),
        ("off by one", "x[0]", "x[1]"),
        ("off by one", "x[-1]", "x[0]"),
    }


def test_each_mistake_is_one_change_and_they_are_in_order(tools):
    found = tools[1].mutants(SOURCE)
    assert [one.line for one in found] == sorted(one.line for one in found)
    assert len({one.source for one in found}) == len(found)
    for one in found:
        ast.parse(one.source)
        assert one.source != ast.unparse(ast.parse(SOURCE)) + "\n"


def test_identity_is_that_of_the_code_not_of_its_words(tools):
    before = [one.identity for one in tools[1].mutants(SOURCE)]
    assert len(set(before)) == len(before)
    words = SOURCE.replace("x times a weight", "Another sentence")
    assert [one.identity for one in tools[1].mutants(words)] == before
    code = SOURCE.replace("len(x) < 1", "len(x) < 2")
    assert not set(before) & {one.identity for one in tools[1].mutants(code)}


def test_draw_is_seeded_and_takes_operators_in_turn(tools):
    found = tools[1].mutants(SOURCE)
    operators = {one.operator for one in found}
    drawn = tools[1].drawn(SOURCE, len(operators), 3)
    assert {one.operator for one in drawn} == operators
    assert drawn == tools[1].drawn(SOURCE, len(operators), 3)
    assert drawn != tools[1].drawn(SOURCE, len(operators), 4)
    assert tools[1].drawn(SOURCE, 5, 3) == drawn[:5]
    assert tools[1].drawn(SOURCE, None, 0) == found
    whole = tools[1].drawn(SOURCE, 1000, 0)
    assert {one.source for one in whole} == {one.source for one in found}


@pytest.mark.slow
def test_survivors_are_found_and_runs_go_on(tools, tmp_path, monkeypatch):
    (tmp_path / "made_up.py").write_text(
        "def area(width, height):\n    return width * height\n\n"
        "def loop(steps):\n    while steps * 2:\n        steps = 0\n    return steps\n\n"
        "def untested(value):\n    return value + 1.0\n"
    )
    tests = tmp_path / "test_made_up.py"
    tests.write_text(
        "from made_up import area, loop\n"
        "def test_area():\n    assert area(2, 3) == 6\n"
        "def test_loop():\n    assert loop(3) == 0\n"
    )
    tool = tools[0]
    subject = tool.Subject("made_up", "made_up", tmp_path / "made_up.py", (str(tests),))
    settings = {"limit": None, "seconds": 3, "jobs": 2, "preloaded": ["pytest"], "folder": tmp_path}
    output = tmp_path / "mutants.json"
    found = tool.mutate([subject], output, **settings)
    outcomes = {(one["before"], one["after"]): one["outcome"] for one in found}
    assert outcomes[("width * height", "width")] == "failed"
    assert outcomes[("steps * 2", "2")] == "timed out"
    survivors = {one["before"] for one in found if one["outcome"] == "survived"}
    assert survivors == {"value + 1.0", "1.0", "steps * 2"}
    assert json.loads(output.read_text())["mutants"] == found
    rate = tool.rates(found)["made_up"]
    assert rate["killed"] == rate["mutants"] - sum(one["outcome"] == "survived" for one in found)

    monkeypatch.setattr(tool, "Runner", None)  # nothing is run again
    assert tool.mutate([subject], output, **settings) == found


def test_tests_that_fail_anyway_tell_nothing(tools, tmp_path, capsys):
    (tmp_path / "made_up.py").write_text("def area(width, height):\n    return width * height\n")
    tests = tmp_path / "test_made_up.py"
    tests.write_text("def test_area():\n    assert False\n")
    subject = tools[0].Subject("made_up", "made_up", tmp_path / "made_up.py", (str(tests),))
    output = tmp_path / "mutants.json"
    settings = {"limit": 1, "preloaded": ["pytest"], "folder": tmp_path}
    assert tools[0].mutate([subject], output, **settings) == []
    assert "its tests fail as it is" in capsys.readouterr().err
