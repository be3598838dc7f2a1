from __future__ import annotations

import logging
from dataclasses import dataclass
from os import PathLike

from torch import Tensor

from vidattn.backbones.backbone import Backbone
from vidattn.backbones.checkpoint_file import read_state, refuse_not_finite, weights_source
from vidattn.errors import CheckpointError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """How a checkpoint fitted a network; names are the network's parameters and buffers.

    Attributes:
        source: the file or URL.
        loaded: how many tensors were taken over.
        missing: in the network, not in the checkpoint.
        unexpected: in the checkpoint, not in the network.
        mismatching: name, shape in the network, shape in the checkpoint.
        head: those of the above that only concern the classification head, which may differ.
    """

    source: str
    loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatching: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    head: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether nothing but the head differs."""
        different = {*self.missing, *self.unexpected, *(name for name, _, _ in self.mismatching)}
        return different <= set(self.head)

    def __str__(self) -> str:
        shapes = [f"{name} {own} here, {other} there" for name, own, other in self.mismatching]
        parts = [f"{self.source}: {self.loaded} tensors loaded"]
        for what, found in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", shapes),
        ):
            if found:
                more = f" and {len(found) - 5} more" if len(found) > 5 else ""
                parts.append(f"{len(found)} {what} ({', '.join(found[:5])}{more})")
        return "; ".join(parts)


class WeightsMismatchError(CheckpointError):
    """A checkpoint is readable but of another network. `report` says how they differ."""

    def __init__(self, network: str, report: LoadReport) -> None:
        self.network = network
        self.report = report
        super().__init__(f"weights do not fit {network}: {report}")

    def __reduce__(self) -> tuple[type, tuple[str, LoadReport]]:
        return type(self), (self.network, self.report)


def load_weights(
    backbone: Backbone, weights: str | PathLike[str], *, strict: bool = True
) -> LoadReport:
    """Load weights into a backbone's source network.

    The head may differ: a classifier of another size, or none at all in the checkpoint, is left
    at its initialisation, and a checkpoint's head is ignored where the backbone has none. The
    report names it. Nothing is loaded when an error is raised.

    Args:
        backbone: from `build`.
        weights: a name in `published_weights`, such as "DEFAULT"; a URL (downloaded once, into
            torch.hub's folder; checked where the file name ends in a hash); or a file. Files hold
            a state dict, alone or under "model_state" or "state_dict", possibly with every
            name under "module."; pickled code is refused.
        strict: False loads what fits and reports the rest.

    Raises:
        UnknownNameError: no such published weights.
        CheckpointError: unreadable, or it holds NaN or infinity.
        WeightsMismatchError: (strict) anything but the head differs.
    """
    name = getattr(backbone, "variant", type(backbone).__name__)
    source = weights_source(name, weights)
    state = read_state(source)
    refuse_not_finite(state, source)
    report, fitting = _compare(backbone, state, source)
    if strict and not report.fits:
        raise WeightsMismatchError(name, report)
    backbone.source_network.load_state_dict(fitting, strict=False)
    if report.missing or report.unexpected or report.mismatching:
        logger.warning("%s", report)
    return report


def _compare(
    backbone: Backbone, state: dict[str, Tensor], source: str
) -> tuple[LoadReport, dict[str, Tensor]]:
    """The report, and what can be loaded."""
    own = backbone.source_network.state_dict()
    # Checkpoints older than this counter lack it; only a momentum of None reads it.
    missing = [n for n in own if n not in state and not n.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    different = {n for n in own if n in state and own[n].shape != state[n].shape}
    head = _head_differences(backbone, own, state)
    fitting = {n: state[n] for n in own if n in state and n not in different and n not in head}
    report = LoadReport(
        source=source,
        loaded=len(fitting),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        mismatching=tuple(
            (n, tuple(own[n].shape), tuple(state[n].shape)) for n in sorted(different)
        ),
        head=tuple(sorted(head)),
    )
    return report, fitting


def _head_differences(
    backbone: Backbone, own: dict[str, Tensor], state: dict[str, Tensor]
) -> set[str]:
    """Names in the head that may differ, and are then left alone."""
    head = {name for name in (*own, *state) if name.startswith(f"{backbone.head_path}.")}
    if not head.intersection(own) or not head.intersection(state):
        return head
    classifier = {n for n in own if n.startswith(f"{backbone.classifier_path}.")}
    if not classifier.intersection(state):
        return classifier
    # Only the number of classes, the first size of each tensor, may differ.
    shapes = [(own[n].shape, state[n].shape) for n in classifier if n in state]
    other_classes = all(a[0] != b[0] and a[1:] == b[1:] for a, b in shapes if a and b)
    return classifier if other_classes else set()
