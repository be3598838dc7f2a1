"""Where a training writes, unless its configuration names places of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

BEST, LAST = "best", "last"
LOGS = "csv"


def add_run_files(settings: dict[str, Any], output: Path, *, metric: str | None) -> None:
    """Have a trainer write `best.ckpt`, `last.ckpt` and logs to a folder.

    Checkpoint callbacks and loggers that are configured already stand alone.

    Args:
        settings: of the trainer; callbacks and logger are changed.
        output: the folder.
        metric: of validation, by which the best is chosen; None: there is no validation.
    """
    callbacks = settings.get("callbacks") or []
    callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
    saves = settings.get("enable_checkpointing") is not False
    if saves and not any(isinstance(callback, ModelCheckpoint) for callback in callbacks):
        if metric is not None:
            monitored = f"validation/{metric}"
            callbacks.append(ModelCheckpoint(output, BEST, monitor=monitored, mode="max"))
        callbacks.append(ModelCheckpoint(output, LAST, enable_version_counter=False))
    settings["callbacks"] = callbacks
    if settings.get("logger") is None:
        settings["logger"] = CSVLogger(output, name=LOGS)
    if settings.get("default_root_dir") is None:
        settings["default_root_dir"] = str(output)
