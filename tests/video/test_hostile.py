"""Inputs made to do harm: each is refused with its error, and does its harm to a naive reader.

The second half is the positive control: without it a refusal may mean no more than that the
attack was built wrongly. Servers listen on the loopback alone.
"""

from __future__ import annotations

import base64
import csv
import functools
import http.server
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import av
import pytest
import torch

from tests.video.numbered_films import encode, read_number
from vidattn.data.annotations import read_csv, read_list
from vidattn.errors import (
    AnnotationError,
    CheckpointError,
    LimitError,
    NotAVideoError,
    UnsafePathError,
    VidattnError,
)
from vidattn.files import write_csv
from vidattn.models import load
from vidattn.report import Table, render_page
from vidattn.video import Limits, open_video

SECRET = list(range(5))  # the numbers in the frames of the film that nobody should reach


@dataclass(frozen=True)
class Row:
    """One attack.

    Attributes:
        build: (folder, secret film) -> the path that is given to a reader.
        error: what ours must raise.
        harm: path -> whether a naive reader is harmed by it.
        limits: what ours allows, where the default would let a small stand-in pass.
    """

    build: Callable[[Path, Path], str]
    error: type[VidattnError]
    harm: Callable[[str], bool]
    limits: Limits | None = None


def naive_numbers(path: str) -> list[int]:
    with av.open(path) as container:
        return [
            read_number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]


def reaches_the_secret(path: str) -> bool:
    return naive_numbers(path)[: len(SECRET)] == SECRET


def old_ffmpeg_reaches_the_secret(path: str) -> bool:
    """An FFmpeg that does not yet look at the suffix of a playlist."""
    decord = pytest.importorskip("decord", reason="the control needs decord's FFmpeg 4.1")
    return len(decord.VideoReader(path)) == len(SECRET)


def playlist(name: str) -> Callable[[Path, Path], str]:
    def build(folder: Path, secret: Path) -> str:
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n"
        return write(folder / name, text.encode())

    return build


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def concat_script(folder: Path, secret: Path) -> str:
    shutil.copy(secret, folder / "beside.ts")
    return write(folder / "innocent.mp4", b"ffconcat version 1.0\nfile beside.ts\n")


def data_url(folder: Path, secret: Path) -> str:
    return "data:video/mp2t;base64," + base64.b64encode(secret.read_bytes()).decode()


def huge_picture(folder: Path, secret: Path) -> str:
    """35 bytes that ask for 81 million pixels of four bytes."""
    side = (9000).to_bytes(2, "little")
    header = b"GIF89a" + side + side + b"\x80\0\0" + bytes(6)
    picture = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b"
    return write(folder / "bomb.gif", header + picture)


def takes_much_memory(path: str) -> bool:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        return sum(plane.buffer_size for plane in frame.planes) > 300_000_000


def lying_header(folder: Path, secret: Path) -> str:
    """The header says 16x16; the pictures themselves are larger."""
    path = encode(folder / "liar.mp4", 3)
    data = bytearray(path.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd")) + 4 + 24
    data[entry : entry + 4] = bytes((0, 16, 0, 16))
    return write(path, bytes(data))


def picture_is_larger_than_said(path: str) -> bool:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    return frame.width * frame.height > 16 * 16


def many_packets(folder: Path, secret: Path) -> str:
    return str(encode(folder / "many.mkv", 200, size=(16, 16), preset="ultrafast"))


def long_time(folder: Path, secret: Path) -> str:
    return str(encode(folder / "long.mkv", 2, times=[0, 25 * 3600 * 100]))


def seems_endless(path: str) -> bool:
    with av.open(path) as container:
        return (
            container.duration / 1e6 > 300_000
        )  # to look at every 1/25 s of it takes 7.5 million reads


def many_frames(path: str) -> bool:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0)) == 200


def pipe(folder: Path, secret: Path) -> str:
    receiver, sender = os.pipe()
    data = secret.read_bytes()

    def fill() -> None:
        with os.fdopen(sender, "wb") as file:
            file.write(data)

    threading.Thread(target=fill, daemon=True).start()
    return f"pipe:{receiver}"


def fifo(folder: Path, secret: Path) -> str:
    os.mkfifo(folder / "waiting.mp4")
    return str(folder / "waiting.mp4")


def hangs(path: str) -> bool:
    code = "import sys, av\nprint('ready', flush=True)\nav.open(sys.argv[1])\n"
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        try:
            process.wait(1.5)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    return False


def is_taken_for_an_option(path: str) -> bool:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("the control needs the ffmpeg program")
    found = subprocess.run([program, path], capture_output=True, text=True, check=False)
    return "ffmpeg version" in found.stdout


TABLE = {
    "concat:": Row(lambda _, film: f"concat:{film}|{film}", UnsafePathError, reaches_the_secret),
    "subfile:": Row(
        lambda _, film: f"subfile,,start,0,end,{film.stat().st_size},,:{film}",
        UnsafePathError,
        reaches_the_secret,
    ),
    "data:": Row(data_url, UnsafePathError, reaches_the_secret),
    "file:": Row(lambda _, film: f"file:{film}", UnsafePathError, reaches_the_secret),
    "pipe:": Row(pipe, UnsafePathError, reaches_the_secret),
    "a leading -": Row(lambda *_: "-version", UnsafePathError, is_taken_for_an_option),
    "HLS playlist": Row(playlist("list.m3u8"), UnsafePathError, reaches_the_secret),
    "HLS playlist as .mp4": Row(
        playlist("innocent.mp4"), UnsafePathError, old_ffmpeg_reaches_the_secret
    ),
    "concat script as .mp4": Row(concat_script, UnsafePathError, reaches_the_secret),
    "pipe in the file system": Row(fifo, NotAVideoError, hangs),
    "huge picture": Row(huge_picture, LimitError, takes_much_memory),
    "header that lies about the size": Row(
        lying_header, LimitError, picture_is_larger_than_said, Limits(maximum_pixels=16 * 16)
    ),
    "too many packets": Row(many_packets, LimitError, many_frames, Limits(maximum_packets=199)),
    "too many seconds": Row(long_time, LimitError, seems_endless),
}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir()
    return encode(tmp_path / "private" / "secret.ts", len(SECRET), bf="0")


@pytest.mark.parametrize("salvage", [False, True], ids=["strict", "salvage"])
@pytest.mark.parametrize("name", TABLE)
def test_refused(tmp_path: Path, secret: Path, name: str, salvage: bool) -> None:
    row = TABLE[name]
    limits = row.limits or Limits()
    path = row.build(tmp_path, secret)
    with pytest.raises(VidattnError) as caught:
        open_video(path, limits=limits, salvage=salvage).frames_at([0])
    assert type(caught.value) is row.error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TABLE)
def test_harms_a_naive_reader(tmp_path: Path, secret: Path, name: str) -> None:
    row = TABLE[name]
    assert row.harm(row.build(tmp_path, secret))


class Asked(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    paths: list[str]

    def do_GET(self) -> None:
        self.paths.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    handler = type("Handler", (Asked,), {"paths": []})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.paths  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("salvage", [False, True], ids=["strict", "salvage"])
def test_nothing_is_fetched(tmp_path: Path, secret: Path, salvage: bool) -> None:
    """Row: `http:`. A naive reader asks the server; ours does not, nor for a playlist's parts."""
    with served(secret.parent) as (address, asked):
        assert naive_numbers(f"{address}/secret.ts") == SECRET
        assert asked == ["/secret.ts"]
        asked.clear()
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}/secret.ts\n"
        remote = write(tmp_path / "remote.m3u8", (text + "#EXT-X-ENDLIST\n").encode())
        allowed = {"protocol_whitelist": "file,http,tcp,crypto"}
        with av.open(remote, options=allowed) as container:
            assert len(list(container.decode(video=0))) == len(SECRET)
        assert asked
        asked.clear()
        for path in (f"{address}/secret.ts", remote, shutil.copy(remote, tmp_path / "x.mp4")):
            with pytest.raises(UnsafePathError):
                open_video(path, salvage=salvage)
        assert not asked


# What stands in an annotation file, and what leads out of the data folder by it.
NAMES = {
    "parent folder": "../private/secret.ts",
    "absolute path": "{secret}",
    "symbolic link": "link.ts",
    "NUL": "clip.ts\0.mp4",
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("form", ["csv", "list"])
def test_annotations_stay_in_their_folder(
    tmp_path: Path, secret: Path, kind: str, form: str
) -> None:
    """Row: `../`, absolute path, symlink, NUL in an annotation file."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "link.ts").symlink_to(secret)
    shutil.copy(secret, data / "clip.ts")
    name = NAMES[kind].format(secret=secret)
    if form == "csv":
        listed, read = data / "clips.csv", read_csv
        listed.write_text(f"path,label\n{name},a\n", encoding="utf-8")
    else:
        listed, read = data / "clips.txt", read_list
        listed.write_text(f"{name} a\n", encoding="utf-8")
    with pytest.raises(AnnotationError) as caught:
        read(listed, root=data)
    assert caught.value.line == (2 if form == "csv" else 1)
    # A naive reader joins the paths; a C library ends the name at the NUL.
    assert naive_numbers(str(data / name.split("\0")[0])) == SECRET


class Exploit:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_checkpoints_run_no_code(tmp_path: Path, form: str) -> None:
    """Row: pickled checkpoint."""
    mark, path = tmp_path / "code_ran", tmp_path / "model.ckpt"
    content = {"state_dict": Exploit(mark)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError):
        load(path)
    assert not mark.exists()
    if form == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert mark.exists()


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)


def test_file_names_in_pages_are_text() -> None:
    """Row: file names in HTML reports."""
    name = "<script>alert(1)</script>.mp4"
    assert "script" in Elements(f"<h1>{name}</h1>").names
    page = render_page(name, [Table(name, [name], [[name]])], summary=name, facts={name: name})
    assert "script" not in Elements(page).names


def test_cells_of_tables_are_no_formulas(tmp_path: Path) -> None:
    """Row: cells starting with `= + - @`."""
    names = ["=1+1.mp4", "+1.mp4", "-1.mp4", "@SUM(A1).mp4", "\t=1.mp4"]
    with (tmp_path / "naive.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[name] for name in names])
    write_csv(tmp_path / "ours.csv", ["video"], [[name] for name in names])
    starts = {}
    for form in ("naive", "ours"):
        with (tmp_path / f"{form}.csv").open(newline="", encoding="utf-8") as file:
            starts[form] = [row[0][0] for row in csv.reader(file)][-len(names) :]
    assert starts["naive"] == ["=", "+", "-", "@", "\t"]
    assert starts["ours"] == ["'"] * len(names)


def test_boxes_that_promise_more_than_there_is(tmp_path: Path) -> None:
    """A table of samples that claims four thousand million entries takes no memory for them."""
    path = encode(tmp_path / "many.mp4", 3)
    data = bytearray(path.read_bytes())
    for mark in (b"stsz", b"stts", b"stco"):
        place = data.index(mark) + 4 + (8 if mark == b"stsz" else 4)
        data[place : place + 4] = struct.pack(">I", 0xFFFFFFF0)
    path.write_bytes(bytes(data))
    with pytest.raises(VidattnError):
        open_video(path).frames_at([0])
