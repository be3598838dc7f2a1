"""Inputs that must end well: a typed error, at once, and nothing read that should not be."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.numbered_films import encode, png
from vidattn.errors import (
    DecodeError,
    LimitError,
    NotAVideoError,
    UnsafePathError,
    VideoNotFoundError,
)
from vidattn.video import available_decoders, open_video

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "hls after white space": "\n \n#EXTM3U\n#EXTINF:9,\n{target}\n",
    "hls after a byte order mark": "\ufeff#EXTM3U\n#EXTINF:9,\n{target}\n",
    "concat": "ffconcat version 1.0\nfile {target}\n",
    "dash": "<?xml version='1.0'?>\n<MPD><Period><BaseURL>{target}</BaseURL></Period></MPD>\n",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n",
    "smooth": "<SmoothStreamingMedia MajorVersion='2'></SmoothStreamingMedia>",
}


@pytest.mark.parametrize("decoder", available_decoders())
@pytest.mark.parametrize(
    "path",
    [
        "concat:a.mp4|b.mp4",
        "subfile,,start,0,end,9,,:a.mp4",
        "data:video/mp4;base64,AAAA",
        "pipe:0",
        "pipe:",
        "http://127.0.0.1/a.mp4",
        "HTTPS://127.0.0.1/a.mp4",
        "file:a.mp4",
        "crypto+file:a.mp4",
        "fd:",
        "rtmp://127.0.0.1/a",
        "-i",
        "-",
        "a\0.mp4",
        "",
    ],
)
def test_no_path_at_all(path: str, decoder: str) -> None:
    """Row: `concat:`, `subfile:`, `data:`, `pipe:`, `http:` or a leading `-` as a path."""
    with pytest.raises(UnsafePathError):
        open_video(path, decoder)


@pytest.mark.parametrize("decoder", available_decoders())
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlist_in_disguise(
    tmp_path: Path, films: Callable[[str], Path], kind: str, decoder: str
) -> None:
    """Row: a playlist disguised as `.mp4`."""
    disguised = tmp_path / "innocent.mp4"
    disguised.write_text(PLAYLISTS[kind].format(target=films("b_frames")), encoding="utf-8")
    with pytest.raises(UnsafePathError, match="playlist"):
        open_video(disguised, decoder)


def test_formats_that_open_other_files_are_not_allowed(tmp_path: Path) -> None:
    """The second line of defence, behind the look at the first bytes."""
    from vidattn.video.limits import Limits
    from vidattn.video.packets.demuxer import open_container
    from vidattn.video.sources.local import LocalContent

    encode(tmp_path / "target.mp4", 3)
    for kind in ("hls", "concat"):
        disguised = tmp_path / f"{kind}.mp4"
        disguised.write_text(PLAYLISTS[kind].format(target="target.mp4"), encoding="utf-8")
        with pytest.raises(NotAVideoError):
            open_container(LocalContent(str(disguised), disguised), Limits())


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(tmp_path / "a.mp4", 3).rename(tmp_path / "concat:a.mp4")
    monkeypatch.chdir(tmp_path)
    with open_video("./concat:a.mp4") as reader:
        assert len(reader) == 3


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(VideoNotFoundError, match=r"none\.mp4: no such file"):
        open_video(tmp_path / "none.mp4")
    with pytest.raises(VideoNotFoundError):
        open_video(tmp_path / ("x" * 5000))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(VideoNotFoundError):
        open_video(tmp_path / "loop")


def test_neither_file_nor_folder_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(NotAVideoError, match="neither a file"):
        open_video(tmp_path / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(NotAVideoError, match="neither a file"):
            open_video(tmp_path / "s")


def test_not_a_video_says_what_it_is(tmp_path: Path) -> None:
    """Row: zero bytes, not a video, audio only."""
    import av

    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 8000), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    contents = {
        "empty.mp4": (b"", "zero bytes"),
        "one.mp4": (b"x", "not a video file"),
        "text.mp4": (b"Dear reader,\n" * 99, "not a video file"),
        "noise.mkv": (np.random.default_rng(0).bytes(5000), "not a video file"),
        "picture.mp4": (png(3), "not a video file"),
        "sound.mp4": (sound.read_bytes(), r"without a video stream \(it holds audio\)"),
    }
    for name, (data, message) in contents.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(NotAVideoError, match=message):
            open_video(tmp_path / name)


def read_each(path: Path) -> dict[float, np.ndarray]:
    """Seconds -> frame, one after the other, up to the first that does not come."""
    read: dict[float, np.ndarray] = {}
    try:
        with open_video(path) as reader:
            for index in range(len(reader)):
                frame = reader.frames_at([index])
                read[round(float(frame.seconds[0]), 4)] = frame.pixels[0].numpy()
    except (NotAVideoError, DecodeError, LimitError):
        pass
    return read


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        # At least so many frames come from 1, 20, 50, 90 and 99 % of the file.
        ("b_frames", (0, 0, 0, 0, 40)),  # the table of an MP4 is at its end
        ("open_groups", (0, 0, 9, 34, 39)),
        ("transport_stream", (0, 4, 17, 34, 38)),
        ("mpeg4_avi", (0, 0, 0, 34, 39)),
    ],
)
def test_truncated_anywhere(
    films: Callable[[str], Path], tmp_path: Path, name: str, counts: tuple[int, ...]
) -> None:
    """Row: truncated. What is left is a shorter video of the same frames, or an error."""
    data = films(name).read_bytes()
    whole = read_each(films(name))
    for share, count in zip((0.01, 0.2, 0.5, 0.9, 0.99), counts, strict=True):
        path = tmp_path / f"{share}{films(name).suffix}"
        path.write_bytes(data[: int(len(data) * share)])
        read = read_each(path)
        assert len(read) >= count
        assert [*read] == sorted(read)
        for seconds in read:
            assert np.array_equal(read[seconds], whole[seconds]), (share, seconds)


@pytest.mark.parametrize("name", ["b_frames", "open_groups", "transport_stream", "mpeg4_avi"])
def test_bits_flipped_anywhere(films: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    """Row: bit-flipped. An error, or pictures; tables that are damaged may give them any size."""
    data = np.frombuffer(films(name).read_bytes(), np.uint8)
    generator = np.random.default_rng(1)
    path = tmp_path / f"flipped{films(name).suffix}"
    for _ in range(12):
        path.write_bytes(flip(data, generator.integers(0, len(data), 10), generator))
        read = read_each(path)
        assert [*read] == sorted(read)
        for frame in read.values():
            assert frame.dtype == np.uint8
            assert frame.shape[0] == 3


def flip(data: np.ndarray, places: np.ndarray, generator: np.random.Generator) -> bytes:
    """The data with one bit changed in the bytes at these places."""
    flipped = data.copy()
    flipped[places] ^= (1 << generator.integers(0, 8, len(places))).astype(np.uint8)
    return flipped.tobytes()


@pytest.mark.parametrize("name", ["b_frames", "open_groups", "mpeg4_avi"])
def test_bits_flipped_in_a_packet_change_no_frame_before_it(
    films: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """A picture depends on its own packet and on earlier ones only."""
    film = films(name)
    data = np.frombuffer(film.read_bytes(), np.uint8)
    with av.open(str(film)) as container:
        [stream] = container.streams.video
        packets = [
            (round(float(one.pts * one.time_base), 4), one.pos, one.size)
            for one in container.demux(stream)
            if one.size
        ]
    start = packets[0][0]
    whole = read_each(film)
    generator = np.random.default_rng(2)
    path = tmp_path / f"flipped{film.suffix}"
    for number in (9, 21, 33):
        _, position, size = packets[number]
        path.write_bytes(flip(data, position + generator.integers(size // 2, size, 5), generator))
        read = read_each(path)
        before = {round(seconds - start, 4) for seconds, *_ in packets[:number]}
        firsts = [seconds for seconds in sorted(whole) if seconds in before]
        seen = [seconds for seconds in firsts if seconds in read]
        assert len(seen) >= number - 3, "pictures that are shown after a damaged one may be missing"
        for seconds in seen:
            assert np.array_equal(read[seconds], whole[seconds])


def test_the_picture_changes_its_size(tmp_path: Path) -> None:
    """Two streams of other sizes one after the other, as joined recordings are."""
    parts = [
        encode(tmp_path / f"{width}.h264", 5, size=(64, width), bf="0").read_bytes()
        for width in (96, 128)
    ]
    (tmp_path / "joined.h264").write_bytes(b"".join(parts))
    with pytest.raises(DecodeError, match="changes from 96x64 to 128x64"):
        open_video(tmp_path / "joined.h264")
    # With times nothing is decoded to open it: the first frame that is read says what is right.
    timed = tmp_path / "joined.ts"
    with av.open(str(tmp_path / "joined.h264")) as source, av.open(str(timed), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = number
                packet.time_base, packet.stream = Fraction(1, 25), stream
                target.mux(packet)
    for first, second in (([1, 3], [7]), ([7], [1, 3])):
        with open_video(timed) as reader:
            assert reader.full_decode_reason is None
            assert len(reader.frames_at(first)) == len(first)
            with pytest.raises(DecodeError, match="changes from"):
                reader.frames_at(second)


def test_errors_come_back_from_workers() -> None:
    for kind in (VideoNotFoundError, NotAVideoError, UnsafePathError, DecodeError, LimitError):
        error = pickle.loads(pickle.dumps(kind("a.mp4", "reason")))
        assert type(error) is kind
        assert (error.path, error.reason, str(error)) == ("a.mp4", "reason", "a.mp4: reason")


def test_a_name_that_is_no_text(films: Callable[[str], Path], tmp_path: Path) -> None:
    """A path whose bytes are not UTF-8 opens, or ends in a typed error."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.mp4")
    Path(path).write_bytes(films("b_frames").read_bytes())
    with open_video(path) as reader:
        assert len(reader.frames_at([3])) == 1


def test_a_file_that_may_not_be_read(
    films: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the system, as it does without the permission; the administrator may read all."""
    path = films("b_frames")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(VideoNotFoundError, match="cannot be read: Permission denied"):
        open_video(path)


@pytest.mark.parametrize("decoder", available_decoders())
@pytest.mark.parametrize(
    "name", ["a:b.mp4", "http:x.mp4", "concat:a.mp4", "-a.mp4", "-i", "pipe:0"]
)
def test_a_file_may_be_called_so(
    name: str,
    decoder: str,
    films: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(films("b_frames").read_bytes())
    with open_video(films("b_frames"), decoder) as expected, open_video(name, decoder) as reader:
        assert len(reader) == len(expected)
        assert np.array_equal(reader.frames_at([0, 7]).pixels, expected.frames_at([0, 7]).pixels)
