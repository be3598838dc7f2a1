from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidattn.backbones.backbone import Backbone
from vidattn.backbones.built_in import build
from vidattn.backbones.checkpoint_file import DESCRIPTION_KEY, read_content, unwrap
from vidattn.backbones.conversion.name_map import Conversion, Layout, State
from vidattn.backbones.pretrained import LoadReport, WeightsMismatchError
from vidattn.errors import ArgumentError, CheckpointError
from vidattn.naming import choose

# Order matters where names are found out: the more particular marks come first.
LAYOUTS = ("mmaction2", "pyslowfast", "huggingface", "videomae", "pytorchvideo", "torchvision")


@dataclass(frozen=True)
class ConvertedState:
    """A checkpoint of another project, under our names and complete.

    Attributes:
        layout: name of the source's layout.
        conversion: what was done.
        settings: of the backbone, without `classes`.
        classes: size of the head.
        clip: fields of a `ClipSpec`: the network's own, or what the file's configuration says.
        state: for the backbone's `source_network`.
        checked: names of the file's own configuration that were compared; none where the file
            has none.
    """

    layout: str
    conversion: Conversion
    settings: dict[str, Any]
    classes: int
    clip: dict[str, Any]
    state: State
    checked: tuple[str, ...]


def layout_names() -> list[str]:
    """Names of the layouts that can be converted from."""
    return sorted(LAYOUTS)


def layout(name: str) -> Layout:
    """A layout by name.

    Raises:
        UnknownNameError: there is none of that name.
    """
    module = import_module(f"vidattn.backbones.conversion.{choose('layout', name, LAYOUTS)}")
    found: Layout = module.LAYOUT
    return found


def find_layout(state: Mapping[str, Tensor], source: str) -> str:
    """The layout that a state dict's names belong to.

    Raises:
        CheckpointError: none is known.
    """
    for name in LAYOUTS:
        if layout(name).recognises(state):
            return name
    raise CheckpointError(
        f"{source}: its names ({', '.join(list(state)[:3])}, …) belong to no known layout "
        f"({', '.join(layout_names())})"
    )


def fitting_networks(state: Mapping[str, Tensor], layout_name: str) -> list[str]:
    """Our names of the networks whose tensors these are, by their names and shapes.

    Args:
        state: under the source's names, without containers and prefixes.
        layout_name: of `layout_names()`.
    """
    found = []
    for name, conversion in layout(layout_name).networks.items():
        mapped, unknown = _rename(conversion, conversion.prepare(dict(state)))
        if unknown:
            continue
        with torch.device("meta"):
            network = build(name, classes=1, **conversion.settings)
        try:
            _check(network, mapped, unknown, "")
        except WeightsMismatchError:
            continue
        found.append(name)
    return found


def convert_state(
    path: str | Path, backbone: str, *, layout_name: str | None = None
) -> ConvertedState:
    """Read a checkpoint of another project and give its tensors our names.

    Every tensor must find its place and every place its tensor, all of the right shape.

    Args:
        path: the file; tensors and plain values only.
        backbone: our name of the network that it holds.
        layout_name: of `layout_names()`; found out from the names where None.

    Raises:
        UnknownNameError: no such layout, or no such network in it.
        ArgumentError: the layout has the network, but no exact map is possible.
        CheckpointError: unreadable, of no known layout, or configured otherwise.
        WeightsMismatchError: names or shapes are those of another network.
    """
    source = str(path)
    content = read_content(path)
    if isinstance(content, Mapping) and DESCRIPTION_KEY in content:
        raise CheckpointError(
            f"{source}: a vidattn checkpoint already, which every command takes; `vidattn show` "
            "says what it is"
        )
    state = unwrap(content, source)
    found = layout(layout_name or find_layout(state, source))
    if backbone in found.refused:
        raise ArgumentError(
            f"backbone: {backbone} from {found.name} is refused: {found.refused[backbone]}"
        )
    conversion = found.networks[choose(f"network of layout {found.name}", backbone, found.networks)]
    values = _configuration(content)
    checked = _check_configuration(values, conversion, source)
    mapped, unknown = _rename(conversion, conversion.prepare(state))
    with torch.device("meta"):
        network = build(backbone, classes=1, **conversion.settings)
    classes = _check(network, mapped, unknown, source)
    configured = {
        name: value
        for name, dotted in conversion.configured_clip.items()
        if (value := _look_up(values, dotted)) is not None
    }
    return ConvertedState(
        layout=found.name,
        conversion=conversion,
        settings=dict(conversion.settings),
        classes=classes,
        clip={**conversion.clip, **configured},
        state=mapped,
        checked=checked,
    )


def _rename(conversion: Conversion, state: State) -> tuple[State, list[str]]:
    """Tensors under our names, and names that have none."""
    mapped: State = {}
    unknown: list[str] = []
    for name, value in state.items():
        ours = conversion.names(name)
        if ours is None or ours in mapped:
            unknown.append(name)
        else:
            mapped[ours] = value
    return mapped, unknown


def _check(backbone: Backbone, state: State, unknown: list[str], source: str) -> int:
    """How many classes the head has; an error where anything else differs from the network."""
    own = backbone.source_network.state_dict()
    head = {name for name in own if name.startswith(f"{backbone.classifier_path}.")}
    counts = {state[name].shape[0] for name in head if name in state and state[name].ndim}
    expected = {
        name: (min(counts), *value.shape[1:]) if name in head and counts else tuple(value.shape)
        for name, value in own.items()
    }
    # Counters of batches are of no use for evaluation, and absent from older files.
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    missing = [name for name in own if name not in state and name not in counters]
    for name in counters.difference(state):
        state[name] = torch.zeros((), dtype=torch.int64)
    report = LoadReport(
        source=source,
        loaded=len(state.keys() & own.keys()),
        missing=tuple(missing),
        unexpected=(*unknown, *(name for name in state if name not in own)),
        mismatching=tuple(
            (name, shape, tuple(state[name].shape))
            for name, shape in expected.items()
            if name in state and tuple(state[name].shape) != shape
        ),
        head=(),
    )
    if not report.fits:
        raise WeightsMismatchError(getattr(backbone, "variant", ""), report)
    return min(counts)


def _configuration(content: Any) -> Any:
    """The configuration that a file carries beside the weights; empty where there is none."""
    text = content.get("cfg") if isinstance(content, Mapping) else None
    if not isinstance(text, str):
        return {}
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return {}


def _look_up(values: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _check_configuration(values: Any, conversion: Conversion, source: str) -> tuple[str, ...]:
    """Compare what the file says of its network with what the map is for."""
    checked = []
    for name, expected in conversion.configuration.items():
        value = _look_up(values, name)
        if value is None:
            continue
        if value != expected:
            raise CheckpointError(
                f"{source}: its configuration has {name} = {value!r}, which computes something "
                f"else than {expected!r} from the same weights; there is no twin for it here"
            )
        checked.append(name)
    return tuple(checked)
