"""Runs tests against changed modules, each in a fork of this process: torch is imported once.

Reads one JSON object a line, {"module", "source", "tests", "seconds", "arguments"}; answers each
with one line, {"outcome", "detail"}: "survived", "failed" (an assertion), "crashed" (any other
error), "timed out" or "not run".
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# Seconds on the clock, on a busy machine, for one of processor time.
STILL = 30
# Libraries are imported before pytest could look into them.
WARNINGS = ("-W", "ignore::pytest.PytestAssertRewriteWarning")


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from the source given, in place of its file."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, f"<changed {self.name}>", "exec"), module.__dict__)


class FirstFailure:
    """A pytest plugin that keeps what the first failing test died of."""

    kind = ""

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        self.kind = self.kind or call.excinfo.typename


def run(job: dict[str, Any]) -> dict[str, str]:
    """Import the changed module and run the tests; for a process of its own."""
    import pytest

    package = job["module"].partition(".")[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    if job["source"] is not None:
        sys.meta_path.insert(0, Changed(job["module"], job["source"]))
    first = FirstFailure()
    code = pytest.main(
        [
            "-x",
            "-q",
            "--no-header",
            "-p",
            "no:cacheprovider",
            *WARNINGS,
            *job["arguments"],
            *job["tests"],
        ],
        plugins=[first],
    )
    if code == pytest.ExitCode.OK:
        return {"outcome": "survived", "detail": ""}
    if code not in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        return {"outcome": "not run", "detail": f"pytest ended with {code!r}"}
    asserted = first.kind in ("AssertionError", "Failed")
    return {"outcome": "failed" if asserted else "crashed", "detail": first.kind}


def run_forked(job: dict[str, Any]) -> dict[str, str]:
    """The same in a fork, which ends when its processor time does, or stands still for long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        limit = max(1, int(job["seconds"]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        signal.alarm(STILL * limit)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            answer = run(job)
        except BaseException as error:
            answer = {"outcome": "crashed", "detail": type(error).__name__}
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if answer:
        return json.loads(answer)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU):
        return {"outcome": "timed out", "detail": f"{job['seconds']} s"}
    return {"outcome": "crashed", "detail": f"status {status}"}


def main() -> None:
    for name in sys.argv[1:]:
        __import__(name)
    sys.path.insert(0, str(Path.cwd()))
    gc.freeze()  # pytest collects garbage again and again, which the libraries are not
    for line in sys.stdin:
        print(json.dumps(run_forked(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
