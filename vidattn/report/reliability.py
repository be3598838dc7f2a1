from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vidattn.arrays import finite_array, index_array


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: how often a model is right where it is about equally sure.

    Attributes:
        counts: of the items in each bin; B equal bins of confidence from 0 to 1.
        accuracies: share of them that are right, in [0, 1]; any number where a bin is empty.
        confidences: their mean confidence, likewise.
    """

    kind: ClassVar[str] = "reliability"
    heading: str
    counts: Sequence[int]
    accuracies: Sequence[float]
    confidences: Sequence[float]
    note: str = ""

    def __post_init__(self) -> None:
        counts = index_array("counts", self.counts, (None,))
        filled = counts > 0
        for name in ("accuracies", "confidences"):
            values = [
                value if full else 0.0
                for value, full in zip(getattr(self, name), filled, strict=True)
            ]
            finite_array(name, values, (len(counts),), minimum=0, maximum=1)

    def placed(self) -> list[dict[str, object]]:
        """The bins that hold items: places in per cent of the diagram, and words."""
        width, most = 100 / len(self.counts), max(self.counts, default=0) or 1
        return [
            {
                "left": round(number * width, 3),
                "width": round(width, 3),
                "accuracy": round(100 * accuracy, 2),
                "confidence": round(100 * confidence, 2),
                "share": round(100 * count / most, 2),
                "title": f"{count} videos, {accuracy:.0%} right, {confidence:.0%} sure",
            }
            for number, (count, accuracy, confidence) in enumerate(
                zip(self.counts, self.accuracies, self.confidences, strict=True)
            )
            if count
        ]
