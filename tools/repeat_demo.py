"""Train the demo with several seeds, and show every figure as its mean and spread.

One training says little: seeds differ by more than the interval of one test set. Each seed runs
`vidattn demo`, on request also without the second loss (`optimisation.position_loss`), and is
measured on real videos with known boxes. Figures of real videos are averaged over the trainings,
video by video; intervals resample the sources of the videos. What is there already is not run
again. Writes result.json.

Example:
  python tools/repeat_demo.py --seeds 0 1 2 3 4 --output runs/repeats --without-position-loss \\
      --boxes boxes.json --source '.*_g[0-9]+'
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measure_attention import source
from rich import box
from rich.console import Console
from rich.table import Table

from vidattn import evaluation
from vidattn.files import write_json, write_text

TOOLS = Path(__file__).parent
# Videos whose action fills more than this share of the frames tell no selector from another.
LONGEST_SHARE = 0.9
REAL = ("keyframe_precision", "pointing_game", "box_iou")


def main() -> int:
    parsed = parse()
    synthetic, without, real = [], [], []
    for seed in parsed.seeds:
        folder = parsed.output / f"seed{seed}"
        synthetic.append(demo(folder, seed))
        if parsed.without_position_loss:
            without.append(top1_without_position_loss(folder))
        if parsed.boxes:
            real.append(on_real_videos(folder, parsed))
    result: dict[str, Any] = {"seeds": parsed.seeds, "synthetic": spreads(synthetic)}
    if without:
        result["without_position_loss"] = spread(without)
    if real:
        groups = [source(record["video"], parsed.source) for record in real[0]]
        result["real"] = on_average(real, groups)
    write_json(parsed.output / "result.json", result)
    show(result)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--output", type=Path, default=Path("runs/repeats"), metavar="DIR")
    parser.add_argument("--without-position-loss", action="store_true", help="train that, too")
    parser.add_argument("--boxes", type=Path, help="real videos: see measure_attention.py")
    parser.add_argument("--source", default=".*", metavar="REGEX", help="likewise")
    return parser.parse_args()


def run(*arguments: object) -> None:
    """A command of this environment; its output is shown where it fails."""
    subprocess.run([str(argument) for argument in arguments], check=True, stdout=sys.stderr)


def vidattn(*arguments: object) -> None:
    run(sys.executable, "-m", "vidattn", *arguments)


def demo(folder: Path, seed: int) -> dict[str, Any]:
    """The figures of one training, as `vidattn demo` writes them."""
    if not (folder / "summary.json").is_file():
        vidattn("demo", "--seed", seed, "--output", folder)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return summary


def top1_without_position_loss(folder: Path) -> float:
    """Top-1 of the same seed, clips and epochs, trained with the first loss alone."""
    other = folder / "without_position_loss"
    if not (other / "evaluation" / "evaluation.json").is_file():
        other.mkdir(parents=True, exist_ok=True)
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        actions = str(folder / "actions")
        kept = text.replace(actions, "ACTIONS").replace(str(folder), str(other))
        write_text(other / "training.yaml", kept.replace("ACTIONS", actions))
        vidattn("train", "--config", other / "training.yaml", "--optimisation.position_loss", 0)
        data = folder / "actions" / "test"
        vidattn("evaluate", other / "model.ckpt", "--data", data, "--output", other / "evaluation")
    found = json.loads((other / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    return float(found["video_top1"])


def on_real_videos(folder: Path, parsed: argparse.Namespace) -> list[dict[str, Any]]:
    """What measure_attention.py finds of each video."""
    output = folder / "real"
    if not (output / "result.json").is_file():
        tool = TOOLS / "measure_attention.py"
        model = folder / "model.ckpt"
        run(
            sys.executable, tool, model, parsed.boxes, "--source", parsed.source, "--output", output
        )
    found: list[dict[str, Any]] = json.loads((output / "result.json").read_text())["videos"]
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation and range over the trainings."""
    numbers = np.array(values, dtype=np.float64)
    deviation = float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
    low, high = float(numbers.min()), float(numbers.max())
    return {"mean": float(numbers.mean()), "deviation": deviation, "lowest": low, "highest": high}


def spreads(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figure of `summary.json` -> spread, such as "keyframe_precision_uniform"."""
    names = ["top1", *(name for name in summaries[0]["intervals_95"] if name != "top1")]
    return {name: spread([summary[name] for summary in summaries]) for name in names}


def on_average(trainings: Sequence[list[dict[str, Any]]], groups: Sequence[str]) -> dict[str, Any]:
    """Figure -> method -> spread over trainings, and attention less it with its interval."""
    found: dict[str, Any] = {}
    shares = np.array([record["share_with_action"] for record in trainings[0]])
    chosen = {"all": shares >= 0, "short": shares <= LONGEST_SHARE}
    for figure in REAL:
        for which, kept in chosen.items():
            if which == "short" and figure != "keyframe_precision":
                continue
            name = figure if which == "all" else f"{figure}_short"
            found[name] = _methods(trainings, figure, kept, groups)
    return found


def _methods(
    trainings: Sequence[list[dict[str, Any]]], figure: str, kept: Any, groups: Sequence[str]
) -> dict[str, Any]:
    methods = trainings[0][0][figure]
    values = {
        method: np.array([[video[figure][method] for video in videos] for videos in trainings])
        for method in methods
    }
    clusters = [group for group, keep in zip(groups, kept, strict=True) if keep]
    attention = values["attention"][:, kept]
    found: dict[str, Any] = {"videos": int(kept.sum()), "sources": len(set(clusters))}
    for method in methods:
        table = values[method][:, kept]
        found[method] = {"over_trainings": spread(table.mean(1).tolist())}
        if method != "attention":
            difference = evaluation.paired_difference(
                attention.mean(0), table.mean(0), seed=0, clusters=clusters
            )
            found[method]["attention_minus"] = list(difference)
    return found


def show(result: dict[str, Any]) -> None:
    """Tables in Markdown."""
    console = Console(width=160)
    count = len(result["seeds"])
    table = Table("synthetic, mean ± deviation (range)", f"{count} trainings", box=box.MARKDOWN)
    for figure, values in result["synthetic"].items():
        table.add_row(figure, _words(values))
    if "without_position_loss" in result:
        table.add_row("top1 without position_loss", _words(result["without_position_loss"]))
    console.print(table)
    if "real" not in result:
        return
    table = Table("real", "method", f"{count} trainings", "attention − it (95 %)", box=box.MARKDOWN)
    for figure, methods in result["real"].items():
        for method, values in methods.items():
            if not isinstance(values, dict):
                continue
            minus = values.get("attention_minus")
            words = "{:+.0%} ({:+.0%} to {:+.0%})".format(*minus) if minus else ""
            table.add_row(figure, method, _words(values["over_trainings"]), words)
    console.print(table)


def _words(values: dict[str, float]) -> str:
    mean, deviation, low, high = (100 * values[name] for name in values)
    return f"{mean:.1f} ± {deviation:.1f} % ({low:.1f} – {high:.1f})"


if __name__ == "__main__":
    sys.exit(main())
