"""Real files that break decoders: the reader against PyAV's own sequential decode."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from vidattn.errors import DecodeError, NotAVideoError, VideoError
from vidattn.video import open_video
from vidattn.video.readers.pyav_reader import PyavReader

# One or two of each kind: codec, container, reordering, oddity of the timestamps.
REPRESENTATIVE = (
    "anim.gif",
    "base_h264_aac.mp4",
    "cover_art.mp4",
    "ffv1.mkv",
    "h264.flv",
    "h264_editlist_cut.mp4",
    "h264_fragmented.mp4",
    "h264_gray.mp4",
    "h264_interlaced_tff.mkv",
    "h264_odd_444.mp4",
    "h264_opengop_bpyramid.mp4",
    "h264_raw_no_pts.h264",
    "h264_rot90.mp4",
    "h264_sar_1_2.mp4",
    "h264_single_frame.mp4",
    "h264_start_100s.ts",
    "h264_vfr_drop.mp4",
    "headless_midpacket.ts",
    "hevc_main10.mkv",
    "hevc_opengop.mp4",
    "mjpeg.avi",
    "mpeg1.mpg",
    "mpeg2_interlaced.ts",
    "mpeg4_bframes.avi",
    "prores.mov",
    "theora.ogv",
    "trunc_60pct_faststart.mp4",
    "trunc_70pct.mkv",
    "trunc_midpacket.ts",
    "ts_pts_discontinuity.ts",
    "two_video_streams.mkv",
    "vp8.webm",
    "vp9_1x1.webm",
    "wmv2.wmv",
    "wrong_ext_is_mp4.avi",
    "TrumanShow_wave_f_nm_np1_fr_med_26.avi",
    "v_SoccerJuggling_g23_c01.avi",
    "transparent.gif",
    "discard_first_keyframe.mp4",
    "test_non_zero_start.mp4",
    "unordered.mov",
    "video_270.mov",
    "sample-with-large-length.avi",
    "sample_with_fake_auxiliary_tracks.mp4",
    "sample_h265_rps_pred.ts",
    "sample_fragmented_sgpd_v2.mp4",
    "water_180_mvhevc_5frames.mov",
    "sample_rotate_and_reflect.mp4",
)
# Where the other library sees other frames: AVI stores no times, each guesses its own; and one
# stream without delimiters, whose three frames it takes for six.
OTHER_TIMES = {"sample-with-large-length.avi", "sample_h264_no_access_unit_delimiters.ts"}
# Files whose decoder patches damaged pictures, and the first of these as it is shown. The last two
# are encrypted.
PATCHED = {
    "bitflip_mdat.mp4": 19,
    "trunc_midpacket.ts": 29,
    "sample_fragmented_sgpd_v2.mp4": 0,
    "sample_fragmented_variable_length_sgpd.mp4": 0,
}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "files.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def codecs(shared_data: Path) -> Path:
    return shared_data / "codecs"


def reference(path: Path) -> tuple[list[float | None], list[np.ndarray]]:
    """Times and upright small RGB of a sequential decode, and of what is patched, too."""
    times, pictures, damaged = [], [], []
    reformatter = av.video.reformatter.VideoReformatter()
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        try:
            for frame in container.decode(stream):
                times.append(frame.time)
                damaged.append(frame.is_corrupt)
                picture = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
                pictures.append(thumbnail(upright(path, frame, picture)))
        except av.error.InvalidDataError:
            assert "trunc" in path.name  # the file ends within a packet
    first = PATCHED.get(path.name)
    assert (damaged.index(True) if True in damaged else None) == first
    return times, pictures


def upright(path: Path, frame: av.VideoFrame, picture: np.ndarray) -> np.ndarray:
    if path.name == "sample_rotate_and_reflect.mp4":  # as the ffmpeg program shows it
        return picture.transpose(1, 0, 2)
    return np.rot90(picture, round(frame.rotation / 90) % 4)


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """Few exact pixels of a picture, from all over it: whole frames would fill the memory."""
    return picture[:: max(1, picture.shape[0] // 48), :: max(1, picture.shape[1] // 48)].copy()


def thumbnails(reader: PyavReader, indices: list[int]) -> list[np.ndarray]:
    found = []
    for start in range(0, len(indices), 16):
        pixels = reader.frames_at(indices[start : start + 16]).pixels
        found += [thumbnail(picture) for picture in pixels.permute(0, 2, 3, 1).numpy()]
    return found


def check_decodes(path: Path, row: dict[str, str]) -> None:
    times, pictures = reference(path)
    whole = PATCHED.get(path.name, len(times))
    with PyavReader(path) as reader:
        assert len(reader) == len(times) == int(row["decoded_frames"])
        assert reader.timestamps_made_up == (None in times)
        expected = [
            index / reader.fps if seconds is None else seconds
            for index, seconds in enumerate(times)
        ]
        if path.suffix == ".avi":  # its times are guessed, packed pictures' in a wrong order
            expected.sort()
        assert reader.seconds_of(range(len(reader))) == pytest.approx(expected, abs=1e-12)
        assert 0 < reader.fps <= 1000
        assert reader.duration_seconds > 0
        check_pictures(reader, pictures, list(range(whole)))
        if whole < len(times):
            with pytest.raises(DecodeError, match="--salvage"):
                reader.frames_at([whole], short_side=8)
    with PyavReader(path) as reader:
        generator = np.random.default_rng(0)
        for count in (1, 5, 2, 1) if whole else ():
            check_pictures(reader, pictures, generator.integers(0, whole, count).tolist())


def check_pictures(reader: PyavReader, pictures: list[np.ndarray], indices: list[int]) -> None:
    for index, picture in zip(indices, thumbnails(reader, indices), strict=True):
        assert np.array_equal(picture, pictures[index]), index


def test_representative_files(codecs: Path) -> None:
    chosen = [row for row in rows(codecs) if Path(row["path"]).name in REPRESENTATIVE]
    assert len(chosen) >= len(REPRESENTATIVE)
    failures = failing(codecs, chosen)
    assert not failures


@pytest.mark.slow
def test_all_files(codecs: Path) -> None:
    assert not failing(codecs, rows(codecs))


def failing(codecs: Path, chosen: list[dict[str, str]]) -> dict[str, str]:
    failures = {}
    for row in chosen:
        if row["status"] == "decodes":
            try:
                check_decodes(codecs / row["path"], row)
            except (AssertionError, VideoError, IndexError) as error:
                failures[row["path"]] = f"{type(error).__name__}: {error}"[:300]
    return failures


def test_other_files_end_in_a_typed_error_at_once(codecs: Path) -> None:
    for row in rows(codecs):
        if row["status"] == "decodes":
            continue
        kind = NotAVideoError if row["status"].startswith(("open", "novideo")) else VideoError
        start = time.monotonic()
        with pytest.raises(kind) as caught, open_video(codecs / row["path"]) as reader:
            reader.frames_at(range(len(reader)), short_side=8)
        assert isinstance(caught.value, NotAVideoError | DecodeError), row["path"]
        assert row["path"] in str(caught.value)
        assert "\n" not in str(caught.value)
        assert time.monotonic() - start < 10


def test_damaged_files_give_the_frames_before_the_damage(codecs: Path) -> None:
    with open_video(codecs / "androidx/mp4/sample_with_invalid_nalu.mp4") as reader:
        assert len(reader) == 30
        assert len(reader.frames_at([0, 25], short_side=8)) == 2
        for damaged in ([26], [28], range(30)):
            with pytest.raises(DecodeError):
                reader.frames_at(damaged, short_side=8)
        assert len(reader.frames_at([3], short_side=8)) == 1
        # The last one is decoded before the damaged packet, and shown after it.
        last = reader.frames_at([29]).pixels
    with open_video(codecs / "androidx/mp4/sample_with_invalid_nalu.mp4", salvage=True) as reader:
        found = reader.frames_at([28, 29])
        assert found.valid is not None
        assert found.valid.tolist() == [False, True]
        assert last[0].equal(found.pixels[1])


def test_a_truncated_file_says_what_is_missing(codecs: Path) -> None:
    """Row: header count differs from the real one."""
    with open_video(codecs / "derived/trunc_60pct_faststart.mp4") as reader:
        assert len(reader) == 29
        with pytest.raises(DecodeError, match="declares 60 frames, only 29 can be decoded"):
            reader.frames_at([40])
        with pytest.raises(IndexError):
            reader.frames_at([60])


def test_timestamps_of_another_library(codecs: Path) -> None:
    """Times that another demuxer read from the same files, to its microsecond."""
    truth: dict[str, Any] = json.loads((codecs / "expected_timestamps.json").read_text())
    status = {row["path"]: row["status"] for row in rows(codecs)}
    chosen = [
        name
        for name, entry in truth.items()
        if status.get(name) == "decodes"
        and entry["video_tracks"]
        and Path(name).name not in OTHER_TIMES
    ]
    assert len(chosen) > 60
    for name in chosen:
        expected = np.sort(np.array(truth[name]["video_tracks"][0]["pts_us"]) / 1e6)
        with open_video(codecs / name) as reader:
            found = np.array(reader.seconds_of(range(len(reader))))
        assert len(found) == len(expected), name
        # The other library counts from the first frame, in the units of its container.
        assert np.abs((found - found[0]) - (expected - expected[0])).max() < 2e-3, name


@pytest.mark.parametrize("name", ["h264_interlaced_tff.mkv", "mpeg2_interlaced.ts"])
@pytest.mark.parametrize("short_side", [1, 37, 120])
def test_interlaced_pictures_are_resized_whole(codecs: Path, name: str, short_side: int) -> None:
    with open_video(codecs / "derived" / name) as reader:
        whole = reader.frames_at([4]).pixels.double()
        small = reader.frames_at([4], short_side=short_side)
    assert small.size == (short_side, round(short_side * 4 / 3))
    exact = torch.nn.functional.adaptive_avg_pool2d(whole, small.size)
    assert (small.pixels.double() - exact).abs().mean() < 2
