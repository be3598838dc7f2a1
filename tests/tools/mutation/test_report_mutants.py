from __future__ import annotations


def result(mechanism: str, identity: str, outcome: str) -> dict:
    return {
        "key": f"{mechanism}:{identity}:tests",
        "mechanism": mechanism,
        "operator": "changed scale",
        "line": 7,
        "before": "a * b",
        "after": "a",
        "outcome": outcome,
    }


def test_rates_by_family_and_survivors_with_their_reasons(mutation_tool):
    results = [
        result("one", "a", "failed"),
        result("one", "b", "crashed"),
        result("one", "c", "survived"),
        result("two", "d", "survived"),
        result("two", "e", "timed out"),
        result("masking", "f", "failed"),
        result("masking", "g", "not run"),
    ]
    families = {"one": "channel_spatial", "two": "channel_spatial"}
    text = mutation_tool("report_mutants").report(results, families, {"two:d": "b is 1 always"})
    assert "| channel and spatial | 2 | 5 | 1 | 3 | 75.0% | 50.0% |" in text
    assert "| shared modules | 1 | 1 | 0 | 1 | 100.0% | 100.0% |" in text
    assert "| all | 3 | 6 | 1 | 4 | 80.0% | 66.7% |" in text
    unnoticed, _, harmless = text.partition("Change nothing")
    assert "- `one` line 7, changed scale: `a * b` → `a`." in unnoticed
    assert "`two`" not in unnoticed
    assert "- `two` line 7, changed scale: `a * b` → `a`: b is 1 always." in harmless
