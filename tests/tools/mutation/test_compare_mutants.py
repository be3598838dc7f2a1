from __future__ import annotations

import json
import sys

import pytest


def result(before: str, outcome: str, by: str = "default tests", occurrence: int = 0) -> dict:
    return {
        "mechanism": "gate",
        "operator": "changed scale",
        "function": "Gate.weights",
        "before": before,
        "after": "x",
        "occurrence": occurrence,
        "outcome": outcome,
        "by": "" if outcome == "survived" else by,
        "file": "gate.py",
        "line": 7,
        "difference": f"-{before}\n+x",
        "test": "test_gate.py::test_it",
    }


BEFORE = [
    result("a", "failed"),
    result("b", "failed"),
    result("c", "survived"),
    result("d", "survived"),
    result("e", "crashed"),
    result("f", "timed out"),
    result("f", "failed", occurrence=1),
    result("g", "failed"),
]
AFTER = [
    result("a", "crashed"),
    result("b", "survived"),
    result("c", "failed"),
    result("d", "survived"),
    result("e", "failed", by="slow tests"),
    result("f", "failed", occurrence=1),
    result("g", "not run"),
]


def test_groups(mutation_tool) -> None:
    found = mutation_tool("compare_mutants").compare(BEFORE, AFTER)
    groups = ("as_before", "lost", "gained", "later", "absent")
    names = {group: "".join(one["before"] for one in getattr(found, group)) for group in groups}
    assert names == {"as_before": "adef", "lost": "b", "gained": "c", "later": "e", "absent": "fg"}


@pytest.mark.parametrize(("after", "code"), [(BEFORE, 0), (AFTER, 1)])
def test_less_than_before_is_a_failure(
    mutation_tool, tmp_path, monkeypatch, capsys, after, code
) -> None:
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, results in zip(paths, (BEFORE, after), strict=True):
        path.write_text(json.dumps({"mutants": results}))
    tool = mutation_tool("compare_mutants")
    monkeypatch.setattr(sys, "argv", ["compare_mutants.py", *map(str, paths)])
    with pytest.raises(SystemExit) as ended:
        tool.main()
    assert ended.value.code == code
    assert ("gate.py:7\n-b\n+x" in capsys.readouterr().out) == bool(code)
