"""What key frames cost, beside the tools that people use for them now.

    python tools/bench/keyframes_speed.py a.mp4 --peers ../venv-p/bin/python --output speed.json

PySceneDetect writes pictures of every scene (detect-adaptive, save-images). The others are asked
for as many pictures: `vidattn keyframes`, the same with `--fast`, katna, and three FFmpeg
one-liners. All write JPEG. The contestants take turns in every round.

CPU seconds are user and system time of a process and of all that it starts. A film of one second
tells what starting costs; that is printed apart, and is part of the other figures too. Wall-clock
times mean something only on a machine that does nothing else. `--peers` is a Python that has
scenedetect and katna; without it they are left out, and `--count` says how many pictures are
wanted.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from processes import Cost, adopt_orphans, measured

from vidattn import open_video
from vidattn.files import write_json
from vidattn.video import VideoWriter

PYSCENEDETECT, KATNA = "PySceneDetect", "katna"
_KATNA = """
import sys
from Katna.video import Video
from Katna.writer import KeyFrameDiskWriter
if __name__ == "__main__":
    film, folder, count = sys.argv[1:]
    writer = KeyFrameDiskWriter(location=folder)
    Video().extract_video_keyframes(no_of_frames=int(count), file_path=film, writer=writer)
"""
_PICTURES = {".jpg", ".jpeg"}
TITLES = (
    "film | contestant | pictures | start-up CPU s | CPU s | wall s | MB | "
    "of PySceneDetect's CPU s | of katna's"
)


@dataclass(frozen=True)
class Run(Cost):
    """One run of one contestant.

    Attributes:
        pictures: how many it wrote.
    """

    pictures: int


def command_of(name: str, film: Path, folder: Path, count: int, peers: Path | None) -> list[str]:
    """The command line of a contestant."""
    ours = [str(Path(sys.executable).with_name("vidattn")), "keyframes", str(film)]
    ours += ["--output", str(folder), "--count", str(count), "--format", "jpeg"]
    scenes = ["-m", "scenedetect", "-q", "-i", str(film), "-o", str(folder), "detect-adaptive"]
    pictures = ["-q:v", "3", str(folder / "%06d.jpg")]
    with open_video(film) as reader:
        every = max(2, len(reader) // count)
    return {
        "vidattn": ours,
        "vidattn --fast": [*ours, "--fast"],
        PYSCENEDETECT: [str(peers), *scenes, "save-images", "-n", "1"],
        KATNA: [str(peers), "-c", _KATNA, str(film), str(folder), str(count)],
        "ffmpeg thumbnail": [*_ffmpeg(film), f"thumbnail={every}", *pictures],
        "ffmpeg select": [*_ffmpeg(film), r"select=gt(scene\,0.3)", *pictures],
        "ffmpeg intra frames": [*_ffmpeg(film, "-skip_frame", "nokey"), "null", *pictures],
    }[name]


def _ffmpeg(film: Path, *options: str) -> list[str]:
    start = ["ffmpeg", "-v", "error", "-y", *options, "-i", str(film)]
    return [*start, "-fps_mode", "vfr", "-vf"]


def once(name: str, film: Path, count: int, peers: Path | None) -> Run:
    """Run a contestant in a new folder."""
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "pictures"
        if not name.startswith("vidattn"):
            folder.mkdir()
        cost = measured(command_of(name, film, folder, count, peers))
        pictures = sum(
            path.suffix in _PICTURES and path.stem != "contact_sheet" for path in folder.rglob("*")
        )
        return Run(**vars(cost), pictures=pictures)


def one_second(path: Path) -> Path:
    """A film that costs nothing to look at."""
    with VideoWriter(path, fps=25, size=(48, 64)) as writer:
        for number in range(25):
            writer.write(np.full((48, 64, 3), 60 + 4 * number, np.uint8))
    return path


def contestants(peers: Path | None, left_out: Sequence[str]) -> list[str]:
    """Those that can run here; PySceneDetect first, since it says how many pictures."""
    names = [PYSCENEDETECT, "vidattn", "vidattn --fast", KATNA]
    names = [name for name in names if peers or name.startswith("vidattn")]
    if shutil.which("ffmpeg"):
        names += ["ffmpeg thumbnail", "ffmpeg select", "ffmpeg intra frames"]
    return [name for name in names if name not in left_out]


def rows_of(
    film: Path, runs: Mapping[str, Sequence[Run]], start_ups: Mapping[str, Run]
) -> list[dict[str, object]]:
    """What is printed of one film: medians, least and most."""
    rows: list[dict[str, object]] = []
    for name, own in runs.items():
        row: dict[str, object] = {"film": film.name, "contestant": name}
        row["pictures"] = own[0].pictures
        row["start_up_cpu_seconds"] = start_ups[name].cpu_seconds
        for measure in ("cpu_seconds", "wall_seconds", "memory_megabytes"):
            values = [getattr(run, measure) for run in own]
            row[measure] = [statistics.median(values), min(values), max(values)]
        for peer in (PYSCENEDETECT, KATNA):
            if peer in runs and peer != name:
                pairs = zip(own, runs[peer], strict=True)
                ratios = [run.cpu_seconds / other.cpu_seconds for run, other in pairs]
                row[f"cpu_ratio_to_{peer}"] = [statistics.median(ratios), min(ratios), max(ratios)]
        row["runs"] = [asdict(run) for run in own]
        rows.append(row)
    return rows


def in_words(row: Mapping[str, object]) -> str:
    """One line of the table."""

    def spread(key: str, digits: int) -> str:
        middle, least, most = row[key]  # type: ignore[misc]
        return f"{middle:.{digits}f} [{least:.{digits}f}, {most:.{digits}f}]"

    cells = [str(row["film"]), str(row["contestant"]), str(row["pictures"])]
    cells += [f"{row['start_up_cpu_seconds']:.2f}", spread("cpu_seconds", 2)]
    cells += [spread("wall_seconds", 2), spread("memory_megabytes", 0)]
    for peer in (PYSCENEDETECT, KATNA):
        key = f"cpu_ratio_to_{peer}"
        cells.append(spread(key, 3) if key in row else "")
    return " | ".join(cells)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--peers", type=Path, help="a Python that has scenedetect and katna")
    parser.add_argument("--count", type=int, help="pictures, in place of as many as PySceneDetect")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], help="contestants that are left out")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    if given.count is None and (given.peers is None or PYSCENEDETECT in given.without):
        parser.error("--count is needed where PySceneDetect does not run")
    adopt_orphans()
    names = contestants(given.peers, given.without)
    with tempfile.TemporaryDirectory() as folder:
        short = one_second(Path(folder) / "short.mp4")
        start_ups = {name: once(name, short, 1, given.peers) for name in names}
    print(TITLES)
    rows: list[dict[str, object]] = []
    for film in given.films:
        runs: dict[str, list[Run]] = {name: [] for name in names}
        count = given.count
        for _ in range(given.rounds):
            for name in names:
                runs[name].append(once(name, film, count or 1, given.peers))
                count = count or runs[name][0].pictures
        new = rows_of(film, runs, start_ups)
        print("\n".join(map(in_words, new)), flush=True)
        rows += new
    write_json(given.output, {"contestants": names, "rows": rows})


if __name__ == "__main__":
    main()
