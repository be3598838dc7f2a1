from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from vidattn.data import read_annotations
from vidattn.errors import AnnotationError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for name in ("run/a.mp4", "run/my clip 1.MP4", "walk/b.avi", "walk/frames/0001.jpg"):
        touch(folder / name)
    touch(tmp_path / "outside.mp4")
    return folder


def listing(root: Path, text: str | bytes, name: str = "videos.txt") -> Path:
    path = root / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


class TestClassFolders:
    def test_sorted_with_image_folders(self, root: Path):
        touch(root / "walk" / "notes.txt")
        touch(root / "README.md")
        touch(root / ".cache" / "x.mp4")
        samples = read_annotations(root)
        assert [(s.video_id, s.labels) for s in samples] == [
            ("run/a.mp4", ("run",)),
            ("run/my clip 1.MP4", ("run",)),
            ("walk/b.avi", ("walk",)),
            ("walk/frames", ("walk",)),
        ]
        assert all(s.path.is_absolute() and s.path.exists() and s.line == 0 for s in samples)
        assert all(s.group is None and s.fold is None for s in samples)

    def test_refuses_a_class_without_videos(self, root: Path):
        (root / "sit").mkdir()
        with pytest.raises(AnnotationError, match="sit: class folder without videos"):
            read_annotations(root)
        touch(root / "sit" / "notes.txt")
        with pytest.raises(AnnotationError, match="sit: class folder without videos"):
            read_annotations(root)

    def test_refuses_a_folder_of_frames_without_frames(self, root: Path):
        (root / "walk" / "empty").mkdir()
        with pytest.raises(AnnotationError, match=r"folder without images: .*walk/empty"):
            read_annotations(root)

    def test_refuses_a_folder_without_classes(self, tmp_path: Path):
        (tmp_path / "nothing").mkdir()
        with pytest.raises(AnnotationError, match="one folder per class"):
            read_annotations(tmp_path / "nothing")

    def test_refuses_a_link_out_of_the_folder(self, root: Path):
        (root / "run" / "link.mp4").symlink_to(root.parent / "outside.mp4")
        with pytest.raises(AnnotationError, match="leads out of the data root"):
            read_annotations(root)


class TestList:
    def test_paths_with_spaces_and_several_labels(self, root: Path):
        path = listing(root, "run/my clip 1.MP4 run\r\n\n  walk/b.avi\twalk,slow  \nwalk/frames w")
        samples = read_annotations(path)
        assert [(s.video_id, s.labels, s.line) for s in samples] == [
            ("run/my clip 1.MP4", ("run",), 1),
            ("walk/b.avi", ("walk", "slow"), 3),
            ("walk/frames", ("w",), 4),
        ]

    def test_root_elsewhere(self, root: Path, tmp_path: Path):
        path = listing(tmp_path, "a.mp4 run")
        assert read_annotations(path, root=root / "run")[0].video_id == "a.mp4"

    def test_absolute_path_inside_the_root(self, root: Path):
        assert read_annotations(listing(root, f"{root}/run/a.mp4 x"))[0].video_id == "run/a.mp4"

    def test_byte_order_mark(self, root: Path):
        samples = read_annotations(listing(root, "\ufeffrun/a.mp4 run"))
        assert samples[0].video_id == "run/a.mp4"


class TestCsv:
    def test_header_order_group_and_fold(self, root: Path):
        text = (
            "\ufefflabel,path,source,extra,fold\n"
            "run,run/a.mp4,s1,?,0\n"
            '"walk, slow",walk/b.avi,,?,3\n'
        )
        samples = read_annotations(listing(root, text, "v.csv"))
        assert [(s.video_id, s.labels, s.group, s.fold, s.line) for s in samples] == [
            ("run/a.mp4", ("run",), "s1", 0, 2),
            ("walk/b.avi", ("walk", "slow"), None, 3, 3),
        ]

    def test_names_may_hold_commas(self, root: Path):
        path = listing(root, 'path,label\nrun/a.mp4,"talk to (self, a group)"\n', "v.csv")
        samples = read_annotations(path, label_separator=None)
        assert samples[0].labels == ("talk to (self, a group)",)

    def test_line_numbers_count_lines_not_rows(self, root: Path):
        text = 'path,label,note\nrun/a.mp4,run,"two\nlines"\n\nrun/none.mp4,run,-\n'
        with pytest.raises(AnnotationError) as caught:
            read_annotations(listing(root, text, "v.csv"))
        assert caught.value.line == 5


BAD_LISTS = [
    ("run/a.mp4 run\nrun/none.mp4 run", 2, "no such file"),
    ("run/a.mp4", 1, "expected `path label`"),
    ("run/a.mp4 run\n\nrun", 3, "expected `path label`"),
    ("run/a.mp4 run,", 1, "empty label"),
    ("run/a.mp4 ,", 1, "empty label"),
    ("run/a.mp4 run\nrun/../run/a.mp4 walk", 2, "listed before on line 1"),
    ("../outside.mp4 run", 1, "leads out of the data root"),
    ("run/../../outside.mp4 run", 1, "leads out of the data root"),
    ("/etc/passwd run", 1, "leads out of the data root"),
    (". run", 1, "leads out of the data root"),
    ("run/a.mp4\0.txt run", 1, "NUL"),
    ("run/a.mp4 run\n" + "x" * 5000 + " run", 2, "name too long"),
    ("http://host/a.mp4 run", 1, "a file on a server; --allow-remote http"),
    ("run run", 1, "folder without images"),
    (b"run/a.mp4 run\nwalk/b\xff.avi walk", 2, "expected UTF-8"),
    ("run/a.mp4 run".encode("utf-16"), 1, "expected UTF-8"),
    ("", 0, "lists no videos"),
    ("\n\n", 0, "lists no videos"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD_LISTS)
def test_bad_lists(root: Path, text, line, message):
    path = listing(root, text)
    with pytest.raises(AnnotationError, match=r"(?i)" + message) as caught:
        read_annotations(path)
    assert caught.value.line == line
    assert caught.value.path == str(path)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


BAD_TABLES = [
    ("file,label\nrun/a.mp4,run", 1, "header with one 'path'"),
    ("path,label,label\nrun/a.mp4,run,run", 1, "header with one 'label'"),
    ("path,label\nrun/a.mp4,run\n,walk", 3, "empty path"),
    ("path,label\nrun/a.mp4,", 2, "empty label"),
    ("path,label\nrun/a.mp4", 2, "expected 2 cells"),
    ("path,label\nrun/a.mp4,run,more", 2, "expected 2 cells"),
    ("path,label,fold\nrun/a.mp4,run,first", 2, "fold: expected an integer"),
    ("path,label,fold\nrun/a.mp4,run,", 2, "fold: expected an integer"),
    ('path,label\n"run/a.mp4,run', 2, "unexpected end of data"),
    ("path,label\n../outside.mp4,run", 2, "leads out"),
    ("path,label\nrun/a\0.mp4,run", 2, "NUL"),
    ("path,label\n" + "y" * 200_000 + ",run", 2, "field larger"),
    ("path,label\n", 0, "lists no videos"),
    ("", 0, "lists no videos"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD_TABLES)
def test_bad_tables(root: Path, text, line, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read_annotations(listing(root, text, "videos.csv"))
    assert caught.value.line == line


def test_links_out_of_the_root_loops_and_pipes(root: Path):
    (root / "out.mp4").symlink_to(root.parent / "outside.mp4")
    (root / "up").symlink_to(root.parent)
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    os.mkfifo(root / "pipe.mp4")
    for name in ("out.mp4", "up/outside.mp4", "loop.mp4", "pipe.mp4"):
        with pytest.raises(AnnotationError) as caught:
            read_annotations(listing(root, f"run/a.mp4 run\n{name} run"))
        assert caught.value.line == 2


def test_a_frame_that_is_a_link_out_of_the_root(root: Path):
    (root / "walk/frames/0002.jpg").symlink_to(root.parent / "outside.mp4")
    with pytest.raises(AnnotationError, match="leads out of the data root"):
        read_annotations(listing(root, "walk/frames walk"))


def test_links_within_the_root_are_followed(root: Path):
    (root / "same.mp4").symlink_to(root / "run" / "a.mp4")
    assert read_annotations(listing(root, "same.mp4 x"))[0].path == (root / "run/a.mp4").resolve()


def test_unknown_files(root: Path, tmp_path: Path):
    with pytest.raises(AnnotationError, match="no such file or folder"):
        read_annotations(tmp_path / "none.csv")
    with pytest.raises(AnnotationError, match=r"expected a folder, a \.csv or a \.txt"):
        read_annotations(listing(root, "{}", "v.json"))
    with pytest.raises(AnnotationError, match=r"data root .* is not a folder"):
        read_annotations(listing(root, "a b"), root=root / "none")
