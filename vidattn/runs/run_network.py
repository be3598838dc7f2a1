"""The network of a run that several processes may share: each reads the checkpoint once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.errors import ArgumentError
from vidattn.runs.shards import Shard, shard_from_environment
from vidattn.threads import limit_torch

if TYPE_CHECKING:
    from vidattn.models import LoadedRecogniser


def loaded_here(
    checkpoint: str | Path | LoadedRecogniser, device: str, processes: int
) -> LoadedRecogniser:
    """The network where this process runs it, or only looks at it where others run it.

    Raises:
        CheckpointError: it cannot be loaded.
        ArgumentError: several processes want to load what is no file.
    """
    if isinstance(checkpoint, str | Path):
        here = shard_from_environment().device(device) if processes == 1 else "cpu"
        return _load(checkpoint, here)
    if processes > 1:
        raise ArgumentError("processes: expected the checkpoint as a file, for each to load it")
    return checkpoint


def to_share(
    checkpoint: str | Path | LoadedRecogniser, loaded: LoadedRecogniser, processes: int
) -> str | LoadedRecogniser:
    """What a `Work` is given of it: what `loaded_here` returned, or the file for each process."""
    return loaded if processes == 1 else str(checkpoint)


def loaded_in(shard: Shard, model: str | LoadedRecogniser, device: str) -> LoadedRecogniser:
    """The network in a process that does a share of the run, given what `to_share` returned."""
    return _load(model, shard.device(device)) if isinstance(model, str) else model


def device_kind(model: str | LoadedRecogniser | None, device: str) -> str:
    """What the network runs on, such as "cuda": which of several does not matter."""
    if model is None or isinstance(model, str):
        return device.partition(":")[0]
    return next(model.recogniser.parameters()).device.type


def _load(checkpoint: str | Path, device: str) -> LoadedRecogniser:
    from vidattn.models import load  # not needed, and not imported, where a run has no network

    limit_torch()
    return load(checkpoint, device=device)
