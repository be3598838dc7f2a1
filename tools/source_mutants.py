"""Seeded mistakes in Python source: one small change of meaning each."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

SWAPPED_NAMES = {
    "amax": "amin",
    "amin": "amax",
    "gelu": "tanh",
    "masked_max": "masked_mean",
    "masked_mean": "masked_max",
    "mean": "sum",
    "relu": "tanh",
    "sigmoid": "tanh",
    "softmax": "log_softmax",
    "sum": "mean",
    "tanh": "sigmoid",
}
ACTIVATIONS = {"gelu", "relu", "sigmoid", "softplus", "tanh"}
OF_AXES = {
    "amax", "amin", "argsort", "cat", "chunk", "cumsum", "diff", "flatten", "flip", "gather",
    "log_softmax", "logsumexp", "masked_softmax", "mean", "movedim", "norm", "permute", "roll",
    "select", "size", "softmax", "sort", "split", "squeeze", "stack", "std", "sum", "topk",
    "transpose", "unbind", "unflatten", "unsqueeze", "var",
}  # fmt: skip
UNORDERED = {"getattr", "isinstance", "maximum", "minimum", "range", "super", "transpose", "zip"}


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        operator: what kind of mistake.
        line: where, in the original.
        before, after: the changed expression.
        source: of the whole changed module, without comments.
    """

    operator: str
    line: int
    before: str
    after: str
    source: str

    @property
    def identity(self) -> str:
        """Stays when only words for people change."""
        meaning = ast.unparse(_Wordless().visit(ast.parse(self.source)))
        return sha256(f"{self.operator}\n{meaning}".encode()).hexdigest()[:16]


class _Wordless(ast.NodeTransformer):
    """Takes away docstrings, and what a class says of itself to people."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        words = isinstance(node.target, ast.Name) and node.target.id in ("source", "map_meaning")
        return ast.Pass() if words else node


def mutants(source: str) -> list[Mutant]:
    """Every mistake of every kind in the bodies of the functions, in the order of the lines."""
    tree = ast.parse(source)
    unique = _unique((_made(tree, one) for one in _candidates(tree)), tree)
    return sorted(unique, key=lambda one: (one.line, one.operator, one.after))


def drawn(source: str, limit: int | None, seed: int) -> list[Mutant]:
    """At most `limit` of them, from all operators in turn; fewer are the first of more."""
    if limit is None:
        return mutants(source)
    tree = ast.parse(source)
    found = _candidates(tree)
    turns: dict[str, int] = {}
    order = []
    for one in random.Random(seed).sample(found, len(found)):
        turns[one[0]] = turns.get(one[0], 0) + 1
        order.append((turns[one[0]], len(order), one))
    order.sort(key=lambda one: one[:2])
    return list(islice(_unique((_made(tree, one) for *_, one in order), tree), limit))


Place = Callable[[ast.AST], None]
Candidate = tuple[str, Place, ast.AST, ast.AST]


def _candidates(tree: ast.AST) -> list[Candidate]:
    """What would be changed by which operator: how to place it, and the node before and after."""
    return [
        (operator, place, node, changed)
        for place, node in list(_places(tree))
        for operator, change in CHANGES.items()
        for changed in change(node)
    ]


def _made(tree: ast.AST, candidate: Candidate) -> Mutant:
    operator, place, node, changed = candidate
    before = ast.unparse(node)
    place(changed)
    ast.fix_missing_locations(tree)
    line: int = node.lineno  # type: ignore[attr-defined]
    mutant = Mutant(operator, line, before, ast.unparse(changed), ast.unparse(tree) + "\n")
    place(node)
    return mutant


def _unique(found: Iterable[Mutant], tree: ast.AST) -> Iterator[Mutant]:
    """Those that change anything, each once."""
    seen = {ast.unparse(tree) + "\n"}
    for mutant in found:
        if mutant.source not in seen:
            seen.add(mutant.source)
            yield mutant


def _places(node: ast.AST, inside: bool = False) -> Iterator[tuple[Place, ast.AST]]:
    """Every expression that has a meaning for the result, with a function that replaces it."""
    if isinstance(node, ast.FunctionDef):
        inside = True
        fields = [("body", node.body)]
    else:
        fields = list(ast.iter_fields(node))
    for name, value in fields:
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _says_nothing(child):
                continue
            if inside and isinstance(child, ast.expr | ast.Assign):
                yield _placer(node, name, index), child
            yield from _places(child, inside)


def _placer(parent: ast.AST, name: str, index: int | None) -> Place:
    def place(node: ast.AST) -> None:
        if index is None:
            setattr(parent, name, node)
        else:
            getattr(parent, name)[index] = node

    return place


def _says_nothing(node: ast.AST) -> bool:
    """Messages, docstrings, imports, and what only observers see."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.Assert | ast.JoinedStr):
        return True
    if isinstance(node, ast.keyword):
        return node.arg == "strict"  # of zip: a guard against what callers cannot do
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or "observer(" in ast.unparse(node)
    if isinstance(node, ast.If):
        only_raises = all(isinstance(one, ast.Raise) for one in node.body) and not node.orelse
        return only_raises or "observer" in ast.unparse(node.test)
    return False


def _called(node: ast.AST) -> str:
    """The name of what is called; "" where nothing is."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _number(node: ast.AST) -> int | float | None:
    """A literal number, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    return None


def _wrong_axis(node: ast.AST) -> Iterator[ast.AST]:
    if _called(node) not in OF_AXES:
        return
    assert isinstance(node, ast.Call)
    for index, argument in enumerate(node.args):
        for other in _other_axes(argument):
            changed = deepcopy(node)
            changed.args[index] = other
            yield changed
    for index, keyword in enumerate(node.keywords):
        if keyword.arg in ("dim", "dims", "axis"):
            for other in _other_axes(keyword.value):
                changed = deepcopy(node)
                changed.keywords[index].value = other
                yield changed


def _other_axes(node: ast.expr) -> Iterator[ast.expr]:
    value = _number(node)
    if isinstance(value, int) and not isinstance(value, bool):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(node, ast.Tuple) and len(node.elts) > 1:
        yield ast.Tuple(node.elts[:-1], node.ctx)
        yield ast.Tuple(node.elts[1:], node.ctx)


def _scale(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv):
        yield node.left
        if isinstance(node.op, ast.Mult):
            yield node.right
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        yield node.left
        yield ast.BinOp(node.left, node.op, ast.UnaryOp(ast.USub(), node.right))
    elif isinstance(node, ast.Constant) and type(node.value) is float:
        yield ast.Constant(node.value * 2 if node.value else 1.0)


def _sign(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if _number(node) is None:
            yield node.operand
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        yield ast.BinOp(node.left, other, node.right)


def _missing_term(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield node.left
        yield node.right


def _swapped(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult | ast.Div | ast.Sub):
        yield ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
        yield from _with_swaps(node, lambda one: one.targets[0].elts)
    elif isinstance(node, ast.Call) and _called(node) not in UNORDERED:
        yield from _with_swaps(node, lambda one: one.args)
    elif isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load):
        yield from _with_swaps(node, lambda one: one.elts)


def _with_swaps(node: ast.AST, elements: Callable[..., list[ast.expr]]) -> Iterator[ast.AST]:
    for index in range(len(elements(node)) - 1):
        changed = deepcopy(node)
        pair = elements(changed)
        if any(isinstance(one, ast.Starred) for one in pair[index : index + 2]):
            continue
        pair[index], pair[index + 1] = pair[index + 1], pair[index]
        yield changed


def _other_function(node: ast.AST) -> Iterator[ast.AST]:
    other = SWAPPED_NAMES.get(_called(node))
    if other is None:
        return
    changed = deepcopy(node)
    assert isinstance(changed, ast.Call)
    if isinstance(changed.func, ast.Attribute):
        changed.func.attr = other
    elif isinstance(changed.func, ast.Name):
        changed.func.id = other
    yield changed


def _missing_function(node: ast.AST) -> Iterator[ast.AST]:
    if _called(node) not in ACTIVATIONS:
        return
    assert isinstance(node, ast.Call)
    if node.args:
        yield node.args[0]
    elif isinstance(node.func, ast.Attribute):
        yield node.func.value


def _off_by_one(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Subscript):
        index = node.slice
        value = _number(index)
        if isinstance(value, int):
            yield ast.Subscript(node.value, ast.Constant(value + 1), node.ctx)
        elif isinstance(index, ast.Slice):
            for bound in ("lower", "upper"):
                side = getattr(index, bound)
                number = None if side is None else _number(side)
                if isinstance(number, int):
                    changed = deepcopy(index)
                    setattr(changed, bound, ast.Constant(number + 1))
                    yield ast.Subscript(node.value, changed, node.ctx)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv | ast.Mod):
        value = _number(node.right)
        if isinstance(value, int):
            yield ast.BinOp(node.left, node.op, ast.Constant(value + 1))


def _other_flag(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)


CHANGES: dict[str, Callable[[ast.AST], Iterator[ast.AST]]] = {
    "wrong axis": _wrong_axis,
    "changed scale": _scale,
    "flipped sign": _sign,
    "missing term": _missing_term,
    "swapped": _swapped,
    "other function": _other_function,
    "missing function": _missing_function,
    "off by one": _off_by_one,
    "other flag": _other_flag,
}
