"""Key frames and shots of odd videos: as many as asked for, each only once, or a clear word.

What is right is what PyAV decodes frame by frame, and what the pictures were made from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import vidattn
from tests.inference.odd_videos import OddVideo, all_odd_videos
from vidattn.errors import ArgumentError, NotAVideoError, VideoError
from vidattn.inference import KeyFrames
from vidattn.inference.shots import find_shots
from vidattn.jobs import write_keyframes

VIDEOS = {video.name: video for video in all_odd_videos()}
# One of each kind; the others are slow only because they are many.
SOME = (
    "scenes_1", "still_2", "black_30", "flashing_30", "slides_30", "ffv1_bgra_mkv", "hdr",
    "interlaced", "size_2x2", "x264_480x16", "ten_hours_of_nothing", "variable", "late_ts",
    "negative", "turned_90", "two_mp4", "cover", "only_sound_and_cover", "cut_60_ts", "flipped_8",
)  # fmt: skip
SETTINGS: tuple[dict[str, Any], ...] = (
    {"count": 3},
    {"count": 200},
    {"count": 8, "distinct": True},
    {"count": "auto"},
    {"count": "10%"},
    {"per_shot": 1},
    {"count": 4, "per_shot": 2},
    {"count": 4, "fast": True},
    {"count": "auto", "fast": True},
    {"every_seconds": 1.0},
    {"count": 3, "start_seconds": 0.2, "end_seconds": 0.6},
    {"count": 3, "margin_seconds": 0.2},
    {"count": 3, "minimum_gap_seconds": 1000.0},
)
STILL = ("still", "grain", "black", "white", "grey")


def cases() -> list[Any]:
    return [
        pytest.param(name, marks=[] if name in SOME else pytest.mark.slow, id=name)
        for name in VIDEOS
    ]


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    """Seconds and pixels of each frame, as PyAV alone decodes them, up to the first error."""
    found: list[tuple[float, np.ndarray]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        found += [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)
        ]
    return found


def test_there_are_two_hundred() -> None:
    assert len(VIDEOS) >= 200
    assert set(SOME) <= set(VIDEOS)


@pytest.mark.parametrize("name", cases())
def test_odd_video(name: str, tmp_path: Path) -> None:
    video = VIDEOS[name]
    path = video.write(tmp_path)
    if "only sound" in video.streams:
        held = "audio, a cover picture|a cover picture, audio" if "cover" in name else "audio"
        with pytest.raises(NotAVideoError, match=rf"without a video stream \(it holds ({held})\)"):
            vidattn.extract_keyframes(path)
    elif video.damage is not None:
        check_damaged(path)
    else:
        check(video, path, decoded(path))


def check_damaged(path: Path) -> None:
    """Frames that can be had, or an error that names the file; both with and without salvage."""
    for salvage in (False, True):
        for settings in SETTINGS:
            refused, found = "", None
            try:
                found = vidattn.extract_keyframes(path, salvage=salvage, **settings)
            except (ArgumentError, VideoError) as error:
                refused = str(error)
            if found is None:
                assert refused.startswith(str(path))
                continue
            with vidattn.open_video(path, salvage=salvage) as reader:
                valid = list(reader.valid_indices())
            assert {frame.frame_index for frame in found.frames} <= set(valid)
            if "start_seconds" not in settings:
                check_number(found, settings, len(valid), None)


def check(video: OddVideo, path: Path, frames: list[tuple[float, np.ndarray]]) -> None:
    seconds = np.array([each for each, _ in frames])
    assert len(frames) == video.count or video.start < 0  # MP4 leaves out what is before 0
    for settings in SETTINGS:
        shown = seconds
        if "start_seconds" in settings:
            inside = (seconds > settings["start_seconds"] - 1e-6) & (seconds < 0.6 - 1e-6)
            shown = seconds[inside]
            if not inside.any():
                with pytest.raises(ArgumentError, match="no frame lies from"):
                    vidattn.extract_keyframes(path, **settings)
                continue
        found = vidattn.extract_keyframes(path, **settings)
        check_number(found, settings, len(shown), float(seconds[-1] - seconds[0]))
        own = [frame.seconds for frame in found.frames]
        np.testing.assert_allclose(own, seconds[[f.frame_index for f in found.frames]], atol=1e-6)
        assert set(np.round(own, 6)) <= set(np.round(shown, 6))
        if video.content in STILL and settings.get("count") == "auto":
            assert len(found.frames) == 1
    check_contents(video, path, len(frames))
    check_shots(video, path, len(frames))


def check_number(
    found: KeyFrames, settings: dict[str, Any], total: int, duration: float | None
) -> None:
    indices = [frame.frame_index for frame in found.frames]
    assert indices == sorted(set(indices))
    assert indices
    count = settings.get("count")
    if isinstance(count, int):
        may_be_fewer = "distinct" in settings or "per_shot" in settings
        assert len(indices) <= count
        if not may_be_fewer:
            assert len(indices) == min(count, total)
        if len(indices) < count:
            assert f"expected {count} key frames" in " ".join(found.details["remarks"])
    elif count == "10%":
        assert len(indices) == max(1, round(total / 10))
    if "every_seconds" in settings and duration is not None:
        assert len(indices) <= duration + 1 + 1e-6


def check_contents(video: OddVideo, path: Path, total: int) -> None:
    """Key frames of films whose pictures are known."""
    if total < video.count or video.count < 20:
        return
    kinds = {"scenes": 3, "slides": 5}.get(video.content)
    if kinds is not None:
        places = [f.frame_index for f in vidattn.extract_keyframes(path, count=kinds).frames]
        assert {kinds * place // video.count for place in places} == set(range(kinds))
    if video.content == "flashing":
        places = [f.frame_index for f in vidattn.extract_keyframes(path, count=8).frames]
        assert {place % 2 for place in places} == {0}
    if video.content in STILL:
        found = vidattn.extract_keyframes(path, count=8, distinct=True)
        assert len(found.frames) == 1
        assert found.details["remarks"] == ["expected 8 key frames, 1 look different"]


def check_shots(video: OddVideo, path: Path, total: int) -> None:
    found = find_shots(path)
    assert (found[0].start_frame, found[-1].end_frame, found.frame_count) == (0, total, total)
    assert all(shot.start_frame < shot.end_frame for shot in found)
    assert all(shot.start_seconds <= shot.end_seconds for shot in found)
    ends = [shot.end_frame for shot in found]
    assert all(shot.start_frame >= end for shot, end in zip(found.shots[1:], ends, strict=False))
    if video.content in (*STILL, "moving"):
        assert len(found) == 1
    if video.content == "scenes" and video.count == 30 == total:
        assert ends == [10, 20, 30]


@pytest.mark.slow
def test_pictures_of_all_odd_videos(tmp_path: Path) -> None:
    """One run over all of them: each has its pictures, or its failure."""
    paths = [video.write(tmp_path) for video in VIDEOS.values()]
    found = write_keyframes(paths, tmp_path / "out", processes=0, count=3)
    assert found is not None
    failed = {Path(failure.video).stem for failure in found.failures}
    assert len(found) + len(failed) == len(VIDEOS)
    spoilt = {name for name, video in VIDEOS.items() if video.damage or "only" in name}
    assert failed <= spoilt
    assert all(failure.reason for failure in found.failures)
    for written in found:
        assert len(written.images) == len(written.frames) > 0
        assert all((tmp_path / "out" / image).stat().st_size > 0 for image in written.images)
