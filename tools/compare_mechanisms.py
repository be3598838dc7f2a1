"""What each family of attention is good for: one of each in the slim network, trained alike.

Every arm is the demo's network and training with one mechanism put behind a stage; the joint
attention pooling that selects frames and regions stays, but for the arm "average pooling", which
has none. All arms see the same videos, made here; the test videos are new. Accuracy, key-frame
precision and pointing game are means over seeds, with 95 % bootstrap intervals over test videos
of the paired difference from the network without a mechanism; the time is that of a forward
pass of eight clips, arms in turn, as a ratio within each round. Runs that are done are not
repeated, so the same command goes on where it stopped.

Example:
  python tools/compare_mechanisms.py --output runs/mechanisms --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vidattn import evaluation, models
from vidattn.data.synthetic import write_actions
from vidattn.files import write_json
from vidattn.inference.baselines import (
    Truth,
    Whereabouts,
    keyframe_precisions,
    mean_box_size,
    region_matches,
)
from vidattn.jobs import demo_material
from vidattn.models import InsertionSpec, Recogniser, RecogniserSpec
from vidattn.selection import select_frames

# The package gives the function of this name.
demo_run = import_module("vidattn.jobs.demo")

NOTHING = "none"
AVERAGE = "average pooling"
STAGE = "layer1"
# One of each family: mechanism, scope. What is inserted must keep the shape of the features.
ARMS: dict[str, tuple[str, str] | None] = {
    NOTHING: None,
    AVERAGE: None,
    "channel": ("squeeze_excitation", "clip"),
    "spatial": ("self_attention", "frame"),
    "temporal": ("action_excitation", "clip"),
    "branch": ("selective_kernel", "clip"),
    "channel & spatial": ("convolutional_block_attention", "clip"),
    "spatial & temporal": ("divided_space_time", "clip"),
    "structured": ("linear_chain", "time"),
    "token": ("token_fusion", "clip"),
    "current practice": ("rotary_self_attention", "clip"),
}
FIGURES = ("top1", "keyframe_precision", "pointing_game")
TEST_CLIPS_PER_CLASS = 101
DATA_SEED = 1000


def main() -> None:
    parsed = parse()
    videos = parsed.output / "videos"
    if not (videos / "truth.json").is_file():
        counts = {"train": demo_material.CLIPS_PER_CLASS["train"], "test": TEST_CLIPS_PER_CLASS}
        write_actions(videos, clips_per_class=counts, seed=DATA_SEED, workers=parsed.workers)
    material = demo_material.read_folder(videos)
    runs: list[dict[str, Any]] = []
    for seed in parsed.seeds:
        for arm in parsed.arms:
            folder = parsed.output / f"{arm.replace(' ', '_')}-{seed}"
            runs.append(run(folder, material, arm, seed))
            print(
                arm, seed, *(f"{np.mean(runs[-1][figure]):.3f}" for figure in FIGURES), flush=True
            )
    result = {
        "test_videos": len(material.test),
        "training_videos": material.training_count,
        "seeds": parsed.seeds,
        "arms": summarise(runs),
        "forward": forward_times(parsed.arms, parsed.rounds),
    }
    write_json(parsed.output / "mechanisms.json", result)
    show(result)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/mechanisms"))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=40, help="of the timing (default: 40)")
    parser.add_argument("--workers", type=int, default=1, help="that write videos (default: 1)")
    return parser.parse_args()


def model_changes(arm: str) -> dict[str, Any]:
    """What the arm's configuration has that the demo's has not."""
    if arm == AVERAGE:
        return {"pooling": "average", "pooling_settings": {}}
    chosen = ARMS[arm]
    if chosen is None:
        return {}
    mechanism, scope = chosen
    return {"attention": [{"mechanism": mechanism, "stage": STAGE, "scope": scope}]}


def run(folder: Path, material: demo_material.Material, arm: str, seed: int) -> dict[str, Any]:
    """One training and its figures for every test video; read back if it was done before."""
    path = folder / "record.json"
    if not path.is_file():
        started, cpu = time.perf_counter(), time.process_time()
        demo_run.train_on(folder, material, seed, model=model_changes(arm), overwrite=True)
        seconds = {
            "training_seconds": round(time.perf_counter() - started, 1),
            "training_cpu_seconds": round(time.process_time() - cpu, 1),
        }
        loaded = models.load(folder / "model.ckpt")
        predictions = demo_run.predict(loaded, material, seed=seed, progress=False)
        (folder / "model.ckpt").unlink()
        record = {"arm": arm, "seed": seed, **seconds, **video_figures(predictions)}
        write_json(path, record)
    return json.loads(path.read_text(encoding="utf-8"))


def video_figures(predictions: dict[str, Any]) -> dict[str, Any]:
    """Figure -> one number for each test video, and the same for the baselines."""
    found: dict[str, list[float]] = {figure: [] for figure in (*FIGURES, "uniform", "centre")}
    rows = predictions["videos"]
    truths = [Truth(**row["truth"]) for row in rows]
    box_size = mean_box_size(truths)
    for row, truth in zip(rows, truths, strict=True):
        scores = row["attention"]["scores"]
        best = int(np.argmax(row["class_scores"]))
        found["top1"].append(float(predictions["classes"][best] == row["label"]))
        chosen = {"attention": select_frames(scores, demo_run.KEYFRAMES, minimum_gap=2)}
        precisions = keyframe_precisions(chosen, [truth], len(scores), demo_run.KEYFRAMES)
        found["keyframe_precision"].append(precisions["attention"])
        found["uniform"].append(precisions["uniform"])
        own = Whereabouts(*(np.array(row["attention"][k]) for k in ("scores", "points", "boxes")))
        hits, _ = region_matches({"attention": own}, tuple(row["size"]), [truth], box_size)
        found["pointing_game"].append(hits["attention"])
        found["centre"].append(hits["centre"])
    return {"failures": predictions["failures"], **found}


# -- over seeds ------------------------------------------------------------------------------


def summarise(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Arm -> its figures, by seed and over all, and the paired difference from none."""
    arms = list(dict.fromkeys(one["arm"] for one in runs))
    return {arm: _summary(runs, arm) for arm in arms}


def _summary(runs: Sequence[dict[str, Any]], arm: str) -> dict[str, Any]:
    own = [one for one in runs if one["arm"] == arm]
    seeds = {one["seed"] for one in own}
    plain = [one for one in runs if one["arm"] == NOTHING and one["seed"] in seeds]
    found: dict[str, Any] = {
        "mechanism": ARMS[arm] and ARMS[arm][0],
        "scope": ARMS[arm] and ARMS[arm][1],
        "training_cpu_seconds": float(np.mean([one["training_cpu_seconds"] for one in own])),
        "uniform": float(np.mean([one["uniform"] for one in own])),
        "centre": float(np.mean([one["centre"] for one in own])),
    }
    for figure in FIGURES:
        values = _over_seeds(own, figure)
        beside = _over_seeds(plain, figure)
        found[figure] = {
            "by_seed": [round(float(np.mean(one[figure])), 4) for one in own],
            "mean": evaluation.bootstrap_mean(values, seed=0)._asdict(),
        }
        if arm != NOTHING and len(beside):
            pair = evaluation.paired_difference(values, beside, seed=0)
            found[figure]["minus_none"] = pair._asdict()
    return found


def _over_seeds(runs: Sequence[dict[str, Any]], figure: str) -> NDArray[np.float64]:
    """(videos,): the mean over runs; empty where there are none."""
    return np.mean([one[figure] for one in runs] or [[]], axis=0)


# -- time ------------------------------------------------------------------------------------


def forward_times(arms: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a forward pass of eight clips, arms in turn, and ratios to none."""
    networks = {arm: network(arm) for arm in arms}
    clip = torch.randn(8, 3, 32, 56, 56).to(memory_format=torch.channels_last_3d)
    taken: dict[str, list[float]] = {arm: [] for arm in arms}
    generator = np.random.default_rng(0)
    with torch.inference_mode():
        for number in range(rounds + 2):
            for place in generator.permutation(len(arms)):
                arm = arms[place]
                started = time.perf_counter()
                networks[arm](clip)
                if number >= 2:  # the first rounds warm up
                    taken[arm].append(1000 * (time.perf_counter() - started))
    return {arm: _spread(taken[arm], taken.get(NOTHING, taken[arm])) for arm in arms}


def network(arm: str) -> Recogniser:
    template = yaml.safe_load(Path(demo_run.__file__).with_name("demo.yaml").read_text())
    values = template["model"] | model_changes(arm)
    made = Recogniser(
        RecogniserSpec(
            classes=tuple("abcdefghij"),
            backbone=values["backbone"],
            backbone_settings=values["backbone_settings"],
            attention=tuple(InsertionSpec(**one) for one in values.get("attention", ())),
            pooling=values["pooling"],
            pooling_settings=values["pooling_settings"],
        )
    )
    return made.eval().to(memory_format=torch.channels_last_3d)


def _spread(taken: Sequence[float], beside: Sequence[float]) -> dict[str, float]:
    ratios = np.array(taken) / np.array(beside)
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return {
        "milliseconds": float(np.median(taken)),
        "ratio": float(middle),
        "ratio_quartile_1": float(low),
        "ratio_quartile_3": float(high),
    }


def show(result: dict[str, Any]) -> None:
    table = Table("family", "mechanism", "top-1", "key frames", "pointing", "forward")
    for arm, own in result["arms"].items():
        scope = f"{own['mechanism']} ({own['scope']})" if own["mechanism"] else ""
        time_ratio = result["forward"].get(arm, {}).get("ratio", float("nan"))
        table.add_row(arm, scope, *(_cell(own[figure]) for figure in FIGURES), f"{time_ratio:.2f}")
    Console(width=150).print(table)


def _cell(figure: dict[str, Any]) -> str:
    text = f"{figure['mean']['mean']:.1%}"
    if pair := figure.get("minus_none"):
        text += f" ({100 * pair['low']:+.1f} … {100 * pair['high']:+.1f})"
    return text


if __name__ == "__main__":
    main()
