"""Notices of the trainer that a person can do nothing about stay unsaid while a training runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Of the trainer's own remarks on devices, seeds, advertised packages and its progress.
_LOGGERS = ("pytorch_lightning", "lightning_fabric")
_MESSAGES = (
    # Whoever calls this with options has them from a command line already.
    "LightningCLI's args parameter is intended",
    # What lies there was looked at already, and either goes on or was given up.
    "(Checkpoint|Experiment logs) directory .* not empty",
    # Of the first validation batches no video could be read; others may.
    "The ``compute`` method of metric",
    # A training that was interrupted in a validation ends that epoch without its figures.
    r"`ModelCheckpoint\(monitor='validation/(top1|mean_average_precision)'\)` could not find",
    # No validation was asked for.
    "Total length of `list` across ranks is zero",
    # The number of workers is a setting; small data sets have few batches.
    "The '.*' does not have many workers",
    "The number of training batches .* is smaller than the logging interval",
    # Batches of clips say their size where it is logged.
    "Trying to infer the `batch_size`",
    # The trainer's own use of what others deprecated.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
)
_MODULES = ("pytorch_lightning", "lightning_fabric", "lightning_utilities", "jsonargparse")


@contextmanager
def quiet_trainer() -> Iterator[None]:
    """Leave out remarks of the trainer's libraries; all is as before afterwards."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in _MESSAGES:
            warnings.filterwarnings("ignore", message=message)
        for module in _MODULES:
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category, module=module)
        for logger in loggers:
            logger.setLevel(max(logger.level, logging.WARNING))
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
