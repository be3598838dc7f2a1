"""How long a run over many short films takes, with one process, several, and actors of Ray.

    python tools/bench/runs_engines.py --films videos/ --count 1000 --rounds 3

Every contestant writes the key frames of the same films, with one thread in each process, and all
take turns in every round. What a run over a single film takes is its start-up, which is subtracted.
Ratios are those of one round; printed are their median, least and greatest. They mean something
only on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from small_films import copies, small_films

from vidattn.files import write_json

# Title -> contestant and its opponent.
RATIOS = {
    "speed of 2 processes, of 1": ("local-2", "local-1"),
    "speed of 2 actors, of 1": ("ray-2", "ray-1"),
    "speed of 1 actor, of 1 process": ("ray-1", "local-1"),
    "speed of 2 actors, of 2 processes": ("ray-2", "local-2"),
}


@dataclass(frozen=True)
class Ratio:
    """How often as fast one contestant is as its opponent: median, least and greatest round."""

    title: str
    median: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
        films: of each run.
        startup_seconds: contestant -> median of its runs over one film.
        seconds: contestant -> of each round, without the start-up.
        ratios: of speeds.
        load: mean number of waiting processes of the machine, before and after.
    """

    films: int
    startup_seconds: dict[str, float]
    seconds: dict[str, list[float]]
    ratios: list[Ratio]
    load: tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--films", type=Path, help="folder of small films (default: drawn ones)")
    parser.add_argument("--largest-bytes", type=int, default=120_000, help="of a film")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--contestants",
        nargs="+",
        default=["local-1", "local-2", "ray-1", "ray-2"],
        metavar="ENGINE-PROCESSES",
    )
    parser.add_argument("--arguments", default="--fast --count 2 --width 64", help="of keyframes")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the table as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        sources = small_films(given.films, scratch / "drawn", given.largest_bytes)
        names = [f"{number // 1000:04}/film-{number:07}" for number in range(given.count)]
        for each in {name.partition("/")[0] for name in names}:
            (scratch / "films" / each).mkdir(parents=True)
        films = copies(sources, scratch / "films", names)
        found = measured(films, given.contestants, given.rounds, given.arguments.split(), scratch)
    print(in_words(found))
    if given.output is not None:
        write_json(given.output, asdict(found))


def measured(
    films: Sequence[Path],
    contestants: Sequence[str],
    rounds: int,
    arguments: Sequence[str],
    scratch: Path,
) -> Measurement:
    """Let contestants take turns; each round begins with another one."""
    before = os.getloadavg()[0]
    lists = {"one": films[:1], "all": films}
    for name, some in lists.items():
        (scratch / f"{name}.txt").write_text("".join(f"{film}\n" for film in some))
    took: dict[str, dict[str, list[float]]] = {
        name: {each: [] for each in contestants} for name in lists
    }
    for turn in range(rounds):
        for place in range(len(contestants)):
            each = contestants[(turn + place) % len(contestants)]
            for name in lists:
                took[name][each].append(_run(scratch, name, each, arguments))
                print(f"round {turn + 1}: {each}, {name}: {took[name][each][-1]:.1f} s", flush=True)
    startup = {each: statistics.median(times) for each, times in took["one"].items()}
    seconds = {
        each: [whole - startup[each] for whole in times] for each, times in took["all"].items()
    }
    return Measurement(len(films), startup, seconds, ratios(seconds), (before, os.getloadavg()[0]))


def _run(scratch: Path, name: str, contestant: str, arguments: Sequence[str]) -> float:
    engine, _, processes = contestant.partition("-")
    output = scratch / "out"
    command = [sys.executable, "-m", "vidattn", "keyframes", scratch / f"{name}.txt"]
    command += ["--output", output, "--engine", engine, "--processes", processes]
    command += ["--threads", 1, *arguments]
    started = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    seconds = time.perf_counter() - started
    shutil.rmtree(output)
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]]) -> list[Ratio]:
    """Of the speeds of each round: above 1 where the first of the title is faster."""
    found = []
    for title, (one, other) in RATIOS.items():
        if one in seconds and other in seconds:
            each = [slow / fast for fast, slow in zip(seconds[one], seconds[other], strict=True)]
            found.append(Ratio(title, statistics.median(each), min(each), max(each)))
    return found


def in_words(found: Measurement) -> str:
    """The table."""
    lines = ["contestant | start-up s | s without it, each round | films a second"]
    for each, times in found.seconds.items():
        pace = found.films / statistics.median(times)
        rounds = " ".join(f"{value:.1f}" for value in times)
        lines.append(f"{each} | {found.startup_seconds[each]:.1f} | {rounds} | {pace:.1f}")
    lines += ["", "ratio | median | least | greatest"]
    lines += [
        f"{r.title} | {r.median:.2f} | {r.least:.2f} | {r.greatest:.2f}" for r in found.ratios
    ]
    lines.append(f"load of the machine: {found.load[0]:.1f} before, {found.load[1]:.1f} after")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
