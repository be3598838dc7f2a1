from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidattn.backbones.conversion import ConvertedState, convert_state
from vidattn.data import ClipSpec
from vidattn.errors import AnnotationError, ArgumentError
from vidattn.files import check_unused, read_utf8
from vidattn.models import Recogniser, RecogniserSpec, save


@dataclass(frozen=True)
class ConvertedCheckpoint:
    """What was made of another project's checkpoint.

    Attributes:
        output: the file that was written.
        source: the file that was read.
        layout: whose names it had.
        backbone: our name of the network.
        settings: of the backbone, which make it compute what the source's does.
        classes: names, in the order of the logits.
        clip: how clips are made for it.
        protocol: name of the protocol that its published figure belongs to.
        figure: that figure, or "".
        checked: names of the file's own configuration that were compared.
    """

    output: str
    source: str
    layout: str
    backbone: str
    settings: dict[str, Any]
    classes: tuple[str, ...]
    clip: ClipSpec
    protocol: str
    figure: str
    checked: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types."""
        return {
            **vars(self),
            "classes": list(self.classes),
            "clip": self.clip.to_json(),
            "checked": list(self.checked),
        }


def convert(
    checkpoint: str | Path,
    *,
    backbone: str,
    output: str | Path,
    layout: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    frames: int | None = None,
    frame_stride: int | None = None,
    overwrite: bool = False,
) -> ConvertedCheckpoint:
    """Convert a checkpoint of another project; the logits stay the same.

    Args:
        checkpoint: a file of tensors and plain values.
        backbone: our name of the network that it holds.
        output: the file to write.
        layout: see `vidattn.backbones.conversion.layout_names`; found out where None.
        classes: names in the order of the logits, or a file with one a line; "class 0" and so
            on where None.
        frames, frame_stride: of the clips that it was trained on; None takes them from the
            configuration in the file, or else the network's best known ones.
        overwrite: replace `output` where it exists.

    Raises:
        CheckpointError: unreadable, or of another network than said (`WeightsMismatchError`
            says which names and shapes differ).
        AnnotationError: the class file is empty, or repeats a name.
        ArgumentError: no such backbone or layout, no exact map, another number of classes, or
            `output` exists.
    """
    found = convert_state(checkpoint, backbone, layout_name=layout)
    named = [classes] if isinstance(classes, str | Path) else []
    check_unused(output, overwrite=overwrite, inputs=[checkpoint, *named])
    spec = RecogniserSpec(
        classes=_class_names(classes, found.classes),
        backbone=backbone,
        backbone_settings=found.settings,
        pooling="source",
    )
    changes = {"frames": frames, "frame_stride": frame_stride}
    clip = ClipSpec(
        **{**found.clip, **{name: value for name, value in changes.items() if value is not None}}
    )
    recogniser = Recogniser(spec).eval()
    recogniser.backbone.source_network.load_state_dict(found.state)
    origin = {"layout": found.layout, "protocol": found.conversion.protocol}
    save(output, recogniser, clip, origin=origin | {"figure": found.conversion.figure})
    return _record(found, spec, clip, checkpoint, output)


def _record(
    found: ConvertedState,
    spec: RecogniserSpec,
    clip: ClipSpec,
    checkpoint: str | Path,
    output: str | Path,
) -> ConvertedCheckpoint:
    return ConvertedCheckpoint(
        output=str(output),
        source=str(checkpoint),
        layout=found.layout,
        backbone=spec.backbone,
        settings=found.settings,
        classes=spec.classes,
        clip=clip,
        protocol=found.conversion.protocol,
        figure=found.conversion.figure,
        checked=found.checked,
    )


def _class_names(classes: str | Path | Sequence[str] | None, count: int) -> tuple[str, ...]:
    if classes is None:
        return tuple(f"class {number}" for number in range(count))
    given = _read_classes(Path(classes)) if isinstance(classes, str | Path) else tuple(classes)
    if len(given) != count:
        raise ArgumentError(f"classes: the head has {count}, got {len(given)} names")
    return given


def _read_classes(path: Path) -> tuple[str, ...]:
    lines = [line.strip() for line in read_utf8(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    first: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            raise AnnotationError(path, number, "expected a class name, got an empty line")
        if line in first:
            raise AnnotationError(path, number, f"{line!r} is already on line {first[line]}")
        first[line] = number
    if not lines:
        raise AnnotationError(path, 0, "expected a class name a line, got an empty file")
    return tuple(lines)
