"""Videos that kill, block or fill the process that opens them, through every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Python imports this first in every process that has its folder on the path.
POISON = """
import os, signal, time
import av

opened = av.open

def poisoned(file, *arguments, **settings):
    name = os.path.basename(str(getattr(file, "name", file)))
    if name.startswith("kill-"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("hang-"):
        time.sleep(3600)
    if name.startswith("eat-"):
        held = []
        while True:
            held.append(bytearray(os.urandom(1024)) * (64 * 1024))
            time.sleep(0.02)
    return opened(file, *arguments, **settings)

av.open = poisoned
"""
WAYS = ("kill", "hang", "eat")


@pytest.fixture
def films(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    """Class folders with films of different lengths and a broken one."""
    for number in range(3):
        write_flash(f"films/bright/{number}.mp4", frame_count=9 + number, span=(0, 40))
        write_flash(f"films/dark/{number}.mp4", frame_count=12 - number, span=(0, 0))
    (tmp_path / "films" / "dark" / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "poison").mkdir()
    (tmp_path / "poison" / "sitecustomize.py").write_text(POISON)
    return tmp_path / "films"


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `vidattn` in a process of its own, in which poison works."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        paths = [str(tmp_path / "poison"), os.getcwd(), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, "-m", "vidattn", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            capture_output=True,
            text=True,
        )

    return run


def add(films: Path, *names: str, content: Path | None = None) -> None:
    """Films of these names among the bright ones; text files without `content`."""
    for name in names:
        if content is None:
            (films / "bright" / name).write_text("no video")
        else:
            shutil.copy(content, films / "bright" / name)


def test_a_video_that_kills_its_process_costs_a_record(
    films: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    add(films, "kill-1.mp4", content=films / "dark" / "0.mp4")
    done = command("keyframes", films, "--output", tmp_path / "out", "--count", "2")
    assert done.returncode == 1
    lines = sorted(line for line in done.stderr.splitlines() if line.startswith("vidattn: "))
    assert [line.partition(".mp4: ")[2].partition(":")[0] for line in lines] == [
        "its process was killed by SIGKILL",
        "not a video file that can be read",
    ]
    found = json.loads((tmp_path / "out" / "keyframes.json").read_text())
    assert [found[f"videos_{name}"] for name in ("expected", "done", "failed")] == [8, 6, 2]
    [killed] = [each for each in found["failures"] if "kill-1" in each["video"]]
    assert killed == {
        "video": str(films / "bright" / "kill-1.mp4"),
        "error": "ProcessError",
        "reason": "its process was killed by SIGKILL",
        "attempts": 2,
    }


COMMANDS = {
    "keyframes": ("keyframes {films} --output {out}", "keyframes.json"),
    "keyframes with a model": (
        "keyframes {films} --output {out} --checkpoint {model}",
        "keyframes.json",
    ),
    "features": ("features {model} --data {films} --output {out}", "features.json"),
    "evaluate": (
        "evaluate {model} --data {films} --output {out} --batch-size 3",
        "evaluation.json",
    ),
    "evaluate with workers": (
        "evaluate {model} --data {films} --output {out} --batch-size 3 --workers 1",
        "evaluation.json",
    ),
    "predict": ("predict {films} --checkpoint {model} --output {out}", "predictions.json"),
    "index": ("index {films} --report {out}/index.json", "index.json"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_records_are_those_of_a_run_in_which_the_poisoned_were_broken(
    name: str, films: Path, untrained: Path, command: Callable[..., Any], tmp_path: Path
) -> None:
    line, file = COMMANDS[name]
    names = [f"{way}-{number}.mp4" for number, way in enumerate(WAYS)]
    limits = ["--video-seconds", "4", "--video-memory", "1.5GB"]
    if name != "index":
        limits += ["--threads", "1"]

    def run(output: Path) -> tuple[int, dict[str, Any]]:
        words = line.format(films=films, out=output, model=untrained).split()
        code = command(*words, *limits).returncode
        return code, json.loads((output / file).read_text())

    add(films, *names)
    _, whole = run(tmp_path / "whole")
    add(films, *names, content=films / "dark" / "0.mp4")
    code, found = run(tmp_path / "out")
    assert code == 1
    assert [found[f"videos_{each}"] for each in ("expected", "done", "failed")] == [10, 6, 4]
    assert found["videos"] == whole["videos"]
    attempts = {Path(each["video"]).name: each["attempts"] for each in found["failures"]}
    assert attempts.pop("broken.mp4") == 1
    assert sorted(attempts) == sorted(names)
    assert all(count >= 2 for count in attempts.values())
    again, same = run(tmp_path / "out")  # nothing is tried again
    assert again == 1
    assert same["failures"] == found["failures"]
