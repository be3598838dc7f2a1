"""Each operator on a piece of code: exactly these mistakes."""

from __future__ import annotations

import ast
import textwrap

import pytest

CASES = {
    "wrong axis": {
        "x.sum(1)": ["x.sum(2)", "x.sum(0)"],
        "x.mean(dim=(2, 3))": ["x.mean(dim=(2,))", "x.mean(dim=(3,))"],
        "x.pow(1)": [],
    },
    "exchanged axes": {
        "x.mean((1, 2))": ["x.mean((1, 3))"],
        "x.mean((2, 3))": [],
        "x.transpose(2, 3)": [],
        "x.flatten(2)": ["x.flatten(3)"],
        "x.transpose(-1, -3)": ["x.transpose(-1, -2)"],
        "x.reshape(n, t, h * w)": ["x.reshape(n, h, t * w)"],
        "torch.einsum('ncth,nk->nkth', x, y)": ["torch.einsum('ncth,nk->nkht', x, y)"],
        "x.reshape(n, t, w)": [],
    },
    "changed scale": {
        "x * y": ["x", "y"],
        "x / y": ["x"],
        "x ** 0.5": ["x ** 1.0", "x ** (-0.5)", "x"],
    },
    "flipped sign": {"x - y": ["x + y"], "-x": ["x"]},
    "missing term": {"x + y": ["x", "y"]},
    "swapped": {
        "f(x, y)": ["f(y, x)"],
        "max(x, y)": [],
        "gcd(x, y)": [],
        "x @ y": ["y @ x"],
        "a if x else b": ["b if x else a"],
    },
    "other function": {
        "x.softmax(1)": ["x.log_softmax(1)"],
        "masked_max(x, y)": ["masked_mean(x, y)"],
    },
    "missing function": {"F.relu(x)": ["x"], "x.sigmoid()": ["x"]},
    "off by one": {"x[0]": ["x[1]"], "x[:, 1:]": [], "x[1:]": ["x[2:]"], "x // 2": ["x // 3"]},
    "other flag": {"f(x, True)": ["f(x, False)"]},
    "other comparison": {
        "x < y": ["x <= y"],
        "x >= y": ["x > y"],
        "x == 'add'": ["x != 'add'"],
        "x is None": [],
    },
    "missing mask": {
        "f(x, mask=mask)": ["f(x)"],
        "f(x, kept)": [
            "f(x, None)",
            "f(x, None if kept is None else kept.new_ones(kept.shape))",
        ],
        "f(x, where=self.frame_mask, z=1)": ["f(x, z=1)"],
        "isinstance(mask, Tensor)": [],
        "zero_padding(x, mask)": [],  # masking that is skipped
    },
    "skipped masking": {
        "zero_padding(x, mask)": ["x"],
        "x.masked_fill(~mask, 0)": ["x"],
        "torch.where(mask, x, 0)": ["x", "0"],
    },
    "missing context": {
        "f(x, context=context)": ["f(x)"],
        "f(x, context)": ["f(x, None)"],
    },
    "missing argument": {
        "f(x, bias=False, groups=g)": ["f(x, groups=g)", "f(x, bias=False)"],
        "f(x, momentum=0.1)": ["f(x)"],
        "f(x, self.eps)": ["f(x)"],
        "f(x, mask=mask)": [],
        "x.sum(dim=1)": [],
        "f(**x)": [],
    },
    "other argument": {"f(x, size=3)": ["f(x, size=4)"], "f(x, size=n)": [], "x.sum(dim=1)": []},
    "ignored condition": {
        "a if self.training else b": ["a if True else b", "a if False else b"],
        "a if mask is None else b": ["a if True else b"],
        "a if mask is not None else b": ["a if False else b"],
        "a if self.observer.recording else b": [],
    },
    "missing condition": {
        "x and y and z": ["y and z", "x and z", "x and y"],
        "x | y": ["x", "y"],
        "not x": ["x"],
        "~x": ["x"],
    },
    "missing detach": {"x.detach()": ["x"]},
}  # fmt: skip
STATEMENTS = {
    "ignored condition": {
        "if self.fuse:\n    x = y": ["if True:\n    x = y", "if False:\n    x = y"],
        "if x:\n    raise ValueError": [],
        "if x:\n    y = 1\n    raise ValueError": [],
        "if self.observer.recording:\n    self.observer(x)": [],
    },
    "missing detach": {"with torch.no_grad():\n    x = y": ["if True:\n    x = y"]},
    "missing observation": {
        "self.observer(x, grid)": ["pass"],
        "if self.observer.recording:\n    y = x.sum()\n    self.observer(y)": ["pass"],
        "f(x)": [],
    },
    "missing statement": {
        "x = f(x)": ["pass"],
        "x += 1": ["pass"],
        "nn.init.zeros_(self.weight)": ["pass"],
        "y = f(x)": [],
        "super().__init__()": [],
        "self.observer(x)": [],
    },
}
DEFAULTS = {
    "def f(x, size=3): pass": ["size=4"],
    "def f(x, *, scale: float = 0.5, zero=0.0): pass": ["scale=1.0", "zero=1.0"],
    "def f(x, *, y, gated: bool = True): pass": ["gated=False"],
    "def f(x, kernel=(3, 1)): pass": ["kernel=(3, 2)"],
    "def f(norm: Literal['l1', 'l2'] = 'l2'): pass": ["norm='l1'"],
    "Kind = Literal['a', 'b', 'c']\ndef f(kind: Kind = 'a', *, other: Kind = 'b'): pass": [
        "kind='b'",
        "other='a'",
    ],
    "class A:\n    def f(self, x=None, name: str = 'a'): pass": [],
}
ALL = [
    (operator, code, expected)
    for cases in (CASES, STATEMENTS)
    for operator, pieces in cases.items()
    for code, expected in pieces.items()
]


def gate(code: str) -> str:
    return f"class Gate:\n    def weights(self):\n{textwrap.indent(code, ' ' * 8)}\n"


def made(tools, source: str, operator: str) -> list:
    """Mistakes of one operator, whether or not others make the same."""
    module = tools("source_mutants").Module(source)
    found = [
        module.make(index)
        for index, one in enumerate(module.candidates)
        if one.operator == operator
    ]
    return [one for one in found if one is not None]


def normal(source: str) -> str:
    return ast.unparse(ast.parse(source)) + "\n"


@pytest.mark.parametrize(("operator", "code", "expected"), ALL)
def test_mistakes_of_an_operator(mutation_tool, operator, code, expected) -> None:
    form = "{}" if code in STATEMENTS.get(operator, {}) else "result = {}"
    found = made(mutation_tool, gate(form.format(code)), operator)
    assert {one.source for one in found} == {normal(gate(form.format(one))) for one in expected}
    assert len(found) == len(expected)
    assert {one.function for one in found} <= {"Gate.weights"}


@pytest.mark.parametrize(("source", "expected"), DEFAULTS.items())
def test_other_defaults(mutation_tool, source, expected) -> None:
    found = made(mutation_tool, source, "other default")
    assert [one.after for one in found] == expected
    for one in found:  # there and nowhere else
        lines = zip(normal(source).split(), one.source.split(), strict=True)
        changed = [pair for pair in lines if pair[0] != pair[1]]
        assert len(changed) == 1


def test_every_operator_is_tried_here(mutation_tool) -> None:
    tool = mutation_tool("source_mutants")
    assert {*CASES, *STATEMENTS, tool.OTHER_DEFAULT} == set(tool.OPERATORS)


def test_difference_is_that_of_the_lines(mutation_tool) -> None:
    found = mutation_tool("source_mutants").mutants(
        gate("y = f(\n    x * 2,  # halves\n    z=1,\n) * 3")
    )
    shown = {(one.operator, one.after): one.difference for one in found}
    assert shown["changed scale", "x"] == (
        "-            x * 2,  # halves\n+            x,  # halves"
    )
    found = mutation_tool("source_mutants").mutants(gate("y = F.relu(x + 1).sum()"))
    shown = {(one.operator, one.after): one.difference for one in found}
    assert shown["missing function", "x + 1"] == (
        "-        y = F.relu(x + 1).sum()\n+        y = (x + 1).sum()"
    )
