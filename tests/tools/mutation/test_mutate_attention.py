from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

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
def source_mutants(mutation_tool):
    return mutation_tool("source_mutants")


def test_mistakes_are_those_that_are_meant(source_mutants):
    found = {(one.operator, one.before, one.after) for one in source_mutants.mutants(SOURCE)}
    total = "x.mean((2, 3)).sigmoid() * 0.5 + self.residual(first, last)"
    weight = "x.mean((2, 3)).sigmoid()"
    assert found == {
        ("other default", "scale=2.0", "scale=4.0"),
        ("missing observation", "self.observer(x[0])", "pass"),
        ("missing statement", "zip(x, strict=True)", "pass"),
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
        ("swapped", "self.residual(first, last)", "self.residual(last, first)"),
        ("swapped", "first, last = (x[0], x[-1])", "last, first = (x[0], x[-1])"),
        ("swapped", "(x[0], x[-1])", "(x[-1], x[0])"),
        ("off by one", "x[0]", "x[1]"),
        ("off by one", "x[-1]", "x[0]"),
    }


def test_each_mistake_is_one_change_and_they_are_in_order(source_mutants):
    found = source_mutants.mutants(SOURCE)
    assert [one.line for one in found] == sorted(one.line for one in found)
    assert len({one.source for one in found}) == len(found)
    for one in found:
        ast.parse(one.source)
        assert one.source != ast.unparse(ast.parse(SOURCE)) + "\n"


def test_identity_is_that_of_the_code_not_of_its_words(source_mutants):
    before = [one.identity for one in source_mutants.mutants(SOURCE)]
    assert len(set(before)) == len(before)
    words = SOURCE.replace("x times a weight", "Another sentence")
    assert [one.identity for one in source_mutants.mutants(words)] == before
    code = SOURCE.replace("len(x) < 1", "len(x) < 2")
    assert not set(before) & {one.identity for one in source_mutants.mutants(code)}


def test_draw_is_seeded_and_takes_operators_in_turn(source_mutants):
    found = source_mutants.mutants(SOURCE)
    operators = {one.operator for one in found}
    drawn = source_mutants.drawn(SOURCE, len(operators) + 1, 3)
    assert {one.operator for one in drawn} >= operators
    assert drawn == source_mutants.drawn(SOURCE, len(operators) + 1, 3)
    assert drawn != source_mutants.drawn(SOURCE, len(operators) + 1, 4)
    assert source_mutants.drawn(SOURCE, 5, 3) == drawn[:5]
    assert source_mutants.drawn(SOURCE, None, 0) == found
    whole = source_mutants.drawn(SOURCE, 1000, 0)
    assert {one.source for one in whole} == {one.source for one in found}


def test_draw_from_several_modules_is_even_over_modules_and_operators(source_mutants):
    sources = {
        "one": SOURCE,
        "two": SOURCE.replace("2.0", "3.0"),
        "small": "def f(x):\n    return -x\n",
        "empty": "",
    }
    drawn = source_mutants.drawn_from(sources, 21, 5)
    assert {name: len(found) for name, found in drawn.items()} == {
        "one": 10, "two": 10, "small": 1, "empty": 0,
    }  # fmt: skip
    used = Counter(one.operator for found in drawn.values() for one in found)
    assert {*used} == {one.operator for one in source_mutants.mutants(SOURCE)}
    assert max(used.values()) <= 2
    assert drawn == source_mutants.drawn_from(sources, 21, 5)
    assert drawn != source_mutants.drawn_from(sources, 21, 6)
    assert sum(map(len, source_mutants.drawn_from(sources, 1000, 5).values())) > 30


def test_same_mistakes_are_found_in_another_version(source_mutants):
    repeated = "def f(x):\n    return g(x * 2, x * 2)\n"
    words = {one.words for one in source_mutants.mutants(repeated) if one.after == "x"}
    assert len(words) == 2
    other = "def h():\n    return 1\n\n\ndef f(x):\n    x = k(x)\n    return g(x * 2, x * 2)\n"
    found = source_mutants.same_as(other, words)
    assert [ast.unparse(ast.parse(one.source).body[1].body[-1]) for one in found] == [
        "return g(x, x * 2)",
        "return g(x * 2, x)",
    ]
    assert source_mutants.same_as("def f(x):\n    return g(x)\n", words) == []


def test_names_are_drawn_by_seed(mutation_tool):
    draw = mutation_tool("subjects").draw_names
    names = [f"mechanism_{number}" for number in range(60)]
    drawn = draw(names, 20, 1)
    assert drawn == sorted(drawn)
    assert len(set(drawn)) == 20
    assert drawn == draw(reversed(names), 20, 1)
    assert drawn != draw(names, 20, 2)
    # Another mechanism in the catalogue replaces one of those drawn at most.
    assert len(set(drawn) & set(draw([*names, "new"], 20, 1))) >= 19


def test_names_in_ids_are_whole(mutation_tool):
    named = mutation_tool("mutant_runner").pattern(["channel", "self_attention"])
    assert named.search("[channel-2d]")
    assert named.search("[True-self_attention]")
    assert not named.search("[gated_channel-2d]")
    assert not named.search("[factorised_self_attention-3d]")


MADE_UP = """
def area(width, height):
    return width * height

def loop(steps):
    while steps * 2:
        steps = 0
    return steps

def volume(area, depth):
    return area * depth

def untested(value):
    return value + 1.0
"""
OWN_TESTS = """
from made_up import area, loop
def test_area():
    assert area(2, 3) == 6
def test_loop():
    assert loop(3) == 0
"""
SHARED_TESTS = """
import pytest
from made_up import volume
@pytest.mark.slow
@pytest.mark.parametrize("name", ["made_up"])
def test_all(name):
    assert volume(2, 3) == 6
@pytest.mark.parametrize("name", ["not_made_up"])
def test_others(name):
    assert False
"""
SETTINGS = '[tool.pytest.ini_options]\nmarkers = ["slow: long", "oracle: other"]\n'


@pytest.fixture
def made_up(mutation_tool, tmp_path):
    """(own tests) -> a subject with all its mistakes, and the tool that runs them."""
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    module, own, shared = (tmp_path / f"{name}.py" for name in ("made_up", "test_own", "test_all"))
    module.write_text(MADE_UP)
    shared.write_text(SHARED_TESTS)
    tool, server = mutation_tool("mutate_attention"), mutation_tool("server")
    running = [server.Server(["pytest"], tmp_path) for _ in range(2)]

    def make(tests: str):
        own.write_text(tests)
        subject = mutation_tool("subjects").Subject(
            "made_up", "made_up", module, (own,), ("made_up",), (shared,)
        )
        return tool, tool.pairs_of([subject], total=None, limit=None, seed=0), running

    yield make
    for one in running:
        one.close()


@pytest.mark.slow
def test_survivors_are_found_and_runs_go_on(made_up, tmp_path, capsys):
    tool, pairs, running = made_up(OWN_TESTS)
    output = tmp_path / "mutants.json"
    settings = {"seconds": 3, "root": tmp_path}
    first = tool.mutate(pairs[:4], output, running, **settings)
    found = tool.mutate(pairs, output, running, **settings)
    assert found[:4] == first
    outcomes = {(one["before"], one["after"]): one for one in found}
    area = outcomes["width * height", "width"]
    assert (area["outcome"], area["by"], area["file"]) == ("failed", "default tests", "made_up.py")
    assert area["test"] == "test_own.py::test_area"
    assert area["function"] == "area"
    assert outcomes["steps * 2", "2"]["outcome"] == "timed out"
    survivors = {one["before"] for one in found if one["outcome"] == "survived"}
    assert survivors == {"area * depth", "value + 1.0", "1.0", "steps * 2"}
    assert json.loads(output.read_text())["mutants"] == found

    again = tool.mutate(pairs, output, running, slow=True, **settings)
    outcomes = {(one["before"], one["after"]): one for one in again}
    volume = outcomes["area * depth", "area"]
    assert (volume["outcome"], volume["by"]) == ("failed", "slow tests")
    assert volume["test"] == "test_all.py::test_all[made_up]"
    assert outcomes["width * height", "width"] == area
    harmless = outcomes["1.0", "2.0"]["key"].rpartition(":")[0]
    tool.show(again, {harmless: "nobody calls it"})
    shown = capsys.readouterr().out
    assert "made_up.py:14\n-    return value + 1.0\n+    return value\n" in shown
    assert "1 more change nothing" in shown
    assert "+    return value + 2.0" not in shown

    assert tool.mutate(pairs, output, [], slow=True, **settings) == again  # nothing is run again


@pytest.mark.slow
def test_tests_that_fail_anyway_tell_nothing(made_up, tmp_path, capsys):
    tool, pairs, running = made_up("def test_area():\n    assert False\n")
    assert tool.mutate(pairs[:2], tmp_path / "mutants.json", running, root=tmp_path) == []
    assert "its tests fail as it is" in capsys.readouterr().err


@pytest.mark.slow
def test_subjects_of_this_tree(mutation_tool):
    """The mirror and what imports the module are a mechanism's own tests; others name it."""
    root = Path(__file__).resolve().parents[3]
    tool = mutation_tool("subjects")
    server = mutation_tool("server").Server(["pytest"], root)
    try:
        tree = tool.Tree(root, server)
    finally:
        server.close()
    from vidattn.attention import catalogue

    assert set(tree.modules) == set(catalogue())
    tests = root / "tests" / "attention"
    for name, facts in catalogue().items():
        subject = tree.mechanism(name)
        *_, family, module = facts.type.__module__.split(".")
        assert tests / family / f"test_{module}.py" in subject.own
        assert name in subject.names
        assert tests / "test_battery.py" in subject.shared
        assert subject.path.samefile(sys.modules[facts.type.__module__].__file__)
    masking = tree.shared_module("masking", with_users=True)
    assert tests / "test_masking.py" in masking.own
    assert masking.names
