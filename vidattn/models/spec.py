from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from vidattn.errors import ArgumentError

Scope = Literal["clip", "frame", "time"]
Placement = Literal["after", "branch", "replace"]

SOURCE = "source"


@dataclass(frozen=True)
class InsertionSpec:
    """One attention mechanism put into the backbone.

    Attributes:
        mechanism: a name of `vidattn.attention.catalogue()`.
        stage: name of the backbone stage that it follows.
        scope: "clip" attends over time and space together, "frame" within each frame, "time"
            along time at each place.
        placement: see `vidattn.attention.insert`.
        settings: the mechanism's own arguments.
    """

    mechanism: str
    stage: str
    scope: Scope = "clip"
    placement: Placement = "after"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecogniserSpec:
    """All that is needed to build a recogniser, in types that JSON has.

    Attributes:
        classes: names, in the order of the logits.
        backbone: a name that `vidattn.backbones.build` takes, or the dotted path of a `Backbone`
            class.
        backbone_settings: its arguments.
        attention: what is inserted into the backbone, in order.
        pooling: a name of `vidattn.models.pooling.POOLINGS`; or "source", the pooling and head
            that the backbone's network was published with.
        pooling_settings: its arguments.
        stage: the backbone stage that is pooled; the last one where None.
        dropout: on the pooled feature, in training.
        multi_label: several classes may hold at once: scores are sigmoids, not a softmax.
    """

    classes: tuple[str, ...]
    backbone: str = "slim"
    backbone_settings: dict[str, Any] = field(default_factory=dict)
    attention: tuple[InsertionSpec, ...] = ()
    pooling: str = "joint"
    pooling_settings: dict[str, Any] = field(default_factory=dict)
    stage: str | None = None
    dropout: float = 0.0
    multi_label: bool = False

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ArgumentError(f"classes: expected distinct names, got {list(self.classes)}")
        if not 0 <= self.dropout < 1:
            raise ArgumentError(f"dropout: expected a number in [0, 1), got {self.dropout}")
        if self.pooling == SOURCE:
            self._check_source()

    def _check_source(self) -> None:
        for name, empty in (("pooling_settings", {}), ("stage", None), ("dropout", 0.0)):
            if (value := getattr(self, name)) != empty:
                raise ArgumentError(
                    f'{name}: pooling "source" has its own, so expected {empty!r}, got {value!r}'
                )
        if "classes" in self.backbone_settings:
            raise ArgumentError(
                'backbone_settings: with pooling "source" the number of classes follows from '
                "`classes`; do not give it here"
            )

    @property
    def class_paths(self) -> tuple[str, ...]:
        """Dotted paths of classes outside vidattn that the spec names."""
        library_network = ":" in self.backbone  # such as "timm:resnet50.a1_in1k"
        return (self.backbone,) if "." in self.backbone and not library_network else ()

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types."""
        found = asdict(self)
        found["classes"] = list(self.classes)
        found["attention"] = list(found["attention"])
        return found

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RecogniserSpec:
        """The inverse of `to_json`; unknown keys are an error."""
        _refuse_unknown(values, cls)
        for insertion in values.get("attention", ()):
            _refuse_unknown(insertion, InsertionSpec)
        return cls(
            **{
                **values,
                "classes": tuple(values["classes"]),
                "attention": tuple(InsertionSpec(**each) for each in values.get("attention", ())),
            }
        )


def _refuse_unknown(values: Mapping[str, Any], kind: type) -> None:
    known = {each.name for each in fields(kind)}
    if unknown := set(values) - known:
        raise ArgumentError(
            f"{kind.__name__}: expected some of {sorted(known)}, got {sorted(unknown)}"
        )
