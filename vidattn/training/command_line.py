"""Lightning's command line with our groups of settings: parsed, checked and built."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning
import yaml
from jsonargparse import ActionConfigFile, DefaultHelpFormatter
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError
from vidattn.training.data_module import VideoDataModule
from vidattn.training.quiet import quiet_trainer
from vidattn.training.recognition import RecognitionTask
from vidattn.training.renamed_keys import RENAMED, nested_keys, option_keys, refuse_renamed
from vidattn.training.run_files import add_run_files
from vidattn.training.settings import Augmentation, Optimisation

DESCRIPTION = """\
All options of `vidattn train`. Each is a key of a YAML configuration, too; trainer.* are those of
Lightning's Trainer. `vidattn train --help` shows the few that most trainings need.
"""
DEFAULT_OUTPUT = "runs/train"
DEFAULT_EPOCHS = 20


class SettingError(ArgumentError):
    """An option or a key of a configuration is unknown, or its value is of the wrong type."""


class HelpLayout(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Options as jsonargparse shows them, and the description in its own lines."""


class ConfigurationFile(ActionConfigFile):
    """`--config FILE`, with one line for a missing file and for keys of older versions."""

    def __call__(
        self,
        parser: Any,
        namespace: Any,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Look at the file, then parse it; `values` is its path, or what it would hold."""
        is_file = not values.startswith("{") and Path(values).is_file()
        try:
            content = yaml.safe_load(Path(values).read_bytes() if is_file else values)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise ArgumentError(f"{values}: expected YAML: {reason}") from error
        if isinstance(content, dict):
            refuse_renamed(nested_keys(content), values if is_file else "configuration")
        elif is_file:
            raise ArgumentError(f"{values}: expected a YAML configuration of keys and values")
        else:
            raise ArgumentError(f"{values}: no such configuration file")
        super().__call__(parser, namespace, values, option_string)


class TrainingParser(LightningArgumentParser):
    """Says in one line what is wrong with an option, and raises it."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what was wrong.

        Raises:
            SettingError: always.
        """
        raise SettingError(self._in_one_line(message)) from ex

    def _in_one_line(self, message: str) -> str:
        if unknown := re.match(r"(?i)unrecognized arguments: -*([^\s=]+)", message):
            return self._unknown(unknown[1], "option --" if "--" in message else "option ")
        if unknown := re.match(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message):
            return self._unknown(f"{unknown[1]}.{unknown[2]}", "setting ")
        if missing := re.match(r"the following arguments are required: (\w+\.[\w.]+)$", message):
            return f"{missing[1]}: expected a value, got none; --{missing[1]} sets it"
        key = re.match(r'(?:Parser key|argument) "?-*([\w.]+)"?:', message)
        if key and (value := re.search(r"(?:Given|Got) value: (.*)", message)):
            kind = next((_type_of(a) for a in self._actions if a.dest == key[1]), None)
            if kind is not None:
                return f"{key[1]}: expected {kind}, got {value[1]!r}"
        return " ".join(message.split())

    def _unknown(self, key: str, what: str) -> str:
        if key in RENAMED:
            return f"{what}{key} is now {RENAMED[key]}"
        known = [name for action in self._actions for name in action.option_strings]
        names = [name.removeprefix("--") for name in known if name.startswith("--")]
        group, _, own = key.rpartition(".")
        beside = {
            name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == group
        }
        close = [beside[name] for name in get_close_matches(own, beside, n=1, cutoff=0.7)]
        close = close or [name for name in names if name.rpartition(".")[2] == own]
        hint = f"did you mean --{close[0]}?" if close else "--help-all lists all options"
        return f"unknown {what}{key}; {hint}"


def _type_of(action: argparse.Action) -> str | None:
    """What an option takes, in words as short as may be."""
    kind = getattr(action, "_typehint", action.type)
    if kind is None:
        return None
    text = kind.__name__ if isinstance(kind, type) else str(kind)
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text).replace("NoneType", "null")
    optional = re.fullmatch(r"Optional\[(.*)\]", text)
    return f"{optional[1]} or null" if optional else text.replace(" | None", " or null")


class TrainingCLI(LightningCLI):
    """A training's trainer, model and data, built from options and configurations."""

    def init_parser(self, **settings: Any) -> LightningArgumentParser:
        """The parser with `--config`."""
        header = [f"pytorch_lightning=={pytorch_lightning.__version__}"]
        parser = TrainingParser(dump_header=header, **settings)
        parser.add_argument(
            "-c", "--config", action=ConfigurationFile, help="YAML file of options; may be repeated"
        )
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add our groups and options, and link what model and data must agree on."""
        parser.add_class_arguments(Optimisation, "optimisation")
        parser.add_class_arguments(ClipSpec, "clip")
        parser.add_class_arguments(Augmentation, "augmentation")
        for source, target in (
            ("data.classes", "model.classes"),
            ("clip", "data.clip"),
            ("clip", "model.clip"),
            ("optimisation", "model.optimisation"),
            ("augmentation", "data.augmentation"),
        ):
            parser.link_arguments(source, target, apply_on="instantiate")
        parser.link_arguments("data.multi_label", "model.multi_label")
        parser.add_argument(
            "--output",
            type=str,
            default=DEFAULT_OUTPUT,
            help="folder for best.ckpt, last.ckpt, config.yaml and the logs in csv/",
        )
        parser.add_argument(
            "--resume",
            type=bool | str,
            nargs="?",
            const=True,
            default=False,
            help="go on with the training in --output, from interrupted.ckpt or last.ckpt there; "
            "or from the checkpoint named here",
        )
        parser.add_argument(
            "--overwrite",
            action="store_true",
            help="delete checkpoints, configuration and logs of an earlier training that lie where "
            "this one writes",
        )
        parser.add_argument(
            "--threads",
            type=int | None,
            help="PyTorch's threads on the CPU (default: one a core). Small networks train about "
            "as fast with one, also where other processes need the cores; another number gives "
            "other last digits",
        )

    def before_instantiate_classes(self) -> None:
        """A training ends, also where nothing says when."""
        trainer = self.config.trainer
        if trainer.max_epochs is None and trainer.max_steps == -1 and trainer.max_time is None:
            trainer.max_epochs = DEFAULT_EPOCHS

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """The trainer, whose files go to the output folder unless it has places of its own."""
        given = {**self.config_init.trainer, **settings}
        splits = self.datamodule.splits
        # Test videos must not choose the checkpoint that is tested on them.
        chooses = splits.validation and splits.validation is not splits.test
        chooses = chooses and given["limit_val_batches"] != 0
        metric = self.model.metric_name if chooses else None
        add_run_files(given, Path(self.config.output), metric=metric)
        return self._instantiate_trainer(given, [])


def build(arguments: Sequence[str]) -> TrainingCLI:
    """Trainer, model and data of a configuration, ready to fit.

    Args:
        arguments: as on the command line, such as `["--config", "configs/finetune.yaml"]`.

    Raises:
        SettingError: an option is unknown, or a value has the wrong type.
        VidattnError: what was given cannot be used.
    """
    refuse_renamed(option_keys(arguments), "command line", mark="--")
    return TrainingCLI(
        RecognitionTask,
        VideoDataModule,
        args=list(arguments),
        run=False,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        trainer_defaults={"enable_model_summary": False},
        parser_kwargs={
            "prog": "vidattn train",
            "usage": "vidattn train [recogniser] [options]",
            "description": DESCRIPTION,
            "formatter_class": HelpLayout,
        },
        save_config_callback=None,
    )


def print_all_options() -> None:
    """Print every option, in groups."""
    with quiet_trainer(), suppress(SystemExit):
        build(["--help"])
