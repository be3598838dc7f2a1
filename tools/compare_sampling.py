"""Whether our test clips have the frames that other projects' own code gives them."""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.errors import TooShortError
from vidattn.sampling import views as ours
from vidattn.sampling.views import ClipShape

FIXTURE = Path(__file__).parents[1] / "tests/sampling/fixtures/peer_indices.json"
SEED = 20240917
CASES = 10_000
RATES = (7.5, 10.0, 12.0, 15.0, 23.976, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0)

Case = tuple[int, float, ClipShape]


@dataclass(frozen=True)
class Convention:
    """One index function, whose code it is held against, and the settings that both have.

    Attributes:
        views: to draw from.
        target_fps: to draw from.
        frames, stride: least and greatest.
    """

    peer: str
    function: Callable[[int, float, ClipShape], np.ndarray]
    peers: str
    views: tuple[int, ...]
    target_fps: tuple[float | None, ...] = (None,)
    frames: tuple[int, int] = (2, 64)
    stride: tuple[int, int] = (1, 32)
    options: tuple[tuple[str, bool], ...] = ()


SEVERAL = (1, 2, 3, 4, 5, 7, 10, 12)

CONVENTIONS = {
    "pyslowfast": Convention(
        "pyslowfast", ours.pyslowfast_views, "pyslowfast_views", SEVERAL, (30, 30, 25, 15)
    ),
    "pyslowfast-offset": Convention(
        "pyslowfast",
        ours.pyslowfast_offset_views,
        "pyslowfast_views",
        SEVERAL,
        (30, 30, 25, 15),
        options=(("offset", True),),
    ),
    "pyslowfast-something": Convention("pyslowfast", ours.something_views, "something_views", (1,)),
    "mmaction2": Convention(
        "mmaction2", ours.mmaction2_views, "mmaction2_views", SEVERAL, frames=(1, 64)
    ),
    "mmaction2-aligned": Convention(
        "mmaction2",
        ours.mmaction2_aligned_views,
        "mmaction2_views",
        SEVERAL,
        (30, 30, 25, 15),
        frames=(1, 64),
    ),
    "mmaction2-single": Convention(
        "mmaction2", ours.tsm_views, "mmaction2_single_frames", (1, 2), frames=(1, 64)
    ),
    "mmaction2-dense": Convention("mmaction2", ours.tsm_dense_views, "mmaction2_dense", SEVERAL),
    "mmaction2-spread": Convention(
        "mmaction2", ours.mmaction2_spread_views, "mmaction2_spread_views", SEVERAL, frames=(1, 64)
    ),
    "tsm": Convention("tsm", ours.tsm_views, "tsm_views", (1, 2), frames=(1, 64)),
    "tsm-dense": Convention(
        "tsm", ours.tsm_dense_views, "tsm_views", (10,), options=(("dense", True),)
    ),
    "timesformer": Convention(
        "timesformer", ours.timesformer_views, "timesformer_views", SEVERAL, (30, 30, 25, 15)
    ),
    "swin": Convention("swin", ours.swin_views, "swin_views", SEVERAL, frames=(1, 64)),
    "videomae": Convention("videomae", ours.videomae_views, "videomae_views", SEVERAL[1:]),
    "videomae-something": Convention(
        "videomae",
        ours.videomae_something_views,
        "videomae_views",
        (2,),
        options=(("something", True),),
    ),
    "torchvision": Convention(
        "torchvision",
        ours.torchvision_views,
        "torchvision_views",
        SEVERAL,
        (15, 15, 7.5, None, 30),
        stride=(1, 1),
    ),
}


def cases(name: str, seed: int, count: int) -> Iterator[Case]:
    """Random videos and settings; a third of the videos are short."""
    convention = CONVENTIONS[name]
    generator = random.Random(f"{seed} {name}")

    def between(least: int, greatest: int) -> int:
        return least + int(generator.random() * (greatest - least + 1))

    def among(values: tuple[Any, ...]) -> Any:
        return values[int(generator.random() * len(values))]

    for _ in range(count):
        frame_count = between(1, among((90, 400, 400, 3000, 20_000)))
        fps = among((*RATES, 5 + 90 * generator.random()))
        shape = ClipShape(
            frames=between(*convention.frames),
            stride=between(*convention.stride),
            views=among(convention.views),
            target_fps=among(convention.target_fps),
        )
        yield frame_count, fps, shape


def indices(name: str, case: Case) -> np.ndarray | None:
    """Ours; None where a video is too short."""
    try:
        return CONVENTIONS[name].function(*case)
    except TooShortError:
        return None


def digest(results: Iterator[np.ndarray | None] | list[np.ndarray | None]) -> str:
    """SHA-256 of shapes and numbers, in order."""
    whole = hashlib.sha256()
    for result in results:
        if result is None:
            whole.update(b"none")
        else:
            whole.update(repr(result.shape).encode() + result.astype("<i8").tobytes())
    return whole.hexdigest()


def compare(name: str, checkout: Path, count: int) -> dict[str, Any]:
    """Run the peer beside ours; the first differences are printed."""
    import sampling_peers as peers

    convention = CONVENTIONS[name]
    peer = getattr(peers, convention.peers)(checkout, **dict(convention.options))
    drawn = list(cases(name, SEED, count))
    theirs = [peer(*case) for case in drawn]
    differences = 0
    for case, expected in zip(drawn, theirs, strict=True):
        found = indices(name, case)
        if (expected is None) is (found is None) and np.array_equal(found, expected):
            continue
        differences += 1
        if differences <= 3:
            print(f"{name}: {case}\n  expected {_short(expected)}\n  got      {_short(found)}")
    return {
        "peer": convention.peer,
        "commit": peers.commit_of(checkout),
        "seed": SEED,
        "cases": count,
        "too_short": sum(result is None for result in theirs),
        "differences": differences,
        "sha256": digest(theirs),
    }


def _short(result: np.ndarray | None) -> str:
    return "none" if result is None else " | ".join(str(row[:8].tolist()) for row in result[:4])


def main() -> int:
    arguments = _arguments()
    found = json.loads(FIXTURE.read_text()) if FIXTURE.exists() else {}
    names = [name for name, one in CONVENTIONS.items() if one.peer == arguments.peer]
    for name in names:
        found[name] = compare(name, arguments.checkout, arguments.cases)
        print(f"{name}: {found[name]['differences']} differences in {arguments.cases} cases")
    if arguments.write:
        FIXTURE.parent.mkdir(exist_ok=True)
        FIXTURE.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    return min(sum(found[name]["differences"] for name in names), 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/compare_sampling.py --peer mmaction2 --checkout ../mmaction2",
    )
    parser.add_argument(
        "--peer", required=True, choices=sorted({one.peer for one in CONVENTIONS.values()})
    )
    parser.add_argument(
        "--checkout",
        type=Path,
        required=True,
        help="the peer's repository; for torchvision the folder of the package",
    )
    parser.add_argument("--cases", type=int, default=CASES, help="(default: %(default)s)")
    parser.add_argument(
        "--write", action="store_true", help="keep the digests of the peer's output for the tests"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
