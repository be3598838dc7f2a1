from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch

from vidattn.backbones.checkpoint_file import not_finite, unwrap
from vidattn.backbones.conversion import find_layout, fitting_networks
from vidattn.backbones.tensor_file import read_tensor_file
from vidattn.errors import CheckpointError
from vidattn.models import Recogniser
from vidattn.models.checkpoint import KEY, CheckpointContent, fill, read
from vidattn.sampling.suitability import suitable

Provenance = Literal["trained", "converted", "saved", "other"]


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint is, as far as its file tells.

    Attributes:
        path: the file.
        digest: SHA-256 of it, hexadecimal.
        provenance: "trained" by vidattn, "converted" from another project, "saved" by
            `vidattn.models.save`; or "other", not one of ours.
        summary: that, in a sentence.
        kind: of the model, such as "recogniser"; None where the file is not one of ours.
        hint: a command that helps, or "".
        layout: whose names it has, of a converted file or another project's; else None.
        networks: our names of the networks that another project's file may hold.
        parameters: how many numbers are learned.
        not_finite: names of tensors with NaN or infinity among their values.
        classes: names in the order of the logits.
        multi_label: whether several classes may hold at once.
        backbone, backbone_settings: what computes features.
        attention: what is inserted: mechanism, stage, scope, placement, settings.
        pooling, pooling_settings: what makes one feature of them.
        clip: frames, stride or rate, sizes, normalisation that it was trained on.
        figure: published for it, or "".
        protocols: name of every evaluation protocol -> why it does not suit; an empty list where
            it does.
    """

    path: str
    digest: str
    provenance: Provenance
    summary: str
    kind: str | None = None
    hint: str = ""
    layout: str | None = None
    networks: tuple[str, ...] = ()
    parameters: int = 0
    not_finite: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    multi_label: bool = False
    backbone: str | None = None
    backbone_settings: dict[str, Any] | None = None
    attention: tuple[dict[str, Any], ...] = ()
    pooling: str | None = None
    pooling_settings: dict[str, Any] | None = None
    clip: dict[str, Any] | None = None
    figure: str = ""
    protocols: dict[str, list[str]] | None = None

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types."""
        found = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}
        return found | {"finite": not self.not_finite}


def show(checkpoint: str | Path) -> CheckpointFacts:
    """Say what a checkpoint is; nothing in it is run, and no trainer is needed.

    Args:
        checkpoint: a file.

    Raises:
        CheckpointError: not a file that torch wrote, damaged, or one of ours whose weights do
            not fit its own description.
    """
    content = read_tensor_file(checkpoint)
    if isinstance(content, dict) and KEY in content and "state_dict" in content:
        return _own(read(checkpoint))
    return _foreign(str(checkpoint), content)


def _own(content: CheckpointContent) -> CheckpointFacts:
    spec, described = content.spec, content.spec.to_json()
    per_frame, parameters = False, 0
    if spec.class_paths:  # not built: that would run the class's code
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        learned = [v for name, v in content.state.items() if not name.endswith(buffers)]
        parameters = sum(value.numel() for value in learned)
    else:
        with torch.device("meta"):
            recogniser = Recogniser(spec)
        fill(recogniser, content, assign=True)
        per_frame = recogniser.per_frame
        parameters = sum(value.numel() for value in recogniser.parameters())
    layout = content.origin.get("layout")
    provenance, summary = _provenance(content)
    return CheckpointFacts(
        path=content.path,
        digest=content.digest,
        provenance=provenance,
        summary=summary,
        kind=content.kind,
        hint=_hint(content),
        layout=layout,
        parameters=parameters,
        not_finite=tuple(not_finite(content.state)),
        classes=spec.classes,
        multi_label=spec.multi_label,
        backbone=spec.backbone,
        backbone_settings=dict(spec.backbone_settings),
        attention=tuple(described["attention"]),
        pooling=spec.pooling,
        pooling_settings=dict(spec.pooling_settings),
        clip=content.clip.to_json(),
        figure=content.origin.get("figure", ""),
        protocols=suitable(content.clip, per_frame=per_frame),
    )


def _provenance(content: CheckpointContent) -> tuple[Provenance, str]:
    layout = content.origin.get("layout")
    if content.progress:
        steps = content.progress.get("global_step")
        start = "" if content.spec.pooling != "source" else ", with the source network's own head"
        return "trained", f"trained by vidattn, {steps} steps{start}"
    if layout is not None:
        return "converted", f"converted by vidattn from {layout}"
    if content.spec.pooling == "source":
        return "converted", "converted by vidattn, by a version that did not note from which layout"
    return "saved", "saved by vidattn.models.save"


def _hint(content: CheckpointContent) -> str:
    if content.spec.class_paths:
        name = content.spec.class_paths[0]
        return f"vidattn.load({content.path!r}, allow=[{name!r}]) in Python builds its own class"
    protocol = content.origin.get("protocol")
    chosen = f" --protocol {protocol}" if protocol else ""
    return f"vidattn evaluate {content.path} --data FOLDER_OR_LIST{chosen}"


def _foreign(path: str, content: Any) -> CheckpointFacts:
    """Facts of a file that torch wrote and that is none of ours."""
    digest = sha256(Path(path).read_bytes()).hexdigest()
    try:
        state = unwrap(content, path)
    except CheckpointError as error:
        words = str(error).removeprefix(f"{path}: ")
        return CheckpointFacts(path, digest, "other", f"no vidattn checkpoint; {words}")
    shared: dict[str, Any] = {
        "parameters": sum(value.numel() for value in state.values()),
        "not_finite": tuple(not_finite(state)),
    }
    try:
        layout = find_layout(state, path)
    except CheckpointError:
        names = ", ".join(list(state)[:3])
        words = f"no vidattn checkpoint; tensors of a network that is not known here ({names}, …)"
        return CheckpointFacts(path, digest, "other", words, **shared)
    networks = tuple(fitting_networks(state, layout))
    what = " or ".join(networks) or "none of the networks that are converted"
    return CheckpointFacts(
        path,
        digest,
        "other",
        f"no vidattn checkpoint; its names are those of {layout}, its network is {what}",
        hint=f"vidattn convert {path} --backbone {networks[0]} --output FILE" if networks else "",
        layout=layout,
        networks=networks,
        **shared,
    )
