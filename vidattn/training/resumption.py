"""Whether a training can go on from a checkpoint: it must be of the same training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging

from vidattn.backbones.checkpoint_file import refuse_not_finite
from vidattn.data import ClipSpec
from vidattn.errors import CheckpointError
from vidattn.models import RecogniserSpec
from vidattn.models.checkpoint import description_of, read_checkpoint
from vidattn.training.earlier_run import callbacks_of
from vidattn.training.parameters import parameter_groups
from vidattn.training.recognition import RecognitionTask

# Keys of a trainer's own file, without which there is nothing to go on with.
_STATE = ("optimizer_states", "lr_schedulers", "loops")
# What may be set anew: it changes neither the meaning of a weight nor that of a batch.
_FREE = {"dropout"}


def check_resumption(path: Path, task: RecognitionTask, trainer: Trainer) -> dict[str, Any]:
    """Refuse a checkpoint that is not one of this very training, and name the difference.

    Args:
        path: of the checkpoint.
        task: as configured now.
        trainer: likewise.

    Returns:
        what the file holds.

    Raises:
        CheckpointError: unreadable, without the state of a training, or of another one: other
            classes, clips, network, optimiser or frozen stages.
    """
    content = read_checkpoint(path)
    spec, clip = description_of(content, path)
    afresh = f"to start from its weights instead, give --model.weights {path} and no --resume"
    missing = [key for key in _STATE if not content.get(key)]
    if missing:
        raise CheckpointError(
            f"{path}: holds a network but no state of a training to go on with (it was not "
            f"written by `vidattn train`, or with weights alone); {afresh}"
        )
    refuse_not_finite(content["state_dict"], str(path))
    found = [
        *_spec_differences(spec, task.spec),
        *_clip_differences(clip, task.clip),
        *_optimiser_differences(content, task),
        *_average_differences(content, trainer),
    ]
    if found:
        raise CheckpointError(
            f"{path}: cannot go on with another training: {'; '.join(found)}; {afresh}"
        )
    _refuse_finished(content, path, trainer)
    return content


def _refuse_finished(content: Mapping[str, Any], path: Path, trainer: Trainer) -> None:
    """Refuse a training that has reached its end already: nothing would be learned."""
    loop = content["loops"]["fit_loop"]
    epochs = loop["epoch_progress"]["current"]
    # Written behind the last batch of an epoch, by a checkpoint of the validation.
    behind = loop["epoch_loop.batch_progress"]["is_last_batch"]
    done = epochs["processed"] + (behind and epochs["ready"] > epochs["processed"])
    most, steps = trainer.max_epochs, trainer.max_steps
    for option, reached, end in (
        ("max_epochs", done, -1 if most is None else most),
        ("max_steps", content["global_step"], steps),
    ):
        if 0 <= end <= reached:
            raise CheckpointError(
                f"{path}: this training is finished ({option.removeprefix('max_')} done: "
                f"{reached}, trainer.{option}: {end}), so nothing is left to train; give a larger "
                f"--trainer.{option} to go on"
            )


def follow_moved_folder(checkpoint: dict[str, Any], path: Path, trainer: Trainer) -> None:
    """Tell checkpoint callbacks that the folder of the training has another path now.

    They would forget their best score, and the next checkpoint would replace the best.

    Args:
        checkpoint: what the file holds, before callbacks restore their state from it.
        path: of the file.
        trainer: resumes from it.
    """
    here = path.resolve().parent
    for callback in callbacks_of(trainer):
        state = checkpoint.get("callbacks", {}).get(callback.state_key)
        if not isinstance(callback, ModelCheckpoint) or not state or not callback.dirpath:
            continue
        before, now = str(state.get("dirpath")), str(callback.dirpath)
        if before != now and Path(now).resolve() == here:
            checkpoint["callbacks"][callback.state_key] = _moved(state, before, now)


def _moved(state: Mapping[str, Any], before: str, now: str) -> dict[str, Any]:
    def moved(value: Any) -> Any:
        if isinstance(value, str) and Path(value).is_relative_to(before):
            return str(Path(now, Path(value).relative_to(before)))
        if isinstance(value, dict):
            return {moved(key): item for key, item in value.items()}
        return value

    return {key: moved(value) for key, value in state.items()}


def _spec_differences(there: RecogniserSpec, here: RecogniserSpec) -> list[str]:
    found = _differences(_plain(there.to_json()), _plain(here.to_json()), "model")
    if set(there.classes) != set(here.classes):
        gone = [name for name in there.classes if name not in here.classes]
        new = [name for name in here.classes if name not in there.classes]
        parts = [
            f"{what}: {_some(names)}" for what, names in (("gone", gone), ("new", new)) if names
        ]
        found.insert(
            0,
            f"classes differ ({len(there.classes)} there, {len(here.classes)} here; "
            f"{'; '.join(parts)})",
        )
    elif there.classes != here.classes:
        found.insert(
            0,
            f"classes are in another order ({_some(there.classes)} there, "
            f"{_some(here.classes)} here)",
        )
    return found


def _clip_differences(there: ClipSpec, here: ClipSpec) -> list[str]:
    return _differences(_plain(asdict(there)), _plain(asdict(here)), "clip")


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], where: str) -> list[str]:
    return [
        f"{where}.{name} is {json.dumps(there.get(name))} there, {json.dumps(here.get(name))} here"
        for name in sorted({*there, *here} - _FREE - {"classes"})
        if there.get(name) != here.get(name)
    ]


def _optimiser_differences(content: Mapping[str, Any], task: RecognitionTask) -> list[str]:
    groups = content["optimizer_states"][0]["param_groups"]
    kind = "adamw" if "betas" in groups[0] else "sgd"
    settings = task.optimisation
    if kind != settings.optimiser:
        return [f"optimisation.optimiser is {kind} there, {settings.optimiser} here"]
    own = parameter_groups(
        task.recogniser,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
    )
    sizes = [[len(group["params"]) for group in each] for each in (groups, own)]
    if sizes[0] != sizes[1]:
        return ["other parts of the network learn there (optimisation.frozen_stages)"]
    return _rate_differences(groups, own)


def _rate_differences(there: Sequence[Any], here: Sequence[Any]) -> list[str]:
    """The optimiser's state holds the rates of before, so others would be passed over."""
    rates = [[group.get("initial_lr", group["lr"]) for group in there], [g["lr"] for g in here]]
    decays = [[group["weight_decay"] for group in groups] for groups in (there, here)]
    found = []
    for name, (before, now) in (("learning_rate", rates), ("weight_decay", decays)):
        if not math.isclose(max(before), max(now), rel_tol=1e-6):
            found.append(f"optimisation.{name} is {max(before):g} there, {max(now):g} here")
    if not found and not np.allclose(rates[0], rates[1], rtol=1e-6, atol=0):
        found.append("optimisation.layer_decay is another one there")
    return found


def _average_differences(content: Mapping[str, Any], trainer: Trainer) -> list[str]:
    """A moving average goes on or does not: its weights are not those that were learning."""
    there = "current_model_state" in content
    here = any(isinstance(callback, WeightAveraging) for callback in callbacks_of(trainer))
    if there == here:
        return []
    return [f"a moving average of the weights is kept {'there' if there else 'here'} only"]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it: tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _some(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
