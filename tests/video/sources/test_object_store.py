"""Videos in object stores: the frames of the file, retried, and checked for changes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.video.sources import s3_serving, serving
from tests.video.sources.films import noise
from tests.video.sources.s3_serving import put, stored
from tests.video.sources.serving import Server
from vidattn.cli.entry import main
from vidattn.errors import (
    DecodeError,
    InputOutputError,
    NotAVideoError,
    UnsafePathError,
    VideoNotFoundError,
)
from vidattn.runs.video_lists import listed_videos
from vidattn.video import open_video
from vidattn.video.sources import attempts, blocks
from vidattn.video.sources.blocks import BlockMemory

pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'vidattn[remote]'")
pytestmark = pytest.mark.oracle

Films = Callable[[str], Path]


@pytest.fixture(scope="module")
def store() -> Iterator[Server]:
    with stored() as found:
        yield found


@pytest.fixture
def server(store: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": store.address,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(blocks, "_memory", BlockMemory())
    store.requests.paths.clear()
    store.trouble.clear()
    store.requests.sent = 0
    return store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PAUSES_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(attempts, "STALL_SECONDS", 0.5)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return noise(tmp_path_factory.mktemp("long") / "long.mp4")


def opened(address: str, **settings: Any) -> Any:
    return open_video(address, allow_remote=("s3",), **settings)


@pytest.mark.parametrize("name", ["b_frames", "transport_stream", "mpeg4_avi"])
def test_frames_are_those_of_the_file(server: Server, films: Films, name: str) -> None:
    path = films(name)
    address = put(server, f"a b/é {path.name}", path.read_bytes())
    with opened(address) as ours, open_video(path) as theirs:
        everything = range(len(theirs))
        assert ours.path == address
        assert ours.seconds_of(everything) == theirs.seconds_of(everything)
        assert np.array_equal(ours.frames_at(everything).array, theirs.frames_at(everything).array)


def test_a_frame_reads_its_group_of_pictures(server: Server, long_film: bytes) -> None:
    with opened(put(server, "long.mp4", long_film)) as reader:
        reader.frames_at([75])
    assert server.requests.sent < len(long_film) / 2


def test_without_the_switch_no_store_is_asked(server: Server) -> None:
    for allowed in ((), ("https",), ("s3://other",)):
        with pytest.raises(UnsafePathError, match="--allow-remote s3 "):
            open_video("s3://films/a.mp4", allow_remote=allowed)
        with pytest.raises(UnsafePathError, match="--allow-remote s3 "):
            list(listed_videos(["s3://films/"], allowed))
    assert server.requests.count == 0


def test_what_is_no_video(server: Server) -> None:
    put(server, "folder/empty.mp4", b"")
    list_of_others = put(server, "list.mp4", b"#EXTM3U\nhttp://127.0.0.1/a.ts\n")
    for address, kind, reason in (
        ("s3://films/none.mp4", VideoNotFoundError, "no such file"),
        ("s3://nobody/a.mp4", VideoNotFoundError, "no such file"),
        ("s3://films/folder", NotAVideoError, "a folder"),
        ("s3://films/folder/empty.mp4", NotAVideoError, "zero bytes"),
        (list_of_others, UnsafePathError, "playlist"),
    ):
        with pytest.raises(kind, match=reason):
            opened(address)


TROUBLES = [serving.answer(503), serving.answer(500), serving.reset, s3_serving.truncate]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trouble", [*TROUBLES, serving.stall])
def test_trouble_is_tried_again(server: Server, films: Films, trouble: Any) -> None:
    address = put(server, "a.mp4", films("b_frames").read_bytes())
    server.trouble["films/a.mp4"] = serving.at_first(2, trouble)
    with opened(address) as reader:
        assert len(reader.frames_at([39])) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trouble", [*TROUBLES, serving.stall])
def test_trouble_that_stays_blames_the_network(server: Server, films: Films, trouble: Any) -> None:
    address = put(server, "a.mp4", films("b_frames").read_bytes())
    server.trouble["films/a.mp4"] = trouble
    started = serving.now()
    with pytest.raises(InputOutputError, match="4 attempts") as caught:
        opened(address)
    assert caught.value.path == address
    # Each attempt asks for the facts and then for bytes; where a connection that was kept is
    # broken, the library asks once more by itself.
    assert 2 <= server.requests.paths.count("films/a.mp4") <= 8
    assert serving.now() - started < 10


@pytest.mark.parametrize("change", ["longer", "other", "shorter"])
def test_an_object_that_changes_while_it_is_read(
    server: Server, long_film: bytes, change: str
) -> None:
    address = put(server, "long.mp4", long_film)
    with opened(address) as reader:
        reader.frames_at([0])
        others = {"longer": long_film + b"x", "other": bytes(len(long_film)), "shorter": b"x" * 999}
        put(server, "long.mp4", others[change])
        with pytest.raises(DecodeError, match="the file has changed since it was opened"):
            reader.frames_at([75])


def test_a_folder_of_a_bucket_in_child_processes(
    server: Server, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(3):
        film = write_flash(f"{number}.mp4", frame_count=12 + number)
        put(server, f"season/{number}/film.mp4", film.read_bytes())
    put(server, "season/notes.txt", b"text")
    out = tmp_path / "out"
    command = ["keyframes", "s3://films/season/", "--output", str(out), "--count", "2"]
    assert main([*command, "--allow-remote", "s3://films", "--processes", "2"]) == 0
    record = json.loads((out / "keyframes.json").read_text())
    addresses = [f"s3://films/season/{number}/film.mp4" for number in range(3)]
    assert [each["video"] for each in record["videos"]] == addresses
    images = [frame["image"].rpartition("/")[0] for v in record["videos"] for frame in v["frames"]]
    assert images == [f"{number}/film" for number in range(3) for _ in range(2)]


def test_tar_files_in_a_bucket(server: Server, films: Films, tmp_path: Path) -> None:
    path = films("b_frames")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(3):
            archive.add(path, f"{number}.mp4")
    address = put(server, "shards/a.tar", (tmp_path / "a.tar").read_bytes())
    names = list(map(str, listed_videos([address], ("s3",))))
    assert names == [f"{address}::{number}.mp4" for number in range(3)]
    with opened(names[2]) as ours, open_video(path) as theirs:
        everything = range(len(theirs))
        assert np.array_equal(ours.frames_at(everything).array, theirs.frames_at(everything).array)


@pytest.fixture
def other_store(films: Films) -> Iterator[Any]:
    """A store of another kind, which fsspec reads and which checks nothing by itself."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Other(MemoryFileSystem):
        protocol = "filmstore"
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]
        version, short = 1, 0

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return super()._strip_protocol(path.removeprefix("filmstore://"))

        def info(self, path: str, **named: Any) -> dict[str, Any]:
            return super().info(path, **named) | {"mtime": Other.version}

        def open(self, *given: Any, **named: Any) -> Any:
            file = super().open(*given, **named)
            if Other.short:
                Other.short -= 1
                return io.BytesIO(file.read()[:1000])
            return file

    fsspec.register_implementation("filmstore", Other, clobber=True)
    with Other().open("/folder/a.mp4", "wb") as file:
        file.write(films("b_frames").read_bytes())
    yield Other
    Other.store.clear()


@pytest.mark.usefixtures("impatient")
def test_other_stores(other_store: Any, films: Films, long_film: bytes) -> None:
    address = "filmstore://folder/a.mp4"
    assert list(listed_videos(["filmstore://folder/"], ("filmstore",))) == [address]
    with open_video(address, allow_remote=("filmstore",)) as ours:
        assert len(ours.frames_at([39])) == 1
    other_store.version, other_store.short = 2, 2
    with open_video(address, allow_remote=("filmstore",)) as ours:
        assert len(ours.frames_at([39])) == 1
    with other_store().open("/folder/long.mp4", "wb") as file:
        file.write(long_film)
    with open_video("filmstore://folder/long.mp4", allow_remote=("filmstore",)) as ours:
        other_store.version = 3
        with pytest.raises(DecodeError, match="the file has changed since it was opened"):
            ours.frames_at([75])
    other_store.short = 99
    with pytest.raises(InputOutputError, match=r"the server sent 1000 bytes of .*4 attempts"):
        open_video("filmstore://folder/long.mp4", allow_remote=("filmstore",))
