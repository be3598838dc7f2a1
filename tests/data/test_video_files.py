from __future__ import annotations

from pathlib import Path

import av
import pytest

from vidattn.data import read_annotations
from vidattn.errors import AnnotationError
from vidattn.video.containers import CONTAINERS, VIDEO_SUFFIXES

# What FFmpeg lists for its containers and is sound, stills, subtitles, or mostly one of these.
NO_FILMS = {"avif", "heic", "heif", "isma", "m4a", "m4b", "mka", "mks", "mpo", "ogg", "ra", "wma"}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("mode", ["r", "w"])
def test_every_suffix_that_ffmpeg_has_for_a_container_counts(name: str, mode: str) -> None:
    try:
        known = av.format.ContainerFormat(name, mode).extensions
    except ValueError:
        pytest.skip("FFmpeg has it under another name, or one way only")
    assert {f".{suffix}" for suffix in known - NO_FILMS} <= VIDEO_SUFFIXES


def test_suffixes_are_lower_case_and_in_one_container() -> None:
    listed = [suffix for suffixes in CONTAINERS.values() for suffix in suffixes]
    assert len(listed) == len(set(listed))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in listed)


# What users have besides the usual; each is read by its content, so it must be counted.
OTHERS = {
    *("asf", "mxf", "dv", "f4v", "3g2", "264", "265", "hevc", "y4m", "m2v", "nut", "ivf"),
    *("rm", "rmvb", "qt", "divx", "MP4", "m2t", "mk3d", "ogm", "mjpg", "m1v", "avc", "obu"),
}


@pytest.mark.parametrize("suffix", sorted(OTHERS))
def test_class_folders_count_it(suffix: str, tmp_path: Path) -> None:
    for name in ("run/a.mp4", f"walk/b.{suffix}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert len(read_annotations(tmp_path)) == 2


def test_what_a_class_folder_leaves_out_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("run/a.mp4", "run/.b.mp4", "run/._a.mp4", "run/notes.txt", "walk/c.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [sample.video_id for sample in read_annotations(tmp_path)] == ["run/a.mp4", "walk/c.mkv"]
    assert not caplog.messages
    (tmp_path / "run" / "song.ogg").write_bytes(b"x")
    (tmp_path / "walk" / "holiday.mp4").mkdir()  # called like a film, and holds no frames
    assert len(read_annotations(tmp_path)) == 2
    [message] = caplog.messages
    assert "song.ogg" in message
    assert "holiday.mp4" in message


def test_a_folder_called_like_a_film_counts_by_its_frames(tmp_path: Path) -> None:
    for name in ("run/a.mp4/0001.jpg", "run/a.mp4/._0001.jpg", "walk/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = read_annotations(tmp_path)
    assert [sample.video_id for sample in found] == ["run/a.mp4", "walk/b.mp4"]
    (tmp_path / "run/a.mp4/0001.jpg").unlink()
    with pytest.raises(AnnotationError, match="class folder without videos"):
        read_annotations(tmp_path)


@pytest.mark.parametrize("name", ["{}/outside.mp4", "../outside.mp4", "run/../../outside.mp4"])
@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_the_option_that_sets_the_root_is_named(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "data" / "run").mkdir(parents=True)
    (tmp_path / "outside.mp4").write_bytes(b"x")
    listed, video = tmp_path / "data" / f"list.{kind}", name.format(tmp_path)
    listed.write_text(f"path,label\n{video},run\n" if kind == "csv" else f"{video} run\n")
    with pytest.raises(AnnotationError, match=r"--root .*data\.root.* absolute paths"):
        read_annotations(listed)
    if name.startswith("{"):
        assert read_annotations(listed, root="/")[0].path == (tmp_path / "outside.mp4").resolve()
