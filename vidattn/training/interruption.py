"""Ctrl-C and SIGTERM end a training between two steps, with a checkpoint of where it was."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging

from vidattn.training.earlier_run import (
    INTERRUPTED,
    callbacks_of,
    checkpoint_folder,
    writes_nothing,
)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = "\nvidattn: {}: a checkpoint is written after this step (once more: stop at once)\n"


class TrainingInterrupted(KeyboardInterrupt):
    """A person or the system ended a training.

    Attributes:
        checkpoint: of where it was; None where none was written.
        number: of the signal.
        epoch, step: how far it had come.
    """

    def __init__(self, number: int, epoch: int, step: int, checkpoint: Path | None = None) -> None:
        self.number = number
        self.epoch = epoch
        self.step = step
        self.checkpoint = checkpoint
        super().__init__(f"interrupted in epoch {epoch}, after step {step}")

    @property
    def exit_code(self) -> int:
        """130 for SIGINT and 143 for SIGTERM, as shells have it."""
        return 128 + self.number


class StepReached(Exception):  # noqa: N818 - carries the interruption through the trainer
    """Raised between two steps; the trainer would end the program on a `KeyboardInterrupt`."""

    def __init__(self, interruption: TrainingInterrupted) -> None:
        self.interruption = interruption
        super().__init__(str(interruption))


class Interruption(Callback):
    """Waits for SIGINT and SIGTERM and ends the training at the next step that is complete.

    In the middle of a step some weights are new and others are not, and gradients that are being
    accumulated are lost: a checkpoint from there would not go on as the training would have. In
    validation nothing is learned, so it ends at once, and validation is done anew. A second
    signal ends all at once, without a checkpoint.

    It must be the last callback: others act on the end of a step before it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}
        self._averaged = False

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals, once the trainer has its own handlers."""
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Likewise, where nothing is tried first."""
        self._listen()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._give_back()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._give_back()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **settings: Any
    ) -> None:
        """Stop here if asked to, unless gradients are still being gathered."""
        if not trainer.fit_loop._should_accumulate():
            self._stop_if_asked(trainer)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on a moving average stands in for the weights."""
        self._averaged = True

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **settings: Any
    ) -> None:
        """Stop here if asked to."""
        self._stop_if_asked(trainer)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The weights are the learning ones again."""
        self._averaged = False

    def _listen(self) -> None:
        if not self._before and threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        # Not `print`: the signal may have come in the middle of one.
        os.write(2, _NOTICE.format(signal.Signals(number).name).encode())

    def _stop_if_asked(self, trainer: Trainer) -> None:
        number = self._agreed(trainer)
        if number is None:
            return
        path = None if trainer.sanity_checking else _path(trainer)
        if path is not None:
            if self._averaged:
                self._bring_back_weights(trainer)
            trainer.save_checkpoint(path)
        raise StepReached(
            TrainingInterrupted(number, trainer.current_epoch, trainer.global_step, path)
        )

    def _agreed(self, trainer: Trainer) -> int | None:
        """The signal, if any process of the training got one: all stop at the same step."""
        if trainer.world_size < 2:
            return self.number
        if not trainer.strategy.reduce_boolean_decision(self.number is not None, all=False):
            return None
        return self.number or int(signal.SIGINT)

    def _bring_back_weights(self, trainer: Trainer) -> None:
        for callback in callbacks_of(trainer):
            if isinstance(callback, WeightAveraging):
                callback.on_validation_epoch_end(trainer, trainer.lightning_module)


def _path(trainer: Trainer) -> Path | None:
    folder = checkpoint_folder(trainer)
    return None if folder is None or writes_nothing(trainer) else folder / INTERRUPTED
