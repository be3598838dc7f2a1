"""What a report page can hold. Everything is plain data: the template only lays it out."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from vidattn.arrays import finite_array, index_array
from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics.intervals import Interval
from vidattn.report.formatting import Cell, format_cell, nice_ticks
from vidattn.report.pictures import Pixels, encode_image
from vidattn.report.player import Player
from vidattn.report.reliability import Reliability
from vidattn.report.segments import SegmentRows


@dataclass(frozen=True)
class Text:
    """Paragraphs under a heading."""

    kind: ClassVar[str] = "text"
    heading: str
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Figure:
    """One number worth reading first.

    Attributes:
        label: what it is.
        value: already formatted, such as "83.4 %".
        note: what it stands beside, such as "chance 12.5 %".
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """A row of large numbers."""

    kind: ClassVar[str] = "figures"
    heading: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Table:
    """Rows under a header; numbers to the right, an `Interval` as its mean with its bounds.

    Attributes:
        rows: as long as the header each; None shows as –.
        percent: show fractional numbers and intervals, which are shares, in per cent.
        strong_row: number of the row to stress, if any.
        note: a line below.
    """

    kind: ClassVar[str] = "table"
    heading: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    percent: bool = False
    strong_row: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise ArgumentError(
                    f"rows[{number}]: expected {len(self.header)} cells, got {len(row)}"
                )

    def formatted(self) -> list[list[tuple[str, str, bool]]]:
        """Cells as (text, quiet text after it, is a number)."""
        return [[format_cell(cell, self.percent) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Bar:
    """One method of a comparison; `interval` where its value has one."""

    label: str
    value: float
    interval: Interval | None = None
    strong: bool = False


@dataclass(frozen=True)
class Bars:
    """Methods beside each other: a bar each from 0, with error bars.

    Attributes:
        bars: in the order to show them; values and bounds non-negative, finite.
        maximum: right end of the scale; by default the largest value or bound.
        percent: values are shares, shown in per cent.
        note: a line below.
    """

    kind: ClassVar[str] = "bars"
    heading: str
    bars: Sequence[Bar]
    maximum: float | None = None
    percent: bool = False
    note: str = ""

    def placed(self) -> list[dict[str, object]]:
        """Per bar: texts, and lengths in per cent of the scale."""
        values = [(bar.value, *(bar.interval or ())) for bar in self.bars]
        for bar, numbers in zip(self.bars, values, strict=True):
            finite_array(f"bar {bar.label!r}", numbers, (len(numbers),), minimum=0)
        top = self.maximum or max((max(numbers) for numbers in values), default=0.0) or 1.0
        placed = []
        for bar in self.bars:
            text, after, _ = format_cell(bar.interval or float(bar.value), self.percent)
            low, high = (bar.interval.low, bar.interval.high) if bar.interval else (None, None)
            placed.append(
                {
                    "label": bar.label,
                    "text": text,
                    "after": after,
                    "strong": bar.strong,
                    "length": _share(bar.value, top),
                    "low": None if low is None else _share(low, top),
                    "high": None if high is None else _share(high, top),
                }
            )
        return placed


@dataclass(frozen=True)
class Line:
    """A named curve: (x, y) arrays of one length, finite, x increasing."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Lines:
    """Curves over a common axis, such as losses over epochs; up to four.

    Attributes:
        x_label: name of the horizontal axis, with its unit.
    """

    kind: ClassVar[str] = "lines"
    heading: str
    lines: Sequence[Line]
    x_label: str
    note: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.lines) <= 4:
            raise ArgumentError(f"lines: expected 1 to 4, got {len(self.lines)}")
        for line in self.lines:
            x = finite_array(f"x of {line.name!r}", line.x, (None,))
            finite_array(f"y of {line.name!r}", line.y, (len(x),))
            if len(x) == 0 or (np.diff(x) <= 0).any():
                raise ArgumentError(f"x of {line.name!r}: expected increasing values, at least one")

    def placed(self) -> dict[str, object]:
        """Ticks as (place in per cent, text), and curves as points in a 100 × 100 square."""
        xs = np.concatenate([np.asarray(line.x, dtype=float) for line in self.lines])
        ys = np.concatenate([np.asarray(line.y, dtype=float) for line in self.lines])
        y_ticks = nice_ticks(float(ys.min()), float(ys.max()))
        left, right = float(xs.min()), float(xs.max())
        bottom, top = y_ticks[0], y_ticks[-1]
        x_ticks = [tick for tick in nice_ticks(left, right) if left <= tick <= right]
        width = right - left or 1.0
        curves = []
        for line in self.lines:
            across = (np.asarray(line.x, dtype=float) - left) / width * 100
            down = (top - np.asarray(line.y, dtype=float)) / (top - bottom) * 100
            points = " ".join(f"{x:.2f},{y:.2f}" for x, y in zip(across, down, strict=True))
            last = (round(float(across[-1]), 2), round(float(down[-1]), 2))
            curves.append({"name": line.name, "points": points, "last": last, "end": line.y[-1]})
        return {
            "curves": [{**curve, "end": f"{curve['end']:.3g}"} for curve in curves],
            "x_ticks": [
                (round((tick - left) / width * 100, 2), f"{tick:.10g}") for tick in x_ticks
            ],
            "y_ticks": [
                (round((top - tick) / (top - bottom) * 100, 2), f"{tick:.10g}") for tick in y_ticks
            ],
        }


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix, coloured by the share of each true class.

    Attributes:
        counts: (C, C) whole numbers, rows true, columns predicted.
        classes: C names.
    """

    kind: ClassVar[str] = "confusion"
    heading: str
    counts: Sequence[Sequence[int]]
    classes: Sequence[str]
    note: str = ""

    def __post_init__(self) -> None:
        index_array("counts", self.counts, (len(self.classes), len(self.classes)))

    def placed(self) -> list[dict[str, object]]:
        """Per true class: its name, its accuracy in per cent, cells as (count, per cent)."""
        rows: list[dict[str, object]] = []
        for number, (name, row) in enumerate(zip(self.classes, self.counts, strict=True)):
            total = int(sum(row))
            shares = [100 * int(count) / total if total else 0.0 for count in row]
            cells = [(int(count), round(share)) for count, share in zip(row, shares, strict=True)]
            own = f"{shares[number]:.0f} %" if total else "–"
            rows.append({"name": name, "accuracy": own, "cells": cells})
        return rows


@dataclass(frozen=True, eq=False)
class Picture:
    """An image with words below.

    Attributes:
        pixels: uint8 (H, W, 3), or the bytes of a PNG or JPEG file.
        caption: one line.
        alternative: for those who cannot see it; by default the caption.
        encoding: of pixels: "jpeg" for photographs, "png" for drawings.
    """

    pixels: Pixels | bytes
    caption: str
    alternative: str = ""
    encoding: Literal["png", "jpeg"] = "jpeg"

    def data_uri(self) -> str:
        """The image itself, as an address that needs no file."""
        if isinstance(self.pixels, bytes):
            content = self.pixels
        else:
            content = encode_image(self.pixels, self.encoding)
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            kind = "png"
        elif content.startswith(b"\xff\xd8\xff"):
            kind = "jpeg"
        else:
            raise ArgumentError("pixels: expected the bytes of a PNG or JPEG file")
        return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


@dataclass(frozen=True)
class Gallery:
    """Images with captions: a grid of small ones, or one below the other at full width."""

    kind: ClassVar[str] = "gallery"
    heading: str
    pictures: Sequence[Picture]
    wide: bool = False
    note: str = ""


Section = (
    Text | Figures | Table | Bars | Lines | Confusion | Gallery | Reliability | SegmentRows | Player
)


def _share(value: float, top: float) -> float:
    return round(100 * min(value / top, 1.0), 2)
