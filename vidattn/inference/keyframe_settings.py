"""What key frames are wanted, and how many."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from vidattn.arrays import at_least
from vidattn.errors import ArgumentError
from vidattn.naming import choose

COUNT = 8
AUTO = "auto"
# Names of scores: by which frames are chosen.
SCORES = (
    "attention", "class", "coverage", "difference", "packets", "query", "random", "uniform",
)  # fmt: skip
_COUNT_FORMS = "expected a number of frames, 'auto', a share such as 5%, or a rate such as 3/min"


@dataclass(frozen=True)
class KeyFrameSettings:
    """The arguments of `vidattn.extract_keyframes`, checked; see there.

    Raises:
        ArgumentError: one is out of range, or two do not go together.
    """

    count: int | str | None = None
    minimum_gap_seconds: float = 0.5
    per_shot: int | None = None
    margin_seconds: float = 0.0
    every_seconds: float | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    distinct: bool = False
    fast: bool = False
    regions: int = 1
    region_threshold: float = 0.5
    batch_size: int = 4
    scorer: str | None = None
    uniformity: float | None = None
    query: str | None = None
    query_model: str | None = None
    query_seconds: float = 0.5
    class_name: str | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            wanted_frames(self.count, 1, 1.0)
            if isinstance(self.count, str):
                text = self.count.strip().lower()
                object.__setattr__(self, "count", int(text) if text.isdecimal() else text)
        for name in ("per_shot", "regions", "batch_size"):
            number = getattr(self, name)
            if number is not None:
                at_least(name, number, 1)
        for name in ("minimum_gap_seconds", "margin_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ArgumentError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if self.every_seconds is not None and not 0 < self.every_seconds < math.inf:
            raise ArgumentError(f"every_seconds: expected more than 0, got {self.every_seconds}")
        start, end = self.start_seconds, self.end_seconds
        if any(each is not None and math.isnan(each) for each in (start, end)):
            raise ArgumentError(f"start_seconds, end_seconds: expected times, got {start}, {end}")
        if start is not None and end is not None and end <= start:
            raise ArgumentError(f"end_seconds: expected a time after {start:g}, got {end:g}")
        if not 0 < self.region_threshold <= 1:
            raise ArgumentError(
                f"region_threshold: expected a number in (0, 1], got {self.region_threshold}"
            )
        if self.uniformity is not None and not 0 <= self.uniformity <= 1:
            raise ArgumentError(f"uniformity: expected 0 to 1, got {self.uniformity}")
        if not 0 < self.query_seconds < math.inf:
            raise ArgumentError(f"query_seconds: expected more than 0, got {self.query_seconds}")
        self._check_together()

    def _check_together(self) -> None:
        if self.every_seconds is not None and (self.count is not None or self.per_shot is not None):
            raise ArgumentError(
                "every_seconds: it says how many there are; leave count and per_shot"
            )
        if self.per_shot is not None and self.count == AUTO:
            raise ArgumentError("per_shot: expected no count or a number, got count 'auto'")
        if self.fast and (self.margin_seconds or self.per_shot is not None):
            raise ArgumentError(
                "fast: it knows no exact cuts; margin_seconds and per_shot need them"
            )

    def score_of(self, *, with_model: bool) -> str:
        """The name of the score that frames are chosen by.

        Args:
            with_model: whether there is a checkpoint.

        Raises:
            UnknownNameError: there is no score of this name.
            ArgumentError: it needs something that is not given, or does not go together with what
                is given.
        """
        implied = [
            score
            for score, given in (("query", self.query), ("class", self.class_name))
            if given is not None
        ]
        if len(implied) == 2:
            raise ArgumentError("query, class_name: expected one of them, got both")
        score = self.scorer or (implied or ["attention" if with_model else "coverage"])[0]
        choose("score", score, SCORES)
        if implied and score not in implied:
            raise ArgumentError(
                f"{'query' if self.query is not None else 'class_name'}: expected the score "
                f"{implied[0]!r}, got {score!r}; leave one of them out"
            )
        self._check_needs(score, with_model)
        if score != "coverage":
            self._check_for_score(f"the score {score!r}")
        elif self.uniformity is not None:
            self._check_for_score("uniformity")
        return score

    def chooses_by_coverage(self, *, with_model: bool) -> bool:
        """Whether frames are chosen by shots and likeness, rather than by scores alone.

        Raises:
            UnknownNameError, ArgumentError: see `score_of`.
        """
        return self.score_of(with_model=with_model) == "coverage" and self.uniformity is None

    def _check_needs(self, score: str, with_model: bool) -> None:
        if score == "query" and (self.query is None or self.query_model is None):
            raise ArgumentError(
                "query: the score 'query' needs a sentence and a CLIP or SigLIP model "
                "(--query TEXT --query-model FOLDER)"
            )
        if score != "query" and self.query_model is not None:
            raise ArgumentError("query_model: expected a query with it (--query TEXT)")
        if score == "class" and self.class_name is None:
            raise ArgumentError("class_name: the score 'class' needs one (--class NAME)")
        if score in ("class", "attention") and not with_model:
            raise ArgumentError(
                f"checkpoint: the score {score!r} needs a trained model (--checkpoint FILE)"
            )

    def check_for_scorer(self, scorer: str) -> None:
        """Raise what does not go together with a scorer of the caller, of this name."""
        for name in ("query", "query_model", "class_name"):
            if getattr(self, name) is not None:
                raise ArgumentError(f"{name}: expected none with a scorer of your own ({scorer})")
        self._check_for_score(f"the scorer {scorer}")

    def _check_for_score(self, other: str) -> None:
        """Raise what only the choice by coverage can do."""
        given = {
            "per_shot": self.per_shot is not None,
            "margin_seconds": self.margin_seconds > 0,
            "every_seconds": self.every_seconds is not None,
            "distinct": self.distinct,
            "fast": self.fast and self.query is None,
            "count": self.count == AUTO,
        }
        for name, is_given in given.items():
            if is_given:
                what = "count 'auto'" if name == "count" else name
                raise ArgumentError(
                    f"{name}: {what} works with the score 'coverage' only (the default without a "
                    f"checkpoint), not with {other}"
                )


def wanted_frames(count: int | str, frame_count: int, duration_seconds: float) -> int | None:
    """How many frames a count means for a video; None for "auto".

    Args:
        count: a number, "auto", "5%" of the frames, or "3/min" of the duration; at least one
            frame is meant.

    Raises:
        ArgumentError: it is none of these.

    >>> wanted_frames("5%", 200, 8.0), wanted_frames("3/min", 200, 40.0), wanted_frames(8, 200, 8.0)
    (10, 2, 8)
    """
    if not isinstance(count, str):
        return at_least("count", count, 1)
    text = count.strip().lower()
    if text == AUTO:
        return None
    if re.fullmatch(r"[0-9]+", text):
        return at_least("count", int(text), 1)
    match = re.fullmatch(r"([0-9]*[.]?[0-9]+) *(%|/ *min|/ *s)", text)
    if match is None:
        raise ArgumentError(f"count: {_COUNT_FORMS}, got {count!r}")
    number, unit = float(match[1]), match[2].replace(" ", "")
    if number <= 0 or (unit == "%" and number > 100):
        raise ArgumentError(f"count: {_COUNT_FORMS}, above 0 and at most 100%, got {count!r}")
    amount = {"%": frame_count / 100, "/min": duration_seconds / 60, "/s": duration_seconds}[unit]
    return max(1, round(number * amount))
