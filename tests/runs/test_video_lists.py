from __future__ import annotations

import codecs
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import AnnotationError, UnsafePathError
from vidattn.runs.video_lists import listed_videos, videos_and_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.MKV", "-c.mp4", "d:e.mp4", "below/f.mp4", " g .mp4", "é.mp4"):
        file = tmp_path / "videos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return tmp_path / "videos"


def names(folder: Path, content: bytes) -> list[str]:
    path = folder / "list.txt"
    path.write_bytes(content)
    return [os.path.relpath(video, folder) for video in listed_videos([path])]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (codecs.BOM_UTF8 + b"a.mp4\r\nb.MKV\r\n", ["a.mp4", "b.MKV"]),
        (b"a.mp4\r\n\r\n\tbelow/f.mp4  \r\n", ["a.mp4", "below/f.mp4"]),
        (b"-c.mp4\nd:e.mp4", ["-c.mp4", "d:e.mp4"]),
        (b"below/../a.mp4\n../videos/b.MKV", ["a.mp4", "b.MKV"]),
        (b" g .mp4\n", [" g .mp4"]),
        ("é.mp4\n".encode(), ["é.mp4"]),
    ],
)
def test_lists_as_editors_write_them(folder: Path, content: bytes, expected: list[str]) -> None:
    assert names(folder, content) == expected


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("a.mp4\n".encode("utf-16"), 1, "expected UTF-8 text; UTF-16"),
        (codecs.BOM_UTF16_BE + "a.mp4\n".encode("utf-16-be"), 1, "UTF-16"),
        ("a.mp4\nb.MKV\n".encode("utf-16-le"), 1, "UTF-16"),
        ("a.mp4\né.mp4\n".encode("latin-1"), 2, "expected UTF-8"),
        (b"a.mp4\nb\0.MKV\n", 2, "NUL"),
        (b"a.mp4\r\n\r\nnone.mp4\r\n", 3, "there is no file 'none.mp4'"),
    ],
)
def test_lists_that_cannot_be_read_are_refused_with_the_line(
    folder: Path, content: bytes, line: int, reason: str
) -> None:
    with pytest.raises(AnnotationError, match=reason) as caught:
        names(folder, content)
    assert (caught.value.line, caught.value.path) == (line, str(folder / "list.txt"))


def parquet(path: Path, columns: dict[str, list]) -> Path:
    library = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: vidattn[parquet]")
    library.write_table(pytest.importorskip("pyarrow").table(columns), path)
    return path


@pytest.mark.parametrize("column", ["path", "video", "url"])
def test_tables_have_videos_in_a_column(folder: Path, column: str) -> None:
    names = ["a.mp4", "below/f.mp4", "https://example.org/x/h.mp4?a=1,2", "d:e.mp4"]
    lines = [f'{number},"{name}",é' for number, name in enumerate(names)]
    content = f"number,{column},note\r\n" + "\r\n".join([*lines, "", '9,"",none'])
    (folder / "list.csv").write_text(content, encoding="utf-8-sig", newline="")
    table = {"number": [*range(4), 9], column: [*names, None]}
    for path in (folder / "list.csv", parquet(folder / "list.parquet", table)):
        found = list(listed_videos([path], ("https",)))
        expected = [str(folder / name) if "//" not in name else name for name in names]
        assert [str(video) for video in found] == expected
        assert [str(video) for video in videos_and_folders([path], "https")] == expected


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("a.csv", "", 0, r"expected a column path, video or url, got \[\]"),
        ("a.csv", "a,b\n1,2\n", 0, r"expected a column path, video or url, got \['a', 'b'\]"),
        ("a.csv", "path\na.mp4\n\nnone.mp4\n", 4, "there is no file 'none.mp4'"),
        ("a.csv", "n,path\n1,a.mp4\n2\n", 3, "expected 2 cells, as in the header, got 1"),
        ("a.csv", "path\nhttp://example.org/a.mp4\n", 2, "--allow-remote http "),
        ("a.csv", 'path\n"a.mp4', 2, "unexpected end of data"),
        ("a.txt", "a.mp4\ns3://films/a.mp4", 2, "--allow-remote s3 "),
        ("a.parquet", "PAR1", 0, "cannot be read as Parquet"),
        ("a.parquet", {"name": ["a.mp4"]}, 0, r"expected a column .*got \['name'\]"),
        ("a.parquet", {"path": [1]}, 1, "path: expected text, got int"),
        ("a.parquet", {"path": ["a.mp4", "none.mp4"]}, 2, "there is no file 'none.mp4'"),
        ("a.parquet", {"path": ["a\0.mp4"]}, 1, "NUL"),
    ],
)
def test_tables_that_cannot_be_used(
    folder: Path, name: str, content: str | dict, line: int, reason: str
) -> None:
    path = folder / name
    pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: vidattn[parquet]")
    if isinstance(content, dict):
        parquet(path, content)
    else:
        path.write_text(content)
    for lists in (listed_videos, videos_and_folders):
        with pytest.raises(AnnotationError, match=reason) as caught:
            list(lists([path]))
        assert (caught.value.line, caught.value.path) == (line, str(path))


def test_tar_files_have_videos(folder: Path) -> None:
    with tarfile.open(folder / "shard.tar", "w") as archive:
        for name in ("a.mp4", "notes.txt", "below/f.mp4", ".hidden.mp4"):
            archive.add(folder / "a.mp4", name)
    (folder / "list.txt").write_text("shard.tar::below/f.mp4\na.mp4\n")
    shard = str(folder / "shard.tar")
    for lists in (listed_videos, videos_and_folders):
        assert list(map(str, lists([shard]))) == [f"{shard}::a.mp4", f"{shard}::below/f.mp4"]
        found = list(map(str, lists([folder / "list.txt", shard])))
        assert found == [f"{shard}::below/f.mp4", str(folder / "a.mp4"), f"{shard}::a.mp4"]
    (folder / "list.txt").write_text("none.tar::below/f.mp4\n")
    with pytest.raises(AnnotationError, match=r"there is no file 'none.tar::below"):
        list(listed_videos([folder / "list.txt"]))


def test_what_servers_do_not_say() -> None:
    with pytest.raises(AnnotationError, match="HTTP servers do not say what their folders hold"):
        list(listed_videos(["https://example.org/films/"], ("https",)))
    with pytest.raises(UnsafePathError, match="--allow-remote https "):
        list(listed_videos(["https://example.org/a.mp4"]))
    # Here, who opens it says what is wrong.
    assert list(videos_and_folders(["https://example.org/a.mp4"])) == ["https://example.org/a.mp4"]


def test_folders_are_searched_for_videos_and_nothing_else(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("._a.mp4", ".hidden.mp4", ".trash/x.mp4", "notes.txt", "a.srt", "cover.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "holiday.mp4").mkdir()
    (folder / "holiday.mp4" / "h.mp4").write_bytes(b"x")
    found = [str(path.relative_to(folder)) for path in listed_videos([folder])]
    assert found == [
        *(" g .mp4", "-c.mp4", "a.mp4", "b.MKV", "below/f.mp4", "d:e.mp4", "holiday.mp4/h.mp4"),
        "é.mp4",
    ]
    assert not caplog.messages
    for name in ("song.ogg", "film", "old.dat", "x.mp4_"):
        (folder / name).write_bytes(b"x")
    assert len(list(listed_videos([folder]))) == len(found)
    [message] = caplog.messages
    assert "(4 without a suffix of videos)" in message
    assert "song.ogg" in message or "film" in message


def test_names_with_dashes_and_colons_are_read_from_where_they_lie(
    write_flash: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    film = write_flash("work/a.mp4", frame_count=5)
    monkeypatch.chdir(film.parent)
    for name in ("-a.mp4", "http:a.mp4", "-count.mp4"):
        Path(name).write_bytes(film.read_bytes())
    Path("list.txt").write_text("-a.mp4\nhttp:a.mp4\n")
    for given in (["."], ["list.txt"], ["http:a.mp4"], ["--", "-a.mp4"]):
        assert main(["index", *given]) == 0, given
    capsys.readouterr()
    found = vidattn.write_keyframes(["."], tmp_path / "out", count=1)
    assert found is not None
    assert [video.video for video in found] == [
        "-a.mp4", "-count.mp4", "a.mp4", "http:a.mp4"
    ]  # fmt: skip
    assert not found.failures


def test_a_film_with_the_longest_name_gets_its_pictures(
    write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    film = write_flash("a.mp4", frame_count=5)
    names = ["n" * 251 + ".mp4", "CON.mp4", "unfinished.mp4", "contact_sheet.jpg.mp4"]
    videos = [film.rename(tmp_path / names[0])]
    for name in names[1:]:
        (tmp_path / name).write_bytes(videos[0].read_bytes())
        videos.append(tmp_path / name)
    found = vidattn.write_keyframes(videos, tmp_path / "out", count=1)
    assert found is not None
    assert not found.failures
    assert len(list((tmp_path / "out").rglob("contact_sheet.jpg"))) == 4


@pytest.mark.parametrize("lists", [listed_videos, videos_and_folders])
def test_an_empty_path_is_not_the_working_folder(lists: Callable[..., Iterable[Path]]) -> None:
    with pytest.raises(AnnotationError, match="expected the path of a video"):
        list(lists([""]))


@pytest.mark.parametrize("lists", [listed_videos, videos_and_folders])
def test_a_video_in_two_spellings_is_one(
    lists: Callable[..., Iterable[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    below = Path("below")
    below.mkdir()
    for path in (Path("a.mp4"), below / "b.mp4"):
        path.write_bytes(b"video")
    Path("link.mp4").symlink_to("a.mp4")
    Path("other").symlink_to("below")
    Path("list.txt").write_text("below/b.mp4\n./a.mp4\n")
    given = ["a.mp4", "./a.mp4", str(tmp_path / "a.mp4"), "below/../a.mp4", "link.mp4"]
    assert [str(video) for video in lists(given)] == ["a.mp4", "link.mp4"]
    given = ["below", "other/b.mp4", "below/./b.mp4", "list.txt"]
    assert [str(video) for video in lists(given)] == ["below/b.mp4", "a.mp4"]


def test_key_frames_of_a_video_in_two_spellings_are_written_once(
    write_flash: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_flash("a.mp4", frame_count=4)
    found = vidattn.write_keyframes(["a.mp4", "./a.mp4"], "out", count=1)
    assert found is not None
    assert [video.video for video in found] == ["a.mp4"]
