"""Tests the tests of the attention mechanisms: do they notice seeded mistakes?

Each mistake (a wrong axis, a changed scale, a flipped sign, a missing term, swapped arguments …)
is made in a copy of the mechanism's module, and the mechanism's own test file runs against it in
a process of its own. A mistake is killed when a test fails or the program breaks. Since broken
programs are easily noticed, the rate among those that run silently is shown too. With --battery
what survives meets the tests that all mechanisms share.

Results are kept after each mistake; the same command goes on where it stopped, and runs anew
what has changed since. Survivors are listed at the end: some change nothing (a sum before a
softmax …), which only a reader can say.

Example:
  python tools/mutate_attention.py --mechanisms non_local cbam --limit 20 --jobs 2
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from source_mutants import Mutant, drawn

ROOT = Path(__file__).resolve().parents[1]
RUNNER = Path(__file__).with_name("mutant_runner.py")
BATTERY = ROOT / "tests" / "attention" / "test_battery.py"
PRELOADED = ("torch", "torchvision.transforms.v2", "pytest", "hypothesis", "scipy.signal", "av")
USERS = 6  # mechanisms whose tests a shared module is run with, at most
KILLED = ("failed", "crashed", "timed out")


@dataclass(frozen=True)
class Subject:
    """A module and the tests that should notice mistakes in it.

    Attributes:
        name: for the table.
        module: dotted name.
        path: its file.
        tests: arguments for pytest.
        shared: arguments for the tests that survivors meet next; none if empty.
    """

    name: str
    module: str
    path: Path
    tests: tuple[str, ...]
    shared: tuple[str, ...] = ()


class Runner:
    """A process that has the libraries imported and forks for each job."""

    def __init__(self, preloaded: Iterable[str], folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), *preloaded],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # no test needs any
        )

    def run(
        self, subject: Subject, source: str | None, tests: Sequence[str], seconds: float
    ) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        job = {
            "module": subject.module,
            "source": source,
            "tests": tests,
            "seconds": seconds,
            "arguments": [],
        }
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{RUNNER.name} ended: is everything installed?")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Results:
    """What is known so far, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self.known = {one["key"]: one for one in json.loads(path.read_text())["mutants"]}

    def add(self, result: dict[str, Any]) -> None:
        self.known[result["key"]] = result
        self.write(self.known.values())

    def write(self, results: Iterable[dict[str, Any]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        listed = list(results)
        text = json.dumps({"rates": rates(listed), "mutants": listed}, indent=1, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(self.path)


def key(subject: Subject, mutant: Mutant) -> str:
    """Changes when the module or its tests do."""
    tests = b"".join(Path(one.partition("::")[0]).read_bytes() for one in subject.tests)
    return f"{subject.name}:{mutant.identity}:{sha256(tests).hexdigest()[:8]}"


def mutate(
    subjects: Sequence[Subject],
    output: Path,
    *,
    limit: int | None,
    seed: int = 0,
    seconds: float = 60,
    jobs: int = 1,
    preloaded: Sequence[str] = PRELOADED,
    folder: Path = ROOT,
) -> list[dict[str, Any]]:
    """Run what is not known yet; results of these subjects in the order of their lines."""
    results = Results(output)
    chosen = [
        (subject, mutant)
        for subject in subjects
        for mutant in drawn(subject.path.read_text(encoding="utf-8"), limit, seed)
    ]
    missing = [pair for pair in chosen if key(*pair) not in results.known]
    runners: SimpleQueue[Runner] = SimpleQueue()
    made = [Runner(preloaded, folder) for _ in range(min(jobs, len(missing)))]
    for runner in made:
        runners.put(runner)
    sound: dict[str, bool] = {}

    def work(pair: tuple[Subject, Mutant]) -> dict[str, Any] | None:
        subject, mutant = pair
        runner = runners.get()
        try:
            if subject.name not in sound:
                sound[subject.name] = _sound(runner, subject, seconds)
            return _result(runner, subject, mutant, seconds) if sound[subject.name] else None
        finally:
            runners.put(runner)

    try:
        with ThreadPoolExecutor(max(1, len(made))) as pool:
            for result in pool.map(work, missing):
                if result is not None:
                    results.add(result)
    finally:
        for runner in made:
            runner.close()
    found = [results.known[key(*pair)] for pair in chosen if key(*pair) in results.known]
    named = {subject.name for subject in subjects}
    others = [one for one in results.known.values() if one["mechanism"] not in named]
    results.write([*others, *found])  # what has changed since is dropped
    return found


def _sound(runner: Runner, subject: Subject, seconds: float) -> bool:
    """Whether its tests pass without any mistake; others can tell nothing."""
    answer = runner.run(subject, None, subject.tests, seconds)
    if answer["outcome"] != "survived":
        print(f"{subject.name}: its tests fail as it is: {answer}", file=sys.stderr)
    return bool(answer["outcome"] == "survived")


def _result(runner: Runner, subject: Subject, mutant: Mutant, seconds: float) -> dict[str, Any]:
    start = time.monotonic()
    answer = runner.run(subject, mutant.source, subject.tests, seconds)
    by = "own tests"
    if answer["outcome"] == "survived" and subject.shared:
        answer = runner.run(subject, mutant.source, subject.shared, seconds)
        by = "shared tests"
    return {
        "key": key(subject, mutant),
        "mechanism": subject.name,
        "operator": mutant.operator,
        "line": mutant.line,
        "before": mutant.before,
        "after": mutant.after,
        **answer,
        "by": "" if answer["outcome"] == "survived" else by,
        "seconds": round(time.monotonic() - start, 1),
    }


def rates(results: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mechanism (and "all") -> mutants, killed, rate, and the rate among those that run."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in results:
        if one["outcome"] != "not run":
            groups.setdefault(one["mechanism"], []).append(one)
    groups = {name: groups[name] for name in sorted(groups)}
    groups["all"] = [one for group in groups.values() for one in group]
    return {name: _rate(group) for name, group in groups.items() if group}


def _rate(group: Sequence[dict[str, Any]]) -> dict[str, float]:
    killed = sum(one["outcome"] in KILLED for one in group)
    running = [one for one in group if one["outcome"] in ("failed", "survived")]
    noticed = sum(one["outcome"] == "failed" for one in running)
    return {
        "mutants": len(group),
        "killed": killed,
        "rate": killed / len(group),
        "rate_of_running": noticed / len(running) if running else 1.0,
    }


def show(results: Sequence[dict[str, Any]]) -> None:
    """The rates as a table, then the survivors."""
    print(f"{'mechanism':32} {'mutants':>7} {'killed':>7} {'rate':>7} {'of running':>10}")
    for name, one in rates(results).items():
        print(
            f"{name:32} {one['mutants']:7.0f} {one['killed']:7.0f} {one['rate']:7.1%} "
            f"{one['rate_of_running']:10.1%}"
        )
    for one in results:
        if one["outcome"] not in KILLED:
            print(
                f"{one['outcome']}: {one['mechanism']} line {one['line']} ({one['operator']}): "
                f"{one['before']} -> {one['after']}"
            )


def subjects_of(names: Sequence[str] | None, *, battery: bool) -> list[Subject]:
    """The mechanisms with these names, or all."""
    from vidattn.attention.built_in import catalogue, facts

    chosen = catalogue().values() if names is None else [facts(name) for name in names]
    subjects = []
    for one in chosen:
        *_, family, module = one.type.__module__.split(".")
        tests = ROOT / "tests" / "attention" / family / f"test_{module}.py"
        spec = find_spec(one.type.__module__)
        assert spec is not None
        assert spec.origin is not None
        shared = (str(BATTERY), "-k", f"{one.name}-") if battery else ()
        subjects.append(
            Subject(one.name, one.type.__module__, Path(spec.origin), (str(tests),), shared)
        )
    return subjects


def modules_of(names: Sequence[str], *, battery: bool) -> list[Subject]:
    """Modules of vidattn.attention that mechanisms share, such as "masking".

    Their tests are those in the mirror of the file; where there is none, and next for survivors
    if `battery`, those of mechanisms that import it.
    """
    mechanisms = subjects_of(None, battery=False)
    subjects = []
    for name in names:
        module = f"vidattn.attention.{name}"
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        *_, family, last = ("", *name.split("."))
        mirror = ROOT / "tests" / "attention" / family / f"test_{last}.py"
        users = tuple(
            sorted({one.tests[0] for one in mechanisms if module in one.path.read_text("utf-8")})
        )
        own = (str(mirror),) if mirror.is_file() else users[:USERS]
        subjects.append(Subject(name, module, path, own, users[:USERS] if battery else ()))
    return subjects


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mechanisms", nargs="+", metavar="NAME", help="these only, not all")
    parser.add_argument(
        "--modules", nargs="+", metavar="NAME", help="these that mechanisms share, such as masking"
    )
    parser.add_argument("--limit", type=int, help="mistakes a mechanism, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=60, help="processor time of one run (default: 60)"
    )
    parser.add_argument("--battery", action="store_true", help="survivors meet the shared tests")
    parser.add_argument("--output", type=Path, default=Path("runs/mutants.json"), metavar="JSON")
    given = parser.parse_args()
    if given.modules is None:
        subjects = subjects_of(given.mechanisms, battery=given.battery)
    else:
        subjects = modules_of(given.modules, battery=given.battery)
    found = mutate(
        subjects,
        given.output,
        limit=given.limit,
        seed=given.seed,
        seconds=given.seconds,
        jobs=given.jobs,
    )
    show(found)


if __name__ == "__main__":
    main()
