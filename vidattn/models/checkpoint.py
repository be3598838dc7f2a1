from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidattn import __version__
from vidattn.backbones.checkpoint_file import DESCRIPTION_KEY, unwrap
from vidattn.backbones.conversion import find_layout
from vidattn.backbones.tensor_file import read_tensor_file
from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError, CheckpointError, VidattnError
from vidattn.files import written_whole
from vidattn.models.loaded import RECOGNISER, LoadedRecogniser
from vidattn.models.recogniser import Recogniser
from vidattn.models.spec import RecogniserSpec

# The key under which a checkpoint describes itself, as JSON text: a trainer's own file carries
# it too, so one file serves to resume, to evaluate and to extract.
KEY = DESCRIPTION_KEY
VERSION = 2
# What a checkpoint may hold; the names of its tensors begin with it, as in "recogniser.head.bias".
KINDS = (RECOGNISER,)
PREFIX = f"{RECOGNISER}."
PROGRESS = ("epoch", "global_step")


@dataclass(frozen=True, eq=False)
class CheckpointContent:
    """What a checkpoint holds, before anything is built of it.

    Attributes:
        path: the file.
        digest: SHA-256 of it, hexadecimal.
        kind: of the model, one of `KINDS`.
        spec: of the recogniser.
        clip: how clips are made for it.
        origin: what a converted checkpoint was made of, JSON types; empty for others.
        state: of the recogniser, by its own names.
        progress: what a trainer wrote of how far it had come, such as "epoch"; empty where
            `save` wrote the file.
    """

    path: str
    digest: str
    kind: str
    spec: RecogniserSpec
    clip: ClipSpec
    origin: dict[str, Any]
    state: dict[str, Tensor]
    progress: dict[str, int]


def describe(spec: RecogniserSpec, clip: ClipSpec, origin: Mapping[str, Any] | None = None) -> str:
    """The JSON text that makes a checkpoint self-contained."""
    description = {
        "kind": RECOGNISER,
        "version": VERSION,
        "vidattn": __version__,
        "spec": spec.to_json(),
        "clip": clip.to_json(),
    }
    return json.dumps(description | ({"origin": dict(origin)} if origin else {}))


def save(
    path: str | Path,
    recogniser: Recogniser,
    clip: ClipSpec,
    *,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint that `load` can use; an existing file is replaced in one step.

    Args:
        path: the file.
        recogniser: in any precision.
        clip: how clips are made for it.
        origin: what it was made of, JSON types; `vidattn show` tells it.
    """
    state = {f"{PREFIX}{name}": value for name, value in recogniser.state_dict().items()}
    content = {KEY: describe(recogniser.spec, clip, origin), "state_dict": state}
    # Into an open file: of one that it opens itself, PyTorch does not tell that the disk is full.
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)


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
    content = read(path)
    recogniser = Recogniser(content.spec, allow=allow)
    fill(recogniser, content)
    try:
        recogniser.to(device).eval()
    except (AssertionError, RuntimeError) as error:
        raise ArgumentError(
            f"device: {str(device)!r} cannot be used here ({_first_line(error)})"
        ) from error
    return LoadedRecogniser(recogniser, content.clip, content.path, content.digest)


def read(path: str | Path) -> CheckpointContent:
    """Read a checkpoint without building its network; no class that it names is followed.

    Raises:
        CheckpointError: no such file, or no checkpoint of ours.
        ArgumentError: its description has a value that cannot be.
    """
    content = read_checkpoint(path)
    spec, clip = description_of(content, path)
    state = content["state_dict"]
    return CheckpointContent(
        str(path),
        sha256(Path(path).read_bytes()).hexdigest(),
        RECOGNISER,
        spec,
        clip,
        dict(json.loads(content[KEY]).get("origin") or {}),
        {n.removeprefix(PREFIX): v for n, v in state.items() if n.startswith(PREFIX)},
        {name: content[name] for name in PROGRESS if isinstance(content.get(name), int)},
    )


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """All that a checkpoint of ours holds: its description, tensors and plain values.

    Raises:
        CheckpointError: no such file, unreadable, or no checkpoint of ours.
    """
    content = read_tensor_file(path)
    if not isinstance(content, dict) or KEY not in content or "state_dict" not in content:
        raise CheckpointError(f"{path}: not a vidattn checkpoint; {_hint(content, path)}")
    return content


def _hint(content: Any, path: str | Path) -> str:
    """What helps with a file that torch wrote and that is none of ours."""
    try:
        state = unwrap(content, str(path))
        own = find_layout(state, str(path))
    except CheckpointError:
        return "`vidattn show` says what it looks like"
    return (
        f"its names are those of {own}: `vidattn convert {path} --backbone NAME --output FILE` "
        "makes one of it, and `vidattn show` says which network it may be"
    )


def fill(recogniser: Recogniser, content: CheckpointContent, *, assign: bool = False) -> None:
    """Give a recogniser the weights of a checkpoint.

    Args:
        recogniser: built as the checkpoint's `spec` says.
        content: of the checkpoint.
        assign: take its tensors themselves, as a recogniser on "meta" must.

    Raises:
        CheckpointError: they do not fit.
    """
    try:
        recogniser.load_state_dict(content.state, assign=assign)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{content.path}: the weights do not fit the description: {reason}"
        ) from error


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
        spec = RecogniserSpec.from_json(_spec_values(description, path))
        clip = ClipSpec.from_json(description["clip"])
    except VidattnError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a vidattn checkpoint ({error!r})") from error
    return spec, clip


def _spec_values(description: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """The recogniser's spec as JSON types, wherever this version of the format keeps it."""
    version = description["version"]
    if version == 1:  # held a recogniser, and did not say so
        return dict(description[RECOGNISER])
    writer = description.get("vidattn")
    source = f"vidattn {writer}, which wrote it," if writer else "a later version of vidattn"
    if version != VERSION:
        raise CheckpointError(
            f"{path}: this is checkpoint format {version!r}, and vidattn {__version__} reads "
            f"formats 1 to {VERSION}; {source} may read it"
        )
    kind = description["kind"]
    if kind not in KINDS:
        raise CheckpointError(
            f"{path}: this holds a model of the kind {kind!r}, and vidattn {__version__} knows "
            f"only {', '.join(KINDS)}; {source} may know it"
        )
    return dict(description["spec"])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
