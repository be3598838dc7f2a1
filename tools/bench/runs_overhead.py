"""What the runner of lists costs itself: a simulated list, and work that costs nothing.

A process of its own works on the list, is killed half-way, is started again, and ends. Printed are
the seconds until the first video has its record (start and restart), the time that each video
takes, and the largest memory of the process that has the list.

    python tools/bench/runs_overhead.py --videos 1000000 --processes 1
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
    parser.add_argument("--results", choices=("json", "parquet"), default="json")
    parser.add_argument("--folder", type=Path, help="for the run (default: a temporary one)")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(work(given.folder, given.videos, given.processes, given.results)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        measure(given.folder or Path(temporary), given.videos, given.processes, given.results)


def work(folder: Path, videos: int, processes: int, results: str) -> dict[str, Any]:
    """The run in this process; what it took."""
    started = time.perf_counter()
    names = [f"/data/films/{number // 1000:05}/film-{number:09}.mp4" for number in range(videos)]
    output = ResultFolder(folder, "simulate", "simulated.json")
    if results == "parquet":
        output = ParquetFolder(folder, "simulate", "simulated.json", videos=videos)
    records = work_through(
        NoWork(),
        SingleVideos(videos),
        names,
        output=output,
        settings={"threads": 1, "videos": list_digest(names)},
        processes=processes,
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


def measure(folder: Path, videos: int, processes: int, results: str) -> None:
    """Start, kill half-way, start again."""
    # Children import the work by its name, which it has not in a script.
    start = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import runs_overhead"
    command = [sys.executable, "-c", f"{start}; runs_overhead.main()", "--work"]
    command += ["--folder", folder / "out"]
    command += ["--videos", videos, "--processes", processes, "--results", results]
    words = list(map(str, command))
    began = time.perf_counter()
    running = subprocess.Popen(words, start_new_session=True)
    many = MANY_STORED if results == "parquet" else MANY_PARTS
    journal, size = folder / "out" / ".vidattn-run", Parts(SingleVideos(videos), many).size
    first = wait_for(lambda: size_of(journal) > 0, running)
    half = wait_for(lambda: done_parts(journal) * size * 2 >= videos, running)
    running.send_signal(signal.SIGKILL)
    running.wait()
    recorded, before = done_parts(journal), size_of(journal)
    again = time.perf_counter()
    running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    restart = wait_for(lambda: size_of(journal) > before, running)
    said, _ = running.communicate()
    found = json.loads(said)
    first_half = recorded * size
    print(
        json.dumps(
            {
                "videos": videos,
                "processes": processes,
                "results": results,
                "start_seconds": round(first - began, 2),
                "restart_seconds": round(restart - again, 2),
                "milliseconds_a_video": round((half - first) / max(first_half, 1) * 1000, 4),
                **{key: round(value, 2) for key, value in found.items()},
            },
            indent=2,
        )
    )


def wait_for(is_so: Any, running: subprocess.Popen[Any]) -> float:
    while not is_so() and running.poll() is None:
        time.sleep(0.1)
    return time.perf_counter()


def size_of(journal: Path) -> int:
    """Bytes of records; only the newest files are looked at."""
    try:
        names = sorted(name for name in os.listdir(journal) if name.endswith(".jsonl"))
        sizes = [(journal / name).stat().st_size for name in names[-2:]]
        return len(names) * 10**9 + sum(size - 40 for size in sizes if size > 60)
    except FileNotFoundError:
        return 0


def done_parts(journal: Path) -> int:
    try:
        return sum(".done-" in name for name in os.listdir(journal))
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    main()
