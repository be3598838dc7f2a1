from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import av
import numpy as np
import pytest

from vidattn.errors import ArgumentError
from vidattn.report import timelines
from vidattn.report.timelines import TimelineClip, chapters, check_forms, final_cut, timeline
from vidattn.video import VideoWriter

SEGMENTS = [
    TimelineClip("Shot 1", 0, 36, 0.0, 1.44),
    TimelineClip("Shot 2 = a; b", 36, 50, 1.44, 2.0),
    TimelineClip("Shot 3", 55, 75, 2.2, 3.0),
]


def test_ffmpeg_reads_the_chapters(tmp_path: Path) -> None:
    text = tmp_path / "film.chapters.txt"
    text.write_text(chapters("a film; with # signs", SEGMENTS), encoding="utf-8")
    with av.open(str(text), format="ffmetadata") as container:
        assert container.metadata["title"] == "a film; with # signs"
        found = container.chapters()
    assert [each["metadata"]["title"] for each in found] == [each.name for each in SEGMENTS]
    seconds = [
        (float(each["start"] * each["time_base"]), float(each["end"] * each["time_base"]))
        for each in found
    ]
    assert seconds == [(each.start_seconds, each.end_seconds) for each in SEGMENTS]


@pytest.mark.oracle
@pytest.mark.parametrize("form", ["edl", "otio"])
@pytest.mark.parametrize("fps", [25.0, 30000 / 1001])
def test_opentimelineio_reads_what_it_wrote(form: str, fps: float, tmp_path: Path) -> None:
    otio = pytest.importorskip("opentimelineio")
    video = tmp_path / "a film.mp4"
    with VideoWriter(video, fps=fps, size=(16, 16)) as writer:
        writer.write(np.zeros((16, 16, 3), np.uint8))
    segments = [
        TimelineClip(each.name, each.start_frame, each.end_frame, each.start_frame / fps,
                each.end_frame / fps)
        for each in SEGMENTS
    ]  # fmt: skip
    text = timeline(form, video, fps, segments)
    name = {"edl": "cmx_3600", "otio": "otio_json"}[form]
    arguments = {"rate": fps} if form == "edl" else {}
    found = otio.adapters.read_from_string(text, adapter_name=name, **arguments)
    frames = [
        (round(clip.source_range.start_time.value), round(clip.source_range.duration.value))
        for clip in found.find_clips()
    ]
    assert frames == [(0, 36), (36, 14), (55, 20)]


@pytest.mark.parametrize("fps", [25.0, 29.97003, 12.5])
def test_final_cut_counts_in_whole_frames(fps: float) -> None:
    segments = [
        TimelineClip(each.name, each.start_frame, each.end_frame, each.start_frame / fps,
                each.end_frame / fps)
        for each in SEGMENTS
    ]  # fmt: skip
    root = ElementTree.fromstring(final_cut(Path("/films/a & b.mp4"), fps, (90, 160), segments))

    def seconds(text: str | None) -> Fraction:
        return Fraction(str(text).removesuffix("s"))

    form = root.find("resources/format")
    assert form is not None
    frame = seconds(form.get("frameDuration"))
    exact = Fraction(30000, 1001) if fps > 29 else Fraction(fps)
    assert frame == 1 / exact
    assert root.find("resources/asset/media-rep").get("src") == "file:///films/a%20%26%20b.mp4"
    clips = root.findall("library/event/project/sequence/spine/asset-clip")
    assert [each.get("name") for each in clips] == [each.name for each in SEGMENTS]
    assert [seconds(each.get("start")) / frame for each in clips] == [0, 36, 55]
    assert [seconds(each.get("duration")) / frame for each in clips] == [36, 14, 20]
    assert [seconds(each.get("offset")) / frame for each in clips] == [0, 36, 50]


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(timelines, "import_module", refuse)
    check_forms(["csv", "chapters"])
    with pytest.raises(ArgumentError, match=r"pip install 'vidattn\[timelines\]'"):
        check_forms(["csv", "edl"])
    with pytest.raises(ArgumentError, match="expected one of edl, otio"):
        timeline("avid", Path("a.mp4"), 25.0, SEGMENTS)


def test_films_on_servers_keep_their_address() -> None:
    address = "https://example.org/films/a%20b.mp4"
    root = ElementTree.fromstring(final_cut(address, 25.0, (90, 160), SEGMENTS))
    media = root.find("resources/asset/media-rep")
    assert media is not None
    assert media.get("src") == address
