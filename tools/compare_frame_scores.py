"""Runs published scorers of frames and segments beside ours on random cases.

    python tools/compare_frame_scores.py --peer dsnet --checkout peers/DSNet --write

The scripts are taken function by function from a checkout, as they are. They were written for
NumPy 1, where a float32 number times a Python number is a float64 one; run this with NumPy 1 to
compare `dsnet` and `vsumm-reinforce`, which depend on it. `--write` stores the peer's figures of
the first cases, for tests that need no checkout.
"""

from __future__ import annotations

import argparse
import ast
import csv
import io
import json
import math
import subprocess
import sys
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vidattn.evaluation.metrics import classification, frame_labels, shots, summaries

FIXTURES = Path(__file__).parents[1] / "tests" / "evaluation" / "fixtures" / "frames"
STORED = 40
SEED = 20_240_501

Case = dict[str, Any]
Scorer = Callable[[Case], list[float]]


class LegacyNumpy:
    """NumPy with the aliases that it had before 1.24."""

    float, int, bool = float, int, bool

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def functions(path: Path, names: list[str], **namespace: Any) -> dict[str, Any]:
    """Functions and classes of a script, without running the rest of it."""
    source = path.read_text(encoding="utf-8").split("\ndef main()")[0].split("\nif __name__")[0]
    body = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names
    ]
    for node in body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
    module = ast.Module(body, [])
    found = {"np": LegacyNumpy(), "math": math, "xrange": range, **namespace}
    exec(compile(module, str(path), "exec"), found)
    return found


# --- frame labels -------------------------------------------------------------------------------


def label_case(generator: np.random.Generator) -> Case:
    def labels(length: int) -> np.ndarray:
        runs = generator.integers(1, max(2, length // generator.integers(1, 12)), 200)
        values = generator.integers(0, generator.integers(1, 6), 200)
        return np.repeat(values, runs)[:length]

    length = int(generator.integers(1, 150))
    truth = labels(length)
    predicted = truth.copy() if generator.random() < 0.1 else labels(length)
    return {"predicted": predicted, "truth": truth, "background": int(generator.integers(0, 3))}


def our_labels(case: Case) -> list[float]:
    predicted, truth, background = case["predicted"], case["truth"], [case["background"]]
    counts = frame_labels.segment_counts(predicted, truth, background=background)
    return [
        frame_labels.frame_accuracy(predicted, truth),
        frame_labels.edit_score(predicted, truth, background),
        *(frame_labels.segment_f1(count) for count in counts),
    ]


def load_tcn(checkout: Path) -> Scorer:
    names = ["segment_labels", "segment_intervals"]
    parts = types.SimpleNamespace(**functions(checkout / "code/utils.py", names))
    names = ["accuracy", "edit_score", "overlap_f1", "levenstein_"]
    peer = functions(checkout / "code/metrics.py", names, utils=parts)

    def theirs(case: Case) -> list[float]:
        pair, rest = (case["predicted"], case["truth"]), {"bg_class": case["background"]}
        found = [peer["accuracy"](*pair), peer["edit_score"](*pair, **rest)]
        for overlap in (0.1, 0.25, 0.5):
            found.append(peer["overlap_f1"](*pair, n_classes=64, overlap=overlap, **rest))
        return [value / 100 for value in found]

    return theirs


def our_label_counts(case: Case) -> list[float]:
    predicted, truth, background = case["predicted"], case["truth"], [case["background"]]
    counts = frame_labels.segment_counts(predicted, truth, background=background)
    edit = frame_labels.edit_score(predicted, truth, background)
    return [edit, *(number for count in counts for number in count)]


def load_ms_tcn(checkout: Path) -> Scorer:
    names = ["get_labels_start_end_time", "levenstein", "edit_score", "f_score"]
    peer = functions(checkout / "eval.py", names)

    def theirs(case: Case) -> list[float]:
        pair = (case["predicted"].tolist(), case["truth"].tolist())
        background = [case["background"]]
        found = [peer["edit_score"](*pair, bg_class=background) / 100]
        for overlap in (0.1, 0.25, 0.5):
            found.extend(peer["f_score"](*pair, overlap, bg_class=background))
        return found

    return theirs


# --- summaries ----------------------------------------------------------------------------------


def summary_case(generator: np.random.Generator) -> Case:
    lengths = generator.integers(1, 40, generator.integers(2, 25))
    ends = np.cumsum(lengths)
    frames = int(ends[-1])
    picks = np.arange(0, frames, 15)
    scores = generator.random(len(picks)).astype(np.float32).astype(np.float64)
    if generator.random() < 0.4:  # equal values, and hardly any
        scores = np.round(scores * generator.choice([0.0004, 1, 2, 4])) / 4
    people = generator.random((int(generator.integers(1, 6)), frames)) < generator.random()
    people[:, generator.integers(frames)] = True
    return {
        "scores": scores,
        "picks": picks,
        "shots": np.stack([ends - lengths, ends - 1], axis=1),
        "frames": frames + int(generator.integers(0, 3)),
        "people": people.astype(np.float64),
    }


def our_summary(convention: Any) -> Scorer:
    def ours(case: Case) -> list[float]:
        summary = summaries.key_shot_summary(
            case["scores"],
            picks=case["picks"],
            shots=case["shots"],
            frame_count=case["frames"],
            convention=convention,
        )
        each = summaries.summary_f1(summary, case["people"], convention=convention)
        places = np.flatnonzero(summary)
        return [float(each.mean()), float(each.max()), len(places), float(places.sum())]

    return ours


def _with_places(summary: np.ndarray, mean: float, highest: float) -> list[float]:
    places = np.flatnonzero(summary)
    return [float(mean), float(highest), len(places), float(places.sum())]


def load_pgl_sum(checkout: Path) -> Scorer:
    folder = checkout / "inference"
    knapsack = functions(folder / "knapsack_implementation.py", ["knapSack"])["knapSack"]
    generate = functions(folder / "generate_summary.py", ["generate_summary"], knapSack=knapsack)
    evaluate = functions(folder / "evaluation_metrics.py", ["evaluate_summary"])["evaluate_summary"]

    def theirs(case: Case) -> list[float]:
        summary = generate["generate_summary"](
            [case["shots"]], [case["scores"]], [case["frames"]], [case["picks"]]
        )[0]
        f1 = [evaluate(summary, case["people"], how) / 100 for how in ("avg", "max")]
        return _with_places(summary, *f1)

    return theirs


def load_dsnet(checkout: Path) -> Scorer:
    from ortools.algorithms.python import knapsack_solver as tools

    class Solver:
        """The names that OR-Tools' solver had when the script was written."""

        KNAPSACK_DYNAMIC_PROGRAMMING_SOLVER = tools.SolverType.KNAPSACK_DYNAMIC_PROGRAMMING_SOLVER

        def __init__(self, kind: Any, name: str) -> None:
            self.solver = tools.KnapsackSolver(kind, name)

        def Init(self, values: Any, weights: Any, capacities: Any) -> None:  # noqa: N802
            whole = [[int(value) for value in row] for row in weights]
            self.solver.init([int(value) for value in values], whole, capacities)

        def Solve(self) -> None:  # noqa: N802
            self.solver.solve()

        def BestSolutionContains(self, item: int) -> bool:  # noqa: N802
            return bool(self.solver.best_solution_contains(item))

    names = ["f1_score", "knapsack", "get_keyshot_summ", "get_summ_f1score"]
    path = checkout / "src/helpers/vsumm_helper.py"
    typing = {"Iterable": list, "List": list}
    peer = functions(path, names, KnapsackSolver=Solver, **typing)

    def theirs(case: Case) -> list[float]:
        lengths = case["shots"][:, 1] - case["shots"][:, 0] + 1
        summary = peer["get_keyshot_summ"](
            case["scores"], case["shots"], case["frames"], lengths, case["picks"]
        )
        f1 = [peer["get_summ_f1score"](summary, case["people"], how) for how in ("avg", "max")]
        return _with_places(summary, *f1)

    return theirs


def load_vsumm(checkout: Path) -> Scorer:
    knapsack = functions(checkout / "knapsack.py", ["knapsack_dp", "check_inputs"])["knapsack_dp"]
    names = ["generate_summary", "evaluate_summary"]
    peer = functions(checkout / "vsum_tools.py", names, knapsack_dp=knapsack)

    def theirs(case: Case) -> list[float]:
        lengths = (case["shots"][:, 1] - case["shots"][:, 0] + 1).tolist()
        summary = peer["generate_summary"](
            case["scores"], case["shots"], case["frames"], lengths, case["picks"]
        )
        f1 = [peer["evaluate_summary"](summary, case["people"], how)[0] for how in ("avg", "max")]
        return _with_places(summary, *f1)

    return theirs


def importance_case(generator: np.random.Generator) -> Case:
    frames = int(generator.integers(31, 600))
    people = generator.integers(
        1, generator.integers(3, 7), (int(generator.integers(1, 8)), frames)
    )
    people[:, 0], people[:, 15] = 1, 2  # a list of equal numbers has no rank correlation
    scores = generator.random(len(people[0, ::15]))
    if generator.random() < 0.5:
        scores = np.round(scores * generator.integers(2, 9))
        scores[0], scores[1] = 0, 1
    return {"scores": scores, "people": people}


def our_correlations(case: Case) -> list[float]:
    return list(summaries.importance_correlations(case["scores"], case["people"][:, ::15]))


def load_ca_sum(checkout: Path) -> Scorer:
    from scipy.stats import kendalltau, rankdata, spearmanr

    text = ""
    peer = functions(
        checkout / "inference/evaluation_metrics.py",
        ["get_corr_coeff"],
        open=lambda _: io.StringIO(text),
        csv=csv,
        Counter=Counter,
        spearmanr=spearmanr,
        kendalltau=kendalltau,
        rankdata=rankdata,
    )

    def theirs(case: Case) -> list[float]:
        nonlocal text
        text = "".join(f"v\tc\t{','.join(map(str, row))}\n" for row in case["people"].tolist())
        rho, tau = peer["get_corr_coeff"](case["scores"].tolist(), "video_1", "TVSum")
        return [float(tau), float(rho)]

    return theirs


# --- shots --------------------------------------------------------------------------------------


def frame_score_case(generator: np.random.Generator) -> Case:
    frames = int(generator.integers(1, 300))
    rate = generator.choice([0.02, 0.1, 0.5])
    scores = [
        np.where(generator.random(frames) < rate, generator.random(frames), 0.0) for _ in range(2)
    ]
    if generator.random() < 0.3:
        scores[1] = np.roll(scores[0], int(generator.integers(-2, 3)))
    return {"predicted": scores[0], "truth": scores[1], "tolerance": int(generator.integers(0, 5))}


def our_overlaps(case: Case) -> list[float]:
    found = [shots.transitions_from_scores(case[name], 0.3) for name in ("predicted", "truth")]
    counts = shots.overlapping_transitions(*found, tolerance_frames=case["tolerance"])
    return [*map(float, counts), counts.precision, counts.recall, counts.f1]


def load_transnet(path: str) -> Callable[[Path], Scorer]:
    def load(checkout: Path) -> Scorer:
        peer = functions(checkout / path, ["predictions_to_scenes", "evaluate_scenes"])

        def theirs(case: Case) -> list[float]:
            found = [
                peer["predictions_to_scenes"]((case[name] > 0.3).astype(np.uint8))
                for name in ("truth", "predicted")
            ]
            *figures, (hit, wrong, missed) = peer["evaluate_scenes"](
                *found, n_frames_miss_tolerance=case["tolerance"]
            )
            return [float(hit), float(wrong), float(missed), *map(float, figures)]

        return theirs

    return load


def cut_case(generator: np.random.Generator) -> Case:
    frames = int(generator.integers(20, 400))
    count = generator.integers(0, 25, 3)
    spans = np.sort(generator.integers(0, frames, (count[2] // 4, 2)), axis=1)
    spans = np.minimum(spans, spans[:, :1] + 20)
    if len(spans) and generator.random() < 0.2:
        spans = np.concatenate([spans, spans[:1]])
    return {
        "predicted": generator.integers(0, frames, count[0]),
        "truth": generator.integers(0, frames, count[1]),
        "spans": spans,
        "tolerance": int(generator.integers(0, 6)),
    }


def our_cuts(case: Case) -> list[float]:
    gradual, inside = shots.cuts_in_spans(case["predicted"], case["spans"])
    found = shots.nearest_cuts(
        case["predicted"][~inside], case["truth"], tolerance_frames=case["tolerance"]
    )
    return [*map(float, gradual), *map(float, found.counts), float(found.distance_frames)]


def load_pyscenedetect(checkout: Path) -> Scorer:
    peer = types.ModuleType("peer_evaluator")
    sys.modules[peer.__name__] = peer
    source = (checkout / "benchmark/evaluator.py").read_text(encoding="utf-8")
    exec(compile(source, "evaluator.py", "exec"), peer.__dict__)

    def theirs(case: Case) -> list[float]:
        spans = [peer.EventInterval(*span) for span in case["spans"].tolist()]
        truth = peer.GroundTruth(case["truth"].tolist(), spans)
        found = peer.score_video(case["predicted"].tolist(), truth, case["tolerance"], 0.0)
        counts = [
            [kind.matched, kind.false_positives, kind.missed]
            for kind in (found.fades, found.hard_cuts)
        ]
        return [*map(float, counts[0] + counts[1]), found.hard_offset[0]]

    return theirs


# --- recognition --------------------------------------------------------------------------------


def class_case(generator: np.random.Generator) -> Case:
    videos, classes = int(generator.integers(1, 60)), int(generator.integers(2, 12))
    scores = generator.random((videos, classes))
    if generator.random() < 0.3:
        scores = np.round(scores * 5) / 5
    targets = (generator.random((videos, classes)) < 0.3).astype(np.int64)
    targets[generator.integers(videos)] = 1
    labels = generator.integers(0, int(generator.integers(1, classes + 1)), videos)
    return {"scores": scores, "labels": labels, "targets": targets}


def our_classes(case: Case) -> list[float]:
    scores, labels = case["scores"], case["labels"]
    table = classification.confusion_matrix(scores.argmax(axis=1), labels, scores.shape[1])
    recall = np.nan_to_num(classification.class_accuracies(table))
    some = (table.sum(axis=0) + table.sum(axis=1)) > 0
    ahead = classification.true_class_ranks(scores, labels)
    return [
        float((ahead < 1).mean()),
        float((ahead < 5).mean()),
        float(recall[some].mean()),
        classification.mean_average_precision(scores, case["targets"]),
    ]


class StableNumpy(LegacyNumpy):
    """Ranks the lower class number higher among equals, where NumPy leaves it open."""

    @staticmethod
    def argsort(values: Any, axis: int = -1, kind: str | None = None) -> Any:
        if kind:
            return np.argsort(values, axis=axis, kind=kind)
        return np.argsort(-np.asarray(values), axis=axis, kind="stable")[..., ::-1]


def load_mmaction2(checkout: Path) -> Scorer:
    names = [
        "top_k_accuracy",
        "mean_class_accuracy",
        "confusion_matrix",
        "mean_average_precision",
        "binary_precision_recall_curve",
    ]
    peer = functions(checkout / "mmaction/evaluation/functional/accuracy.py", names)
    peer["np"] = StableNumpy()

    def theirs(case: Case) -> list[float]:
        scores, labels = list(case["scores"]), case["labels"].tolist()
        return [
            *map(float, peer["top_k_accuracy"](scores, labels, (1, 5))),
            float(peer["mean_class_accuracy"](scores, labels)),
            float(peer["mean_average_precision"](scores, list(case["targets"]))),
        ]

    return theirs


PEERS: dict[str, tuple[Callable[[np.random.Generator], Case], Scorer, Callable[[Path], Scorer]]] = {
    "tcn": (label_case, our_labels, load_tcn),
    "ms-tcn": (label_case, our_label_counts, load_ms_tcn),
    "pgl-sum": (summary_case, our_summary("pgl-sum"), load_pgl_sum),
    "ca-sum": (importance_case, our_correlations, load_ca_sum),
    "ca-sum-f1": (summary_case, our_summary("pgl-sum"), load_pgl_sum),
    "dsnet": (summary_case, our_summary("dsnet"), load_dsnet),
    "vsumm-reinforce": (summary_case, our_summary("vsumm-reinforce"), load_vsumm),
    "transnet": (frame_score_case, our_overlaps, load_transnet("training/metrics_utils.py")),
    "autoshot": (frame_score_case, our_overlaps, load_transnet("utils.py")),
    "pyscenedetect": (cut_case, our_cuts, load_pyscenedetect),
    "mmaction2": (class_case, our_classes, load_mmaction2),
}


def case_of(peer: str, seed: int, number: int) -> Case:
    """The same case on every machine."""
    return PEERS[peer][0](np.random.default_rng([seed, number]))


def compare(peer: str, checkout: Path, cases: int, seed: int) -> dict[str, Any]:
    """The largest difference, and how often the peer has no figure."""
    _, ours, load = PEERS[peer]
    theirs = load(checkout)
    highest, undefined, stored = 0.0, 0, []
    for number in range(cases):
        case = case_of(peer, seed, number)
        try:
            with np.errstate(all="ignore"):
                wanted = [float(value) for value in theirs(case)]
        except (ValueError, ZeroDivisionError, AssertionError):
            wanted = [math.nan]
        got = ours(case)
        if number < STORED:
            stored.append([None if math.isnan(value) else value for value in wanted])
        if any(math.isnan(value) for value in wanted):
            undefined += 1
            continue
        apart = max(abs(a - b) for a, b in zip(got, wanted, strict=True))
        if apart > 1e-9 and apart > highest:
            print(f"case {number}: ours {got}, theirs {wanted}", file=sys.stderr)
        highest = max(highest, apart)
    return {
        "peer": peer,
        "seed": seed,
        "cases": cases,
        "undefined_there": undefined,
        "largest_difference": highest,
        "numpy": np.__version__,
        "figures": stored,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", required=True, choices=sorted(PEERS))
    parser.add_argument("--checkout", required=True, type=Path)
    parser.add_argument("--commit", help="where the checkout has no .git")
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    found = compare(given.peer, given.checkout, given.cases, given.seed)
    print({key: value for key, value in found.items() if key != "figures"}, flush=True)
    if given.write:
        commit = given.commit or subprocess.check_output(
            ["git", "-C", str(given.checkout), "rev-parse", "HEAD"], text=True
        )
        FIXTURES.mkdir(parents=True, exist_ok=True)
        path = FIXTURES / f"{given.peer}.json"
        record = json.dumps({"commit": commit.strip(), **found})
        path.write_text(record + "\n", encoding="utf-8")
    return int(found["largest_difference"] > 1e-9)


if __name__ == "__main__":
    sys.exit(main())
