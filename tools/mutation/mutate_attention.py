"""Tests the tests of the attention mechanisms: do they notice seeded mistakes?

Each mistake (a wrong axis, a changed scale, a mask not handed on, another default, a flag ignored
…) is made in a copy of the mechanism's module, and the tests of the mechanism run against it in a
process of its own: the mirror of its file, then the tests that all mechanisms share with its name
in their ids; with --slow what survives meets the slow ones of both. A mistake is noticed when a
test fails or the program breaks. Since broken programs are easily noticed, the rate among those
that run silently is shown too.

Results are kept after each mistake; the same command goes on where it stopped, and runs anew what
has changed since. Survivors are listed with the change: some change nothing (a sum before a
softmax …), which only a reader can say, in equivalent_mutants.json.

Examples:
  python tools/mutation/mutate_attention.py --mechanisms 40 --mutants 200 --seed 7 --slow --jobs 2
  python tools/mutation/mutate_attention.py --mechanisms non_local cbam --limit 20
  python tools/mutation/mutate_attention.py --tree ../other --like runs/mutants.json --slow \\
      --output runs/other.json   # the same mistakes in another checkout
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from results import KILLED, Result, Results, read, reasons, show
from server import PRELOADED, Server
from source_mutants import Mutant, drawn, drawn_from, same_as
from subjects import Subject, Tree, draw_names

ROOT = Path(__file__).resolve().parents[2]
STAGES = {
    "default tests": ("-m", "not slow and not oracle"),
    "slow tests": ("-m", "slow and not oracle"),
}
Pair = tuple[Subject, Mutant]


def key(subject: Subject, mutant: Mutant) -> str:
    """Changes when the module or its tests do."""
    return f"{subject.name}:{mutant.identity}:{subject.version}"


class Examination:
    """Runs tests against mistakes.

    Args:
        servers: that run jobs, as many at once.
        seconds: processor time of one run, at most.
        slow: whether what survives meets the slow tests.
        root: for the paths in results.
    """

    def __init__(
        self, servers: Sequence[Server], *, seconds: float, slow: bool, root: Path
    ) -> None:
        self.free: SimpleQueue[Server] = SimpleQueue()
        for server in servers:
            self.free.put(server)
        self.seconds, self.root = seconds, root
        self.stages = list(STAGES)[: 2 if slow else 1]
        self.sound: dict[str, bool] = {}

    def examine(self, pair: Pair) -> Result | None:
        """What the tests make of one mistake; None if they fail without it."""
        subject, mutant = pair
        server = self.free.get()
        try:
            if subject.name not in self.sound:
                self.sound[subject.name] = self._passes(server, subject)
            return self._result(server, subject, mutant) if self.sound[subject.name] else None
        finally:
            self.free.put(server)

    def _run(self, server: Server, subject: Subject, source: str | None, stage: str) -> Result:
        return server.ask(
            {
                "module": subject.module,
                "source": source,
                "files": [str(one) for one in dict.fromkeys((*subject.own, *subject.shared))],
                "own": [str(one) for one in subject.own],
                "names": subject.names,
                "seconds": self.seconds,
                "arguments": STAGES[stage],
            }
        )

    def _passes(self, server: Server, subject: Subject) -> bool:
        """Whether its tests pass without any mistake; others can tell nothing."""
        # The slow ones are tried by the first survivor only: there may be none.
        answer = self._run(server, subject, None, self.stages[0])
        if answer["outcome"] not in ("survived", "no tests"):
            print(f"{subject.name}: its tests fail as it is: {answer}", file=sys.stderr)
        return answer["outcome"] in ("survived", "no tests")

    def _result(self, server: Server, subject: Subject, mutant: Mutant) -> Result:
        answer, by, spent = self._through_stages(server, subject, mutant)
        return {
            "key": key(subject, mutant),
            "mechanism": subject.name,
            "file": subject.path.relative_to(self.root).as_posix(),
            "function": mutant.function,
            "operator": mutant.operator,
            "line": mutant.line,
            "before": mutant.before,
            "after": mutant.after,
            "occurrence": mutant.occurrence,
            "difference": mutant.difference,
            "outcome": answer["outcome"] if by else "survived",
            "detail": answer["detail"],
            "test": answer["test"],
            "by": by,
            "stages": self.stages,
            "processor_seconds": round(spent, 1),
        }

    def _through_stages(
        self, server: Server, subject: Subject, mutant: Mutant
    ) -> tuple[Result, str, float]:
        """The last answer, the stage that did not pass ("" if all did), and processor seconds."""
        spent = 0.0
        for stage in self.stages:
            answer = self._run(server, subject, mutant.source, stage)
            spent += answer["processor_seconds"]
            if answer["outcome"] in KILLED and stage == "slow tests":
                as_it_is = self._run(server, subject, None, stage)
                spent += as_it_is["processor_seconds"]
                if as_it_is["outcome"] in KILLED:
                    answer = {**as_it_is, "outcome": "not run", "detail": "fails as it is"}
            if answer["outcome"] not in ("survived", "no tests"):
                return answer, stage, spent
        return answer, "", spent


def mutate(
    chosen: Sequence[Pair],
    output: Path,
    servers: Sequence[Server],
    *,
    seconds: float = 120,
    slow: bool = False,
    root: Path = ROOT,
) -> list[Result]:
    """Run what is not known yet; results in the order of the mistakes."""
    results = Results(output)
    examination = Examination(servers, seconds=seconds, slow=slow, root=root)

    def known(pair: Pair) -> bool:
        found = results.known.get(key(*pair))
        if found is None:
            return False
        return found["outcome"] != "survived" or set(examination.stages) <= set(found["stages"])

    missing = [pair for pair in chosen if not known(pair)]
    with ThreadPoolExecutor(max(1, len(servers))) as pool:
        for number, result in enumerate(pool.map(examination.examine, missing), 1):
            if result is not None:
                results.add(result)
            if sys.stderr.isatty():
                print(f"\r{number} of {len(missing)}", end="", file=sys.stderr, flush=True)
    found = [results.known[key(*pair)] for pair in chosen if key(*pair) in results.known]
    named = {subject.name for subject, _ in chosen}
    others = [one for one in results.known.values() if one["mechanism"] not in named]
    results.write([*others, *found])  # what has changed since is dropped
    return found


def pairs_of(
    subjects: Sequence[Subject], *, total: int | None, limit: int | None, seed: int
) -> list[Pair]:
    """Mistakes by seed: `total` over all subjects, or at most `limit` in each."""
    sources = {one.name: one.path.read_text(encoding="utf-8") for one in subjects}
    if total is None:
        made: Mapping[str, Sequence[Mutant]] = {
            name: drawn(source, limit, seed) for name, source in sources.items()
        }
    else:
        made = drawn_from(sources, total, seed)
    return [(subject, mutant) for subject in subjects for mutant in made[subject.name]]


def pairs_like(results: Iterable[Result], tree: Tree) -> list[Pair]:
    """The mistakes of other results, as far as they can be made in this tree."""
    words: dict[str, list[tuple[str, str, str, str, int]]] = {}
    for one in results:
        same = (one["operator"], one["function"], one["before"], one["after"], one["occurrence"])
        words.setdefault(one["mechanism"], []).append(same)
    subjects = [tree.mechanism(name) for name in sorted(words) if name in tree.modules]
    return [
        (subject, mutant)
        for subject in subjects
        for mutant in same_as(subject.path.read_text(encoding="utf-8"), words[subject.name])
    ]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--mechanisms", nargs="+", metavar="NAME", help="these, or a number of them drawn by seed"
    )
    made.add_argument(
        "--modules", nargs="+", metavar="NAME", help="these that mechanisms share, such as masking"
    )
    made.add_argument("--mutants", type=int, help="mistakes in all, spread over the mechanisms")
    made.add_argument("--limit", type=int, help="mistakes in each mechanism, at most")
    made.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    made.add_argument("--slow", action="store_true", help="survivors meet the slow tests")
    made.add_argument("--users", action="store_true", help="shared modules meet tests of users")
    made.add_argument("--like", type=Path, metavar="JSON", help="the mistakes of these results")
    made.add_argument("--tree", type=Path, default=ROOT, help="another checkout (default: this)")
    made.add_argument("--jobs", type=int, default=1, help="processes at once (default: 1)")
    made.add_argument(
        "--seconds", type=float, default=120, help="processor time of one run (default: 120)"
    )
    made.add_argument("--output", type=Path, default=Path("runs/mutants.json"), metavar="JSON")
    return made


def choose(given: argparse.Namespace, tree: Tree) -> list[Pair]:
    """The mistakes that were asked for on the command line."""
    if given.like is not None:
        return pairs_like(read(given.like), tree)
    names = given.mechanisms or sorted(tree.modules)
    if len(names) == 1 and names[0].isdigit():
        names = draw_names(tree.modules, int(names[0]), given.seed)
    unknown = [name for name in names if name not in tree.modules]
    if unknown:
        parser().error(f"--mechanisms: there is no {', '.join(unknown)} in the catalogue")
    if given.modules is None:
        subjects = [tree.mechanism(name) for name in names]
    else:
        subjects = [tree.shared_module(name, with_users=given.users) for name in given.modules]
    return pairs_of(subjects, total=given.mutants, limit=given.limit, seed=given.seed)


def main() -> None:
    given = parser().parse_args()
    root = given.tree.resolve()
    servers = [Server(PRELOADED, root) for _ in range(given.jobs)]
    try:
        chosen = choose(given, Tree(root, servers[0]))
        found = mutate(
            chosen, given.output, servers, seconds=given.seconds, slow=given.slow, root=root
        )
    finally:
        for server in servers:
            server.close()
    show(found, reasons())


if __name__ == "__main__":
    main()
