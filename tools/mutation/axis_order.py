"""Axes whose order is nothing: a sum over (3, 2) is one over (2, 3), and no mistake."""

from __future__ import annotations

import ast

from formula_operators import called

OVER_AXES = {
    "all",
    "amax",
    "amin",
    "any",
    "logsumexp",
    "mean",
    "norm",
    "std",
    "sum",
    "var",
    "var_mean",
}


class _Sorted(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if called(node) == "transpose" and len(node.args) == 2:
            node.args.sort(key=ast.unparse)
        elif called(node) in OVER_AXES:
            for axes in (*node.args, *(keyword.value for keyword in node.keywords)):
                if isinstance(axes, ast.Tuple):
                    axes.elts.sort(key=ast.unparse)
        return node


def in_any_order(source: str) -> str:
    """The source with such axes sorted, and without comments."""
    return ast.unparse(_Sorted().visit(ast.parse(source)))
