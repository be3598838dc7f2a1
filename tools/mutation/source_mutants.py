"""Seeded mistakes in Python source: one small change of meaning each."""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from axis_order import in_any_order
from formula_operators import FORMULA_CHANGES
from handling_operators import HANDLING_CHANGES, other_defaults, shows_maps

OTHER_DEFAULT = "other default"
CHANGES = FORMULA_CHANGES | HANDLING_CHANGES
OPERATORS = (*CHANGES, OTHER_DEFAULT)

COMPOUND = ast.BinOp | ast.BoolOp | ast.Compare | ast.IfExp | ast.UnaryOp
Place = Callable[[ast.AST], None]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Candidate:
    """What would be changed by which operator.

    Attributes:
        operator: what kind of mistake.
        function: where, "Gate.weights".
        node, changed: before and after.
        place: puts a node there.
        label: words before both, as "kernel_size=" before a default.
    """

    operator: str
    function: str
    node: ast.AST
    changed: ast.AST
    place: Place
    label: str = ""

    @property
    def before(self) -> str:
        return self.label + ast.unparse(self.node)

    @property
    def after(self) -> str:
        return self.label + ast.unparse(ast.fix_missing_locations(self.changed))


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        operator: what kind of mistake.
        function: where, "Gate.weights".
        line: in the original.
        before, after: the changed code.
        occurrence: how many of the same words in the same function come before.
        source: of the whole changed module, without comments.
        difference: lines of the original with "-" and of the mistake with "+".
    """

    operator: str
    function: str
    line: int
    before: str
    after: str
    occurrence: int
    source: str
    difference: str

    @property
    def identity(self) -> str:
        """Stays when only words for people change."""
        meaning = ast.unparse(_Wordless().visit(ast.parse(self.source)))
        return sha256(f"{self.operator}\n{meaning}".encode()).hexdigest()[:16]

    @property
    def words(self) -> tuple[str, str, str, str, int]:
        """What it has in common with the same mistake in another version of the module."""
        return self.operator, self.function, self.before, self.after, self.occurrence


class _Wordless(ast.NodeTransformer):
    """Takes away docstrings, and what a class says of itself to people."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        words = isinstance(node.target, ast.Name) and node.target.id in ("source", "map_meaning")
        return ast.Pass() if words else node


class Module:
    """A module's source, and the mistakes that can be made in it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tree = ast.parse(source)
        self.candidates = list(_candidates(self.tree))
        counts: Counter[tuple[str, ...]] = Counter()
        self.occurrences = []
        for one in self.candidates:
            words = (one.operator, one.function, one.before, one.after)
            self.occurrences.append(counts[words])
            counts[words] += 1
        self.seen = {in_any_order(source)}

    def make(self, index: int) -> Mutant | None:
        """The mistake of one candidate; None if it changes nothing or has been made already."""
        one = self.candidates[index]
        one.place(one.changed)
        ast.fix_missing_locations(self.tree)
        source = ast.unparse(self.tree) + "\n"
        one.place(one.node)
        meaning = in_any_order(source)
        if meaning in self.seen:
            return None
        self.seen.add(meaning)
        line: int = one.node.lineno  # type: ignore[attr-defined]
        return Mutant(
            one.operator,
            one.function,
            line,
            one.before,
            one.after,
            self.occurrences[index],
            source,
            difference(self.source, one),
        )


def mutants(source: str) -> list[Mutant]:
    """Every mistake of every kind in the bodies of the functions, in the order of the lines."""
    module = Module(source)
    found = (module.make(index) for index in range(len(module.candidates)))
    made = [one for one in found if one is not None]
    return sorted(made, key=lambda one: (one.line, one.operator, one.after))


def drawn(source: str, limit: int | None, seed: int) -> list[Mutant]:
    """At most `limit` of them, from all operators in turn; fewer are the first of more."""
    if limit is None:
        return mutants(source)
    return drawn_from({"": source}, limit, seed)[""]


def drawn_from(sources: Mapping[str, str], total: int, seed: int) -> dict[str, list[Mutant]]:
    """Mistakes from several modules: one of each in turn, each by the operator used least so far.

    Operators that could be used in few places are used as often as others while there are places.

    Args:
        sources: name -> source of the module.
        total: how many; fewer where there are no more.
        seed: other mistakes, and another order of the modules.
    """
    generator = random.Random(seed)
    names = generator.sample(sorted(sources), len(sources))
    modules = {name: Module(sources[name]) for name in names}
    waiting = {
        name: generator.sample(range(len(one.candidates)), len(one.candidates))
        for name, one in modules.items()
    }
    used: Counter[str] = Counter()
    chosen: dict[str, list[Mutant]] = {name: [] for name in sources}
    while used.total() < total and any(waiting.values()):
        for name in names:
            mutant = _next(modules[name], waiting[name], used) if used.total() < total else None
            if mutant is not None:
                used[mutant.operator] += 1
                chosen[name].append(mutant)
    return chosen


def _next(module: Module, waiting: list[int], used: Counter[str]) -> Mutant | None:
    """Takes the first of the least used operator from those that wait."""
    while waiting:
        index = min(waiting, key=lambda one: used[module.candidates[one].operator])
        waiting.remove(index)
        mutant = module.make(index)
        if mutant is not None:
            return mutant
    return None


def same_as(source: str, words: Iterable[tuple[str, str, str, str, int]]) -> list[Mutant]:
    """The mistakes with these words, as far as this version of the module allows them."""
    wanted = set(words)
    module = Module(source)
    made = []
    for index, one in enumerate(module.candidates):
        found = (one.operator, one.function, one.before, one.after, module.occurrences[index])
        if found in wanted:
            made.append(module.make(index))
    return [one for one in made if one is not None]


def difference(source: str, one: Candidate) -> str:
    """The changed lines of the source before and after, for people."""
    node = one.node
    assert isinstance(node, ast.expr | ast.stmt)
    lines = source.splitlines()
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    start = lines[first].encode()[: node.col_offset].decode()
    end = lines[last].encode()[node.end_col_offset :].decode()
    after = ast.unparse(ast.fix_missing_locations(one.changed))
    if isinstance(one.changed, COMPOUND) and not isinstance(node, COMPOUND):
        after = f"({after})"
    changed = start + after.replace("\n", "\n" + " " * node.col_offset) + end
    before = [f"-{line}" for line in lines[first : last + 1]]
    return "\n".join([*before, *(f"+{line}" for line in changed.splitlines())])


def _candidates(tree: ast.AST) -> Iterator[Candidate]:
    # Places are looked for first: a changed node is part of the tree while its source is made.
    for place in list(_places(tree)):
        for operator, change in CHANGES.items():
            for changed in change(place.node):
                yield replace(place, operator=operator, changed=changed)
    yield from list(_defaults(tree, tree))


def _places(node: ast.AST, function: str = "", inside: bool = False) -> Iterator[Candidate]:
    """Every expression and statement that has a meaning for the result, not yet changed."""
    fields = list(ast.iter_fields(node))
    if isinstance(node, Function):
        function, inside = _inner(function, node), True
        fields = [("body", node.body)]
    elif isinstance(node, ast.ClassDef):
        function = _inner(function, node)
    for name, value in fields:
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _says_nothing(child):
                continue
            if inside and isinstance(child, ast.expr | ast.stmt):
                yield Candidate("", function, child, child, _placer(node, name, index))
            if not shows_maps(child):
                yield from _places(child, function, inside)


def _defaults(node: ast.AST, tree: ast.AST, function: str = "") -> Iterator[Candidate]:
    for child in ast.iter_child_nodes(node):
        inner = _inner(function, child) if isinstance(child, Function | ast.ClassDef) else function
        if isinstance(child, Function):
            yield from _defaults_of(child, tree, inner)
        yield from _defaults(child, tree, inner)


def _defaults_of(function: Function, tree: ast.AST, name: str) -> Iterator[Candidate]:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    pairs = zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True)
    listed = [("defaults", index, *pair) for index, pair in enumerate(pairs)]
    by_name = enumerate(zip(given.kwonlyargs, given.kw_defaults, strict=True))
    listed += [("kw_defaults", index, *pair) for index, pair in by_name if pair[1] is not None]
    for field, index, argument, default in listed:
        for changed in other_defaults(default, argument.annotation, tree):
            place = _placer(given, field, index)
            yield Candidate(OTHER_DEFAULT, name, default, changed, place, f"{argument.arg}=")


def _inner(outer: str, node: Function | ast.ClassDef) -> str:
    return f"{outer}.{node.name}" if outer else node.name


def _placer(parent: ast.AST, name: str, index: int | None) -> Place:
    def place(node: ast.AST) -> None:
        if index is None:
            setattr(parent, name, node)
        else:
            getattr(parent, name)[index] = node

    return place


def _says_nothing(node: ast.AST) -> bool:
    """Messages, docstrings, imports, and guards against what callers cannot do."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.Assert | ast.JoinedStr):
        return True
    if isinstance(node, ast.keyword):
        return node.arg == "strict"  # of zip
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return isinstance(node.body[-1], ast.Raise) and not node.orelse
    return False
