"""What packets say of frames, against plain loops and a parser written from the standards."""

from __future__ import annotations

from math import log
from pathlib import Path
from statistics import median

import av
import numpy as np
import pytest

from tests.video.numbered_films import encode
from tests.video.test_references import pictures
from vidattn.errors import ArgumentError, DecodeError
from vidattn.video import PacketEvidence, PictureKind, open_video, packet_evidence
from vidattn.video.packets.evidence import REACH, running_median
from vidattn.video.readers.pyav_reader import PyavReader
from vidattn.video.span import ReaderSpan

COUNT = 200
X264 = {"g": "40", "bf": "3", "x264-params": "b-pyramid=none:b-adapt=0:scenecut=0"}


def expected_values(sizes: list[int], kinds: list[int]) -> list[float]:
    """The definition, one frame after the other."""
    values = []
    for kind in set(kinds):
        own = [(place, log(sizes[place])) for place in range(len(sizes)) if kinds[place] == kind]
        for rank, (place, value) in enumerate(own):
            near = [other for _, other in own[max(rank - REACH, 0) : rank + REACH + 1]]
            values.append((place, value - median(near)))
    return [value for _, value in sorted(values)]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 60, 61, 62, 5000])
@pytest.mark.parametrize("reach", [0, 1, 30])
def test_running_median_is_that_of_a_plain_loop(count: int, reach: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    expected = [
        median(values[max(place - reach, 0) : place + reach + 1].tolist()) for place in range(count)
    ]
    assert running_median(values, reach).tolist() == pytest.approx(expected, abs=1e-12)


def test_each_kind_is_compared_with_its_own() -> None:
    generator = np.random.default_rng(0)
    kinds = generator.integers(0, 3, 500).astype(np.int8)
    sizes = (generator.integers(1, 4000, 500) * 10 ** (2 - kinds.astype(np.int64))).astype(np.int64)
    evidence = PacketEvidence.of_sizes(sizes, kinds)
    expected = expected_values(sizes.tolist(), kinds.tolist())
    assert evidence.values.tolist() == pytest.approx(expected, abs=1e-9)
    part = evidence.part(slice(100, 200))
    assert part.values.tolist() == evidence.values[100:200].tolist()
    assert (len(part), part.kinds.tolist()) == (100, kinds[100:200].tolist())


def test_frames_without_a_packet_score_nothing_and_disturb_no_other() -> None:
    sizes, kinds = np.array([100, -1, 400, 0]), np.zeros(4, np.int8)
    evidence = PacketEvidence.of_sizes(sizes, kinds)
    assert evidence.values.tolist() == pytest.approx([0, 0, log(4), -log(100)])
    assert evidence.kinds.tolist() == [0, PictureKind.OTHER, 0, 0]


@pytest.mark.parametrize(
    "settings",
    [
        X264,
        {"g": "40", "bf": "0"},
        {"codec": "libx265", "x265-params": "keyint=40:log-level=none:pools=none"},
    ],
    ids=["h264", "h264 without B", "hevc"],
)
def test_a_film_by_the_marks_in_its_packets(tmp_path: Path, settings: dict[str, str]) -> None:
    path = encode(tmp_path / "film.mp4", COUNT, **settings)  # type: ignore[arg-type]
    with av.open(str(path)) as container:
        packets = [each for each in container.demux(video=0) if each.size]
        facts = {each.pts: (each.size, each.is_keyframe) for each in packets}
    referred = dict(pictures(path))
    rows = [(*facts[time], referred[time]) for time in sorted(facts)]
    kinds = [0 if key else 1 if kept else 2 for _, key, kept in rows]
    with open_video(path) as reader:
        evidence = packet_evidence(reader)
        part = packet_evidence(ReaderSpan(reader, 2.0, 4.0))
    assert evidence.kinds.tolist() == kinds
    expected = expected_values([size for size, _, _ in rows], kinds)
    assert evidence.values.tolist() == pytest.approx(expected, abs=1e-9)
    assert part.values.tolist() == evidence.values[50:100].tolist()


def test_a_codec_that_does_not_mark_references_has_two_kinds(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mkv", 60, codec="libvpx-vp9", g="20")
    with open_video(path) as reader:
        kinds = packet_evidence(reader).kinds
        assert np.flatnonzero(kinds == PictureKind.INTRA).tolist() == reader.intra_frame_indices()
    assert set(kinds.tolist()) == {PictureKind.INTRA, PictureKind.OTHER}


def test_frames_that_are_counted_are_found_by_their_time(tmp_path: Path) -> None:
    """A file whose packets are not trusted to be its frames still tells what each one costs."""
    path = encode(tmp_path / "film.mov", 60, codec="qtrle", pixel_format="rgb24", g="20")
    with av.open(str(path)) as container:
        packets = [each for each in container.demux(video=0) if each.size]
    with open_video(path) as reader:
        assert isinstance(reader, PyavReader)
        assert reader.full_decode_reason == "a codec that may hide or repeat frames"
        evidence = packet_evidence(reader)
    kinds = [0 if each.is_keyframe else 1 for each in packets]
    assert evidence.kinds.tolist() == kinds
    expected = expected_values([each.size for each in packets], kinds)
    assert evidence.values.tolist() == pytest.approx(expected, abs=1e-9)


def test_what_has_no_packets_says_so(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{number}.png")
    with (
        open_video(tmp_path) as reader,
        pytest.raises(ArgumentError, match=r"expected a video file.*got a ImageFolderReader"),
    ):
        packet_evidence(reader)


def test_another_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "film.mp4", 60, **X264)  # type: ignore[arg-type]
    other = encode(tmp_path / "other.mp4", 50, **X264)  # type: ignore[arg-type]
    with open_video(path) as reader:
        other.replace(path)
        with pytest.raises(DecodeError, match=r"film\.mp4: the file has changed"):
            packet_evidence(reader)
