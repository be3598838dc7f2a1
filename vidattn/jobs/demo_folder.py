"""Whose files lie in the folder that a demo is to write to."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from vidattn.errors import EarlierRunError

CONFIGURATION = "training.yaml"
CHECKPOINT = "model.ckpt"
PREDICTIONS = "predictions.json"
NAMES = (CONFIGURATION, "training.csv", CHECKPOINT, PREDICTIONS, "summary.json", "report.html")


def refuse_other_files(output: Path, root: Path, seed: int) -> None:
    """Refuse a folder with files of those names that the same demo did not write.

    The same demo gives the same results, so it may be run again, also after an interruption.

    Args:
        output: the folder.
        root: folder of the training videos.
        seed: of data and training.

    Raises:
        EarlierRunError: another demo's files, a person's, or a checkpoint trained since then.
    """
    there = [name for name in NAMES if (output / name).exists()]
    reason = _other(output, root, seed) if there else None
    if reason is not None:
        raise EarlierRunError(
            f"{output}: {', '.join(there)} would be written over, {reason}: give another folder "
            "(--output), or --overwrite"
        )


def _other(output: Path, root: Path, seed: int) -> str | None:
    """Why the files are not this demo's; None where they are."""
    values = _read(output / CONFIGURATION, yaml.safe_load)
    data = values.get("data")
    if not isinstance(data, dict) or "seed_everything" not in values:
        return "and no demo of this folder is on record"
    before = (Path(str(data.get("root"))).resolve(), values["seed_everything"])
    if before != (root.resolve(), seed):
        return f"the results of {before[0]}, seed {before[1]}"
    digest = _read(output / PREDICTIONS, json.loads).get("checkpoint_sha256")
    checkpoint = output / CHECKPOINT
    if digest and checkpoint.is_file() and sha256(checkpoint.read_bytes()).hexdigest() != digest:
        return f"and {CHECKPOINT} was trained since then"
    return None


def _read(path: Path, parse: Any) -> dict[str, Any]:
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
