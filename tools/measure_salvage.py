"""How often damage escapes: frames of damaged copies against those of the whole file.

Each copy has one place of damage within its compressed pictures: a flipped bit, or 64 bytes of
noise. A frame that is not the original's and yet called valid has *escaped*; one that is the
original's and called invalid is *wasted*.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import av

KINDS = ("bit", "burst")


def damaged(
    data: bytes, spans: list[tuple[int, int]], kind: str, generator: random.Random
) -> bytes:
    """A copy with one damage inside one of the packets, larger ones being hit more often."""
    start, size = generator.choices(spans, [size for _, size in spans])[0]
    copy, place = bytearray(data), start + generator.randrange(size)
    if kind == "bit":
        copy[place] ^= 1 << generator.randrange(8)
    else:
        length = min(64, len(copy) - place)
        copy[place : place + length] = generator.randbytes(length)
    return bytes(copy)


def pictures(path: Path, *, salvage: bool) -> dict[float, tuple[bytes, bool]]:
    """Time -> (pixels, whether valid) of every frame, small."""
    from vidattn.video import open_video

    found = {}
    with open_video(path, salvage=salvage) as reader:
        for index in range(len(reader)):
            frames = reader.frames_at([index])
            time = round(float(frames.seconds[0]), 4)
            found[time] = (frames.pixels.numpy().tobytes(), bool(frames.valid[0]))
    return found


def measure(path: Path, kind: str, copies: int, folder: Path) -> dict[str, Any]:
    """Counts over `copies` damaged copies of one file."""
    from vidattn.errors import VideoError

    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        spans = [(packet.pos, packet.size) for packet in packets if packet.pos is not None]
    whole, data = pictures(path, salvage=False), path.read_bytes()
    counts = dict.fromkeys(("differ", "escaped", "equal", "wasted", "unreadable"), 0)
    copies_with_escapes = 0
    for number in range(copies):
        target = folder / f"copy{path.suffix}"
        target.write_bytes(damaged(data, spans, kind, random.Random(f"{path.name}{kind}{number}")))
        try:
            found = pictures(target, salvage=True)
        except VideoError:
            counts["unreadable"] += 1
            continue
        escaped = 0
        for time, (pixels, valid) in found.items():
            equal = time in whole and whole[time][0] == pixels
            counts["equal" if equal else "differ"] += 1
            counts["wasted"] += equal and not valid
            escaped += valid and not equal
        counts["escaped"] += escaped
        copies_with_escapes += escaped > 0
    return {
        "file": path.name,
        "kind": kind,
        "copies": copies,
        "copies_with_escapes": copies_with_escapes,
        **counts,
        "escaped_share": round(counts["escaped"] / max(counts["differ"], 1), 3),
        "wasted_share": round(counts["wasted"] / max(counts["equal"], 1), 3),
    }


def main() -> int:
    arguments = _arguments()
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.files:
            for kind in KINDS:
                records.append(measure(path, kind, arguments.copies, Path(folder)))
                print(json.dumps(records[-1]), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(records, indent=1) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/measure_salvage.py clips/*.mp4 --copies 50",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--copies", type=int, default=50, help="of each kind and file")
    parser.add_argument("--output", type=Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
