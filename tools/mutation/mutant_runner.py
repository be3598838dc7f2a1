"""Runs tests against changed modules, each in a fork of this process: torch is imported once.

Reads one JSON object a line and answers each with one line. A job for tests has "module",
"source" (None: as it is), "files", "seconds" and "arguments" for pytest, and perhaps "own" and
"names": then only tests in the files "own", and those with one of the names in their ids, are run.
The answer has "outcome" ("survived", "failed" by an assertion, "crashed" by any other error,
"timed out", "no tests" or "not run"), "detail", "test" (the first that failed) and
"processor_seconds". A job {"look_at": FOLDER, "seconds"} is answered by the mechanisms there are
and by the files that have tests with their names.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.util
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# Seconds on the clock, on a busy machine, for one of processor time.
STILL = 30
# Libraries are imported before pytest could look into them.
WARNINGS = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
QUIET = ("-q", "--no-header", "-p", "no:cacheprovider", *WARNINGS)


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from the source given, in place of its file."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, f"<changed {self.name}>", "exec"), module.__dict__)


def pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Finds whole names in the id of a test: "channel" is not in "gated_channel-2d"."""
    either = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z0-9_])(?:{either})(?![A-Za-z0-9_])")


def parameters(item: Any) -> str:
    """What is in brackets in the id of a test."""
    return str(item.nodeid).partition("[")[2]


class Selection:
    """A pytest plugin that keeps a subject's own tests and those with its names, in this order."""

    def __init__(self, own: Iterable[str], names: Iterable[str]) -> None:
        self.own = {Path(one).resolve() for one in own}
        self.named = pattern(names)

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        own = [one for one in items if one.path in self.own]
        named = [one for one in items if one.path not in self.own]
        kept = own + [one for one in named if self.named.search(parameters(one))]
        config.hook.pytest_deselected(items=[one for one in items if one not in {*kept}])
        items[:] = kept


class FirstFailure:
    """A pytest plugin that keeps which test failed first, and what it died of."""

    kind = test = ""

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        self.kind = self.kind or call.excinfo.typename
        self.test = self.test or node.nodeid


class Collection:
    """A pytest plugin that keeps which names of mechanisms are in the tests of which file."""

    def __init__(self, names: Iterable[str]) -> None:
        self.named = pattern(names)
        self.files: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for one in items:
            found = self.named.findall(parameters(one))
            if found:
                self.files.setdefault(str(one.path), set()).update(found)


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Import the changed module and run the tests; for a process of its own."""
    import pytest

    if job["source"] is not None:
        sys.meta_path.insert(0, Changed(job["module"], job["source"]))
    first = FirstFailure()
    plugins: list[Any] = [first]
    if job.get("names"):
        plugins.append(Selection(job["own"], job["names"]))
    code = pytest.main(["-x", *QUIET, *job["arguments"], *job["files"]], plugins=plugins)
    if code == pytest.ExitCode.OK:
        return {"outcome": "survived", "detail": "", "test": ""}
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return {"outcome": "no tests", "detail": "", "test": ""}
    if code not in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        return {"outcome": "not run", "detail": f"pytest ended with {code!r}", "test": ""}
    asserted = first.kind in ("AssertionError", "Failed")
    outcome = "failed" if asserted else "crashed"
    return {"outcome": outcome, "detail": first.kind, "test": first.test}


def look_at(job: dict[str, Any]) -> dict[str, Any]:
    """The mechanisms and their modules, and the files with tests of which of them."""
    import pytest

    from vidattn.attention import catalogue

    types = {name: one.type for name, one in catalogue().items()}
    collection = Collection(types)
    folder = job["look_at"]
    code = pytest.main(["--collect-only", *QUIET, "-m", "", folder], plugins=[collection])
    if code != pytest.ExitCode.OK:
        return {"outcome": "not run", "detail": f"pytest collected nothing: {code!r}"}
    return {
        "outcome": "seen",
        "mechanisms": {
            name: {"module": one.__module__, "path": sys.modules[one.__module__].__file__}
            for name, one in types.items()
        },
        "files": {path: sorted(names) for path, names in sorted(collection.files.items())},
    }


def run_forked(job: dict[str, Any]) -> dict[str, Any]:
    """The same in a fork, which ends when its processor time does, or stands still for long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _limit(max(1, int(job["seconds"])))
        try:
            answer = look_at(job) if "look_at" in job else run(job)
        except BaseException as error:
            answer = {"outcome": "crashed", "detail": type(error).__name__, "test": ""}
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    _, status, used = os.wait4(child, 0)
    answer = json.loads(text) if text else _ending(status, job["seconds"])
    return {**answer, "processor_seconds": round(used.ru_utime + used.ru_stime, 2)}


def _limit(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    signal.alarm(STILL * seconds)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def _ending(status: int, seconds: float) -> dict[str, Any]:
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU):
        return {"outcome": "timed out", "detail": f"{seconds} s", "test": ""}
    return {"outcome": "crashed", "detail": f"status {status}", "test": ""}


def main() -> None:
    for name in sys.argv[1:]:
        __import__(name)
    sys.path.insert(0, str(Path.cwd()))
    gc.freeze()  # pytest collects garbage again and again, which the libraries are not
    for line in sys.stdin:
        print(json.dumps(run_forked(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
