"""How long training takes while other processes take cores, by how OpenMP's threads wait.

Each measurement is a training of its own in a new process, because the OpenMP library reads its
settings once: a configuration of the project, on clips of its size that are written first and kept
in memory. Settings take turns in every round. What a round measures is the time of the training
without imports; a busy process is one that counts for ever.

Example, on a machine where nothing else runs:
  python tools/bench_busy.py --busy 0 1 2 --rounds 5 --output runs/busy.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGURATIONS = {
    "fights": REPOSITORY / "configs/fights.yaml",
    "basketball": REPOSITORY / "configs/basketball.yaml",
    "demo": REPOSITORY / "vidattn/jobs/demo.yaml",
}
# How threads wait -> variables of the environment.
SETTINGS: dict[str, dict[str, str]] = {
    "spin (library's default)": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "spin 100": {"GOMP_SPINCOUNT": "100"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "KMP_BLOCKTIME")
COUNTING = "while True: pass"
TRAINING = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import vidattn
import torch
started, cpu = time.perf_counter(), time.process_time()
vidattn.train(sys.argv[1], overwrite=True)
print(json.dumps({"seconds": time.perf_counter() - started, "threads": torch.get_num_threads(),
                  "cpu_seconds": time.process_time() - cpu}))
"""


def main() -> None:
    parsed = parse()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder), parsed.videos)
        for name in parsed.configurations:
            configuration = write_configuration(Path(folder), name, videos, parsed.epochs)
            for round_number in range(parsed.rounds):
                for busy in parsed.busy:
                    for setting in order(parsed.settings, round_number):
                        found = measure(configuration, setting, busy)
                        rows.append(
                            {"configuration": name, "busy": busy, "setting": setting, **found}
                        )
                        print(
                            f"{name}, {busy} busy, {setting}: {found['seconds']:.1f} s", flush=True
                        )
    table = summarise(rows)
    if parsed.output:
        parsed.output.parent.mkdir(parents=True, exist_ok=True)
        result = {"machine": machine(), "table": table, "runs": rows}
        parsed.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    show(table)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configurations", nargs="+", default=["fights"], choices=CONFIGURATIONS)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument(
        "--busy", type=int, nargs="+", default=[0, 1, 2], help="other processes (default: 0 1 2)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="trainings a cell (default: 5)")
    parser.add_argument("--videos", type=int, default=48, help="that are trained on (default: 48)")
    parser.add_argument("--epochs", type=int, default=3, help="of each training (default: 3)")
    parser.add_argument("--output", type=Path, help="JSON file with all runs")
    return parser.parse_args()


def order(settings: Sequence[str], round_number: int) -> list[str]:
    """Another setting begins in every round."""
    start = round_number % len(settings)
    return [*settings[start:], *settings[:start]]


def write_videos(folder: Path, count: int) -> Path:
    from vidattn.data.synthetic import write_actions

    classes = 10
    each = -(-count // classes)
    write_actions(folder / "actions", clips_per_class={"train": each, "test": 1}, seed=0, workers=1)
    return folder / "actions" / "train"


def write_configuration(folder: Path, name: str, videos: Path, epochs: int) -> Path:
    """The project's configuration, on these videos, without logs."""
    values = yaml.safe_load(CONFIGURATIONS[name].read_text(encoding="utf-8"))
    values["trainer"] |= {
        "max_epochs": epochs,
        "logger": False,
        "enable_progress_bar": False,
    }
    values["output"] = str(folder / name)
    for callback in values["trainer"].get("callbacks", []):
        if callback["class_path"].endswith("ModelCheckpoint"):
            callback["init_args"]["dirpath"] = str(folder / name)
    values["data"] |= {"annotations": str(videos), "cache_frames": True, "workers": 0}
    values["data"].pop("test_folds", None)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def measure(configuration: Path, setting: str, busy: int) -> dict[str, Any]:
    """Seconds of one training, and of its processors' time."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= SETTINGS[setting]
    command = [sys.executable, "-c", TRAINING, str(configuration)]
    with busy_processes(busy):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "load": os.getloadavg()[0]}


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Other processes that each take a core for as long as the block lasts."""
    processes = [subprocess.Popen([sys.executable, "-c", COUNTING]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Median and spread of each cell, and its ratio to the best setting of the same case."""
    cells: dict[tuple[str, int, str], list[float]] = {}
    for row in rows:
        key = (row["configuration"], row["busy"], row["setting"])
        cells.setdefault(key, []).append(row["seconds"])
    best: dict[tuple[str, int], float] = {}
    for (name, busy, _), seconds in cells.items():
        best[name, busy] = min(best.get((name, busy), float("inf")), median(seconds))
    return [
        {
            "configuration": name,
            "busy": busy,
            "setting": setting,
            "median": median(seconds),
            "low": min(seconds),
            "high": max(seconds),
            "ratio": median(seconds) / best[name, busy],
        }
        for (name, busy, setting), seconds in cells.items()
    ]


def machine() -> dict[str, Any]:
    import torch

    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "parallel": torch.__config__.parallel_info().splitlines()[0:4],
    }


def show(table: Sequence[dict[str, Any]]) -> None:
    shown = Table("configuration", "busy", "setting", "seconds", "lowest - highest", "to the best")
    for row in sorted(table, key=lambda row: (row["configuration"], row["busy"], row["median"])):
        shown.add_row(
            row["configuration"],
            str(row["busy"]),
            row["setting"],
            f"{row['median']:.1f}",
            f"{row['low']:.1f} - {row['high']:.1f}",
            f"{row['ratio']:.2f}",
        )
    Console().print(shown)


if __name__ == "__main__":
    main()
