"""Videos given as bytes, as open files and as rows of a data set."""

from __future__ import annotations

import io
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn import extract_keyframes
from vidattn.errors import (
    ArgumentError,
    DecodeError,
    InputOutputError,
    LimitError,
    NotAVideoError,
    UnsafePathError,
    VideoError,
)
from vidattn.video import Limits, available_decoders, open_video
from vidattn.video.packets.index import PacketTable
from vidattn.video.sources.memory import InMemory

Films = Callable[[str], Path]
KINDS = ("b_frames", "open_groups", "transport_stream", "mpeg4_avi")


def same(one: Any, other: Any) -> None:
    with open_video(one) as ours, open_video(other) as theirs:
        assert len(ours) == len(theirs)
        everything = range(len(theirs))
        assert ours.seconds_of(everything) == theirs.seconds_of(everything)
        assert ours.intra_frame_indices() == theirs.intra_frame_indices()
        wanted = [len(theirs) - 1, 0, len(theirs) // 2]
        assert np.array_equal(ours.frames_at(wanted).array, theirs.frames_at(wanted).array)


@pytest.mark.parametrize("name", KINDS)
def test_bytes_and_binary_files_give_the_frames_of_the_file(films: Films, name: str) -> None:
    path = films(name)
    data = path.read_bytes()
    same(data, path)
    same(bytearray(data), path)
    same(memoryview(data), path)
    same(io.BytesIO(data), path)
    with open(path, "rb") as file:
        same(file, path)
        assert not file.closed


@pytest.mark.slow
def test_real_files_of_every_kind(shared_data: Path) -> None:
    """Also those that are refused: for the same reason."""

    def found(video: Any) -> Any:
        try:
            with open_video(video) as reader:
                places = sorted({0, len(reader) // 2, len(reader) - 1})
                pixels = reader.frames_at(places).array.tobytes()
                return reader.frame_times.seconds.tolist(), reader.intra_frame_indices(), pixels
        except VideoError as error:
            return type(error), error.reason

    files = [file for file in (shared_data / "codecs").rglob("*") if file.stat().st_size]
    files = [file for file in files if file.suffix not in (".csv", ".json", ".md")]
    assert len(files) > 100
    for file in files:
        if file.is_file():
            assert found(InMemory(file.read_bytes(), file.name)) == found(file), file


def test_a_file_is_read_from_its_beginning(films: Films) -> None:
    file = io.BytesIO(films("b_frames").read_bytes())
    file.seek(99)
    same(file, films("b_frames"))


class Pipe(io.RawIOBase):
    """Gives what it was given in small parts, and cannot seek."""

    def __init__(self, data: bytes, error: Exception | None = None) -> None:
        self.file, self.error = io.BytesIO(data), error

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(min(size, 1000))
        if not data and self.error is not None:
            raise self.error
        return data


def test_what_cannot_seek_is_copied_within_a_limit(films: Films) -> None:
    data = films("b_frames").read_bytes()
    same(Pipe(data), films("b_frames"))
    with open_video(Pipe(data), limits=Limits(maximum_copied_bytes=len(data))) as reader:
        assert len(reader) == 40
    with pytest.raises(LimitError, match=f"larger than the {len(data) - 1} bytes"):
        open_video(Pipe(data), limits=Limits(maximum_copied_bytes=len(data) - 1))


def test_a_real_pipe(films: Films) -> None:
    ends = os.pipe()
    data = films("b_frames").read_bytes()
    assert len(data) < 2**16  # what a pipe holds
    os.write(ends[1], data)
    os.close(ends[1])
    with open(ends[0], "rb", buffering=0) as file:
        same(file, data)


def test_what_fails_while_it_is_read_is_told_from_what_is_no_video(films: Films) -> None:
    data = films("b_frames").read_bytes()
    with pytest.raises(InputOutputError, match="reset"):
        open_video(Pipe(data, ConnectionResetError(104, "reset by peer")))

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > len(data) // 2:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(InputOutputError, match="Input/output error"):
        open_video(Failing(data))
    closed = io.BytesIO(data)
    closed.close()
    with pytest.raises(NotAVideoError, match="closed"):
        open_video(closed)


@pytest.mark.parametrize("salvage", [False, True])
def test_a_failure_in_the_middle_of_decoding(films: Films, salvage: bool) -> None:
    data = films("transport_stream").read_bytes()

    class Unsteady(io.BytesIO):
        broken = False

        def read(self, size: int | None = -1) -> bytes:
            if self.broken:
                raise OSError(110, "Connection timed out")
            return super().read(size)

    file = Unsteady(data)
    with open_video(file, salvage=salvage) as reader:
        file.broken = True
        with pytest.raises(InputOutputError, match="timed out"):
            reader.frames_at(range(len(reader)))


def test_rows_of_a_data_set(films: Films) -> None:
    path = films("b_frames")
    data = path.read_bytes()
    same({"bytes": data, "path": None}, path)
    same({"bytes": data, "path": "a.mp4"}, path)
    same({"bytes": None, "path": str(path)}, path)
    with open_video({"bytes": data, "path": "folder/a.mp4"}) as reader:
        assert reader.path == "folder/a.mp4"
    with pytest.raises(NotAVideoError, match="neither `bytes` nor a `path`"):
        open_video({"bytes": None, "path": None})
    with pytest.raises(ArgumentError, match="expected bytes of a video, got str"):
        open_video({"bytes": "text", "path": None})
    with pytest.raises(UnsafePathError, match="http"):
        open_video({"bytes": None, "path": "http://127.0.0.1/a.mp4"})


@pytest.mark.parametrize("wrong", [None, 3, ["a.mp4"], object()])
def test_what_is_no_video_at_all(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match=r"expected a path, .*Video\(decode=False\)"):
        open_video(wrong)


def test_text_is_refused(films: Films, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Dear reader")
    with open(path) as file, pytest.raises(ArgumentError, match="binary mode"):
        open_video(file)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="binary mode"):
        open_video(io.StringIO("text"))  # type: ignore[arg-type]


def test_hostile_bytes() -> None:
    cases = {
        b"": (NotAVideoError, "zero bytes"),
        b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n": (UnsafePathError, "playlist"),
        b"\xef\xbb\xbfffconcat version 1.0\nfile a.mp4\n": (UnsafePathError, "playlist"),
        b"<MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>": (UnsafePathError, "playlist"),
        b"Dear reader,\n" * 99: (NotAVideoError, "not a video file"),
    }
    for data, (kind, message) in cases.items():
        for video in (data, io.BytesIO(data), Pipe(data)):
            with pytest.raises(kind, match=message):
                open_video(video)


def test_formats_that_open_other_files_open_none(films: Films, tmp_path: Path) -> None:
    """The second line of defence, behind the look at the first bytes."""
    from vidattn.video.packets.demuxer import open_container
    from vidattn.video.sources.memory import MemoryContent

    for text in (
        f"ffconcat version 1.0\nfile {films('b_frames')}\n",
        "#EXTM3U\n#EXTINF:9,\na.ts\n",
    ):
        content = MemoryContent("a.mp4", "a.mp4", memoryview(text.encode()))
        with pytest.raises(NotAVideoError):
            open_container(content, Limits())


def test_names_reach_ffmpeg_as_an_ending_only(films: Films) -> None:
    data = films("b_frames").read_bytes()
    for name in ("concat:a|b.mp4", "%03d.jpg", "http://127.0.0.1/a.m3u8", "-i", "a.\0", "\n"):
        with open_video(InMemory(data, name)) as reader:
            assert len(reader) == 40


def test_limits_hold(films: Films) -> None:
    data = films("b_frames").read_bytes()
    for limits in (
        Limits(maximum_pixels=64 * 96 - 1),
        Limits(maximum_packets=39),
        Limits(maximum_seconds=1.5),
    ):
        with pytest.raises(LimitError):
            open_video(data, limits=limits)


def test_cut_anywhere_ends_as_the_file_does(films: Films, tmp_path: Path) -> None:
    for name in KINDS:
        data = films(name).read_bytes()
        for share in (0.01, 0.2, 0.5, 0.9, 0.99):
            part = data[: int(len(data) * share)]
            path = tmp_path / f"part{films(name).suffix}"
            path.write_bytes(part)
            found = []
            for video in (InMemory(part, path.name), path):
                try:
                    with open_video(video) as reader:
                        found.append((len(reader), reader.metadata.full_decode_reason))
                except (NotAVideoError, DecodeError) as error:
                    found.append((0, error.reason))
            assert found[0] == found[1], (name, share)


@pytest.mark.parametrize("decoder", [name for name in available_decoders() if name != "pyav"])
def test_other_decoders_read_files_of_this_machine_only(films: Films, decoder: str) -> None:
    data = films("b_frames").read_bytes()
    with pytest.raises(ArgumentError, match=f"{decoder} reads files of this machine; use pyav"):
        open_video(data, decoder)


def test_packet_tables_are_kept_by_content(
    films: Films, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    data = films("transport_stream").read_bytes()
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    with open_video(data) as reader:
        reader.keep_packet_table()
        count = len(reader)
    with monkeypatch.context() as patch:
        patch.setattr(PacketTable, "scan", lambda *_: pytest.fail("the packets were read"))
        with open_video(bytes(data)) as reader:
            assert len(reader) == count
    read = []
    scan = PacketTable.scan
    monkeypatch.setattr(PacketTable, "scan", lambda *given: read.append(1) or scan(*given))
    open_video(changed).close()
    assert read == [1]


def test_the_table_of_what_may_change_unnoticed_is_not_kept(films: Films) -> None:
    file = io.BytesIO(films("b_frames").read_bytes())
    with open_video(file) as reader, pytest.raises(ArgumentError, match="does not tell when"):
        reader.keep_packet_table()


def test_bytes_go_to_other_processes_and_open_files_do_not(films: Films) -> None:
    data = films("b_frames").read_bytes()
    same(pickle.loads(pickle.dumps(InMemory(data, "a.mp4"))), films("b_frames"))
    with tempfile.TemporaryFile() as file:
        file.write(data)
        with open_video(file) as reader, pytest.raises(ArgumentError, match="another process"):
            pickle.dumps(reader.source)


def test_key_frames_of_bytes_are_those_of_the_file(write_flash: Callable[..., Path]) -> None:
    path = write_flash()
    ours, theirs = extract_keyframes(path.read_bytes(), count=3), extract_keyframes(path, count=3)
    assert [each.frame_index for each in ours.frames] == [e.frame_index for e in theirs.frames]
    assert ours.path == f"video in memory ({path.stat().st_size} bytes)"
