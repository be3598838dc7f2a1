from __future__ import annotations

import json
import pickle
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError, CheckpointError, VidattnError
from vidattn.files import written_whole
from vidattn.models.recogniser import Recogniser
from vidattn.models.spec import RecogniserSpec

# The key under which a checkpoint describes itself, as JSON text: a trainer's own file carries
# it too, so one file serves to resume, to evaluate and to extract.
KEY = "vidattn"
VERSION = 1


@dataclass(frozen=True)
class LoadedRecogniser:
    """A recogniser with all that is needed to use it.

    Attributes:
        recogniser: in evaluation mode.
        clip: how clips are made for it.
        path: the file it came from.
        digest: SHA-256 of that file, hexadecimal.
    """

    recogniser: Recogniser
    clip: ClipSpec
    path: str
    digest: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the logits."""
        return self.recogniser.spec.classes


def describe(spec: RecogniserSpec, clip: ClipSpec) -> str:
    """The JSON text that makes a checkpoint self-contained."""
    return json.dumps({"version": VERSION, "recogniser": spec.to_json(), "clip": clip.to_json()})


def save(path: str | Path, recogniser: Recogniser, clip: ClipSpec) -> None:
    """Write a checkpoint that `load` can use; an existing file is replaced in one step."""
    state = {f"recogniser.{name}": value for name, value in recogniser.state_dict().items()}
    with written_whole(path) as temporary:
        torch.save({KEY: describe(recogniser.spec, clip), "state_dict": state}, temporary)


def load(
    path: str | Path, *, device: str | torch.device = "cpu", allow: Collection[str] = ()
) -> LoadedRecogniser:
    """Read a checkpoint written by `save` or by training; Lightning is not needed.

    Args:
        path: the file.
        device: where the recogniser is put.
        allow: dotted paths of classes outside vidattn that the file may name.

    Raises:
        CheckpointError: no such file, no checkpoint of ours, or weights that do not fit.
        ArgumentError: the file names a class that is not allowed, or there is no such device.
    """
    content = read_checkpoint(path)
    spec, clip = description_of(content, path)
    recogniser = Recogniser(spec, allow=allow)
    _fill(recogniser, content["state_dict"], path)
    try:
        recogniser.to(device).eval()
    except (AssertionError, RuntimeError) as error:
        raise ArgumentError(
            f"device: {str(device)!r} cannot be used here ({_first_line(error)})"
        ) from error
    digest = sha256(Path(path).read_bytes()).hexdigest()
    return LoadedRecogniser(recogniser, clip, str(path), digest)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """All that a checkpoint of ours holds: its description, tensors and plain values.

    Raises:
        CheckpointError: no such file, unreadable, or no checkpoint of ours.
    """
    if Path(path).is_dir():
        raise CheckpointError(f"{path}: expected a checkpoint file, got a folder")
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    try:
        # Never without weights_only: unpickling a stranger's file runs the stranger's code.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # PyTorch's own words advise to run whatever the file holds.
        foreign = isinstance(error, pickle.UnpicklingError)
        reason = "it is none, or holds more than tensors" if foreign else _first_line(error)
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({reason})") from error
    if not isinstance(content, dict) or KEY not in content or "state_dict" not in content:
        raise CheckpointError(
            f"{path}: not a vidattn checkpoint (expected the keys {KEY!r} and 'state_dict')"
        )
    return content


def description_of(content: dict[str, Any], path: str | Path) -> tuple[RecogniserSpec, ClipSpec]:
    """What `describe` wrote into a checkpoint.

    Args:
        content: from `read_checkpoint`.
        path: for the message.

    Raises:
        CheckpointError: of another version, or not to be understood.
        ArgumentError: a setting in it is out of range.
    """
    try:
        description: dict[str, Any] = json.loads(content[KEY])
        if description["version"] != VERSION:
            raise CheckpointError(
                f"{path}: expected checkpoint version {VERSION}, got {description['version']}"
            )
        spec = RecogniserSpec.from_json(description["recogniser"])
        clip = ClipSpec.from_json(description["clip"])
    except VidattnError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a vidattn checkpoint ({error!r})") from error
    return spec, clip


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _fill(recogniser: Recogniser, state: dict[str, Tensor], path: str | Path) -> None:
    prefix = "recogniser."
    own = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    try:
        recogniser.load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path}: the weights do not fit the description: {reason}"
        ) from error
