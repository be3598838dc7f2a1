"""A program that works on a list, as one of several that share a folder: arguments, then names."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.runs.acting_work import ActingWork
from vidattn.runs import worker
from vidattn.runs.executors import Engine
from vidattn.runs.limits import RunLimits
from vidattn.runs.parts import SingleVideos
from vidattn.runs.results import ResultFolder
from vidattn.runs.run import work_through


def main() -> None:
    folder, lease_seconds, machine, engine, processes, *names = sys.argv[1:]
    if lease_seconds != "0":
        worker.Worker.__init__.__defaults__ = (float(lease_seconds),)
    if machine != "this":  # as another machine of which nothing is known but what it writes
        space = machine
        worker._space = lambda: space  # type: ignore[assignment]
    output = ResultFolder(Path(folder) / "out", "act", "act.json")
    records = work_through(
        ActingWork(names, Path(folder) / "attempts"),
        SingleVideos(len(names)),
        names,
        output=output,
        settings={"threads": 1, "names": names},
        processes=int(processes),
        engine=Engine(engine),
        limits=RunLimits(video_seconds=2),
        description="acting",
        progress=False,
    )
    if records is None:
        print("no result")
        return
    output.finish({"records": [records[number] for number in range(len(names))]}, [])
    print("result")


if __name__ == "__main__":
    main()
