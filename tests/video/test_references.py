"""How much is decoded for a few frames, against a parser written from the standard."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from tests.video.numbered_films import encode, read_number
from vidattn.video.decoding import packet_source
from vidattn.video.decoding.packet_decoder import PacketDecoder
from vidattn.video.decoding.references import unreferred_test
from vidattn.video.packets.demuxer import open_container
from vidattn.video.readers.pyav_reader import PyavReader

COUNT = 72
G = str(COUNT)
QUIET = "log-level=none:pools=none"


def pictures(path: Path) -> list[tuple[int, bool]]:
    """(presentation time, whether others may refer to it) of each packet of H.264 or HEVC in MP4.

    Source: Rec. ITU-T H.264, 7.4.1 (nal_ref_idc); Rec. ITU-T H.265, table 7-1: of the types
    below 16, the even ones are pictures that no other one of their sub-layer refers to.
    """
    found = []
    with av.open(str(path)) as container:
        hevc = container.streams.video[0].codec_context.name == "hevc"
        for packet in container.demux(video=0):
            data, place, referred = bytes(packet), 0, False
            while place < len(data):
                size, head = int.from_bytes(data[place : place + 4], "big"), data[place + 4]
                if hevc and (kind := head >> 1 & 63) < 32:
                    referred |= kind >= 16 or kind % 2 == 1
                elif not hevc and head & 31 in (1, 5):
                    referred |= head >> 5 & 3 > 0
                place += 4 + size
            if data:
                found.append((packet.pts, referred))
    return found


def needed(path: Path, wanted: list[int]) -> int:
    """Pictures from the first to the last wanted one's packet that must be decoded."""
    found = pictures(path)
    times = sorted(time for time, _ in found)
    kept = {times[index] for index in wanted}
    last = max(place for place, (time, _) in enumerate(found) if time in kept)
    return sum(referred or time in kept for time, referred in found[: last + 1])


@pytest.fixture
def film(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return encode(tmp_path / "film.mp4", COUNT, **request.param)


@pytest.mark.parametrize(
    "film",
    [
        {"g": G, "bf": "3", "x264-params": "b-pyramid=none:b-adapt=0:scenecut=0"},
        {"g": G, "bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"},
        {"g": G, "bf": "0", "x264-params": "scenecut=0"},
        {"codec": "libx265", "x265-params": f"keyint={G}:b-adapt=0:scenecut=0:{QUIET}"},
        {"codec": "libx265", "x265-params": f"keyint={G}:b-adapt=0:b-pyramid=0:scenecut=0:{QUIET}"},
        {"codec": "libx265", "x265-params": f"keyint={G}:bframes=0:scenecut=0:{QUIET}"},
    ],
    indirect=True,
    ids=["flat", "pyramid", "none", "hevc pyramid", "hevc flat", "hevc none"],
)
def test_what_nobody_refers_to_is_left_out(film: Path) -> None:
    wanted = [5, 30, 61]
    with PyavReader(film) as reader:
        frames = reader.frames_at(wanted)
        assert [read_number(frame) for frame in frames.pixels.permute(0, 2, 3, 1).numpy()] == wanted
        cursor = reader._cursor
        inside = [] if cursor.drained else cursor.source.stream.codec_context.decode(None)
        decoded = cursor.emitted + len(cursor._decoder.ready) + len(inside)
        assert decoded == needed(film, wanted)
        assert reader._source.may_be_held
        everything = sum(time <= reader._index.timestamps[61] for time, _ in pictures(film))
    assert (decoded < 0.7 * everything) == any(not referred for _, referred in pictures(film))


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mp4", {"codec": "mpeg4", "g": G, "bf": "2"}),
        (".mkv", {"codec": "mpeg4", "g": G, "bf": "2"}),
        (".mkv", {"codec": "mpeg2video", "g": G, "bf": "2", "b:v": "900k"}),
        (".ts", {"codec": "mpeg2video", "g": G, "bf": "2", "b:v": "900k"}),
        (".mp4", {"codec": "mpeg2video", "g": G, "bf": "0", "b:v": "900k"}),
    ],
)
def test_bidirectional_pictures_of_mpeg_are_told(
    suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    film = encode(tmp_path / f"film{suffix}", COUNT, **options)
    with av.open(str(film)) as container:
        kinds = {frame.pts: frame.pict_type for frame in container.decode(video=0)}
    with av.open(str(film)) as container:
        test = unreferred_test(container.streams.video[0].codec_context)
        assert test is not None
        told = {packet.pts: test(packet) for packet in container.demux(video=0) if packet.size}
    assert told == {time: kind == PictureType.B for time, kind in kinds.items()}
    assert any(told.values()) == (options["bf"] != "0")


def test_units_behind_start_codes_tell_the_same(tmp_path: Path) -> None:
    for codec in ("libx264", "libx265"):
        told = []
        for suffix in (".mp4", ".ts"):
            options = {"x265-params": QUIET} if codec == "libx265" else {"g": G, "bf": "3"}
            film = encode(tmp_path / f"{codec}{suffix}", COUNT, codec=codec, **options)
            with av.open(str(film)) as container:
                test = unreferred_test(container.streams.video[0].codec_context)
                assert test is not None
                told.append([test(packet) for packet in container.demux(video=0) if packet.size])
        assert told[0] == told[1]
        assert any(told[0])


def test_packets_that_are_not_understood_are_decoded(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, g=G, bf="3")
    with av.open(str(film)) as container:
        test = unreferred_test(container.streams.video[0].codec_context)
        assert test is not None
        plain = next(packet for packet in container.demux(video=0) if test(packet))
    data = bytes(plain)
    size = len(data) - 4
    start_code = b"\0\0\0\1" + data[4:]  # as if each unit were behind a start code
    referred = data[:4] + bytes([data[4] | 0x60]) + data[5:]
    for changed in (
        start_code,
        data[:3],
        data[:-1],
        data + b"\0",
        (size + 1).to_bytes(4, "big") + data[4:],
        data[:4] + bytes([data[4] & 0xE0 | 6]) + data[5:],  # a message, and no slice
        data + referred,  # a second slice that says otherwise
        b"",
    ):
        assert not test(av.Packet(changed)), changed[:8]
    assert test(av.Packet(data))


def test_the_file_is_opened_once_and_nothing_is_decoded_to_learn_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, g="24", bf="3")
    opened = []
    monkeypatch.setattr(
        packet_source,
        "open_container",
        lambda *given, **how: opened.append(1) or open_container(*given, **how),
    )
    with PyavReader(film) as reader:
        frames = reader.frames_at([50]).pixels.permute(0, 2, 3, 1).numpy()
        assert read_number(frames[0]) == 50
        # From its key frame on: neither the group before nor the file's first frame.
        key = max(index for index in reader.intra_frame_indices() if index <= 50)
        assert key > 0
        assert reader._cursor.emitted <= 50 - key + 1
    assert len(opened) == 1


def test_a_frame_left_out_before_is_found_again(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, g=str(COUNT), bf="3")
    generator = np.random.default_rng(0)
    with PyavReader(film) as reader:
        for _ in range(20):  # one reader: what one request leaves out, the next may want
            wanted = np.sort(generator.choice(COUNT, 4, replace=False)).tolist()
            frames = reader.frames_at(wanted).pixels.permute(0, 2, 3, 1).numpy()
            assert [read_number(frame) for frame in frames] == wanted


def test_who_reads_on_decodes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, g=str(COUNT), bf="3")
    fed = []
    with PyavReader(film) as reader:
        take = PacketDecoder.take
        monkeypatch.setattr(
            PacketDecoder, "take", lambda self, *given: (fed.append(1), take(self, *given))
        )
        for start in range(0, COUNT, 8):
            frames = reader.frames_at(range(start, start + 8)).pixels.permute(0, 2, 3, 1).numpy()
            assert [read_number(frame) for frame in frames] == list(range(start, start + 8))
    # The first request empties the decoder; the second starts over, and the rest go on.
    assert len(fed) <= COUNT + 16


def test_who_jumps_ahead_is_not_taken_to_read_on(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", COUNT, g=str(COUNT), bf="3")
    with PyavReader(film, threads=1) as reader:
        for wanted in ([2, 4], [30, 32], [50, 52]):
            frames = reader.frames_at(wanted).pixels.permute(0, 2, 3, 1).numpy()
            assert [read_number(frame) for frame in frames] == wanted
            assert reader._cursor.drained  # nothing is decoded behind the last wanted frame


def test_temporal_layers_of_hevc(tmp_path: Path) -> None:
    # With layers, a picture without references in its own layer may be needed by a higher one.
    for layers, leaves_out in (("0", True), ("3", False)):
        path = encode(
            tmp_path / f"layers{layers}.mp4",
            24,
            codec="libx265",
            **{"x265-params": f"temporal-layers={layers}:log-level=none:pools=none"},
        )
        with PyavReader(path) as reader:
            assert (reader._cursor._decoder._unreferred is not None) == leaves_out
            frames = reader.frames_at([3, 10, 20]).pixels.permute(0, 2, 3, 1).numpy()
            assert [read_number(frame) for frame in frames] == [3, 10, 20]
