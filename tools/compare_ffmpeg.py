"""Where our frames are not those that the `ffmpeg` program writes, file by file, and why.

The program runs as a person runs it (`ffmpeg -i FILE -f framemd5 -`). Where its frames are not
ours, it runs again without the turning (`-noautorotate`), without dropping and repeating frames
to keep a rate (`-vsync passthrough`), and without rounding that is faster than the codec's own
(`-flags bitexact`); the first that agrees tells the reason.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

UPRIGHT = ["-noautorotate"]
EXACT = ["-flags", "bitexact"]
RATE = ["-vsync", "passthrough"]
SETTINGS = {
    "equal": [],
    "ffmpeg turns the picture": UPRIGHT,
    "ffmpeg drops or repeats frames": RATE,
    "ffmpeg rounds otherwise, for speed": EXACT,
    "ffmpeg turns the picture, and drops or repeats frames": [*UPRIGHT, *RATE],
}


def ours(file: Path) -> list[str]:
    """Digests of the decoded planes, in the order of the program's raw frames."""
    from vidattn.video import open_video

    with open_video(file) as reader:
        found = []
        for frame in reader.decoded_frames(range(len(reader))):
            found.append(_digest(frame))
            del frame
        return found


def _digest(frame: Any) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for number, plane in enumerate(frame.planes):
        parts = [part for part in frame.format.components if part.plane == number]
        bits = sum((part.bits + 7) // 8 * 8 for part in parts)
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        digest.update(lines[: plane.height, : plane.width * bits // 8].tobytes())
    return digest.hexdigest()


def program(file: Path, stream: int, settings: list[str], seconds: float) -> tuple[list[str], str]:
    """Digests that the program writes, and what it complained of."""
    before = [setting for setting in settings if setting in (*UPRIGHT, *EXACT)]
    after = [setting for setting in settings if setting in RATE]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", *before, "-i", str(file)]
    command += ["-map", f"0:{stream}", *after, "-f", "framemd5", "-"]
    found = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False
    )
    lines = [line for line in found.stdout.splitlines() if line and not line.startswith("#")]
    complaint = found.stderr.strip().splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines], complaint[0] if complaint else ""


def compare(file: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from vidattn.errors import VideoError
    from vidattn.video import open_video

    try:
        with open_video(file) as reader:
            pixels = len(reader) * reader.size[0] * reader.size[1]
            stream = getattr(reader, "stream_index", 0)
        if pixels > arguments.largest:
            return {"outcome": "too large for this run"}
        expected = ours(file)
    except VideoError as error:
        found, complaint = program(file, 0, [], arguments.seconds)
        said = f"ours: {error.reason[:100]}; ffmpeg: {len(found)} frames {complaint[:100]}"
        return {"outcome": "ours raises", "detail": said}
    row: dict[str, Any] = {"frames": len(expected)}
    for outcome, settings in SETTINGS.items():
        found, complaint = program(file, stream, settings, arguments.seconds)
        if found == expected:
            return {"outcome": outcome, **row}
        row[f"ffmpeg {' '.join(settings) or 'as it is'}"] = len(found)
    same = sum(a == b for a, b in zip(found, expected, strict=False))
    return {"outcome": "other", **row, "same": same, "detail": complaint[:160]}


def main() -> int:
    arguments = _arguments()
    files = sorted(file for file in arguments.folder.rglob("*") if file.is_file())
    files = [file for file in files if file.suffix.lower() not in {".csv", ".json", ".txt", ".md"}]
    records = []
    for file in files:
        try:
            record = compare(file, arguments)
        except subprocess.TimeoutExpired:
            record = {"outcome": "ffmpeg takes too long"}
        records.append({"file": str(file.relative_to(arguments.folder)), **record})
        print(json.dumps(records[-1], ensure_ascii=False), flush=True)
    counts = Counter(record["outcome"] for record in records)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))
    if arguments.output:
        arguments.output.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/compare_ffmpeg.py videos/ --output compared.json",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="its files, and those of its folders")
    parser.add_argument("--seconds", type=float, default=300, help="limit for one run of ffmpeg")
    parser.add_argument(
        "--largest", type=int, default=10**9, help="pixels of all frames of a file together"
    )
    parser.add_argument("--output", type=Path, help="a JSON file with one record a file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
