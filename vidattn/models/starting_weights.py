"""A recogniser that starts from weights: published ones, a file of another project, or our own."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from vidattn.backbones.checkpoint_file import refuse_not_finite
from vidattn.backbones.pretrained import LoadReport, WeightsMismatchError
from vidattn.errors import CheckpointError
from vidattn.models.checkpoint import KEY, description_of, read_checkpoint
from vidattn.models.recogniser import Recogniser
from vidattn.models.spec import SOURCE, RecogniserSpec

_PREFIX = "recogniser."
_POOLING, _HEAD = "pooling.", "head."


@dataclass(frozen=True)
class TakenOver:
    """What a recogniser has from another one's checkpoint.

    Attributes:
        source: the file.
        loaded: tensors that were taken over, or rows of them.
        total: tensors of the recogniser.
        kept_classes: names in both, whose rows of the head were taken over.
        new_classes: names whose rows start afresh.
        dropped_classes: names of the checkpoint that the recogniser has not got.
        new: parts that start afresh: "head", "pooling", "self_attention at layer3".
        left: parts of the checkpoint that are not used.
        differences: backbone settings that are not those of the checkpoint, though all fits.
    """

    source: str
    loaded: int
    total: int
    kept_classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    dropped_classes: tuple[str, ...]
    new: tuple[str, ...]
    left: tuple[str, ...]
    differences: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.source}: {self.loaded} of {self.total} tensors loaded"]
        new = list(self.new)
        if self.kept_classes and self.new_classes:
            parts.append(f"head: classes differ, kept {_names(self.kept_classes)}")
            new.append(f"rows of the head for {_names(self.new_classes)}")
        if new:
            parts.append("new: " + ", ".join(new))
        if self.kept_classes and self.dropped_classes:
            parts.append(f"classes of the checkpoint dropped: {_names(self.dropped_classes)}")
        if self.left:
            parts.append("not used: " + ", ".join(self.left))
        if self.differences:
            parts.append("other settings than there: " + ", ".join(self.differences))
        return "; ".join(parts)


def start_recogniser(
    spec: RecogniserSpec, *, weights: str | PathLike[str] | None, allow: Collection[str] = ()
) -> tuple[Recogniser, TakenOver | None]:
    """Build a recogniser and load weights into it.

    Weights of other projects are the backbone's alone; see `vidattn.backbones.build`. From a
    checkpoint of ours, written by training, `save` or `convert`, everything is taken over that the
    recogniser has too: backbone, inserted attention, pooling, and of the head the rows of classes
    with the same names. With a moving average of the weights in the file it is the average, as in
    `load`. A head, a pooling or inserted attention that the checkpoint has not got starts afresh.

    Args:
        spec: what to build.
        weights: a published name, a URL or a file; None: random numbers.
        allow: see `Recogniser`.

    Returns:
        The recogniser, and what it took over from a checkpoint of ours (None: it was none).

    Raises:
        CheckpointError: unreadable, of another backbone, or it holds NaN or infinity.
        WeightsMismatchError: tensors of the backbone are missing, too many, or of another shape.
    """
    if weights is None or not is_own_checkpoint(weights):
        given = None if weights is None else str(weights)
        return Recogniser(spec, weights=given, allow=allow), None
    recogniser = Recogniser(spec, allow=allow)
    return recogniser, take_over(recogniser, Path(weights))


def take_over(recogniser: Recogniser, path: str | Path) -> TakenOver:
    """Load what fits of a checkpoint of ours into a recogniser; see `start_recogniser`."""
    content = read_checkpoint(path)
    theirs, _ = description_of(content, path)
    ours = recogniser.spec
    if theirs.backbone != ours.backbone:
        raise CheckpointError(
            f"{path}: holds weights of the backbone {theirs.backbone}, and model.backbone is "
            f"{ours.backbone}"
        )
    state: dict[str, Tensor] = {
        name.removeprefix(_PREFIX): value
        for name, value in content["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    refuse_not_finite(state, str(path))
    return _Transfer(recogniser, theirs, state, str(path)).run()


class _Transfer:
    """One checkpoint's state being fitted to one recogniser."""

    def __init__(
        self, recogniser: Recogniser, theirs: RecogniserSpec, state: dict[str, Tensor], source: str
    ) -> None:
        self.recogniser = recogniser
        self.theirs, self.ours = theirs, recogniser.spec
        self.state = state
        self.source = source
        self.own: dict[str, Tensor] = recogniser.state_dict(keep_vars=True)
        self.source_head, self.source_classifier = _source_names(recogniser)

    def run(self) -> TakenOver:
        parts = {name: self._part(name) for name in (*self.own, *self.state)}
        heads = self._fitting_head()
        pooling = self._pooling_fits()
        loaded = {
            name: self.state[name]
            for name, part in parts.items()
            if name in self.own
            and name in self.state
            and (part != "head")
            and (part != "pooling" or pooling)
        }
        self._refuse_misfits(parts, loaded)
        loaded |= heads
        self.recogniser.load_state_dict(loaded, strict=False)
        new = {parts[name] for name in self.own if name not in loaded and not _is_counter(name)}
        left = {parts[name] for name in self.state if name not in loaded} - {"backbone"}
        kept, others = self._classes()
        return TakenOver(
            source=self.source,
            loaded=len(loaded),
            total=len(self.own),
            kept_classes=kept if heads else (),
            new_classes=others if heads else self.ours.classes,
            dropped_classes=tuple(n for n in self.theirs.classes if n not in self.ours.classes),
            new=tuple(sorted(new)),
            left=tuple(sorted(left - new)),
            differences=self._differences(),
        )

    def _part(self, name: str) -> str:
        """Which part of a recogniser a tensor belongs to."""
        if name.startswith((_HEAD, self.source_head)):
            return "head"
        if name.startswith(_POOLING):
            return "pooling"
        for module, insertion in zip(self.recogniser.inserted, self.ours.attention, strict=True):
            inside = {id(value) for value in module.state_dict(keep_vars=True).values()}
            if id(self.own.get(name)) in inside:
                return f"{insertion.mechanism} at {insertion.stage}"
        return "backbone"

    def _refuse_misfits(self, parts: dict[str, str], loaded: dict[str, Tensor]) -> None:
        """Backbone and attention must fit as a whole: half a network computes nothing known."""
        fixed = {n for n, part in parts.items() if part not in ("head", "pooling")}
        present = {parts[name] for name in loaded}
        missing = [
            name
            for name in self.own
            if name in fixed
            and name not in self.state
            and not _is_counter(name)
            and (parts[name] == "backbone" or parts[name] in present)
        ]
        unexpected = [name for name in self.state if name in fixed and name not in self.own]
        shapes = [
            (name, tuple(self.own[name].shape), tuple(value.shape))
            for name, value in loaded.items()
            if self.own[name].shape != value.shape
        ]
        if missing or unexpected or shapes:
            report = LoadReport(
                source=self.source,
                loaded=len(loaded) - len(shapes),
                missing=tuple(missing),
                unexpected=tuple(unexpected),
                mismatching=tuple(shapes),
                head=(),
            )
            raise WeightsMismatchError(self._network(), report)

    def _network(self) -> str:
        described = [f"{each.mechanism} at {each.stage}" for each in self.theirs.attention]
        attention = f" (in the checkpoint model.attention is {', '.join(described)})"
        return self.ours.backbone + (attention if self.theirs.attention else "")

    def _pooling_fits(self) -> bool:
        own = {name: value.shape for name, value in self.own.items() if name.startswith(_POOLING)}
        their = {n: value.shape for n, value in self.state.items() if n.startswith(_POOLING)}
        same = (self.ours.pooling, self.ours.stage) == (self.theirs.pooling, self.theirs.stage)
        return same and own == their

    def _classes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        kept = tuple(name for name in self.ours.classes if name in self.theirs.classes)
        return kept, tuple(name for name in self.ours.classes if name not in kept)

    def _fitting_head(self) -> dict[str, Tensor]:
        """The head's tensors with the rows of classes that both have; empty where none fits."""
        kept, _ = self._classes()
        both = [name for name in self.own if self._part(name) == "head" and name in self.state]
        rows = [name for name in both if name.startswith((_HEAD, self.source_classifier))]
        same_source = (self.ours.pooling == SOURCE) == (self.theirs.pooling == SOURCE)
        fits = all(
            self.own[name].shape == self.state[name].shape
            if name not in rows
            else self.own[name].shape[1:] == self.state[name].shape[1:]
            and len(self.state[name]) == len(self.theirs.classes)
            for name in both
        )
        if not (kept and rows and same_source and fits and self.ours.stage == self.theirs.stage):
            return {}
        ours = torch.tensor([self.ours.classes.index(name) for name in kept])
        theirs = torch.tensor([self.theirs.classes.index(name) for name in kept])
        found = {name: self.state[name] for name in both if name not in rows}
        for name in rows:
            value = self.own[name].detach().clone()
            value[ours] = self.state[name][theirs].to(value.dtype)
            found[name] = value
        return found

    def _differences(self) -> tuple[str, ...]:
        ours, theirs = self.ours.backbone_settings, self.theirs.backbone_settings
        names = sorted({*ours, *theirs})
        return tuple(
            f"model.backbone_settings.{name} {ours.get(name)!r}, there {theirs.get(name)!r}"
            for name in names
            if _plain(ours.get(name)) != _plain(theirs.get(name))
        )


def _source_names(recogniser: Recogniser) -> tuple[str, str]:
    """Beginnings of the names of the backbone's own head, and of its classifier."""
    backbone = recogniser.backbone
    network = next(n for n, m in recogniser.named_modules() if m is backbone.source_network)
    return f"{network}.{backbone.head_path}.", f"{network}.{backbone.classifier_path}."


def is_own_checkpoint(weights: str | PathLike[str]) -> bool:
    """Whether a file is a checkpoint of ours; a glance, without loading it.

    Args:
        weights: a path, or what else may be given for weights.
    """
    if not Path(weights).is_file():
        return False
    try:
        with zipfile.ZipFile(weights) as archive:
            pickled = [name for name in archive.namelist() if name.endswith("data.pkl")]
            return any(KEY.encode() in archive.read(name) for name in pickled)
    except (OSError, zipfile.BadZipFile):
        return False


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _names(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
