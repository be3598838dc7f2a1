"""Whether key frames cover films that show the same scenes again and again.

    python tools/bench/keyframe_gaps.py films/*.mp4 --times 8 --output runs/gaps.json

Each film is repeated without encoding it again. The figure is the longest time without a key frame
(also before the first one and behind the last) × the number of key frames ÷ the duration: 1 for
frames at even distances, nearly.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

import vidattn
from vidattn import open_video, selection
from vidattn.files import write_json

COUNTS = (4, 8, 12, 20, 40)


def repeat(film: Path, times: int, folder: Path) -> Path:
    """The film so many times over, its packets copied."""
    target = folder / f"{film.stem}.mp4"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-stream_loop", str(times - 1)]
    command += ["-i", str(film.resolve()), "-an", "-c", "copy", str(target)]
    subprocess.run(command, check=True)
    return target


def largest_gap(seconds: Sequence[float] | NDArray[np.float64], duration: float) -> float:
    """In units of the duration ÷ the number of frames."""
    edges = np.concatenate([[0.0], np.sort(seconds), [duration]])
    return float(np.diff(edges).max()) * len(seconds) / duration


def rows(film: Path) -> Iterator[dict[str, Any]]:
    """A row for each count and contestant."""
    with open_video(film) as reader:
        seconds = reader.frame_times.seconds - reader.frame_times.seconds[0]
        chunks = [each.array for each in reader.chunks(frames_at_once=64, short_side=64)]
        duration, (positions, gap) = reader.duration_seconds, reader.frame_times.apart(0.5)
    sketch = selection.sketch_frames(chunks)
    difference = selection.difference_scores(chunks)
    gaps: dict[str, Any] = {"minimum_gap": gap, "positions": positions}
    for count in COUNTS:
        own = {
            name: [each.frame_index for each in found.frames]
            for name, found in (
                ("default", vidattn.extract_keyframes(film, count=count)),
                ("--fast", vidattn.extract_keyframes(film, count=count, fast=True)),
            )
        }
        own["coverage"] = selection.cover_frames(sketch, count, **gaps).tolist()
        own["difference"] = selection.select_frames(difference, count, **gaps).tolist()
        own["uniform"] = selection.uniform_frames(len(seconds), count).tolist()
        random = selection.random_frames(len(seconds), count, np.random.default_rng(count))
        own["random"] = random.tolist()
        for name, frames in own.items():
            found = largest_gap(seconds[frames], duration)
            yield {"film": film.name, "count": count, "contestant": name, "largest_gap": found}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--times", type=int, default=8, help="repetitions (default: 8)")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [
            row for film in given.films for row in rows(repeat(film, given.times, Path(folder)))
        ]
    write_json(given.output, {"times": given.times, "rows": found})
    table = Table(f"{len(given.films)} films", *map(str, COUNTS), box=box.MARKDOWN)
    for name in dict.fromkeys(row["contestant"] for row in found):
        own = [row for row in found if row["contestant"] == name]
        worst = [max(r["largest_gap"] for r in own if r["count"] == count) for count in COUNTS]
        table.add_row(name, *(f"{each:.2f}" for each in worst))
    Console().print(table)
    print("the worst film's largest gap × count ÷ duration, by the number of key frames")


if __name__ == "__main__":
    main()
