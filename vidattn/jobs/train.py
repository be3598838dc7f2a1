from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.errors import ArgumentError

if TYPE_CHECKING:
    from vidattn.training import Training

# Torch and the trainer take seconds to import: `train_with` does so when it is called.

Settings = Mapping[str, Any]


def train(
    config: str | Path | Settings | None = None,
    *,
    output: str | Path | None = None,
    data: str | Path | Settings | None = None,
    clip: Settings | None = None,
    augmentation: Settings | None = None,
    model: Settings | None = None,
    optimisation: Settings | None = None,
    trainer: Settings | None = None,
    seed: int | None = None,
    threads: int | None = None,
    resume: bool | str | Path = False,
    overwrite: bool = False,
) -> Training:
    """Train a recogniser on annotated videos.

    Groups hold the same settings as a YAML configuration, which `vidattn train --help-all` lists.
    What is given beside `config` replaces what it says.

    Args:
        config: YAML file, or its content: groups of settings by name.
        output: folder for `best.ckpt`, `last.ckpt`, `config.yaml` and the logs; by default that
            of the configuration, or `runs/train`.
        data: annotations (a folder of class folders, a list or a CSV), or settings of
            `vidattn.training.VideoDataModule`.
        clip: settings of `vidattn.data.ClipSpec`.
        augmentation: settings of `vidattn.training.Augmentation`.
        model: settings of the network, see `vidattn.training.RecognitionTask`.
        optimisation: settings of `vidattn.training.Optimisation`.
        trainer: settings of Lightning's `Trainer`, such as `{"max_epochs": 5}`.
        seed: of weights and dropout; clips and order have `data`'s own.
        threads: PyTorch threads on the CPU.
        resume: continue the training in the output folder, or from this checkpoint.
        overwrite: delete the files of an earlier training where this one writes.

    Returns:
        the accuracy that was reached, and the paths of the files.

    Raises:
        VidattnError: what was given cannot be used, or the trainer refuses its settings.
        EarlierRunError: files of an earlier training lie where this one would write.
        NotFiniteError: a loss, gradient, score or weight became NaN or infinite.
        TrainingInterrupted: by SIGINT or SIGTERM; it says where the checkpoint is.
    """
    groups = {
        "data": {"annotations": str(data)} if isinstance(data, str | Path) else data,
        "clip": clip,
        "augmentation": augmentation,
        "model": model,
        "optimisation": optimisation,
        "trainer": trainer,
        "output": None if output is None else str(output),
        "seed_everything": seed,
        "threads": threads,
        "resume": str(resume) if isinstance(resume, Path) else resume,
        "overwrite": overwrite,
    }
    given = {name: value for name, value in groups.items() if value is not None}
    text = _text(config) if isinstance(config, Mapping) else str(config)
    base = [] if config is None else ["--config", text]
    return train_with([*base, "--config", _text(given)])


def _text(settings: Settings) -> str:
    try:
        return json.dumps(settings, default=_plain)
    except TypeError as error:
        raise ArgumentError(f"settings: expected what a YAML file can hold: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"got {value!r}")


def train_with(arguments: Sequence[str]) -> Training:
    """Train as the options of a command line say; see `train`.

    Args:
        arguments: such as `["--config", "configs/finetune.yaml"]`.
    """
    from vidattn.training.session import run_training

    return run_training(arguments)
