"""A process that has the libraries imported and forks for each job (see mutant_runner.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RUNNER = Path(__file__).with_name("mutant_runner.py")
PRELOADED = (
    "torch",
    "torch._dynamo",
    "torchvision.transforms.v2",
    "pytest",
    "hypothesis",
    "scipy.signal",
    "av",
    "PIL.Image",
)


class Server:
    """Runs jobs one after the other.

    Args:
        preloaded: modules that every job finds imported.
        folder: where the jobs run; its packages are those that are imported.
    """

    def __init__(self, preloaded: Iterable[str], folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), *preloaded],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",  # small tensors: a second thread only waits
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # no test needs any
            },
        )

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """The answer to one job.

        Raises:
            RuntimeError: the process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{RUNNER.name} ended: is everything installed?")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
