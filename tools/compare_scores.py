"""Scores random files with a published scorer and with ours, and keeps the scorer's values.

The values go to a fixture with the seeds and the scorer's commit, so that the tests compare ours
without the scorer.

    python tools/compare_scores.py --peer ava-official --checkout ActivityNet --commit 82304fa
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import score_cases
import score_peers
from score_peers import numbers

from vidattn.evaluation import score

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "evaluation" / "fixtures"


@dataclass(frozen=True)
class Comparison:
    """One scorer, the cases for it, and how ours is asked for the same.

    Attributes:
        repository: where it is published.
        load: checkout -> function of a case's files.
        case: seed, folder -> files by name.
        ours: files by name -> the same dictionary that the scorer's function gives.
    """

    repository: str
    load: Callable[[Path], score_peers.Peer]
    case: Callable[[int, Path], dict[str, Path]]
    ours: score_peers.Peer


def main() -> int:
    arguments = _arguments()
    comparison = COMPARISONS[arguments.peer]
    peer = comparison.load(arguments.checkout)
    theirs, worst, worst_seed = [], 0.0, -1
    started = time.monotonic()
    for seed in range(arguments.cases):
        with tempfile.TemporaryDirectory() as folder:
            files = comparison.case(seed, Path(folder))
            expected, found = numbers(peer(files)), numbers(comparison.ours(files))
        theirs.append(expected)
        apart = difference(expected, found)
        if apart > worst:
            worst, worst_seed = apart, seed
        if apart > arguments.tolerance:
            print(f"seed {seed}: {expected} against ours {found}", file=sys.stderr)
    seconds = time.monotonic() - started
    print(
        f"{arguments.peer}: {arguments.cases} cases, {seconds:.0f} s, largest difference {worst}"
        + (f" (seed {worst_seed})" if worst else "")
    )
    if worst > arguments.tolerance:
        return 1
    if not arguments.no_fixture:
        write_fixture(arguments.peer, comparison.repository, arguments.commit, theirs)
    return 0


def difference(first: list[float | None], second: list[float | None]) -> float:
    """Largest difference of two lists of figures; infinite where only one has none."""
    apart = 0.0
    for own, other in zip(first, second, strict=True):
        if own is None or other is None:
            apart = max(apart, 0.0 if own is other else float("inf"))
        else:
            apart = max(apart, abs(own - other))
    return apart


def write_fixture(peer: str, repository: str, commit: str, values: list[Any]) -> None:
    """Keep a scorer's values, one case a line."""
    FIXTURES.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(value) for value in values)
    head = json.dumps({"peer": peer, "repository": repository, "commit": commit, "first_seed": 0})
    text = f'{head[:-1]}, "values": [\n{lines}\n]}}\n'
    (FIXTURES / f"{peer}.json").write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, choices=sorted(COMPARISONS))
    parser.add_argument("--checkout", type=Path, required=True, help="the scorer's repository")
    parser.add_argument("--commit", default="unknown", help="of the checkout, for the fixture")
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--tolerance", type=float, default=1e-9)
    parser.add_argument("--no-fixture", action="store_true", help="only compare")
    return parser.parse_args()


def _detection(protocol: str) -> score_peers.Peer:
    def ours(case: dict[str, Path]) -> dict[str, float]:
        excluded = None if protocol == "official" else case["excluded"]
        found = score(
            "detection",
            case["predictions"],
            case["truth"],
            protocol=protocol,
            labels=case["labels"],
            excluded=excluded,
            unlisted="skip",
        )
        classes = {name: own["average_precision"] for name, own in found.classes.items()}
        if protocol == "mmaction2":
            classes = {name: v for name, v in classes.items() if found.classes[name]["predictions"]}
        return {"mean": found.figures["mAP@0.5"], **classes}

    return ours


def _localisation(protocol: str) -> score_peers.Peer:
    def ours(case: dict[str, Path]) -> dict[str, float]:
        found = score("localisation", case["predictions"], case["truth"], protocol=protocol)
        classes = {name: own["average_precision"] for name, own in found.classes.items()}
        return {"mean": found.figures["average_mAP"], **classes}

    return ours


def _untrimmed(case: dict[str, Path]) -> dict[str, float]:
    found = score("untrimmed", case["predictions"], case["truth"])
    classes = {name: own["average_precision"] for name, own in found.classes.items()}
    hits = {"~hit": found.figures["hit@3"], "~share": found.figures["average_hit@3"]}
    return {"mean": found.figures["mAP"], **classes, **hits}


def _proposals(protocol: str) -> score_peers.Peer:
    def ours(case: dict[str, Path]) -> dict[str, float]:
        found = score("proposals", case["predictions"], case["truth"], protocol=protocol).figures
        points = {f"AR@{count:03d}": found[f"AR@{count}"] for count in (1, 5, 10, 100)}
        return {"mean": found["AUC"], **points}

    return ours


def _boxes(protocol: str) -> score_peers.Peer:
    def ours(case: dict[str, Path]) -> dict[str, float]:
        found = score(
            "boxes", case["predictions"], case["truth"], protocol=protocol, unlisted="skip"
        )
        if protocol == "coco":
            return {"mean": found.figures["AP"], **found.figures}
        known = {name: own for name, own in found.classes.items() if own["truth"]}
        classes = {name: own["average_precision"] for name, own in known.items()}
        return {"mean": found.figures["mAP@0.5"], **classes}

    return ours


def _padilla(method: str) -> Callable[[Path], score_peers.Peer]:
    return lambda checkout: score_peers.padilla(checkout, method)


def _box_case(protocol: str) -> Callable[[int, Path], dict[str, Path]]:
    return lambda seed, folder: score_cases.box_case(seed, folder, protocol)


def _segments(protocol: str) -> Callable[[int, Path], dict[str, Path]]:
    return lambda seed, folder: score_cases.segment_case(seed, folder, protocol)


def _ava(protocol: str) -> Callable[[int, Path], dict[str, Path]]:
    return lambda seed, folder: score_cases.ava_case(seed, folder, protocol)


COMPARISONS = {
    "boxes-coco": Comparison(
        "ppwwyyxx/cocoapi", score_peers.pycocotools, _box_case("coco"), _boxes("coco")
    ),
    "boxes-voc": Comparison(
        "rafaelpadilla/Object-Detection-Metrics",
        _padilla("EveryPointInterpolation"),
        _box_case("voc"),
        _boxes("voc"),
    ),
    "boxes-voc-11-point": Comparison(
        "rafaelpadilla/Object-Detection-Metrics",
        _padilla("ElevenPointInterpolation"),
        _box_case("voc-11-point"),
        _boxes("voc-11-point"),
    ),
    "activitynet-classification": Comparison(
        "activitynet/ActivityNet",
        score_peers.activitynet_classification,
        _segments("official"),
        _untrimmed,
    ),
    "activitynet-detection": Comparison(
        "activitynet/ActivityNet",
        score_peers.activitynet_detection,
        _segments("official"),
        _localisation("official"),
    ),
    "activitynet-proposals": Comparison(
        "activitynet/ActivityNet",
        score_peers.activitynet_proposals,
        _segments("official"),
        _proposals("official"),
    ),
    "opentad-detection": Comparison(
        "sming256/OpenTAD",
        score_peers.opentad_detection,
        _segments("opentad"),
        _localisation("opentad"),
    ),
    "opentad-proposals": Comparison(
        "sming256/OpenTAD",
        score_peers.opentad_proposals,
        _segments("opentad"),
        _proposals("opentad"),
    ),
    "ava-official": Comparison(
        "activitynet/ActivityNet",
        score_peers.ava_official,
        _ava("official"),
        _detection("official"),
    ),
    "ava-pyslowfast": Comparison(
        "facebookresearch/SlowFast",
        score_peers.ava_pyslowfast,
        _ava("pyslowfast"),
        _detection("pyslowfast"),
    ),
    "ava-mmaction2": Comparison(
        "open-mmlab/mmaction2",
        score_peers.ava_mmaction2,
        _ava("mmaction2"),
        _detection("mmaction2"),
    ),
}


if __name__ == "__main__":
    sys.exit(main())
