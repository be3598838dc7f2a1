"""Damaged files: the frames that are valid are those of the whole file, and no others are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import av
import av.logging
import numpy as np
import pytest
import torch

from tests.video.numbered_films import FILMS, SIZE, encode, read_number
from vidattn.errors import ArgumentError, DecodeError, LimitError, NotAVideoError
from vidattn.video import Limits, open_video
from vidattn.video.decoding.orientation import Orientation
from vidattn.video.packets.index import PacketTable
from vidattn.video.readers import survey
from vidattn.video.readers.pyav_reader import PyavReader
from vidattn.video.readers.salvaging_reader import SalvagingReader

Film = Callable[[str], Path]

# A damaged file, the whole one, and how many of its frames can be had as they were encoded.
DERIVED = {
    "bitflip_mdat.mp4": ("base_h264_aac.mp4", 18),
    "bitflip_mpeg4.avi": ("mpeg4_bframes.avi", 22),
    "bitflip_vp9.webm": ("vp9.webm", 16),
    "trunc_60pct_faststart.mp4": ("h264_faststart.mp4", 31),
    "trunc_70pct.mkv": ("hevc_main10.mkv", 36),
    "trunc_midpacket.ts": ("mpeg2.ts", 29),
    "headless_midpacket.ts": ("mpeg2.ts", 24),
}


@pytest.mark.parametrize("name", DERIVED)
def test_valid_frames_are_those_of_the_whole_file(shared_data: Path, name: str) -> None:
    """Row: truncated or bit-flipped. Frames are matched by their times."""
    folder = shared_data / "codecs" / "derived"
    whole, count = DERIVED[name]
    with open_video(folder / whole) as reader:
        truth = reader.frames_at(range(len(reader)))
    with open_video(folder / name, salvage=True) as reader:
        found = reader.frames_at(range(len(reader)))
    places = {round(time, 4): place for place, time in enumerate(truth.seconds.tolist())}
    equal = torch.zeros(len(found), dtype=torch.bool)
    for place, time in enumerate(found.seconds.tolist()):
        other = places.get(round(time, 4))
        equal[place] = other is not None and torch.equal(found.pixels[place], truth.pixels[other])
    assert not (found.valid & ~equal).any()
    assert found.valid.sum() == count
    # What a decoder notices casts doubt on the packets beside it, so a few whole frames are lost.
    assert equal.sum() - found.valid.sum() <= 3


@pytest.mark.parametrize("name", FILMS)
def test_whole_files_are_valid_and_read_as_ever(films: Film, name: str) -> None:
    with open_video(films(name)) as strict, open_video(films(name), salvage=True) as reader:
        assert isinstance(reader, SalvagingReader)
        assert len(reader) == len(strict)
        assert reader.valid.all()
        assert not reader.damage
        assert reader.damaged_spans == []
        assert reader.intra_frame_indices() == strict.intra_frame_indices()
        assert (reader.fps, reader.size) == (strict.fps, strict.size)
        assert reader.duration_seconds == pytest.approx(strict.duration_seconds, abs=1e-9)
        generator = np.random.default_rng(0)
        for indices in (range(len(reader)), *generator.integers(0, len(reader), (4, 3)).tolist()):
            found, expected = reader.frames_at(indices), strict.frames_at(indices)
            assert torch.equal(found.pixels, expected.pixels)
            assert found.seconds.tolist() == pytest.approx(expected.seconds.tolist(), abs=1e-12)
            assert found.valid.all()
            assert expected.valid.all()


@pytest.mark.parametrize(
    "name", ["anim.gif", "h264_raw_no_pts.h264", "mpeg1.mpg", "theora.ogv", "wmv2.wmv"]
)
def test_whole_files_whose_packets_are_not_their_frames(shared_data: Path, name: str) -> None:
    path = shared_data / "codecs" / "derived" / name
    with open_video(path) as strict, open_video(path, salvage=True) as reader:
        assert len(reader) == len(strict)
        assert reader.valid.all()
        indices = range(0, len(reader), 7)
        found, expected = reader.frames_at(indices), strict.frames_at(indices)
        assert torch.equal(found.pixels, expected.pixels)
        assert found.seconds.tolist() == pytest.approx(expected.seconds.tolist())
        assert reader.timestamps_made_up == strict.timestamps_made_up


def damage(path: Path, positions: Sequence[int], *, to: Path | None = None) -> Path:
    """Overwrite the middle of packets, by their place in the file, with noise."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        places = [(packet.pos, packet.size) for packet in packets]
    generator = np.random.default_rng(5)
    for position in positions:
        start, size = places[position]
        first = start + min(40, size // 4)  # behind the marks that the container reads
        data[first : start + size] = generator.bytes(start + size - first)
    target = to or path.with_name(f"damaged_{path.name}")
    target.write_bytes(bytes(data))
    return target


# No B-frames: packet and frame have the same number. Ten frames a group.
GROUPS = {
    "h264.mp4": {"codec": "libx264", "bf": "0", "x264-params": "keyint=10:scenecut=0:open-gop=0"},
    "h265.mkv": {
        "codec": "libx265",
        "x265-params": "keyint=10:scenecut=0:bframes=0:open-gop=0:log-level=0",
    },
    "mpeg4.avi": {"codec": "mpeg4", "bf": "0", "g": "10", "sc_threshold": "1000000000"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "10", "deadline": "realtime", "lag-in-frames": "0"},
}


def group_film(folder: Path, name: str) -> Path:
    settings = dict(GROUPS[name])
    if settings["codec"] not in av.codecs_available:
        pytest.skip(f"{settings['codec']} is not part of this PyAV")
    return encode(folder / name, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GROUPS)
def test_damage_ends_at_the_next_key_frame(tmp_path: Path, name: str) -> None:
    path = group_film(tmp_path, name)
    with open_video(path) as reader:
        truth = reader.frames_at(range(40)).pixels
        assert reader.intra_frame_indices() == [0, 10, 20, 30]
    with open_video(damage(path, [14]), salvage=True) as reader:
        assert len(reader) == 40
        found = reader.frames_at(range(40))
        expected = [not 13 <= index < 20 for index in range(40)]
        assert found.valid.tolist() == expected
        assert reader.valid.tolist() == expected
        assert torch.equal(found.pixels[found.valid], truth[found.valid])
        assert reader.intra_frame_indices() == [0, 10, 20, 30]
        assert [span[:2] for span in reader.damaged_spans] == [(13, 19)]
        assert sorted(reader.damage) == list(range(13, 20))


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg4.avi", "vp9.webm"])
def test_a_damaged_key_frame_takes_its_group_with_it(tmp_path: Path, name: str) -> None:
    path = group_film(tmp_path, name)
    with open_video(path) as reader:
        truth = reader.frames_at(range(40)).pixels
    with open_video(damage(path, [20]), salvage=True) as reader:
        found = reader.frames_at(range(len(reader)))
        assert found.valid.tolist() == [not 19 <= index < 30 for index in range(40)]
        assert torch.equal(found.pixels[found.valid], truth[found.valid])
        assert reader.intra_frame_indices() == [0, 10, 30]


def test_strict_reading_raises_where_salvaging_goes_on(tmp_path: Path) -> None:
    path = damage(group_film(tmp_path, "mpeg4.avi"), [10, 20])
    path = without_marks(path, 15)
    with open_video(path) as reader, pytest.raises(DecodeError):
        reader.frames_at(range(len(reader)))
    with open_video(path, salvage=True) as reader:
        assert len(reader.frames_at(range(len(reader)))) == len(reader) >= 39


def without_marks(path: Path, position: int) -> Path:
    """Blank a whole packet, its header too."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][position]
        start = packet.pos + 8 if path.suffix == ".avi" else packet.pos
        data[start : start + packet.size] = bytes(packet.size)
    path.write_bytes(bytes(data))
    return path


def test_a_key_frame_just_behind_damage_must_be_confirmed(tmp_path: Path) -> None:
    """Damage comes in bursts: what lies beside it is trusted by the group after only."""
    with open_video(damage(group_film(tmp_path, "mpeg4.avi"), [19]), salvage=True) as reader:
        assert reader.valid.tolist() == [not 18 <= index < 30 for index in range(40)]


def test_open_groups_lose_what_leads_over(tmp_path: Path) -> None:
    """Pictures shown before their key frame refer to the damaged group, too."""
    path = encode(
        tmp_path / "open.mkv", bf="3", **{"x264-params": "keyint=10:scenecut=0:open-gop=1"}
    )
    with open_video(path) as reader:
        truth = reader.frames_at(range(40)).pixels
        keys = reader.intra_frame_indices()
    with av.open(str(path)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    order = np.argsort(np.argsort(times))  # packet -> frame
    assert keys[1] < order[np.flatnonzero(order == keys[1])[0] - 1] + 10
    with open_video(damage(path, [1]), salvage=True) as reader:
        found = reader.frames_at(range(40))
    assert torch.equal(found.pixels[found.valid], truth[found.valid])
    assert not found.valid[: keys[1]].any()  # those just before the key frame lead over to it
    assert found.valid[keys[1] :].all()


def test_what_no_packet_gives_shows_the_nearest_earlier_frame(tmp_path: Path) -> None:
    """Never a silent duplicate: it is not valid."""
    path = group_film(tmp_path, "h264.mp4")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, _ = packets[15]
    data[start : start + 4] = b"\xff\xff\xff\xff"  # the length of its first unit
    path.write_bytes(bytes(data))
    with open_video(path, salvage=True) as reader:
        found = reader.frames_at(range(40))
    assert torch.equal(found.pixels[15], found.pixels[14])
    assert found.valid.tolist() == [not 15 <= index < 20 for index in range(40)]
    numbers = [read_number(picture) for picture in found.pixels.permute(0, 2, 3, 1).numpy()]
    assert [n for n, ok in zip(numbers, found.valid.tolist(), strict=True) if ok] == [
        *range(15),
        *range(20, 40),
    ]


def test_black_where_there_is_nothing_before(tmp_path: Path) -> None:
    path = group_film(tmp_path, "vp9.webm")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, size = packets[0]
    data[start + size // 8 : start + size] = b"\0" * (size - size // 8)
    data[start + 8 : start + 16] = b"\0" * 8
    path.write_bytes(bytes(data))
    with open_video(path, salvage=True) as reader:
        found = reader.frames_at(range(len(reader)))
        first = int(np.flatnonzero(reader.valid)[0])
        assert first == 10
        assert not found.valid[:10].any()
        assert found.valid[10:].all()


def test_any_order_gives_the_same_frames(tmp_path: Path) -> None:
    path = damage(group_film(tmp_path, "h264.mp4"), [4, 33])
    with open_video(path, salvage=True) as reader:
        every = reader.frames_at(range(40))
        for indices in ([39, 0, 12], [12, 11], [25, 25, 3], []):
            found = reader.frames_at(indices)
            trusted = found.valid
            assert torch.equal(found.valid, every.valid[indices])
            assert torch.equal(found.pixels[trusted], every.pixels[indices][trusted])
            assert found.indices.tolist() == indices
        clips = reader.clips([[3, 20], [20, 34]], short_side=16)
        assert [clip.valid.tolist() for clip in clips] == [[False, True], [True, False]]


def test_a_lost_stretch_of_the_file_is_noticed(tmp_path: Path) -> None:
    """A hole in a transport stream: what refers across it is not valid."""
    path = encode(tmp_path / "holey.ts", bf="0", **{"x264-params": "keyint=10:scenecut=0"})
    with open_video(path) as reader:
        truth = {
            round(time, 6): picture
            for time, picture in zip(
                reader.seconds_of(range(40)), reader.frames_at(range(40)).pixels, strict=True
            )
        }
    data = path.read_bytes()
    middle = len(data) // 188 // 2 * 188
    path.write_bytes(data[:middle] + data[middle + 3 * 188 :])
    with open_video(path, salvage=True) as reader:
        found = reader.frames_at(range(len(reader)))
    assert 0 < (~found.valid).sum() < 22
    for place in np.flatnonzero(found.valid.numpy()):
        picture = truth[round(float(found.seconds[place]), 6)]
        assert torch.equal(found.pixels[place], picture), place


def test_limits_hold_while_salvaging(films: Film, tmp_path: Path) -> None:
    path = films("b_frames")
    for limits in (
        Limits(maximum_pixels=64 * 96 - 1),
        Limits(maximum_packets=39),
        Limits(maximum_seconds=1.5),
    ):
        with pytest.raises(LimitError):
            open_video(path, limits=limits, salvage=True)
    (tmp_path / "text.mp4").write_text("Dear reader,\n" * 99)
    with pytest.raises(NotAVideoError):
        open_video(tmp_path / "text.mp4", salvage=True)


def test_nothing_at_all_can_be_decoded(tmp_path: Path) -> None:
    path = group_film(tmp_path, "vp9.webm")
    with pytest.raises(DecodeError, match="no frame can be decoded"):
        open_video(damage_all(path), salvage=True)


def damage_all(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                data[packet.pos + 4 : packet.pos + packet.size] = bytes(packet.size - 4)
    path.write_bytes(bytes(data))
    return path


def test_only_pyav_salvages_and_only_files(films: Film, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="salvage: only pyav"):
        open_video(films("b_frames"), "decord", salvage=True)
    with pytest.raises(ArgumentError, match="not for folders"):
        open_video(tmp_path, salvage=True)


def test_close_and_wrong_indices(films: Film) -> None:
    reader = open_video(films("b_frames"), salvage=True)
    with pytest.raises(IndexError, match="expected 0 to 39"):
        reader.frames_at([40])
    assert reader.frames_at([39]).size == SIZE
    reader.close()
    reader.close()
    with pytest.raises(DecodeError, match="closed"):
        reader.frames_at([0])


def test_the_log_is_as_it_was(films: Film) -> None:
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    open_video(films("b_frames"), salvage=True).close()
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before


def test_nothing_is_printed(tmp_path: Path) -> None:
    path = group_film(tmp_path, "h264.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    code = (
        "from vidattn.errors import VideoError\n"
        "from vidattn.video import open_video\n"
        "try:\n"
        f"    open_video({str(path)!r}, salvage=True)\n"
        "except VideoError:\n"
        "    print('refused')\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("refused\n", "")


def test_labels_of_other_readers_do_not_disturb(films: Film) -> None:
    """PyAV keeps what packets carry by identity: two passes side by side must not mix."""
    readers = [open_video(films("one_key_frame"), salvage=True) for _ in range(3)]
    with PyavReader(films("one_key_frame")) as strict:
        truth = strict.frames_at(range(40)).pixels
    for index in (0, 5, 6, 17, 39):
        for reader in readers:
            found = reader.frames_at([index])
            assert found.valid.all()
            assert torch.equal(found.pixels[0], truth[index])
    for reader in readers:
        reader.close()


def test_frames_that_lead_over_from_damage_are_not_valid() -> None:
    """Whether or not the decoder leaves them out: packet 4 is shown before its key packet 3."""
    table = PacketTable.of(
        [(time, time, 1, 50, place in (0, 3), False, False) for place, time in enumerate(TIMES)]
    )
    found = SimpleNamespace(losses={}, damage={1: "broken"}, noticed=set(), restarts=[3])
    emitted = [
        survey._Emitted(packet, 0.0, packet in (0, 3), SIZE, Orientation())
        for packet in (0, 1, 2, 4, 3, 5)
    ]
    tainted = survey._tainted(found, emitted, table, plain=True)  # type: ignore[arg-type]
    assert tainted.tolist() == [False, True, True, False, True, False]


TIMES = (0, 1, 2, 4, 3, 5)
