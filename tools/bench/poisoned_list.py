"""A list of 300 films, 19 of which do harm, and a run over it that is killed again and again.

    python tools/bench/poisoned_list.py --films videos/ --engines local ray --kills 20

Three films each kill their process, block it and fill its memory when they are opened, and ten are
no videos. `vidattn keyframes --fast` runs over the list, once in one go and once killed at random
moments and started again. Checked are: 281 results, 19 failures with the reasons that are known
beforehand, exit code 1, the same bytes in all runs and with all engines, and that no film is opened
again that was recorded. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from small_films import copies, small_films

from vidattn.files import write_json
from vidattn.runs.journal import journaled_records
from vidattn.runs.result_files import JOURNAL_FOLDER

GOOD, BROKEN, EACH = 281, 10, 3
# Python imports a module of this name in each process: it notes what is opened, and does harm.
POISON = """
import os, signal, time
import av
_open = av.open
def _poisoned(file, *args, **kwargs):
    name = os.path.basename(str(getattr(file, "name", file)))
    with open(os.environ["OPENED_FILMS"], "a") as log:
        log.write(name + "\\n")
    if name.startswith("hang-"):
        while True:
            time.sleep(1)
    if name.startswith("kill-"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("eat-"):
        held = []
        while True:
            held.append(bytearray(os.urandom(1024)) * 65536)
            time.sleep(0.02)
    return _open(file, *args, **kwargs)
av.open = _poisoned
"""
# Start of the name -> error, attempts, and a pattern of the whole reason.
REASONS = {
    "kill": ("ProcessError", 2, r".*was killed by SIGKILL"),
    "hang": ("LimitError", 2, r".*nothing moved for 3 s \(--video-seconds\)"),
    "eat": ("LimitError", 2, r".*more than .* of memory \(--video-memory\)"),
    "broken": ("NotAVideoError", 1, r"not a video file that can be read: .*"),
}
# A run that is to be killed lives so long after it has opened its first film, at most.
LONGEST_LIFE_SECONDS = 4.0
LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class Outcome:
    """What a run gave; see the module.

    Attributes:
        engine: of the run.
        kills: of starts that were still running.
        results, failures: numbers of films.
        wrong_reasons: films whose failure is not the expected one.
        repeated: films that were opened again after they were recorded.
        exit_code: of the last start.
        seconds: of all starts together.
        digest: of all files of the result, without the times of the run.
    """

    engine: str
    kills: int
    results: int
    failures: int
    wrong_reasons: tuple[str, ...]
    repeated: tuple[str, ...]
    exit_code: int
    seconds: float
    digest: str

    @property
    def is_right(self) -> bool:
        """Apart from the bytes, which are compared with those of another run."""
        counts = (self.results, self.failures, self.exit_code)
        right = (GOOD, BROKEN + 3 * EACH, 1)
        return counts == right and not self.wrong_reasons and not self.repeated


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--films", type=Path, help="folder of small films (default: drawn ones)")
    parser.add_argument("--engines", nargs="+", default=["local", "ray"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the table as JSON")
    given = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        films = poisoned_list(given.films, scratch)
        for engine in given.engines:
            for kills in (0, given.kills):
                run = Run(scratch, films, engine, given.processes)
                outcomes.append(run.outcome(kills))
                print(in_words(outcomes[-1]), flush=True)
    same = len({each.digest for each in outcomes}) == 1
    print(f"bytes: {'the same in all runs' if same else 'DIFFERENT'}")
    if given.output is not None:
        write_json(given.output, [asdict(each) for each in outcomes])
    return 0 if same and all(each.is_right for each in outcomes) else 1


def poisoned_list(sources: Path | None, scratch: Path) -> list[Path]:
    """Write the films, their list and the module that does harm."""
    names = [f"film-{number:03}" for number in range(GOOD)]
    names += [f"{act}-{number}" for act in ("kill", "hang", "eat") for number in range(EACH)]
    names += [f"broken-{number}" for number in range(BROKEN)]
    random.Random(0).shuffle(names)
    films = copies(small_films(sources, scratch / "drawn", 120_000), scratch / "films", names)
    for film in films:
        if film.name.startswith("broken-"):
            film.write_bytes(hashlib.sha512(film.name.encode()).digest() * 100)
    (scratch / "list.txt").write_text("".join(f"{film}\n" for film in films))
    (scratch / "poison").mkdir()
    (scratch / "poison" / "sitecustomize.py").write_text(POISON)
    return films


@dataclass(frozen=True)
class Run:
    """One run over the list, however often it is started."""

    scratch: Path
    films: Sequence[Path]
    engine: str
    processes: int

    def outcome(self, kills: int) -> Outcome:
        """Kill the run so often, at random moments, and let it end."""
        output = self.scratch / f"{self.engine}-{kills}"
        log = self.scratch / f"{output.name}.opened"
        log.touch()
        chance, repeated = random.Random(kills), set[str]()
        started, hits = time.monotonic(), 0
        for turn in range(kills + 1):
            numbers = {number for number, _ in journaled_records(output / JOURNAL_FOLDER)}
            recorded = {self.films[number].name for number in numbers}
            opened_before = len(log.read_text().split())
            running = self._start(output, log)
            if turn < kills:
                moved = log.stat().st_size
                _wait(lambda before=moved: log.stat().st_size > before, running)
                time.sleep(chance.uniform(0.0, LONGEST_LIFE_SECONDS))
                hits += running.poll() is None
                running.kill()
            running.wait(LONGEST_SECONDS)
            repeated |= recorded & set(log.read_text().split()[opened_before:])
        seconds = round(time.monotonic() - started, 1)
        return _outcome_of(output, self.engine, hits, repeated, running.returncode, seconds)

    def _start(self, output: Path, log: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "vidattn", "keyframes", self.scratch / "list.txt"]
        command += ["--output", output, "--fast", "--count", 2, "--width", 64]
        command += ["--threads", 1, "--processes", self.processes, "--engine", self.engine]
        command += ["--video-seconds", 3, "--video-memory", "600MB"]
        path = os.pathsep.join([str(self.scratch / "poison"), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": path, "OPENED_FILMS": str(log)}
        with open(self.scratch / "words.txt", "wb") as words:
            return subprocess.Popen(
                list(map(str, command)), env=environment, stdout=words, stderr=words
            )


def _outcome_of(
    output: Path, engine: str, kills: int, repeated: set[str], exit_code: int, seconds: float
) -> Outcome:
    result = json.loads((output / "keyframes.json").read_text())
    wrong = [each["video"] for each in result["failures"] if not _is_expected(each)]
    return Outcome(
        engine=engine,
        kills=kills,
        results=len(result["videos"]),
        failures=len(result["failures"]),
        wrong_reasons=tuple(wrong),
        repeated=tuple(sorted(repeated)),
        exit_code=exit_code,
        seconds=seconds,
        digest=digest_of(output, result),
    )


def _is_expected(failure: Mapping[str, str | int]) -> bool:
    act = Path(str(failure["video"])).name.partition("-")[0]
    error, attempts, pattern = REASONS.get(act, ("", 0, ""))
    return (failure["error"], failure["attempts"]) == (error, attempts) and bool(
        re.fullmatch(pattern, str(failure["reason"]))
    )


def digest_of(output: Path, result: Mapping[str, object]) -> str:
    """Of the rows of a result and of all files that they name."""
    digest = hashlib.sha256(json.dumps([result["videos"], result["failures"]]).encode())
    for path in sorted(output.rglob("*")):
        inner = path.relative_to(output)
        if path.is_file() and path.name != "keyframes.json" and not inner.parts[0].startswith("."):
            digest.update(str(inner).encode() + path.read_bytes())
    return digest.hexdigest()


def in_words(outcome: Outcome) -> str:
    """A line of the table."""
    return (
        f"{outcome.engine:6} {outcome.kills:3} kills: {outcome.results} results, "
        f"{outcome.failures} failures ({len(outcome.wrong_reasons)} with a wrong reason), "
        f"{len(outcome.repeated)} repeated, exit code {outcome.exit_code}, "
        f"{outcome.seconds:.0f} s, {'right' if outcome.is_right else 'WRONG'}"
    )


def _wait(is_so: Callable[[], bool], running: subprocess.Popen[bytes]) -> None:
    while not is_so() and running.poll() is None:
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
