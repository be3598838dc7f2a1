"""Runs published scorers from a checkout, as they are but for two things.

What Python 3 and today's NumPy no longer have is spelled as they have it, and sorts are stable, so
that results with ties are the same on every machine.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import re
import shutil
import sys
import tempfile
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

# (pattern, replacement), line by line.
_SPELLING = (
    (r"^(\s*)print\s+'.*$", r"\1pass"),
    (r"^import urllib2$", ""),
    (r"^from joblib import Parallel, delayed$", ""),
    (r"\.iteritems\(\)", ".items()"),
    (r"\bxrange\(", "range("),
    (r"\bnp\.(float|bool|int)\b(?!\d|_)", r"\1"),
    (r"\bnp\.NAN\b", "np.nan"),
    (r"\bnp\.trapz\b", "np.trapezoid"),
    (r"\bnp\.argsort\((\w+)\)", r"np.argsort(\1, kind='stable')"),
    (r"\.argsort\(\)", ".argsort(kind='stable')"),
)
Peer = Callable[[dict[str, Path]], dict[str, float]]


def ava_official(checkout: Path) -> Peer:
    """ActivityNet, `Evaluation/get_ava_performance.py`."""
    names = sorted((checkout / "Evaluation/ava").glob("*.py"))
    folder = patched([checkout / "Evaluation/get_ava_performance.py"])
    patched(names, folder / "ava")
    sys.path.insert(0, str(folder / "ava"))
    script = imported("get_ava_performance", folder)
    logging.disable(logging.WARNING)

    def run(case: dict[str, Path]) -> dict[str, float]:
        shown: list[dict[str, float]] = []
        script.pprint = types.SimpleNamespace(pprint=lambda found, indent: shown.append(found))
        script.pprint.pformat = lambda found, indent: ""
        with (
            case["labels"].open() as labels,
            case["truth"].open() as truth,
            case["predictions"].open() as predictions,
        ):
            script.run_evaluation(labels, truth, predictions)
        return _pascal(shown[-1])

    return run


def ava_pyslowfast(checkout: Path) -> Peer:
    """PySlowFast, `slowfast/utils/ava_eval_helper.py`."""
    folder = patched(
        [checkout / "slowfast/utils/ava_eval_helper.py"],
        extra=(
            (r"^import slowfast.utils.distributed as du$", ""),
            (r"^from slowfast.utils.env import pathmgr$", ""),
            (r"^from vision.fair.slowfast.ava_evaluation", "from ava_evaluation"),
        ),
    )
    patched(sorted((checkout / "ava_evaluation").glob("*.py")), folder / "ava_evaluation")
    script = imported("ava_eval_helper", folder)
    script.du = types.SimpleNamespace(is_master_proc=lambda: False)
    script.pathmgr = types.SimpleNamespace(open=open)
    logging.disable(logging.WARNING)

    def run(case: dict[str, Path]) -> dict[str, float]:
        categories, listed = script.read_labelmap(case["labels"])
        excluded = script.read_exclusions(case["excluded"])
        truth = script.read_csv(case["truth"], listed, load_score=False)
        found = script.read_csv(case["predictions"], listed, load_score=True)
        return _pascal(script.run_evaluation(categories, truth, found, excluded))

    return run


def ava_mmaction2(checkout: Path) -> Peer:
    """MMAction2, `mmaction/evaluation/functional/ava_utils.py`; its pool runs in this process."""
    source = checkout / "mmaction/evaluation/functional"
    folder = patched([])
    package = patched([source / "ava_utils.py"], folder / "mmaction_functional")
    (package / "__init__.py").touch()
    patched(sorted((source / "ava_evaluation").glob("*.py")), package / "ava_evaluation")
    script = imported("mmaction_functional.ava_utils", folder)
    serial = types.SimpleNamespace(map=lambda function, items: [function(one) for one in items])
    script.multiprocessing = types.SimpleNamespace(Pool=lambda count: serial)

    def run(case: dict[str, Path]) -> dict[str, float]:
        lines: list[str] = []
        script.print = lambda *items, **_: lines.append(str(items[0]))
        values: list[tuple[str, float]] = []
        compute = script.metrics.compute_average_precision
        script.metrics.compute_average_precision = lambda *given: _kept(values, compute(*given))
        try:
            found = script.ava_eval(
                case["predictions"],
                "mAP",
                case["labels"],
                case["truth"],
                case["excluded"],
                verbose=False,
            )
        finally:
            script.metrics.compute_average_precision = compute
        names = [re.search(r"Action: (.*): AP: ", line) for line in lines]
        named = [match.group(1) for match in names if match]
        classes = dict(zip(named, (value for _, value in values), strict=True))
        return {"mean": found["overall"], **classes}

    return run


def activitynet_detection(checkout: Path) -> Peer:
    """ActivityNet, `Evaluation/eval_detection.py`; its jobs run in this process."""
    script = _activitynet(checkout, "eval_detection")
    script.Parallel = lambda n_jobs: list
    script.delayed = lambda function: function

    def run(case: dict[str, Path]) -> dict[str, float]:
        scorer = script.ANETdetection(
            str(case["truth"]), str(case["predictions"]), check_status=False
        )
        scorer.evaluate()
        return _classes(scorer)

    return run


def activitynet_classification(checkout: Path) -> Peer:
    """ActivityNet, `Evaluation/eval_classification.py`."""
    script = _activitynet(checkout, "eval_classification")

    def run(case: dict[str, Path]) -> dict[str, float]:
        scorer = script.ANETclassification(
            str(case["truth"]), str(case["predictions"]), check_status=False
        )
        scorer.evaluate()
        names = {number: label for label, number in scorer.activity_index.items()}
        classes = {names[place]: float(own) for place, own in enumerate(scorer.ap)}
        hits = {"~hit": scorer.hit_at_k, "~share": scorer.avg_hit_at_k}
        return {"mean": float(scorer.ap.mean()), **classes, **hits}

    return run


def opentad_detection(checkout: Path) -> Peer:
    """OpenTAD, `opentad/evaluations/mAP.py`; its processes run in this one."""
    script = _opentad(checkout, "mAP")

    def run(case: dict[str, Path]) -> dict[str, float]:
        scorer = script.mAP(
            str(case["truth"]), str(case["predictions"]), "validation", np.linspace(0.5, 0.95, 10)
        )
        scorer.mAP_result_dict = {}
        numbers_ = list(scorer.activity_index.values())
        scorer.wrapper_compute_average_precision(numbers_)
        found = np.stack([scorer.mAP_result_dict[own] for own in numbers_], axis=1)
        scorer.multi_thread_compute_average_precision = lambda: found
        scorer.evaluate()
        return _classes(scorer)

    return run


def activitynet_proposals(checkout: Path) -> Peer:
    """ActivityNet, `Evaluation/eval_proposal.py`."""
    script = _activitynet(checkout, "eval_proposal")

    def run(case: dict[str, Path]) -> dict[str, float]:
        scorer = script.ANETproposal(
            str(case["truth"]),
            str(case["predictions"]),
            max_avg_nr_proposals=100,  # as get_proposal_performance.py asks for
            check_status=False,
        )
        scorer.evaluate()
        area = np.trapezoid(scorer.avg_recall, scorer.proposals_per_video)
        return _curve(scorer, float(area) / scorer.proposals_per_video[-1])

    return run


def opentad_proposals(checkout: Path) -> Peer:
    """OpenTAD, `opentad/evaluations/recall.py`."""
    script = _opentad(checkout, "recall")

    def run(case: dict[str, Path]) -> dict[str, float]:
        scorer = script.Recall(
            str(case["truth"]), str(case["predictions"]), "validation", np.linspace(0.5, 0.95, 10)
        )
        return _curve(scorer, scorer.evaluate()["AUC"])

    return run


def padilla(checkout: Path, method: str) -> Peer:
    """Object-Detection-Metrics, `lib/Evaluator.py`, read as `pascalvoc.py` reads."""
    drawing = ((r"^import cv2$", ""), (r"^import matplotlib.*$", ""))
    folder = patched(sorted((checkout / "lib").glob("*.py")), extra=drawing)
    sys.path.insert(0, str(folder))
    boxes, single = (importlib.import_module(name) for name in ("BoundingBoxes", "BoundingBox"))
    script = imported("Evaluator", folder)

    def run(case: dict[str, Path]) -> dict[str, float]:
        every = boxes.BoundingBoxes()
        for name in ("truth", "predictions"):
            for file in sorted(case[name].glob("*.txt")):
                for line in file.read_text().splitlines():
                    label, *values = line.split(" ")
                    numbers_ = [float(value) for value in values]
                    score = numbers_.pop(0) if name == "predictions" else None
                    kind = script.BBType.GroundTruth if score is None else script.BBType.Detected
                    every.addBoundingBox(
                        single.BoundingBox(
                            file.stem, label, *numbers_, bbType=kind, classConfidence=score
                        )
                    )
        chosen = script.MethodAveragePrecision[method]
        with np.errstate(all="ignore"):
            found = script.Evaluator().GetPascalVOCMetrics(every, 0.5, chosen)
        classes = {one["class"]: float(one["AP"]) for one in found if one["total positives"]}
        return {"mean": sum(classes.values()) / len(classes), **classes}

    return run


def pycocotools(checkout: Path) -> Peer:
    """The installed pycocotools, `COCOeval`."""
    coco = importlib.import_module("pycocotools.coco")
    script = importlib.import_module("pycocotools.cocoeval")
    names = ["AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR@1", "AR@10", "AR@100"]
    names += ["AR_small", "AR_medium", "AR_large"]

    def run(case: dict[str, Path]) -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = coco.COCO(str(case["truth"]))
            scorer = script.COCOeval(truth, truth.loadRes(str(case["predictions"])), "bbox")
            scorer.evaluate()
            scorer.accumulate()
            scorer.summarize()
        values = [float("nan") if value < 0 else float(value) for value in scorer.stats]
        return {"mean": values[0], **dict(zip(names, values, strict=True))}

    return run


def _activitynet(checkout: Path, name: str) -> Any:
    sources = [checkout / "Evaluation" / f"{file}.py" for file in (name, "utils")]
    return imported(name, patched(sources))


def _opentad(checkout: Path, name: str) -> Any:
    source = checkout / "opentad/evaluations"
    folder = patched([])
    registry = (
        (r"^from mmengine.registry import Registry$", ""),
        (
            r"^EVALUATORS = .*$",
            "EVALUATORS = type('R', (), {'register_module': lambda s: (lambda c: c)})()",
        ),
    )
    files = [source / f"{file}.py" for file in ("builder", "mAP", "recall")]
    package = patched(files, folder / "opentad_evaluations", extra=registry)
    (package / "__init__.py").touch()
    return imported(f"opentad_evaluations.{name}", folder)


def _classes(scorer: Any) -> dict[str, float]:
    names = {number: label for label, number in scorer.activity_index.items()}
    classes = {names[place]: float(own) for place, own in enumerate(scorer.ap.mean(axis=0))}
    return {"mean": float(scorer.average_mAP), **classes}


def _curve(scorer: Any, area: float) -> dict[str, float]:
    points = {f"AR@{count:03d}": float(scorer.avg_recall[count - 1]) for count in (1, 5, 10, 100)}
    return {"mean": area, **points}


def _kept(values: list[tuple[str, float]], value: float) -> float:
    values.append(("", value))
    return value


def _pascal(found: dict[str, Any]) -> dict[str, float]:
    """The mean and the classes' values of an evaluator's dictionary."""
    values = {name.rsplit("/", 1)[1]: value for name, value in found.items() if "/AP@" in name}
    (mean,) = (value for name, value in found.items() if "/mAP@" in name)
    return {"mean": float(mean), **values}


def patched(
    files: Iterable[Path],
    folder: Path | None = None,
    *,
    extra: Iterable[tuple[str, str]] = (),
) -> Path:
    """Copies of files that today's Python and NumPy run, with stable sorts."""
    folder = Path(tempfile.mkdtemp(prefix="peer")) if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        text = file.read_text(encoding="utf-8").replace("\t", "    ")
        for pattern, replacement in (*_SPELLING, *extra):
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        (folder / file.name).write_text(text, encoding="utf-8")
    return folder


def imported(name: str, folder: Path) -> Any:
    """A module from a folder of patched files."""
    sys.path.insert(0, str(folder))
    module = importlib.import_module(name)
    shutil.rmtree(folder, ignore_errors=True)
    return module


def numbers(found: dict[str, float]) -> list[float | None]:
    """The mean, and a sum in which every class has its own weight; None for NaN."""
    values = [value for name, value in sorted(found.items()) if name != "mean"]
    known = [value * place for place, value in enumerate(values, 1) if not np.isnan(value)]
    mean = found["mean"]
    return [None if np.isnan(mean) else float(mean), float(sum(known))]
