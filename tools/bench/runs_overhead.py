"""What the runner of lists costs itself: a simulated list, and work that costs nothing.

A process of its own works on the list, is killed half-way, is started again, and ends. Printed are
the seconds until the first video has its record (start and restart), the time that each video
takes, and the largest memory of the process that has the list.

    python tools/bench/runs_overhead.py --videos 1000000 --processes 1 --engine local
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidattn.runs.executors import ENGINES, Engine
from vidattn.runs.parquet_results import MANY_PARTS as MANY_STORED
from vidattn.runs.parquet_results import ParquetFolder
from vidattn.runs.parts import MANY_PARTS, Parts, SingleVideos
from vidattn.runs.reading import read_results
from vidattn.runs.results import ResultFolder
from vidattn.runs.run import work_through
from vidattn.runs.shards import Shard
from vidattn.runs.stored import finish_stored
from vidattn.runs.video_lists import list_digest
from vidattn.runs.work import Group, Record

# A file of records has a line before the first of them, with no more bytes.
LONGEST_HEAD = 60


@dataclass(frozen=True)
class NoWork:
    """A work of no cost; its records are as long as those of key frames."""

    def records(self, groups: Iterable[Group], shard: Shard) -> Iterator[Mapping[int, Record]]:
        for [number] in groups:
            yield {number: record_of(number)}


def record_of(number: int) -> Record:
    return {
        "fps": 25.0,
        "frame_count": 1000 + number % 500,
        "frames": [
            {"frame_index": number % 100 + 100 * place, "seconds": place * 4.0, "score": 0.5}
            for place in range(8)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--engine", choices=ENGINES, default="local")
    parser.add_argument("--results", choices=("json", "parquet"), default="json")
    parser.add_argument("--folder", type=Path, help="for the run (default: a temporary one)")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(work(given)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        given.folder = given.folder or Path(temporary)
        print(json.dumps(measure(given), indent=2))


def work(given: argparse.Namespace) -> dict[str, Any]:
    """The run in this process; what it took."""
    started = time.perf_counter()
    folder, videos = given.folder, given.videos
    names = [f"/data/films/{number // 1000:05}/film-{number:09}.mp4" for number in range(videos)]
    output = ResultFolder(folder, "simulate", "simulated.json")
    if given.results == "parquet":
        output = ParquetFolder(folder, "simulate", "simulated.json", videos=videos)
    records = work_through(
        NoWork(),
        SingleVideos(videos),
        names,
        output=output,
        settings={"threads": 1, "videos": list_digest(names)},
        processes=given.processes,
        engine=Engine(given.engine),
        description="simulating",
        progress=False,
    )
    worked = time.perf_counter()
    assert records is not None
    if isinstance(output, ParquetFolder):
        finish_stored(output, records, {})
        found: Iterable[Any] = (each.record for each in read_results(folder))
    else:
        found = (records[number] for number in range(videos))
    wrong = sum(record["frames"] != record_of(n)["frames"] for n, record in enumerate(found))
    read = time.perf_counter()
    if not isinstance(output, ParquetFolder):
        output.finish({"videos": videos}, [])
    return {
        "seconds": worked - started,
        "reading_seconds": read - worked,
        "wrong": wrong,
        "memory_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Start, kill half-way, start again."""
    # Children and actors import the work by its name, which it has not in a script.
    code = "import runs_overhead; runs_overhead.main()"
    command = [sys.executable, "-c", code, "--work", "--folder", given.folder / "out"]
    command += ["--videos", given.videos, "--processes", given.processes]
    command += ["--engine", given.engine, "--results", given.results]
    words = list(map(str, command))
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}
    began = time.perf_counter()
    running = subprocess.Popen(words, start_new_session=True, env=environment)
    many = MANY_STORED if given.results == "parquet" else MANY_PARTS
    journal = given.folder / "out" / ".vidattn-run"
    size = Parts(SingleVideos(given.videos), many).size
    first = wait_for(lambda: written(journal), running)
    half = wait_for(lambda: done_parts(journal) * size * 2 >= given.videos, running)
    running.send_signal(signal.SIGKILL)
    running.wait()
    recorded, before = done_parts(journal), written(journal)
    again = time.perf_counter()
    running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    restart = wait_for(lambda: written(journal) - before, running)
    said, _ = running.communicate()
    found = json.loads(said)
    return {
        "videos": given.videos,
        "processes": given.processes,
        "engine": given.engine,
        "results": given.results,
        "start_seconds": round(first - began, 2),
        "restart_seconds": round(restart - again, 2),
        "milliseconds_a_video": round((half - first) / max(recorded * size, 1) * 1000, 4),
        **{key: round(value, 2) for key, value in found.items()},
    }


def wait_for(is_so: Any, running: subprocess.Popen[Any]) -> float:
    while not is_so() and running.poll() is None:
        time.sleep(0.1)
    return time.perf_counter()


def written(journal: Path) -> set[tuple[str, int]]:
    """The newest files that have records, and their sizes in bytes."""
    try:
        names = sorted(name for name in os.listdir(journal) if name.endswith(".jsonl"))
        sizes = [(name, (journal / name).stat().st_size) for name in names[-4:]]
        return {(name, size) for name, size in sizes if size > LONGEST_HEAD}
    except FileNotFoundError:
        return set()


def done_parts(journal: Path) -> int:
    try:
        return sum(".done-" in name for name in os.listdir(journal))
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    main()
