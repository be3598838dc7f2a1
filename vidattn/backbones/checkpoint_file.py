from __future__ import annotations

import hashlib
import pickle
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import torch
from torch import Tensor

from vidattn.backbones.published import published_weights
from vidattn.errors import CheckpointError, UnknownNameError

CONTAINERS = ("model_state", "state_dict", "model_state_dict", "model", "module")
PREFIXES = ("module.", "network.")
# In a checkpoint of ours, beside the pooling and the head of a recogniser.
OWN = "recogniser.backbone."


def weights_source(name: str, weights: str | PathLike[str]) -> str:
    """What a user calls weights -> a web address or the path of an existing file.

    Args:
        name: of the backbone, for its published weights.
        weights: a published name, a URL (http, https, file) or a path.

    Raises:
        UnknownNameError: looks like a published name, and is none.
        CheckpointError: no such file, or another kind of URL.
    """
    published = published_weights(name)
    if isinstance(weights, str):
        if weights in published:
            return published[weights]
        scheme, mark, _ = weights.partition("://")
        if mark and scheme.lower() in ("http", "https"):
            return weights
        if mark and scheme.lower() == "file":
            weights = url2pathname(urlsplit(weights).path)
        elif mark:
            raise CheckpointError(f"{weights}: expected http, https or file before ://")
    if Path(weights).is_file():
        return str(weights)
    if str(weights) and Path(weights).is_dir():
        raise CheckpointError(f"weights {str(weights)!r}: expected a file, got a folder")
    if isinstance(weights, str) and re.fullmatch("[A-Z0-9_]+", weights):
        raise UnknownNameError(f"weights {weights!r}: {_offer(name, weights, published)}")
    raise CheckpointError(f"{weights}: no such file; {_offer(name, str(weights), published)}")


def read_state(source: str) -> dict[str, Tensor]:
    """The state dict in a file or at a web address, without containers and prefixes.

    Raises:
        CheckpointError: unreachable, damaged, holds more than tensors and plain values, or no
            state dict.
    """
    return unwrap(read_content(source), source)


def read_content(path: str | PathLike[str]) -> Any:
    """All that a file, or what is at a web address, holds besides code: that is refused.

    Raises:
        CheckpointError: unreachable, damaged, or holds more than tensors and plain values.
    """
    source = str(path)
    try:
        return _download(source) if _is_web(source) else _load(Path(source))
    except pickle.UnpicklingError as error:
        # PyTorch's own words advise to run whatever the file holds.
        raise CheckpointError(
            f"{source}: no checkpoint, or one that holds more than tensors and plain values; "
            "refused"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError) as error:
        raise CheckpointError(f"{source}: cannot be read: {error}") from error


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Names of the tensors that hold NaN or infinity; other values are passed over."""
    return [
        name
        for name, value in tensors.items()
        if isinstance(value, Tensor)
        and value.is_floating_point()
        and not torch.isfinite(value).all()
    ]


def refuse_not_finite(state: Mapping[str, Any], source: str) -> None:
    """Refuse weights with which no network computes anything.

    Raises:
        CheckpointError: tensors hold NaN or infinity; some are named.
    """
    if named := not_finite(state):
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        raise CheckpointError(
            f"{source}: {len(named)} tensors hold NaN or infinity ({', '.join(named[:5])}{more}): "
            "a training that failed, perhaps; take an earlier checkpoint"
        )


def _offer(name: str, weights: str, published: dict[str, str]) -> str:
    if not published:
        return f"no weights are published for {name}"
    close = get_close_matches(weights, published, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"the published weights of {name} are {', '.join(published)}{hint}"


def _is_web(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _download(url: str) -> Any:
    """Download once into torch.hub's folder, and load."""
    name = _cached_name(url)
    cached = Path(torch.hub.get_dir(), "checkpoints", name)
    try:
        return torch.hub.load_state_dict_from_url(
            url,
            map_location="cpu",
            progress=sys.stderr.isatty(),
            check_hash=_has_hash(name),
            file_name=name,
            weights_only=True,
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        # A broken download must not be found again by the next run.
        cached.unlink(missing_ok=True)
        raise


def _cached_name(url: str) -> str:
    """The URL's file name; without a hash in it, two sites' equal names must not meet."""
    name = Path(unquote(urlsplit(url).path)).name or "weights"
    if _has_hash(name):
        return name
    return f"{hashlib.sha256(url.encode()).hexdigest()[:12]}_{name}"


def _has_hash(name: str) -> bool:
    # The very match that torch.hub would compare; it also takes "-1." for a hash.
    found = torch.hub.HASH_REGEX.search(name)
    return found is not None and len(found[1]) >= 8


def unwrap(content: Any, source: str) -> dict[str, Tensor]:
    """The state dict in what a file held, without containers and prefixes.

    Raises:
        CheckpointError: there is none.
    """
    while isinstance(content, Mapping):
        inner = next((content[key] for key in CONTAINERS if key in content), None)
        if not isinstance(inner, Mapping):
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{source}: expected a state dict, got {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{source}: expected names with tensors, got {name!r} with {type(value).__name__}"
            )
    state = dict(content)
    if own := {n.removeprefix(OWN): v for n, v in state.items() if n.startswith(OWN)}:
        state = own
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
