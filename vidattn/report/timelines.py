"""Shots as other programs read them: edit lists, timelines, chapters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from vidattn.errors import ArgumentError
from vidattn.video.sources.addresses import is_remote

EXTRA = "pip install 'vidattn[timelines]'"
# Frame rates that edit lists know, and names of the formats in OpenTimelineIO.
_RATES = tuple(map(Fraction, ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60")))
_RATES = (*_RATES, Fraction(60000, 1001))
_ADAPTERS = {"edl": "cmx_3600", "otio": "otio_json"}


class TimelineClip(NamedTuple):
    """A part of a film.

    Attributes:
        name: as it is called there.
        start_frame, end_frame: the end is not included.
        start_seconds, end_seconds: of these, from the film's beginning.
    """

    name: str
    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float


def chapters(title: str, segments: Sequence[TimelineClip]) -> str:
    """The metadata file of FFmpeg: `ffmpeg -i film.mp4 -i film.chapters.txt -map_metadata 1 …`."""
    lines = [";FFMETADATA1", f"title={_escaped(title)}"]
    for each in segments:
        start, end = round(each.start_seconds * 1000), round(each.end_seconds * 1000)
        lines += ["", "[CHAPTER]", "TIMEBASE=1/1000", f"START={start}", f"END={end}"]
        lines += [f"title={_escaped(each.name)}"]
    return "\n".join(lines) + "\n"


def timeline(form: str, video: str | Path, fps: float, segments: Sequence[TimelineClip]) -> str:
    """Parts of a film as clips of one track, written by OpenTimelineIO.

    Args:
        form: "edl" (CMX 3600) or "otio".
        video: path or address of the film that the clips are parts of.
        fps: its frame rate; programs count frames, so times of films of varying rate are rounded.
        segments: at least one.

    Raises:
        ArgumentError: the library is missing, or `form` is none of these.
    """
    if form not in _ADAPTERS:
        raise ArgumentError(f"form: expected one of {', '.join(_ADAPTERS)}, got {form!r}")
    otio = _library()
    rate = float(_rate(fps))
    whole = _range(otio, 0, max(round(each.end_seconds * rate) for each in segments), rate)
    track = otio.schema.Track(name="shots", kind=otio.schema.TrackKind.Video)
    for each in segments:
        start, end = round(each.start_seconds * rate), round(each.end_seconds * rate)
        media = otio.schema.ExternalReference(_address(video), available_range=whole)
        media.name = Path(video).name
        track.append(
            otio.schema.Clip(
                each.name, media_reference=media, source_range=_range(otio, start, end, rate)
            )
        )
    film = otio.schema.Timeline(name=Path(video).stem)
    film.tracks.append(track)
    text: str = otio.adapters.write_to_string(film, adapter_name=_ADAPTERS[form])
    return text


def final_cut(
    video: str | Path, fps: float, size: tuple[int, int], segments: Sequence[TimelineClip]
) -> str:
    """Parts of a film as clips of one project in the XML of Final Cut Pro, version 1.10.

    Written here: OpenTimelineIO's adapter loses the frame rates of NTSC.

    Args:
        video: path or address of the film that the clips are parts of.
        fps: its frame rate; see `timeline`.
        size: (height, width) of its frames.
        segments: at least one.
    """
    frame = 1 / _rate(fps)

    def time(seconds: float) -> str:
        exact = round(seconds / frame) * frame
        return f"{exact.numerator}/{exact.denominator}s" if exact else "0s"

    end = max(each.end_seconds for each in segments)
    root = ElementTree.Element("fcpxml", version="1.10")
    resources = ElementTree.SubElement(root, "resources")
    height, width = map(str, size)
    duration = f"{frame.numerator}/{frame.denominator}s"
    ElementTree.SubElement(
        resources, "format", id="r1", frameDuration=duration, width=width, height=height
    )
    about = {"id": "r2", "name": Path(video).name, "start": "0s", "duration": time(end)}
    asset = ElementTree.SubElement(resources, "asset", about, format="r1", hasVideo="1")
    ElementTree.SubElement(asset, "media-rep", kind="original-media", src=_address(video))
    event = ElementTree.SubElement(ElementTree.SubElement(root, "library"), "event", name="vidattn")
    project = ElementTree.SubElement(event, "project", name=Path(video).stem)
    sequence = ElementTree.SubElement(project, "sequence", format="r1")
    spine = ElementTree.SubElement(sequence, "spine")
    offset = Fraction(0)
    for each in segments:
        start, length = time(each.start_seconds), each.end_seconds - each.start_seconds
        place = {"name": each.name, "offset": time(float(offset)), "start": start}
        ElementTree.SubElement(spine, "asset-clip", place, ref="r2", duration=time(length))
        offset += round(length / frame) * frame
    sequence.set("duration", time(float(offset)))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'


def _address(video: str | Path) -> str:
    return str(video) if is_remote(video) else Path(video).absolute().as_uri()


def check_forms(forms: Sequence[str]) -> None:
    """Raise what `timeline` would raise about the library, before any video is opened."""
    if set(forms) & set(_ADAPTERS):
        _library()


def _library() -> Any:
    try:
        otio = import_module("opentimelineio")
        import_module("otio_cmx3600_adapter")
    except ImportError as error:
        raise ArgumentError(
            f"formats: edl and otio are written by OpenTimelineIO, which is not there "
            f"({error}): {EXTRA}"
        ) from None
    return otio


def _rate(fps: float) -> Fraction:
    """The usual rate that a film's is within a thousandth of, else its own."""
    nearest = min(_RATES, key=lambda rate: abs(math.log(float(rate) / fps)))
    close = abs(float(nearest) / fps - 1) < 1e-3
    return nearest if close else Fraction(fps).limit_denominator(1001)


def _range(otio: Any, start: int, end: int, rate: float) -> Any:
    time: Callable[[int], Any] = lambda frame: otio.opentime.RationalTime(frame, rate)  # noqa: E731
    return otio.opentime.TimeRange(time(start), time(max(end - start, 1)))


def _escaped(text: str) -> str:
    """As FFmpeg's metadata files want it: `=`, `;`, `#`, backslashes and line ends are escaped."""
    return "".join(f"\\{letter}" if letter in "=;#\\\n" else letter for letter in text)
