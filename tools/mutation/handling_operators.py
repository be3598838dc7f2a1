"""Mistakes in what is handed on: masks, contexts, settings, conditions, defaults, statements."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from copy import deepcopy

from formula_operators import called, number

MASKS = {"kept", "mask", "valid"}  # and what ends in "_mask"
MASKING = {"lowest_at_padding", "masked_fill", "zero_padding"}  # of the first tensor they are given
SETTINGS = {"eps", "momentum"}
# No mistakes: asking about a mask, or laying something else out like it.
ABOUT_MASKS = {"isinstance", "len", "ones_like", "zeros_like", "getattr", "zip"}
# Those of an operator of their own, and a guard against what callers cannot do.
NO_SETTINGS = {"context", "dim", "dims", "axis", "strict"}


def is_mask(node: ast.AST) -> bool:
    """Whether this is a name for which positions count."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in MASKS or name.endswith("_mask")


def shows_maps(node: ast.AST) -> bool:
    """Whether this statement is there for observers only."""
    if isinstance(node, ast.Expr):
        return "observer(" in ast.unparse(node)
    return isinstance(node, ast.If) and "observer" in ast.unparse(node.test)


def _missing_mask(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Call) or called(node) in MASKING | ABOUT_MASKS:
        return
    for index, argument in enumerate(node.args):
        if is_mask(argument):
            yield _with_argument(node, index, ast.Constant(None))
            yield _with_argument(node, index, _all_true(argument))
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None and is_mask(keyword.value):
            yield _without_keyword(node, index)


def _with_argument(node: ast.Call, index: int, argument: ast.expr) -> ast.Call:
    changed = deepcopy(node)
    changed.args[index] = argument
    return changed


def _without_keyword(node: ast.Call, index: int) -> ast.Call:
    changed = deepcopy(node)
    del changed.keywords[index]
    return changed


def _all_true(mask: ast.expr) -> ast.expr:
    """A mask of ones in place of a mask; None stays."""
    text = ast.unparse(mask)
    made = f"None if {text} is None else {text}.new_ones({text}.shape)"
    return ast.parse(made, mode="eval").body


def _skipped_masking(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Call):
        return
    if called(node) == "where" and len(node.args) == 3:
        yield from node.args[1:]
    elif called(node) == "masked_fill" and isinstance(node.func, ast.Attribute):
        yield node.func.value
    elif called(node) in MASKING and node.args:
        yield node.args[0]


def _missing_context(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Call) or called(node) in ABOUT_MASKS:
        return
    for index, argument in enumerate(node.args):
        if isinstance(argument, ast.Name) and argument.id == "context":
            yield _with_argument(node, index, ast.Constant(None))
    for index, keyword in enumerate(node.keywords):
        if keyword.arg == "context":
            yield _without_keyword(node, index)


def _missing_argument(node: ast.AST) -> Iterator[ast.AST]:
    """Without a keyword argument, or without ε or momentum in the last place."""
    if not isinstance(node, ast.Call):
        return
    for index, keyword in enumerate(node.keywords):
        if keyword.arg not in {None, *NO_SETTINGS} and not is_mask(keyword.value):
            yield _without_keyword(node, index)
    if node.args and ast.unparse(node.args[-1]).rpartition(".")[2] in SETTINGS:
        changed = deepcopy(node)
        del changed.args[-1]
        yield changed


def _other_argument(node: ast.AST) -> Iterator[ast.AST]:
    """Another whole number for a keyword argument."""
    if not isinstance(node, ast.Call):
        return
    for index, keyword in enumerate(node.keywords):
        value = number(keyword.value)
        if type(value) is int and keyword.arg not in NO_SETTINGS:
            changed = deepcopy(node)
            changed.keywords[index].value = ast.Constant(value + 1)
            yield changed


def _ignored_condition(node: ast.AST) -> Iterator[ast.AST]:
    """As if it were always so, or never; of what may be None, only as if it were."""
    if not isinstance(node, ast.If | ast.IfExp):
        return
    test = ast.unparse(node.test)
    if "observer" in test:  # changes only how much is done
        return
    possible = [True, False]
    if test.endswith(" is None"):
        possible = [True]
    elif test.endswith(" is not None"):
        possible = [False]
    for value in possible:
        changed = deepcopy(node)
        changed.test = ast.Constant(value)
        yield changed


def _missing_condition(node: ast.AST) -> Iterator[ast.AST]:
    """Without one part of "and", "or" or "&", or without "not"."""
    if isinstance(node, ast.BoolOp):
        for index in range(len(node.values)):
            left = node.values[:index] + node.values[index + 1 :]
            yield left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        yield node.left
        yield node.right
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        yield node.operand


def _missing_detach(node: ast.AST) -> Iterator[ast.AST]:
    if called(node) == "detach":
        assert isinstance(node, ast.Call)
        if isinstance(node.func, ast.Attribute):
            yield node.func.value
    elif isinstance(node, ast.With) and "no_grad(" in ast.unparse(node.items[0]):
        yield ast.If(ast.Constant(True), node.body, [])


def _missing_observation(node: ast.AST) -> Iterator[ast.AST]:
    if shows_maps(node):
        yield ast.Pass()


def _missing_statement(node: ast.AST) -> Iterator[ast.AST]:
    """Without a step that makes something of what it changes, or that is run for its effect."""
    if isinstance(node, ast.AugAssign):
        yield ast.Pass()
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        used = {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
        if isinstance(target, ast.Name) and target.id in used:
            yield ast.Pass()
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        text = ast.unparse(node)
        yield from [] if "observer(" in text or "super()" in text else [ast.Pass()]


HANDLING_CHANGES: dict[str, Callable[[ast.AST], Iterator[ast.AST]]] = {
    "missing mask": _missing_mask,
    "skipped masking": _skipped_masking,
    "missing context": _missing_context,
    "missing argument": _missing_argument,
    "other argument": _other_argument,
    "ignored condition": _ignored_condition,
    "missing condition": _missing_condition,
    "missing detach": _missing_detach,
    "missing observation": _missing_observation,
    "missing statement": _missing_statement,
}


def other_defaults(default: ast.expr, annotation: ast.expr | None, tree: ast.AST) -> list[ast.expr]:
    """What else a default of a signature could be: a number, a flag, a string of its Literal."""
    if isinstance(default, ast.Constant) and type(default.value) is bool:
        return [ast.Constant(not default.value)]
    if isinstance(default, ast.Constant) and isinstance(default.value, str):
        return [ast.Constant(one) for one in _choices(annotation, tree) if one != default.value][:1]
    value = number(default)
    if type(value) is int:
        return [ast.Constant(value + 1)]
    if type(value) is float:
        return [ast.Constant(value * 2 if value else 1.0)]
    if isinstance(default, ast.Tuple) and default.elts:
        last = number(default.elts[-1])
        if type(last) is int:
            return [ast.Tuple([*default.elts[:-1], ast.Constant(last + 1)], ast.Load())]
    return []


def _choices(annotation: ast.expr | None, tree: ast.AST) -> list[str]:
    """The strings of a Literal, written there or by a name that the module gives it."""
    if annotation is None:
        return []
    if isinstance(annotation, ast.Name):
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == annotation.id:
                return _choices(node.value, tree)
    if not any(getattr(one, "id", "") == "Literal" for one in ast.walk(annotation)):
        return []
    found = (one.value for one in ast.walk(annotation) if isinstance(one, ast.Constant))
    return [one for one in found if isinstance(one, str)]
