"""Films with what was found in them, on one time axis that moves the film."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import numpy as np
from numpy.typing import ArrayLike

from vidattn.arrays import finite_array
from vidattn.errors import ArgumentError
from vidattn.report.pictures import clock

# A curve is drawn with the lowest and the highest value of each of so many stretches.
CURVE_STRETCHES = 500
# A part that is hardly likely is still seen.
_FAINTEST = 0.25


@dataclass(frozen=True)
class Span:
    """A part of a film.

    Attributes:
        name: such as "Shot 3".
        start_seconds, end_seconds: on the film's own clock.
        note: what else there is to say, such as "begins with a dissolve".
        share: how strong it is, in [0, 1].
    """

    name: str
    start_seconds: float
    end_seconds: float
    note: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Point:
    """A moment of a film.

    Attributes:
        name: such as "Frame 123".
        seconds: on the film's own clock.
        note: what else there is to say, such as why the frame was kept.
        picture: address of its picture, relative to the page; "" for none.
    """

    name: str
    seconds: float
    note: str = ""
    picture: str = ""


@dataclass(frozen=True)
class Spans:
    """A track of parts, in time order; `listed`: the page has a list of them, too."""

    kind: ClassVar[str] = "spans"
    name: str
    spans: Sequence[Span]
    listed: bool = True

    def times(self) -> Iterator[float]:
        """Of all that it holds."""
        for each in self.spans:
            if not (each.start_seconds <= each.end_seconds and 0 <= each.share <= 1):
                raise ArgumentError(
                    f"track {self.name!r}: expected an end behind the start and a share in "
                    f"[0, 1], got {each}"
                )
            yield from (each.start_seconds, each.end_seconds)


@dataclass(frozen=True)
class Curve:
    """A track with a number for each of some moments.

    Attributes:
        seconds: (S,) increasing, at least one.
        values: (S,) finite.
    """

    kind: ClassVar[str] = "curve"
    name: str
    seconds: Sequence[float]
    values: Sequence[float]

    def times(self) -> Iterator[float]:
        """Of all that it holds."""
        seconds = finite_array(f"seconds of {self.name!r}", self.seconds, (None,))
        finite_array(f"values of {self.name!r}", self.values, (len(seconds),))
        if len(seconds) == 0 or (np.diff(seconds) <= 0).any():
            raise ArgumentError(
                f"seconds of {self.name!r}: expected increasing values, at least one"
            )
        yield from (float(seconds[0]), float(seconds[-1]))


@dataclass(frozen=True)
class Points:
    """A track of moments, in time order; `faint` for what was not kept."""

    kind: ClassVar[str] = "points"
    name: str
    points: Sequence[Point]
    faint: bool = False

    def times(self) -> Iterator[float]:
        """Of all that it holds."""
        return (each.seconds for each in self.points)


Track = Spans | Curve | Points


@dataclass(frozen=True)
class Film:
    """A film and its tracks.

    Attributes:
        name: such as the name of its file.
        source: its address, relative to the page (see `relative_address`); "" if a browser has
            nothing to play, as for a folder of images.
        start_seconds, end_seconds: of the film, on its own clock; the time axis.
        fps: frames a second.
        tracks: from top to bottom; all their times lie on the axis.
        remarks: sentences below the name.
    """

    name: str
    source: str
    start_seconds: float
    end_seconds: float
    fps: float
    tracks: Sequence[Track]
    remarks: Sequence[str] = ()

    def __post_init__(self) -> None:
        for value in (self.start_seconds, self.end_seconds, self.fps):
            if not math.isfinite(value):
                raise ArgumentError(f"film {self.name!r}: expected finite numbers, got {value}")
        if self.fps <= 0 or self.end_seconds < self.start_seconds:
            raise ArgumentError(
                f"film {self.name!r}: expected a positive frame rate and an end behind the start, "
                f"got {self.fps:g}, and {self.start_seconds:g} to {self.end_seconds:g} s"
            )
        for track in self.tracks:
            for seconds in track.times():
                if not self.start_seconds <= seconds <= self.end_seconds:
                    raise ArgumentError(
                        f"track {track.name!r}: expected times from {self.start_seconds:g} to "
                        f"{self.end_seconds:g} s, got {seconds:g}"
                    )

    def placed(self) -> dict[str, object]:
        """What the template lays out: places in per cent of the axis, and words."""
        return {
            "start": _time(self.start_seconds),
            "end": _time(self.end_seconds),
            "tracks": [self._track(track) for track in self.tracks],
            "pictured": [number for number, each in enumerate(self.tracks) if _is_pictured(each)],
            "listed": [number for number, each in enumerate(self.tracks) if _is_listed(each)],
        }

    def _place(self, seconds: float) -> float:
        length = self.end_seconds - self.start_seconds or 1.0
        return round(100 * (seconds - self.start_seconds) / length, 4)

    def _track(self, track: Track) -> dict[str, object]:
        about: dict[str, object] = {
            "kind": track.kind,
            "name": track.name,
            "faint": isinstance(track, Points) and track.faint,
        }
        if isinstance(track, Curve):
            low, high = min(track.values), max(track.values)
            line = self._line(track, low, high)
            return about | {"marks": (), "line": line, "text": f"{low:.3g} – {high:.3g}"}
        if isinstance(track, Spans):
            marks = [self._span(each) for each in track.spans]
        else:
            marks = [self._point(each) for each in track.points]
        return about | {"marks": marks, "text": str(len(marks))}

    def _span(self, span: Span) -> dict[str, object]:
        left, right = self._place(span.start_seconds), self._place(span.end_seconds)
        return {
            "name": span.name,
            "note": span.note,
            "seconds": f"{span.start_seconds:.6f}",
            "time": f"{_time(span.start_seconds)} – {_time(span.end_seconds)}",
            "left": left,
            "width": round(right - left, 4),
            "opacity": round(_FAINTEST + (1 - _FAINTEST) * span.share, 3),
        }

    def _point(self, point: Point) -> dict[str, object]:
        return {
            "name": point.name,
            "note": point.note,
            "picture": point.picture,
            "seconds": f"{point.seconds:.6f}",
            "time": _time(point.seconds),
            "left": self._place(point.seconds),
        }

    def _line(self, curve: Curve, low: float, high: float) -> str:
        """Points of a line in a square of 100 by 100."""
        seconds, values = thin_curve(curve.seconds, curve.values)
        height = (high - low) or 1.0
        return " ".join(
            f"{self._place(second):.3f},{100 - 100 * (value - low) / height:.1f}"
            for second, value in zip(seconds, values, strict=True)
        )


@dataclass(frozen=True)
class Player:
    """Films to play, one at a time, each with its tracks; a page has at most one such section.

    Attributes:
        films: at least one; with several, the page has a list to choose from.
        note: a line below.
    """

    kind: ClassVar[str] = "player"
    heading: str
    films: Sequence[Film]
    note: str = ""

    def __post_init__(self) -> None:
        if not self.films:
            raise ArgumentError("films: expected at least one, got none")


def thin_curve(
    seconds: ArrayLike, values: ArrayLike, stretches: int = CURVE_STRETCHES
) -> tuple[list[float], list[float]]:
    """The lowest and the highest value of each of some stretches, and when: all that can be seen.

    >>> thin_curve([0, 1, 2, 3, 4, 5], [0, 9, 1, 2, 2, 3], stretches=2)
    ([0.0, 1.0, 3.0, 5.0], [0.0, 9.0, 2.0, 3.0])
    """
    times, numbers = np.asarray(seconds, dtype=float), np.asarray(values, dtype=float)
    kept: list[int] = []
    stretches = max(1, min(stretches, len(numbers)))
    for places in filter(len, np.array_split(np.arange(len(numbers)), stretches)):
        own = numbers[places]
        kept += sorted({int(places[own.argmin()]), int(places[own.argmax()])})
    return times[kept].tolist(), numbers[kept].tolist()


def relative_address(path: str | Path, page: str | Path) -> str:
    """Where a file is, seen from a page beside or above it, as a browser wants it.

    >>> relative_address("/films/a b#1.mp4", "/films/out/shots.html")
    '../a%20b%231.mp4'
    """
    file, folder = os.path.abspath(path), os.path.dirname(os.path.abspath(page))
    try:
        relative = os.path.relpath(file, folder)
    except ValueError:  # on Windows: on another drive
        return Path(file).as_uri()
    address = quote(os.fsencode(relative.replace(os.sep, "/")))
    return address if address.startswith("../") else f"./{address}"


def _is_pictured(track: Track) -> bool:
    return isinstance(track, Points) and any(each.picture for each in track.points)


def _is_listed(track: Track) -> bool:
    if isinstance(track, Spans):
        return track.listed and len(track.spans) > 0
    return isinstance(track, Points) and len(track.points) > 0 and not _is_pictured(track)


def _time(seconds: float) -> str:
    return clock(seconds, hours=True)
