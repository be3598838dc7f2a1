"""Seeded damage to real files: every case must end in frames or in a typed error, soon.

Cases are read by processes forked from this one, with a limit on memory and on the time of each:
opened strictly, the index, a few frames and key frames read, then salvaged. A process that dies
or hangs is replaced, and the case that it was at is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import selectors
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST_BYTES = 120_000
# Edge values of a 32-bit field.
EDGES = (0, 1, 2, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
# Marks of MP4 behind which numbers stand that a reader trusts.
MARKS = (
    *(b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"elst", b"stsd", b"stts", b"ctts", b"stss", b"stsc"),
    *(b"stsz", b"stco", b"co64", b"trun", b"tfhd", b"tfdt", b"sidx", b"avcC", b"hvcC", b"av1C"),
)

Damage = Callable[[bytearray, random.Random, bytes], None]


def flip_bits(data: bytearray, generator: random.Random, other: bytes) -> None:
    for _ in range(generator.choice((1, 1, 2, 8, 64))):
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)


def flip_bits_of_header(data: bytearray, generator: random.Random, other: bytes) -> None:
    for _ in range(generator.choice((1, 2, 4, 16))):
        place = generator.randrange(min(len(data), 1024))
        if generator.random() < 0.3:
            place = len(data) - 1 - place
        data[place] ^= 1 << generator.randrange(8)


def truncate(data: bytearray, generator: random.Random, other: bytes) -> None:
    del data[generator.randrange(1, len(data)) :]


def behead(data: bytearray, generator: random.Random, other: bytes) -> None:
    del data[: generator.randrange(1, len(data))]


def remove_chunk(data: bytearray, generator: random.Random, other: bytes) -> None:
    start, end = _chunk(data, generator)
    del data[start:end]


def repeat_chunk(data: bytearray, generator: random.Random, other: bytes) -> None:
    start, end = _chunk(data, generator)
    data[end:end] = data[start:end] * generator.choice((1, 1, 3))


def swap_chunks(data: bytearray, generator: random.Random, other: bytes) -> None:
    start, end = _chunk(data, generator)
    target = generator.randrange(len(data) - (end - start) + 1)
    first, second = bytes(data[start:end]), bytes(data[target : target + end - start])
    data[start:end] = second
    data[target : target + end - start] = first


def blank_chunk(data: bytearray, generator: random.Random, other: bytes) -> None:
    start, end = _chunk(data, generator)
    data[start:end] = generator.choice((b"\0", b"\xff")) * (end - start)


def noise_in_chunk(data: bytearray, generator: random.Random, other: bytes) -> None:
    start, end = _chunk(data, generator)
    data[start:end] = generator.randbytes(end - start)


def insert_noise(data: bytearray, generator: random.Random, other: bytes) -> None:
    place = generator.randrange(len(data))
    data[place:place] = generator.randbytes(generator.choice((1, 4, 188, 1000)))


def edit_field(data: bytearray, generator: random.Random, other: bytes) -> None:
    marks = [place for mark in MARKS if (place := data.find(mark)) >= 0]
    start = generator.choice(marks) + 4 if marks else 0
    for _ in range(generator.choice((1, 1, 3))):
        place = start + generator.randrange(96 if marks else 512)
        value = generator.choice((*EDGES, generator.getrandbits(32)))
        width = generator.choice((1, 2, 4))
        data[place : place + width] = struct.pack(">I", value)[4 - width :]


def edit_size_of_box(data: bytearray, generator: random.Random, other: bytes) -> None:
    marks = [place for mark in MARKS if (place := data.find(mark)) >= 4]
    place = generator.choice(marks) - 4 if marks else generator.randrange(min(len(data), 512))
    value = generator.choice((*EDGES, generator.getrandbits(16)))
    data[place : place + 4] = struct.pack(">I", value)


def splice(data: bytearray, generator: random.Random, other: bytes) -> None:
    cut = generator.randrange(len(data))
    data[cut:] = other[generator.randrange(len(other)) :]


DAMAGES: tuple[Damage, ...] = (
    *(flip_bits, flip_bits, flip_bits, flip_bits_of_header, truncate, behead, remove_chunk),
    *(repeat_chunk, swap_chunks, blank_chunk, noise_in_chunk, insert_noise),
    *(edit_field, edit_field, edit_size_of_box, splice),
)


def _chunk(data: bytearray, generator: random.Random) -> tuple[int, int]:
    length = min(generator.choice((4, 16, 188, 1024, 4096)), len(data))
    start = generator.randrange(len(data) - length + 1)
    return start, start + length


def damaged(
    files: list[Path], weights: list[float], seed: int, case: int
) -> tuple[str, str, bytes]:
    """(file, damages, bytes) of one case: by its number and the seed alone."""
    generator = random.Random(f"{seed} {case}")
    path, other = generator.choices(files, weights, k=2)
    data, names = bytearray(path.read_bytes()), []
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        damage = generator.choice(DAMAGES)
        if len(data) > 8:
            damage(data, generator, other.read_bytes())
            names.append(damage.__name__)
    return path.name, "+".join(names) or "none", bytes(data)


def read(path: Path, seed: int) -> dict[str, Any]:
    """What reading gives: strictly, then by salvaging. Anything but a typed error is a finding."""
    from vidattn.errors import VidattnError

    found: dict[str, Any] = {}
    for way, reading in (("strict", _read_strictly), ("salvage", _read_salvaging)):
        try:
            found[way] = reading(path, random.Random(seed))
        except VidattnError as error:
            found[way] = type(error).__name__
        except BaseException as error:
            found[way] = f"UNTYPED {type(error).__name__}"
            found["trace"] = traceback.format_exc()[-2000:]
    return found


def _read_strictly(path: Path, generator: random.Random) -> str:
    from vidattn.errors import DecodeError
    from vidattn.video import open_video

    with open_video(path) as reader:
        count = len(reader)
        reader.seconds_of(range(count))
        refused = False
        for size in (1, 3, 1):
            indices = [generator.randrange(count) for _ in range(size)]
            try:
                frames = reader.frames_at(indices, short_side=32)
                assert frames.indices.tolist() == indices
                assert bool(frames.valid.all())
            except DecodeError:
                refused = True
        reader.frames_at(reader.intra_frame_indices()[:4], short_side=32)
        reader.clips([[0], [count - 1]], short_side=16)
        return "some refused" if refused else "frames"


def _read_salvaging(path: Path, generator: random.Random) -> str:
    from vidattn.video import open_video

    with open_video(path, salvage=True) as reader:
        count = len(reader)
        indices = sorted(generator.randrange(count) for _ in range(4))
        frames = reader.frames_at(indices, short_side=32)
        assert len(frames.valid) == len(frames) == 4
        reader.frames_at(reader.intra_frame_indices()[:2])
        return "all valid" if reader.valid.all() else "some invalid"


@dataclass
class Child:
    """A process that reads some cases, one after the other, and says when it begins each."""

    cases: list[int]
    process: int
    pipe: int
    begun: float
    text: bytes = b""


class Runner:
    """Forks a process for each few cases, `jobs` at a time, and watches over them.

    Args:
        files: to damage.
        folder: for the damaged files.
    """

    def __init__(self, arguments: argparse.Namespace, files: list[Path], folder: Path) -> None:
        self.arguments, self.files, self.folder = arguments, files, folder
        self.weights = [1.0] * len(files)
        self.selector = selectors.DefaultSelector()
        self.waiting: list[list[int]] = []
        self._begun: dict[int, dict[str, Any]] = {}

    def weigh(self) -> None:
        """Choose cheap files more often: by the square of how much cheaper they are."""
        for place, file in enumerate(self.files):
            started = time.process_time()
            read(file, 0)
            self.weights[place] = 1 / max(time.process_time() - started, 0.005) ** 2

    def records(self, first: int, count: int) -> Iterator[dict[str, Any]]:
        every = list(range(first, first + count))
        batch = self.arguments.batch
        self.waiting = [every[start : start + batch] for start in range(0, count, batch)][::-1]
        while self.waiting or self.selector.get_map():
            while self.waiting and len(self.selector.get_map()) < self.arguments.jobs:
                self._start(self.waiting.pop())
            yield from self._poll()

    def _start(self, cases: list[int]) -> None:
        receiver, sender = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(receiver)
            self._child(cases, sender)
        os.close(sender)
        child = Child(cases, process, receiver, time.monotonic())
        self.selector.register(receiver, selectors.EVENT_READ, child)

    def _child(self, cases: list[int], sender: int) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        most = _status("VmSize") * 1024 + self.arguments.memory * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            for case in cases:
                self._read(case, sender)
        finally:
            os._exit(0)

    def _read(self, case: int, sender: int) -> None:
        name, damage, data = damaged(self.files, self.weights, self.arguments.seed, case)
        file = self.folder / f"case{case}{Path(name).suffix}"
        file.write_bytes(data)
        begun = {"case": case, "file": name, "damage": damage, "path": str(file)}
        os.write(sender, json.dumps(begun).encode() + b"\n")
        Path("/proc/self/clear_refs").write_text("5")  # forget the largest resident set so far
        before, started, used = _status("VmRSS"), time.monotonic(), time.process_time()
        found = read(file, case)
        record = {
            **begun,
            "end": "ended",
            **found,
            "seconds": round(time.monotonic() - started, 3),
            "processor_seconds": round(time.process_time() - used, 4),
            "mebibytes": max(_status("VmHWM") - before, 0) // 1024,
        }
        if not self._is_finding(record):
            file.unlink()
        os.write(sender, json.dumps(record).encode() + b"\n")

    def _poll(self) -> Iterator[dict[str, Any]]:
        for key, _ in self.selector.select(timeout=0.5):
            child: Child = key.data
            part = os.read(child.pipe, 65536)
            child.text += part
            *lines, child.text = child.text.split(b"\n")
            for line in lines:
                record = json.loads(line)
                child.begun = time.monotonic()
                if "end" in record:
                    child.cases = child.cases[1:]
                    yield self._kept(record)
                else:
                    self._begun[child.process] = record
            if not part:
                yield from self._end(child, hung=False)
        for key in list(self.selector.get_map().values()):
            if time.monotonic() - key.data.begun > self.arguments.seconds:
                os.kill(key.data.process, signal.SIGKILL)
                yield from self._end(key.data, hung=True)

    def _end(self, child: Child, *, hung: bool) -> Iterator[dict[str, Any]]:
        """What became of a process; the cases that it did not come to are for the next one."""
        self.selector.unregister(child.pipe)
        os.close(child.pipe)
        _, status, _ = os.wait4(child.process, 0)
        if child.cases:
            died = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "exit"
            record = {
                **self._begun[child.process],
                "end": "hang" if hung else f"crash: {died}",
                "seconds": round(time.monotonic() - child.begun, 3),
                "processor_seconds": 0,
                "mebibytes": 0,
            }
            if child.cases[1:]:
                self.waiting.append(child.cases[1:])
            yield self._kept(record)

    def _kept(self, record: dict[str, Any]) -> dict[str, Any]:
        """Keep the file of a finding, if wanted."""
        file = Path(record.pop("path"))
        if self._is_finding(record):
            if self.arguments.keep:
                self.arguments.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, self.arguments.keep / file.name)
            file.unlink()
        return record

    @staticmethod
    def _is_finding(record: dict[str, Any]) -> bool:
        texts = (record["end"], record.get("strict", ""), record.get("salvage", ""))
        return any(text.startswith(("hang", "crash", "UNTYPED")) for text in texts)


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of how the cases ended, and the findings in full."""
    ends = Counter(record["end"] for record in records)
    findings = [record for record in records if Runner._is_finding(record)]
    return {
        "cases": len(records),
        "files": len({record["file"] for record in records}),
        "hangs": ends["hang"],
        "child_crashes": sum(count for end, count in ends.items() if end.startswith("crash")),
        "untyped_errors": sum("trace" in record for record in records),
        "strict": dict(Counter(record.get("strict", record["end"]) for record in records)),
        "salvage": dict(Counter(record.get("salvage", record["end"]) for record in records)),
        "damages": dict(Counter(name for r in records for name in r["damage"].split("+"))),
        "most_seconds": max((record["seconds"] for record in records), default=0),
        "processor_seconds": round(sum(record["processor_seconds"] for record in records), 1),
        "most_mebibytes": max((record["mebibytes"] for record in records), default=0),
        "findings": findings,
    }


def small_files(folder: Path, largest: int) -> list[Path]:
    """Files of a folder, those with the same content once."""
    found = {}
    for file in sorted(folder.rglob("*")):
        is_video = file.is_file() and file.suffix not in {".csv", ".json", ".md", ".txt"}
        if is_video and 0 < file.stat().st_size <= largest:
            found.setdefault(file.read_bytes(), file)
    return list(found.values())


def main(given: list[str] | None = None) -> int:
    arguments = _arguments(given)
    import torch

    import vidattn.video.readers.pyav_reader
    import vidattn.video.readers.salvaging_reader  # noqa: F401 - imported before forking

    torch.set_num_threads(1)
    files = small_files(arguments.folder, arguments.largest)
    if not files:
        print(f"no file of at most {arguments.largest} bytes in {arguments.folder}")
        return 2
    records: list[dict[str, Any]] = []
    saved = time.monotonic()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        runner = Runner(arguments, files, Path(folder))
        if arguments.weigh:
            runner.weigh()
        for record in runner.records(arguments.first, arguments.count):
            records.append(record)
            if arguments.output and time.monotonic() - saved > 20:
                _write(arguments, records)
                saved = time.monotonic()
    found = _write(arguments, records)
    print(json.dumps({key: value for key, value in found.items() if key != "findings"}, indent=1))
    for finding in found["findings"]:
        print(json.dumps(finding))
    return 1 if found["hangs"] or found["untyped_errors"] else 0


def _write(arguments: argparse.Namespace, records: list[dict[str, Any]]) -> dict[str, Any]:
    found = {
        "seed": arguments.seed,
        "memory_mebibytes": arguments.memory,
        "seconds_allowed": arguments.seconds,
        **summary(records),
    }
    if arguments.output:
        temporary = arguments.output.with_suffix(".partial")
        temporary.write_text(json.dumps(found, indent=1) + "\n")
        temporary.replace(arguments.output)
    return found


def _status(field: str) -> int:
    """A figure in kibibytes that the system gives of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise KeyError(field)


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/fuzz_decoding.py videos/ --count 20000 --output fuzz.json",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="videos to damage, with those of its folders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000, help="cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--batch", type=int, default=25, help="cases a process reads")
    parser.add_argument("--memory", type=int, default=1024, help="MiB that a process may take")
    parser.add_argument("--seconds", type=float, default=60, help="a case that takes longer hangs")
    parser.add_argument("--largest", type=int, default=LARGEST_BYTES, help="bytes of a file")
    parser.add_argument("--weigh", action="store_true", help="read cheap files more often")
    parser.add_argument("--scratch", type=Path, help="folder for the damaged files")
    parser.add_argument("--keep", type=Path, help="folder for the files of findings")
    parser.add_argument("--output", type=Path, help="JSON file, written as the run goes on")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
