from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vidattn.evaluation import Interval
from vidattn.notebook import html_table
from vidattn.runs.outcome import VideoFailure, counts

TITLES = {
    "keyframe_precision": "key frames inside the action",
    "keyframe_precision_short": "key frames inside an action of at most 90 % of the frames",
    "action_recall": "actions with a key frame inside",
    "pointing_game": "pointing game",
    "energy_inside": "weight inside the box",
    "box_iou": "box IoU",
}

# The method that knows the truth.
BEST_POSSIBLE = "best possible"


@dataclass(frozen=True)
class AttentionFigure:
    """One figure of every method on the same videos; all in [0, 1].

    Attributes:
        videos: how many it was measured on.
        groups: how many sources they come from, which the intervals resample whole.
        methods: method -> its mean over the videos, with its 95 % interval; "attention" is the
            model's, the others need no model.
        attention_minus: every other method -> attention minus it, paired by video.
    """

    videos: int
    groups: int
    methods: Mapping[str, Interval]
    attention_minus: Mapping[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "videos": self.videos,
            "groups": self.groups,
            "methods": {name: own._asdict() for name, own in self.methods.items()},
            "attention_minus": {name: own._asdict() for name, own in self.attention_minus.items()},
        }


@dataclass(frozen=True)
class AttendedVideo:
    """What was measured in one video.

    Attributes:
        name: as the annotations have it.
        group: what it was resampled with.
        frames: how many it has.
        share_with_action: of its frames, in [0, 1].
        figures: figure -> method -> value, in [0, 1].
        chosen: method -> indices of its key frames; empty for regions.
    """

    name: str
    group: str
    frames: int
    share_with_action: float
    figures: Mapping[str, Mapping[str, float]]
    chosen: Mapping[str, Sequence[int]]

    @classmethod
    def from_record(cls, name: str, group: str, record: Mapping[str, Any]) -> AttendedVideo:
        """What `attention_figures.measure` found of it."""
        figures = {figure: record[figure] for figure in TITLES if figure in record}
        chosen = record.get("chosen", {})
        return cls(name, group, record["frames"], record["share_with_action"], figures, chosen)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "video": self.name,
            "group": self.group,
            "frames": self.frames,
            "share_with_action": self.share_with_action,
            **self.figures,
            **({"chosen": self.chosen} if self.chosen else {}),
        }


@dataclass(frozen=True)
class AttentionEvaluation:
    """Where and when a model's attention looks, compared with true actions.

    Attributes:
        task: "keyframes" or "regions".
        figures: name -> figure of every method.
        videos: those that were evaluated.
        failures: videos that were not.
        settings: what the figures depend on: data, checkpoint, versions.
        times: when, and how long it took.
    """

    task: str
    figures: Mapping[str, AttentionFigure]
    videos: Sequence[AttendedVideo]
    failures: tuple[VideoFailure, ...]
    settings: Mapping[str, Any]
    times: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The record that `evaluation.json` holds."""
        return {
            **self.settings,
            **counts(len(self.videos), self.failures),
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "videos": [video.to_json() for video in self.videos],
            "times": dict(self.times),
        }

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: int) -> AttendedVideo:
        return self.videos[number]

    def __repr__(self) -> str:
        parts = [
            f"{name} {figure.methods['attention'].mean:.1%}"
            for name, figure in self.figures.items()
        ]
        return f"<AttentionEvaluation of {self.task}: {', '.join(parts)}; {len(self)} videos>"

    def _repr_html_(self) -> str:
        """What a notebook shows: a table for each figure."""
        return "".join(
            html_table(
                f"{TITLES[name]}, {figure.videos} videos",
                ("method", "mean", "95 % interval"),
                [
                    (method, f"{own.mean:.1%}", f"{own.low:.1%} – {own.high:.1%}")
                    for method, own in figure.methods.items()
                ],
            )
            for name, figure in self.figures.items()
        )
