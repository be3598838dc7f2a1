"""What is in a video, and when: what a predictor says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Self

# From this probability on a class of a multi-label model counts as seen.
SEEN = 0.5
_DIGITS = 6
_COLOURS = 12


class ClassProbability(NamedTuple):
    """A class and how likely it is.

    Attributes:
        label: name of the class.
        probability: in [0, 1].
    """

    label: str
    probability: float


@dataclass(frozen=True)
class PredictedStep:
    """What is seen in one step of time.

    Attributes:
        start_seconds, end_seconds: of the step, on the video's own clock.
        labels: the most probable classes, in descending order.
    """

    start_seconds: float
    end_seconds: float
    labels: tuple[ClassProbability, ...]

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.labels[0].label

    @property
    def probability(self) -> float:
        """Of the likeliest class."""
        return self.labels[0].probability


class PredictedSegment(NamedTuple):
    """Steps that follow each other and show the same class.

    Attributes:
        start_seconds, end_seconds: of the first and of the last step.
        label: name of the class.
        probability: the mean over the steps.
    """

    start_seconds: float
    end_seconds: float
    label: str
    probability: float


@dataclass(frozen=True, repr=False)
class RecognitionPrediction:
    """What a recogniser sees in one video, and when. `len` is the number of steps.

    Attributes:
        video: the file.
        probabilities: class -> probability over the whole video: the mean over its windows, as
            `VideoAttention.probabilities` is. They sum to 1 unless the model is multi-label.
        steps: the video from its start to its end, in steps of equal length; the last one may be
            shorter. Probabilities of a step are means over the windows that show some of it, each
            weighted by the seconds of the step that it shows.
        multi_label: whether several classes may hold at once.
        every_seconds: length of a step.
        windows: how many windows the network has looked at.
        frame_count, fps, duration_seconds: of the video.
        decoder: what decoded it.
        timestamps_made_up: True where the file has no times and frames count as evenly apart.
        damaged_spans: (first frame, last frame, what is wrong); only where damage is salvaged.
        remarks: sentences on what is not as one might expect.
        checkpoint, checkpoint_sha256: of the model.
    """

    video: str
    probabilities: Mapping[str, float]
    steps: tuple[PredictedStep, ...]
    multi_label: bool
    every_seconds: float
    windows: int
    frame_count: int
    fps: float
    duration_seconds: float
    decoder: str
    timestamps_made_up: bool
    damaged_spans: tuple[tuple[int, int, str], ...]
    remarks: tuple[str, ...]
    checkpoint: str
    checkpoint_sha256: str

    @property
    def labels(self) -> tuple[ClassProbability, ...]:
        """All classes over the whole video, the likeliest first."""
        return ranked(self.probabilities)

    @property
    def label(self) -> str:
        """The likeliest class over the whole video."""
        return self.labels[0].label

    @property
    def probability(self) -> float:
        """Of the likeliest class over the whole video."""
        return self.labels[0].probability

    def segments(self) -> list[PredictedSegment]:
        """When each class is seen, in order of time.

        Neighbouring steps with the same most probable class are one segment. A multi-label model
        has segments for each class: neighbouring steps that have it in `labels` with a probability
        of at least `SEEN`. These may overlap.
        """
        if not self.multi_label:
            runs = (list(run) for _, run in groupby(self.steps, lambda step: step.label))
            return [_segment(run, run[0].label) for run in runs]
        found = [each for label in self.probabilities for each in self._segments_of(label)]
        return sorted(found, key=lambda each: (each.start_seconds, each.end_seconds))

    def in_words(self) -> str:
        """The class of the whole video."""
        return f"{self.label} {self.probability:.0%}"

    def to_json(self) -> dict[str, Any]:
        """What `predictions.json` holds for one video."""
        values = {**vars(self), "probabilities": _rounded(self.probabilities)}
        values["steps"] = [
            {**_rounded(asdict(step)), "labels": [_rounded(each._asdict()) for each in step.labels]}
            for step in self.steps
        ]
        values["segments"] = [_rounded(each._asdict()) for each in self.segments()]
        values["damaged_spans"] = [list(span) for span in self.damaged_spans]
        values["remarks"] = list(self.remarks)
        first = {"video": self.video, "label": self.label}
        return first | {"probability": round(self.probability, _DIGITS)} | values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`, up to its rounding."""
        own = {name: values[name] for name in cls.__dataclass_fields__}
        own["steps"] = tuple(
            PredictedStep(
                step["start_seconds"],
                step["end_seconds"],
                tuple(ClassProbability(**each) for each in step["labels"]),
            )
            for step in values["steps"]
        )
        own["damaged_spans"] = tuple((a, b, why) for a, b, why in values["damaged_spans"])
        own["remarks"] = tuple(values["remarks"])
        return cls(**own)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, number: int) -> PredictedStep:
        return self.steps[number]

    def __iter__(self) -> Iterator[PredictedStep]:
        return iter(self.steps)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {Path(self.video).name}: {self.label} {self.probability:.0%}, "
            f"{len(self)} steps of {self.every_seconds:g} s>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: a bar of the video's time, and a table of what is seen when."""
        segments = self.segments()
        numbers = {label: number for number, label in enumerate(self.probabilities)}
        parts = [] if self.multi_label else segments
        bar = "".join(_bar_part(each, numbers[each.label], self._seconds()) for each in parts)
        rows = "".join(
            f"<tr><td>{each.start_seconds:.2f} s</td><td>{each.end_seconds:.2f} s</td>"
            f"<td style='text-align:left'>{escape(each.label)}</td>"
            f"<td>{each.probability:.0%}</td></tr>"
            for each in segments
        )
        title = f"{Path(self.video).name}: {self.label} {self.probability:.0%}"
        return (
            f"<div><b>{escape(title)}</b><div style='display:flex;height:1em'>{bar}</div>"
            "<table><tr><th>from</th><th>to</th><th>class</th><th>probability</th></tr>"
            f"{rows}</table></div>"
        )

    def _seconds(self) -> float:
        return self.steps[-1].end_seconds - self.steps[0].start_seconds

    def _segments_of(self, label: str) -> list[PredictedSegment]:
        def seen(step: PredictedStep) -> bool:
            return any(each.label == label and each.probability >= SEEN for each in step.labels)

        return [_segment(list(run), label) for held, run in groupby(self.steps, seen) if held]


def ranked(
    probabilities: Mapping[str, float], count: int | None = None
) -> tuple[ClassProbability, ...]:
    """Classes from the likeliest down, as many as asked for; ties in the order of the classes."""
    order = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return tuple(ClassProbability(label, value) for label, value in order[:count])


def _segment(steps: list[PredictedStep], label: str) -> PredictedSegment:
    values = [each.probability for step in steps for each in step.labels if each.label == label]
    return PredictedSegment(
        steps[0].start_seconds, steps[-1].end_seconds, label, sum(values) / len(values)
    )


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, _DIGITS) if isinstance(value, float) else value
        for name, value in values.items()
    }


def _bar_part(segment: PredictedSegment, number: int, seconds: float) -> str:
    share = (segment.end_seconds - segment.start_seconds) / seconds if seconds else 1.0
    hue = 360 * (number % _COLOURS) // _COLOURS
    return (
        f"<div title='{escape(segment.label, quote=True)}' "
        f"style='width:{share:.3%};background:hsl({hue} 60% 55%)'></div>"
    )
