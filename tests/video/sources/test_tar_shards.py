"""Videos in tar files, read in place."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.video.numbered_films import encode
from vidattn.errors import (
    DecodeError,
    NotAVideoError,
    UnsafePathError,
    VideoError,
    VideoNotFoundError,
)
from vidattn.video import open_video
from vidattn.video.packets.index import PacketTable
from vidattn.video.sources import tar_shards

Films = Callable[[str], Path]
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def member(name: str, **settings: object) -> tarfile.TarInfo:
    information = tarfile.TarInfo(name)
    for key, value in settings.items():
        setattr(information, key, value)
    return information


def write_shard(
    path: Path, files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT, **links: tarfile.TarInfo
) -> Path:
    with tarfile.open(path, "w", format=kind) as shard:
        for name, data in files.items():
            shard.addfile(member(name, size=len(data)), io.BytesIO(data))
        for link in links.values():
            shard.addfile(link)
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_members_give_the_frames_of_the_files(films: Films, tmp_path: Path, kind: str) -> None:
    names = {
        "000.mp4": "b_frames",
        "folder/001.ts": "transport_stream",
        "clip é.avi": "mpeg4_avi",
        ("deep/" * 17 + "002.mp4"): "open_groups",  # longer than the header of the oldest format
    }
    files = {name: films(film).read_bytes() for name, film in names.items()}
    files["000.txt"] = b"a caption"
    shard = write_shard(tmp_path / "shard-000.tar", files, FORMATS[kind])
    for name, film in names.items():
        with open_video(f"{shard}::{name}") as ours, open_video(films(film)) as theirs:
            assert ours.path == f"{shard}::{name}"
            assert len(ours) == len(theirs)
            everything = range(len(theirs))
            assert ours.seconds_of(everything) == theirs.seconds_of(everything)
            assert np.array_equal(
                ours.frames_at(everything).array, theirs.frames_at(everything).array
            )


def test_nothing_is_read_beyond_the_member(films: Films, tmp_path: Path) -> None:
    """A transport stream has no end of its own: what follows would be more of it."""
    data = films("transport_stream").read_bytes()
    shard = write_shard(tmp_path / "a.tar", {"1.ts": data, "2.ts": data, "3.ts": data})
    with open_video(f"{shard}::2.ts") as reader:
        assert len(reader) == 40


def test_salvage_reads_members_too(films: Films, tmp_path: Path) -> None:
    data = bytearray(films("mpeg4_avi").read_bytes())
    damaged = len(data) * 7 // 10  # what lies before the middle is room for an index
    data[damaged : damaged + 400] = bytes(400)
    shard = write_shard(tmp_path / "a.tar", {"1.avi": bytes(data)})
    (tmp_path / "1.avi").write_bytes(data)
    with (
        open_video(f"{shard}::1.avi", salvage=True) as ours,
        open_video(tmp_path / "1.avi", salvage=True) as theirs,
    ):
        assert ours.valid_indices() == theirs.valid_indices()
        assert len(ours.valid_indices()) < len(ours)


def test_a_file_that_is_called_so_comes_first(
    films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tar::b.mp4").write_bytes(films("b_frames").read_bytes())
    with open_video("a.tar::b.mp4") as reader:
        assert len(reader) == 40


def test_hostile_members(films: Films, tmp_path: Path) -> None:
    film = films("b_frames")
    inside = {
        "/etc/passwd": b"x",
        "../up.mp4": film.read_bytes(),
        "a/../../up.mp4": film.read_bytes(),
        "empty.mp4": b"",
        "list.mp4": f"#EXTM3U\n#EXTINF:9,\n{film}\n".encode(),
        "text.mp4": b"Dear reader,\n" * 99,
    }
    shard = write_shard(
        tmp_path / "a.tar",
        inside,
        symbolic=member("link.mp4", type=tarfile.SYMTYPE, linkname=str(film)),
        hard=member("hard.mp4", type=tarfile.LNKTYPE, linkname="empty.mp4"),
        pipe=member("pipe.mp4", type=tarfile.FIFOTYPE),
        device=member("device.mp4", type=tarfile.CHRTYPE),
        folder=member("folder.mp4", type=tarfile.DIRTYPE),
    )
    expected: dict[str, tuple[type[VideoError], str]] = {
        "/etc/passwd": (UnsafePathError, "relative name"),
        "../up.mp4": (UnsafePathError, "relative name"),
        "a/../../up.mp4": (UnsafePathError, "relative name"),
        "": (UnsafePathError, "relative name"),
        "empty.mp4": (NotAVideoError, "zero bytes"),
        "list.mp4": (UnsafePathError, "playlist"),
        "text.mp4": (NotAVideoError, "not a video file"),
        "link.mp4": (NotAVideoError, "a link to"),
        "hard.mp4": (NotAVideoError, "a link to 'empty.mp4'"),
        "pipe.mp4": (NotAVideoError, "neither a file nor a folder"),
        "device.mp4": (NotAVideoError, "neither a file nor a folder"),
        "folder.mp4": (VideoNotFoundError, "no member 'folder.mp4'"),
        "none.mp4": (VideoNotFoundError, "no member 'none.mp4'"),
    }
    for name, (kind, reason) in expected.items():
        with pytest.raises(kind, match=reason) as caught:
            open_video(f"{shard}::{name}")
        assert caught.value.path == f"{shard}::{name}"


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    """As GNU tar writes it with --sparse: the content does not lie in one piece."""
    header = bytearray(member("a.mp4", size=512).tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:398], header[398:410] = b"%011o\0" % 4096, b"%011o\0" % 512
    header[483:495] = b"%011o\0" % 2**20  # its real size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(header) + b"x" * 512 + bytes(1024))
    with pytest.raises(NotAVideoError, match=r"a\.tar::a\.mp4: a sparse file"):
        open_video(f"{path}::a.mp4")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (gzip.compress, "compressed by gzip"),
        (lambda data: b"Dear reader,\n" * 99, "not a tar file"),
        (lambda data: data[:700], "not a tar file"),
        (lambda data: data[:2000] + b"rubbish " * 200, "not a tar file"),
        (lambda data: data[:-20000], "not a tar file"),
    ],
)
def test_tar_files_that_are_none(
    films: Films, tmp_path: Path, make: Callable[[bytes], bytes], reason: str
) -> None:
    whole = write_shard(tmp_path / "b.tar", {"a.txt": b"x", "a.mp4": bytes(30000)})
    shard = tmp_path / "a.tar"
    shard.write_bytes(make(whole.read_bytes()))
    with pytest.raises(NotAVideoError, match=reason) as caught:
        open_video(f"{shard}::a.mp4")
    assert caught.value.path == str(shard)


def test_a_tar_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(VideoNotFoundError, match="no such file"):
        open_video(f"{tmp_path}/none.tar::a.mp4")


def test_of_two_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    """As when a tar file is extracted."""
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "w") as archive:
        for count in (10, 20):
            archive.add(encode(tmp_path / f"{count}.mp4", count), "./a.mp4")
    with open_video(f"{shard}::a.mp4") as reader:
        assert len(reader) == 20


def test_the_headers_are_read_once(
    films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = films("b_frames").read_bytes()
    shard = write_shard(tmp_path / "a.tar", {f"{number}.mp4": data for number in range(9)})
    read = []
    members = tar_shards._read_members
    monkeypatch.setattr(tar_shards, "_read_members", lambda given: read.append(1) or members(given))
    for number in range(9):
        open_video(f"{shard}::{number}.mp4").close()
    assert read == [1]
    os.utime(shard, ns=(1, 1))  # another one, perhaps
    open_video(f"{shard}::3.mp4").close()
    assert read == [1, 1]


def test_a_tar_file_that_changes_while_it_is_read(films: Films, tmp_path: Path) -> None:
    data = films("b_frames").read_bytes()
    shard = write_shard(tmp_path / "a.tar", {"a.mp4": data})
    with open_video(f"{shard}::a.mp4") as reader:
        reader.frames_at([39])
        write_shard(shard, {"b.mp4": b"0" * 5000, "a.mp4": data})
        with pytest.raises(DecodeError, match="has changed since it was opened"):
            reader.packet_evidence()  # opens it once more


def test_packet_tables_of_members(
    films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    one, two = (encode(tmp_path / f"{count}.ts", count).read_bytes() for count in (10, 20))
    shard = write_shard(tmp_path / "a.tar", {"1.ts": one, "2.ts": two})
    for name in ("1.ts", "2.ts"):
        with open_video(f"{shard}::{name}") as reader:
            reader.keep_packet_table()
    monkeypatch.setattr(PacketTable, "scan", lambda *_: pytest.fail("the packets were read"))
    shard = shard.rename(tmp_path / "b.tar")  # a renamed one keeps them
    for name, count in (("1.ts", 10), ("2.ts", 20)):
        with open_video(f"{shard}::{name}") as reader:
            assert len(reader) == count


def test_members_go_to_other_processes(films: Films, tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", {"a.mp4": films("b_frames").read_bytes()})
    with open_video(f"{shard}::a.mp4") as reader:
        source = pickle.loads(pickle.dumps(reader.source))
    assert str(source) == f"{shard}::a.mp4"
    with open_video(source) as reader:
        assert len(reader) == 40
