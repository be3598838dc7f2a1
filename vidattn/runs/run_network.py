"""The network of a run that several processes may share: each reads the checkpoint once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.arrays import at_least
from vidattn.errors import ArgumentError
from vidattn.runs.shards import Shard, shard_from_environment
from vidattn.threads import limit_torch

# What each process imports that runs a network; `vidattn.runs.isolation` imports it once for all.
NETWORK_MODULES = ("torchvision", "vidattn.models.recogniser", "vidattn.data.transforms")

if TYPE_CHECKING:
    from vidattn.models import LoadedRecogniser


def processes_for(checkpoint: str | Path | LoadedRecogniser | None, processes: int) -> int:
    """How many children do a run: none where the network lives in this process alone.

    Raises:
        ArgumentError: the number is below 0, or several are to load what is no file.
    """
    at_least("processes", processes, 0)
    if checkpoint is None or isinstance(checkpoint, str | Path):
        return processes
    if processes > 1:
        raise ArgumentError("processes: expected the checkpoint as a file, for each to load it")
    return 0


def loaded_here(
    checkpoint: str | Path | LoadedRecogniser, device: str, processes: int
) -> LoadedRecogniser:
    """The network where this process runs it, or only looks at it where children run it.

    Args:
        processes: what `processes_for` returned.

    Raises:
        CheckpointError: it cannot be loaded.
        ArgumentError: there is no such device.
    """
    if not isinstance(checkpoint, str | Path):
        return checkpoint
    if processes == 0:
        return _load(checkpoint, shard_from_environment().device(device))
    _check_device(device)
    return _load(checkpoint, "cpu")


def to_share(
    checkpoint: str | Path | LoadedRecogniser, loaded: LoadedRecogniser, processes: int
) -> str | LoadedRecogniser:
    """What a `Work` is given of it: what `loaded_here` returned, or the file for each child."""
    return loaded if processes == 0 else str(checkpoint)


def loaded_in(shard: Shard, model: str | LoadedRecogniser, device: str) -> LoadedRecogniser:
    """The network in a process that does a share of the run, given what `to_share` returned."""
    return _load(model, shard.device(device)) if isinstance(model, str) else model


def device_kind(model: str | LoadedRecogniser | None, device: str) -> str:
    """What the network runs on, such as "cuda": which of several does not matter."""
    if model is None or isinstance(model, str):
        return device.partition(":")[0]
    return next(model.recogniser.parameters()).device.type


def _check_device(name: str) -> None:
    """Refuse a device that is not there, without taking memory of it for this process."""
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"device: {name!r} cannot be used here ({reason})") from error
    there = torch.cuda.device_count() if device.type == "cuda" else None
    if there is not None and (device.index or 0) >= there:
        raise ArgumentError(f"device: {name!r} cannot be used here ({there} such devices)")


def _load(checkpoint: str | Path, device: str) -> LoadedRecogniser:
    from vidattn.models import load  # not needed, and not imported, where a run has no network

    limit_torch()
    return load(checkpoint, device=device)
