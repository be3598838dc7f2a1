from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import signal, sys, time
from vidattn.pools import interrupts_held, worker_pool

if __name__ == "__main__":
    # What runs in the background of a shell inherits that it ignores interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with worker_pool(2) as workers:
            with interrupts_held():
                given = [workers.submit(time.sleep, seconds) for seconds in (0, 60, 60)]
            given[0].result()
            print("ready", flush=True)
            given[1].result()
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("everybody", [True, False])
def test_an_interrupt_ends_children_without_a_word(everybody: bool, tmp_path: Path) -> None:
    """The keyboard interrupts all processes of the group; a scheduler perhaps one only."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        (os.killpg if everybody else os.kill)(running.pid, signal.SIGINT)
        interrupted = time.monotonic()
        _, errors = running.communicate(timeout=50)
    assert running.returncode == 130
    assert errors.decode() == ""
    assert time.monotonic() - interrupted < 40  # they would sleep for a minute
