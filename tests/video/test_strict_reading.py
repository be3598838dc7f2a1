"""Strict reading: no picture of which the decoder complained is handed out as if it were whole."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.numbered_films import encode
from tests.video.test_salvaging_reader import damage, group_film
from vidattn.cli.entry import main
from vidattn.errors import DecodeError
from vidattn.video import open_video

# Ten frames a group where there are groups. Their decoders notice most damage within pictures.
CODECS = {
    "h264.mp4": {"codec": "libx264", "bf": "2", "x264-params": "keyint=10:scenecut=0:open-gop=0"},
    "mpeg4.avi": {"codec": "mpeg4", "bf": "0", "g": "10", "sc_threshold": "1000000000"},
    "mpeg2.mkv": {"codec": "mpeg2video", "bf": "0", "g": "10", "sc_threshold": "1000000000"},
    "mpeg1.mkv": {"codec": "mpeg1video", "bf": "0", "g": "10", "sc_threshold": "1000000000"},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
}


def complained_of(path: Path) -> bool:
    """Whether FFmpeg marks a picture as damaged or writes an error into its log."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.open(str(path)) as container, av.logging.Capture() as messages:
            container.streams.video[0].thread_count = 1
            marked = False
            for packet in container.demux(video=0):
                try:
                    marked |= any(frame.is_corrupt for frame in packet.decode())
                except av.error.FFmpegError:
                    marked = True
        return marked or bool(messages)
    finally:
        av.logging.set_level(level)


def film(folder: Path, name: str) -> Path:
    settings = dict(CODECS[name])
    if settings["codec"] not in av.codecs_available:
        pytest.skip(f"{settings['codec']} is not part of this PyAV")
    return encode(folder / name, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CODECS)
def test_what_the_decoder_complains_of_raises(tmp_path: Path, name: str, threads: int) -> None:
    whole = film(tmp_path, name)
    with open_video(whole, threads=threads) as reader:
        count = len(reader)
        truth = reader.frames_at(range(count), short_side=16).pixels
    noticed = 0
    for packet in (5, 14, 23, 33):
        path = damage(whole, [packet], to=tmp_path / f"{packet}_{name}")
        if not complained_of(path):
            continue
        noticed += 1
        with open_video(path, threads=threads) as reader:
            with pytest.raises(DecodeError, match="--salvage"):
                reader.frames_at(range(len(reader)))
            # The groups before are as they were, and none of this one is given whole.
            start = packet // 10 * 10
            assert reader.frames_at(range(start), short_side=16).pixels.equal(truth[:start])
            with pytest.raises(DecodeError):
                reader.frames_at(range(start, start + 10))
    assert noticed >= 2


def test_a_decoder_that_only_writes_into_its_log(tmp_path: Path) -> None:
    """FFV1's checksums tell of a slice that is not what it was."""
    path = encode(tmp_path / "f.mkv", codec="ffv1", level="3", slicecrc="1", g="1")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place = packets[14].pos + packets[14].size // 2
    data = bytearray(path.read_bytes())
    data[place : place + 8] = np.random.default_rng(14).bytes(8)
    (tmp_path / "damaged.mkv").write_bytes(bytes(data))
    with open_video(path) as whole, open_video(tmp_path / "damaged.mkv") as reader:
        with pytest.raises(DecodeError, match="slice"):
            reader.frames_at([14])
        found, truth = (each.frames_at([13, 15]).pixels for each in (reader, whole))
        assert found.equal(truth)


def test_what_refers_to_damaged_pictures_raises_too(tmp_path: Path) -> None:
    path = damage(group_film(tmp_path, "h264.mp4"), [14])
    with open_video(path, threads=1) as reader:
        for index in (14, 15, 19):
            with pytest.raises(DecodeError):
                reader.frames_at([index])
        for index in (12, 20, 39):
            assert len(reader.frames_at([index])) == 1


@pytest.mark.parametrize("first", [1, 7, 12, 15])
def test_frames_before_the_damage_are_given_whatever_was_read_before(
    tmp_path: Path, first: int
) -> None:
    """The second request goes on from the first; what follows the wanted frames is not theirs."""
    path = damage(film(tmp_path, "h264.mp4"), [26])
    with open_video(path, threads=1) as reader:
        shown = [i for i in range(20, 30) if not _raises(path, [i])]
        last = shown[-1] + 1
        assert 21 <= last < 30
        reader.frames_at(range(first))
        assert len(reader.frames_at(range(first, last))) == last - first
        with pytest.raises(DecodeError):
            reader.frames_at(range(last, 30))


def _raises(path: Path, indices: list[int]) -> bool:
    with open_video(path, threads=1) as reader:
        try:
            reader.frames_at(indices)
        except DecodeError:
            return True
    return False


def test_a_published_damaged_file(shared_data: Path) -> None:
    path = shared_data / "codecs" / "derived" / "bitflip_mdat.mp4"
    with open_video(path) as reader:
        assert len(reader.frames_at(range(10))) == 10
        with pytest.raises(DecodeError, match=r"packet 19.*--salvage"):
            reader.frames_at(range(60))


def test_the_commands_say_what_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    path = damage(group_film(tmp_path, "h264.mp4"), [14])
    assert main(["keyframes", str(path), "--output", str(tmp_path / "out")]) == 1
    assert "--salvage" in capsys.readouterr().err
    assert main(["index", str(path)]) == 0
    assert "pictures were not decoded: --salvage finds damage" in capsys.readouterr().out
    assert main(["index", str(path), "--json"]) == 0
    [record] = json.loads(capsys.readouterr().out)["videos"]
    assert record["pictures_decoded"] is False
    assert main(["index", str(path), "--salvage"]) == 0
    told = capsys.readouterr().out
    assert "not decoded" not in told
    assert "33 of 40 frames are valid" in told


def test_whole_files_raise_nothing(shared_data: Path) -> None:
    """Real footage of several sources, AVI among it."""
    names = [*sorted((shared_data / "jhmdb").rglob("*.avi"))[:4]]
    names += sorted((shared_data / "shots").rglob("*.mp4"))[:2]
    names += sorted((shared_data / "fights").rglob("*.mp4"))[:2]
    assert len(names) >= 4
    for path in names:
        with open_video(path) as reader:
            wanted = np.unique(np.linspace(0, len(reader) - 1, 60).astype(int))
            assert len(reader.frames_at(wanted.tolist(), short_side=16)) == len(wanted)
