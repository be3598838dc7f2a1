from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vidattn.data import VideoDataModule
from vidattn.errors import ArgumentError, VidattnError
from vidattn.training import RecognitionTask

DESCRIPTION = """\
Train a recogniser. Everything is an option here and a key of the YAML configuration, by
Lightning's conventions: trainer.*, model.*, data.*, seed_everything, ckpt_path (resume).

examples:
  vidattn train --config configs/finetune.yaml
  vidattn train --config configs/finetune.yaml --model.backbone r3d_18 --trainer.max_epochs 5
  vidattn train --config configs/finetune.yaml --ckpt_path runs/finetune/last.ckpt
"""


class TrainingCLI(LightningCLI):
    """Lightning's command line with class names and clips linked from the data to the model."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what both sides must agree on, and add `ckpt_path`."""
        parser.link_arguments("data.classes", "model.classes", apply_on="instantiate")
        parser.link_arguments("data.clip", "model.clip", apply_on="instantiate")
        parser.link_arguments("data.multi_label", "model.multi_label")
        parser.add_argument("--ckpt_path", type=str | None, help="checkpoint to go on from")


def build(arguments: Sequence[str]) -> TrainingCLI:
    """Trainer, model and data of a configuration, ready to fit.

    Args:
        arguments: as on the command line, such as `["--config", "configs/finetune.yaml"]`.
    """
    # Lightning warns whenever a program that has arguments of its own calls it with others.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter is intended")
    # Its own use of what torch and jsonargparse deprecated is nothing that a person could mend.
    warnings.filterwarnings("ignore", message="`isinstance\\(treespec, LeafSpec\\)` is deprecated")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="pytorch_lightning")
    return TrainingCLI(
        RecognitionTask,
        VideoDataModule,
        args=list(arguments),
        run=False,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        parser_kwargs={"prog": "vidattn train", "description": DESCRIPTION},
        save_config_kwargs={"overwrite": True},
    )


def train(arguments: Sequence[str]) -> Path:
    """Train as configured.

    Args:
        arguments: see `build`.

    Returns:
        the trainer's root folder.

    Raises:
        VidattnError: what was given cannot be used, or the trainer refuses its settings.
    """
    try:
        cli = build(arguments)
    except VidattnError:
        raise
    except (MisconfigurationException, ValueError) as error:  # how the trainer refuses settings
        raise ArgumentError(" ".join(str(error).split())) from error
    try:
        cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=cli.config.ckpt_path)
    except MisconfigurationException as error:
        raise ArgumentError(" ".join(str(error).split())) from error
    _report_failures(cli.datamodule)
    return Path(cli.trainer.default_root_dir)


def _report_failures(data: VideoDataModule) -> None:
    """Say which videos were left out: nothing else would tell."""
    for name, dataset in (("training", data.train_dataset), ("validation", data.val_dataset)):
        for path, reason in ({} if dataset is None else dataset.failures).items():
            print(f"vidattn: left out of {name}: {path}: {reason}", file=sys.stderr)
