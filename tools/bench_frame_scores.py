"""Times our scorers of frames and segments and the published ones on problems of full size.

    python tools/bench_frame_scores.py --checkouts peers --scale 1 --output runs/frames.json

`peers` holds the repositories by the names below; what is missing is passed over. Problems are
generated: at scale 1 the validation set of Kinetics-400 (19,881 videos), 1,712 Breakfast videos,
the 50 videos of TVSum, the 500 of ClipShots. Both start from arrays and take turns; CPU seconds are
counted, the least of the rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from compare_frame_scores import PEERS, Case

CHECKOUTS = {
    "tcn": "TemporalConvolutionalNetworks",
    "ms-tcn": "ms-tcn",
    "pgl-sum": "PGL-SUM",
    "ca-sum": "CA-SUM",
    "dsnet": "DSNet",
    "vsumm-reinforce": "pytorch-vsumm-reinforce",
    "transnet": "TransNetV2",
    "autoshot": "AutoShot",
    "pyscenedetect": "PySceneDetect",
    "mmaction2": "mmaction2",
}


def labelled_videos(generator: np.random.Generator, scale: float) -> list[Case]:
    """1,712 videos of 2,000 frames and about 10 segments."""
    cases = []
    for _ in range(max(1, round(1712 * scale))):
        pair = [
            np.repeat(generator.integers(0, 48, 60), generator.integers(20, 400, 60))[:2000]
            for _ in range(2)
        ]
        keep = generator.random(2000) < 0.7
        cases.append({"predicted": np.where(keep, *pair[::-1]), "truth": pair[1], "background": 0})
    for case in cases:  # noise in runs, as networks make it
        case["predicted"] = np.repeat(case["predicted"][::20], 20)
    return cases


def summarised_videos(generator: np.random.Generator, scale: float) -> list[Case]:
    """50 videos of about 7,000 frames, 20 people and shots of about 5 s."""
    cases = []
    for _ in range(max(1, round(50 * scale))):
        lengths = generator.integers(60, 240, 47)
        ends = np.cumsum(lengths)
        frames = int(ends[-1])
        picks = np.arange(0, frames, 15)
        people = np.repeat(generator.random((20, 47)) < 0.15, lengths, axis=1)
        people[:, 0] = True
        cases.append(
            {
                "scores": generator.random(len(picks)).astype(np.float32).astype(np.float64),
                "picks": picks,
                "shots": np.stack([ends - lengths, ends - 1], axis=1),
                "frames": frames,
                "people": people.astype(np.float64),
            }
        )
    return cases


def rated_videos(generator: np.random.Generator, scale: float) -> list[Case]:
    """50 videos of 7,000 frames, rated by 20 people from 1 to 5 for every 2 s."""
    cases = []
    for _ in range(max(1, round(50 * scale))):
        people = np.repeat(generator.integers(1, 6, (20, 117)), 60, axis=1)[:, :7000]
        cases.append({"scores": generator.random(-(-7000 // 15)), "people": people})
    return cases


def scored_frames(generator: np.random.Generator, scale: float) -> list[Case]:
    """500 videos of 5,000 frames with about 25 transitions."""
    cases = []
    for _ in range(max(1, round(500 * scale))):
        truth = (generator.random(5000) < 0.005).astype(float)
        predicted = np.roll(truth, 1) * (generator.random(5000) < 0.9)
        cases.append({"predicted": predicted, "truth": truth, "tolerance": 2})
    return cases


def cut_videos(generator: np.random.Generator, scale: float) -> list[Case]:
    """11 videos of an hour with 450 cuts, as BBC Planet Earth's, and gradual transitions."""
    cases = []
    for _ in range(max(1, round(11 * scale))):
        truth = np.sort(generator.integers(0, 75_000, 450))
        predicted = np.concatenate([truth[::2] + 1, generator.integers(0, 75_000, 200)])
        starts = generator.integers(0, 75_000, 50)
        spans = np.stack([starts, starts + 20], axis=1)
        cases.append({"predicted": predicted, "truth": truth, "spans": spans, "tolerance": 2})
    return cases


def recognised_videos(generator: np.random.Generator, scale: float) -> list[Case]:
    """19,881 videos, 400 classes."""
    videos = max(1, round(19_881 * scale))
    scores = generator.random((videos, 400))
    labels = generator.integers(0, 400, videos)
    targets = np.zeros((videos, 400), dtype=np.int64)
    targets[np.arange(videos), labels] = 1
    return [{"scores": scores, "labels": labels, "targets": targets}]


PROBLEMS: dict[str, Callable[[np.random.Generator, float], list[Case]]] = {
    "tcn": labelled_videos,
    "ms-tcn": labelled_videos,
    "pgl-sum": summarised_videos,
    "ca-sum": rated_videos,
    "dsnet": summarised_videos,
    "vsumm-reinforce": summarised_videos,
    "transnet": scored_frames,
    "autoshot": scored_frames,
    "pyscenedetect": cut_videos,
    "mmaction2": recognised_videos,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkouts", type=Path, required=True)
    parser.add_argument("--peers", nargs="*", choices=sorted(PROBLEMS))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    records = []
    print(f"{'peer':16} {'problems':>8} {'theirs, s':>10} {'ours, s':>9} {'ratio':>7} difference")
    for peer in given.peers or PROBLEMS:
        checkout = given.checkouts / CHECKOUTS[peer]
        if not checkout.is_dir():
            print(f"{peer:16} no checkout at {checkout}")
            continue
        record = measured(peer, checkout, given.scale, given.rounds)
        records.append(record)
        print(
            f"{peer:16} {record['problems']:8} {record['theirs_seconds']:10.3f} "
            f"{record['ours_seconds']:9.4f} {record['ratio']:7.1f} {record['difference']:.1e}",
            flush=True,
        )
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return 0


def measured(peer: str, checkout: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Least CPU seconds of both, and how far apart their figures are."""
    _, ours, load = PEERS[peer]
    scorers = {"ours": ours, "theirs": load(checkout)}
    cases = PROBLEMS[peer](np.random.default_rng(0), scale)
    seconds = {name: float("inf") for name in scorers}
    figures = {}
    for _ in range(rounds):
        for name, scorer in scorers.items():
            start = time.process_time()
            with np.errstate(all="ignore"):
                figures[name] = [scorer(case) for case in cases]
            seconds[name] = min(seconds[name], time.process_time() - start)
    apart = np.abs(np.array(figures["ours"]) - np.array(figures["theirs"])).max()
    return {
        "peer": peer,
        "problems": len(cases),
        "scale": scale,
        "ours_seconds": seconds["ours"],
        "theirs_seconds": seconds["theirs"],
        "ratio": seconds["theirs"] / seconds["ours"],
        "difference": float(apart),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    sys.exit(main())
