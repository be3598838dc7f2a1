"""Open, seek, read, close, many times over: does memory grow, do files or threads stay?

Memory is the resident set, and with glibc also what C code has allocated and not freed: that tells
a leak from a heap that is still finding its shape. After a warm-up the run is cut in equal
stretches; a slope is the median growth from the mean of one to the mean of the next, with its
interval at 95 % (of the sign test), which holds 0 where nothing leaks. So a table that doubles
once, as Python's own do, is no slope; the largest step from one look to the next is told by itself.
The way "loader" takes batches of a training loader instead, a cycle each, and counts its two
workers too.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

PAGE = os.sysconf("SC_PAGE_SIZE")
STRETCHES = 20


def read_strictly(path: Path, generator: random.Random) -> None:
    from vidattn.video import open_video

    with open_video(path) as reader:
        for _ in range(2):
            reader.frames_at([generator.randrange(len(reader)) for _ in range(2)], short_side=32)


def read_salvaging(path: Path, generator: random.Random) -> None:
    from vidattn.video import open_video

    with open_video(path, salvage=True) as reader:
        for _ in range(2):
            reader.frames_at([generator.randrange(len(reader)) for _ in range(2)], short_side=32)


def read_decord(path: Path, generator: random.Random) -> None:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    for _ in range(2):
        reader.get_batch([generator.randrange(len(reader)) for _ in range(2)]).asnumpy()


def read_torchcodec(path: Path, generator: random.Random) -> None:
    from torchcodec.decoders import VideoDecoder

    reader = VideoDecoder(str(path), num_ffmpeg_threads=1)
    for _ in range(2):
        reader.get_frames_at([generator.randrange(len(reader)) for _ in range(2)])


WAYS: dict[str, Callable[[Path, random.Random], None]] = {
    "strict": read_strictly,
    "salvage": read_salvaging,
    "decord": read_decord,
    "torchcodec": read_torchcodec,
}
LOADER = "loader"


def batches(files: list[Path]) -> Callable[[Path, random.Random], None]:
    """Takes the next batch of a training loader at each call, epoch after epoch."""
    from loader_contestants import our_loader

    from vidattn.data import ClipSpec

    spec = ClipSpec(frames=4, frame_stride=2, short_side=32, crop_size=32)
    loader = our_loader(files, spec, batch_size=2, workers=2, repeat=100)

    def epochs() -> Iterator[Any]:
        for epoch in count():
            loader.sampler.set_epoch(epoch)
            yield from loader

    given = epochs()

    def take(path: Path, generator: random.Random) -> None:
        next(given)

    return take


def measure(
    files: list[Path], way: str, *, cycles: int, samples: int = 400, warm_up: float = 0.25
) -> dict[str, Any]:
    """Read `files` in turn, `cycles` times in all, and look at the process every so often.

    Errors of a file are part of the cycle: what was opened must be released all the same.

    Args:
        samples: looks at the process.
        warm_up: share of the run that is not counted.

    Returns:
        slope in bytes a cycle with its interval, of the resident set and of what is allocated, the
        largest step of that, memory at both ends, and the smallest and largest number of open
        files and threads after the warm-up.
    """
    read = batches(files) if way == LOADER else WAYS[way]
    generator, every = random.Random(0), max(cycles // samples, 1)
    rows: list[tuple[int, int, int, int, int]] = []
    errors = 0
    gc.freeze()  # what was there before need not be gone through at every look
    try:
        for cycle in range(1, cycles + 1):
            try:
                read(files[cycle % len(files)], generator)
            except Exception:
                errors += 1
            if cycle % every == 0:
                gc.collect()  # what it has not come to yet is no leak
                rows.append((cycle, *_state()))
    finally:
        gc.unfreeze()
    table = np.array(rows, np.float64)[int(len(rows) * warm_up) :]
    resident, allocated = _slope(table[:, 0], table[:, 1]), _slope(table[:, 0], table[:, 4])
    return {
        "way": way,
        "cycles": cycles,
        "cycles_that_raised": errors,
        "slope_bytes_a_cycle": round(resident[0], 3),
        "interval": [round(bound, 3) for bound in resident[1:]],
        "grows": resident[1] > 0,
        "allocated_slope_bytes_a_cycle": round(allocated[0], 3),
        "allocated_interval": [round(bound, 3) for bound in allocated[1:]],
        "allocated_largest_step": int(np.abs(np.diff(table[:, 4])).max()),
        "mebibytes_after_warm_up": round(table[0, 1] / 2**20, 2),
        "mebibytes_at_the_end": round(table[-1, 1] / 2**20, 2),
        "open_files": [int(table[:, 2].min()), int(table[:, 2].max())],
        "threads": [int(table[:, 3].min()), int(table[:, 3].max())],
    }


class _HeapInformation(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _state() -> tuple[int, int, int, int]:
    """Resident bytes, open files and threads of this process and its workers; bytes allocated here.

    0 where it is not known what is allocated.
    """
    workers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    folders = [Path("/proc") / name for name in ("self", *workers)]
    resident = sum(int((at / "statm").read_text().split()[1]) * PAGE for at in folders)
    files, threads = (sum(len(os.listdir(at / each)) for at in folders) for each in ("fd", "task"))
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return resident, files, threads, 0
    ask.restype = _HeapInformation
    heap = ask()
    return resident, files, threads, heap.uordblks + heap.hblkhd


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Median growth from stretch to stretch, and its interval."""
    from scipy.stats import quantile_test

    stretches = min(STRETCHES, len(x))
    means = [[part.mean() for part in np.array_split(values, stretches)] for values in (x, y)]
    growth = np.diff(means[1]) / np.diff(means[0])
    interval = quantile_test(growth, p=0.5).confidence_interval(0.95)
    return float(np.median(growth)), float(interval.low), float(interval.high)


def main() -> int:
    arguments = _arguments()
    import torch

    torch.set_num_threads(arguments.threads)
    found = measure(arguments.files, arguments.way, cycles=arguments.cycles)
    text = json.dumps({"files": [file.name for file in arguments.files], **found}, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    return 1 if found["grows"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/measure_leaks.py clips/*.mp4 --cycles 20000",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--way", choices=[*WAYS, LOADER], default="strict")
    parser.add_argument("--cycles", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=1, help="decoder threads, of strict reading")
    parser.add_argument("--output", type=Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
