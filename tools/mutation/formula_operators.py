"""Mistakes in formulas: axes, scales, signs, terms, operands, functions, indices, comparisons."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from copy import deepcopy

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
UNORDERED = {
    "gcd",
    "getattr",
    "isinstance",
    "maximum",
    "minimum",
    "range",
    "super",
    "transpose",
    "zip",
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
# Axes of height and of the one before it, from either end: time and height of (N, C, T, H, W).
EXCHANGED_AXES = {2: 3, 3: 2, -3: -2, -2: -3}
EXCHANGED_NAMES = {"t": "h", "h": "t", "time": "height", "height": "time"}


def called(node: ast.AST) -> str:
    """The name of what is called; "" where nothing is."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def number(node: ast.AST) -> int | float | None:
    """A literal number, with its sign."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    return None


def _wrong_axis(node: ast.AST) -> Iterator[ast.AST]:
    if called(node) not in OF_AXES:
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
    value = number(node)
    if isinstance(value, int) and not isinstance(value, bool):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(node, ast.Tuple) and len(node.elts) > 1:
        yield ast.Tuple(node.elts[:-1], node.ctx)
        yield ast.Tuple(node.elts[1:], node.ctx)


def _exchanged_axes(node: ast.AST) -> Iterator[ast.AST]:
    """Time in the place of height: in all axes of a call, in all names, in an einsum's result."""
    if isinstance(node, ast.Call) and called(node) == "einsum":
        yield from _exchanged_letters(node)
    elif isinstance(node, ast.Call) and called(node) in OF_AXES:
        changed = deepcopy(node)
        changed.args = [_Exchange().visit(one) for one in changed.args]
        yield changed
    elif isinstance(node, ast.Call):
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        if any({one, other} <= names for one, other in EXCHANGED_NAMES.items()):
            changed = deepcopy(node)
            changed.args = [_Exchange().visit(one) for one in changed.args]
            yield changed


class _Exchange(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(EXCHANGED_NAMES.get(node.id, node.id), node.ctx)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        exchanged = type(node.value) is int and node.value > 0
        return ast.Constant(EXCHANGED_AXES.get(node.value, node.value)) if exchanged else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        value = number(node)
        if value not in EXCHANGED_AXES:
            return self.generic_visit(node)
        return ast.UnaryOp(ast.USub(), ast.Constant(-EXCHANGED_AXES[int(value)]))


def _exchanged_letters(node: ast.Call) -> Iterator[ast.AST]:
    equation = node.args[0]
    if not isinstance(equation, ast.Constant) or "->" not in str(equation.value):
        return
    given, _, result = str(equation.value).partition("->")
    letters = [index for index, letter in enumerate(result) if letter.isalpha()]
    if len(letters) > 1:
        one, other = letters[-2:]
        text = [*result]
        text[one], text[other] = text[other], text[one]
        changed = deepcopy(node)
        changed.args[0] = ast.Constant(f"{given}->{''.join(text)}")
        yield changed


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
        if number(node) is None:
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
    elif isinstance(node, ast.Call) and not _unordered(node):
        yield from _with_swaps(node, lambda one: one.args)
    elif isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load):
        yield from _with_swaps(node, lambda one: one.elts)


def _unordered(node: ast.Call) -> bool:
    """Whether the order of arguments is nothing, or for readers: the larger of two has no order."""
    chosen = isinstance(node.func, ast.Name) and node.func.id in ("max", "min")
    return chosen or called(node) in UNORDERED


def _with_swaps(node: ast.AST, elements: Callable[..., list[ast.expr]]) -> Iterator[ast.AST]:
    for index in range(len(elements(node)) - 1):
        changed = deepcopy(node)
        pair = elements(changed)
        if any(isinstance(one, ast.Starred) for one in pair[index : index + 2]):
            continue
        pair[index], pair[index + 1] = pair[index + 1], pair[index]
        yield changed


def _other_function(node: ast.AST) -> Iterator[ast.AST]:
    other = SWAPPED_NAMES.get(called(node))
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
    if called(node) not in ACTIVATIONS:
        return
    assert isinstance(node, ast.Call)
    if node.args:
        yield node.args[0]
    elif isinstance(node.func, ast.Attribute):
        yield node.func.value


def _off_by_one(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Subscript):
        index = node.slice
        value = number(index)
        if isinstance(value, int):
            yield ast.Subscript(node.value, ast.Constant(value + 1), node.ctx)
        elif isinstance(index, ast.Slice):
            for bound in ("lower", "upper"):
                side = getattr(index, bound)
                limit = None if side is None else number(side)
                if isinstance(limit, int):
                    changed = deepcopy(index)
                    setattr(changed, bound, ast.Constant(limit + 1))
                    yield ast.Subscript(node.value, changed, node.ctx)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv | ast.Mod):
        value = number(node.right)
        if isinstance(value, int):
            yield ast.BinOp(node.left, node.op, ast.Constant(value + 1))


def _other_flag(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)


def _other_comparison(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        other = COMPARISONS.get(type(node.ops[0]))
        if other is not None:
            yield ast.Compare(node.left, [other()], node.comparators)


FORMULA_CHANGES: dict[str, Callable[[ast.AST], Iterator[ast.AST]]] = {
    "wrong axis": _wrong_axis,
    "exchanged axes": _exchanged_axes,
    "changed scale": _scale,
    "flipped sign": _sign,
    "missing term": _missing_term,
    "swapped": _swapped,
    "other function": _other_function,
    "missing function": _missing_function,
    "off by one": _off_by_one,
    "other flag": _other_flag,
    "other comparison": _other_comparison,
}
