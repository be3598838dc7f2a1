"""Clips of videos in tar files and on servers are those of the same files in folders."""

from __future__ import annotations

import io
import tarfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.video.sources.serving import Server, served
from vidattn.data import ClipBatch, ClipDataset, ClipSpec, read_annotations
from vidattn.data.annotations import Sample
from vidattn.data.loader import TrainingLoader, training_loader
from vidattn.data.overlap import shared_films
from vidattn.errors import AnnotationError

SPEC = ClipSpec(frames=4, short_side=32, crop_size=24)


@pytest.fixture
def server(small_set: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    files = sorted(small_set.rglob("*.mp4"))
    with served({f.relative_to(small_set).as_posix(): f.read_bytes() for f in files}) as found:
        yield found


def names(small_set: Path) -> list[str]:
    return [file.relative_to(small_set).as_posix() for file in sorted(small_set.rglob("*.mp4"))]


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def whole_tar(small_set: Path, folder: Path, server: Server) -> list[Sample]:
    """A tar file of the folder, packed in another order."""
    members = {name: (small_set / name).read_bytes() for name in reversed(names(small_set))}
    return read_annotations(write_tar(folder / "all.tar", members))


def web_data_set(small_set: Path, folder: Path, server: Server) -> list[Sample]:
    """Two tar files with the class beside each video."""
    for number, label in enumerate(("fall", "rise")):
        members = {}
        for file in sorted((small_set / label).iterdir()):
            members[f"{label[0]}{file.stem}.mp4"] = file.read_bytes()
            members[f"{label[0]}{file.stem}.cls"] = f"{label}\n".encode()
        write_tar(folder / "shards" / f"{number}.tar", members)
    return read_annotations(folder / "shards")


def listed_members(small_set: Path, folder: Path, server: Server) -> list[Sample]:
    """A CSV file that names members of a tar file."""
    whole_tar(small_set, folder, server)
    return listed(folder, "all.tar::", small_set)


def served_files(small_set: Path, folder: Path, server: Server) -> list[Sample]:
    """A CSV file that names files on a server."""
    return listed(folder, server.url(""), small_set, (server.address,))


def served_tar(small_set: Path, folder: Path, server: Server) -> list[Sample]:
    """A CSV file that names members of a tar file on a server."""
    whole_tar(small_set, folder, server)
    server.files["all.tar"] = (folder / "all.tar").read_bytes()
    return listed(folder, server.url("all.tar::"), small_set, ("http", server.address))


def listed(
    folder: Path, place: str, small_set: Path, allow_remote: tuple[str, ...] = ()
) -> list[Sample]:
    rows = [f"{place}{name},{name.partition('/')[0]}" for name in names(small_set)]
    (folder / "list.csv").write_text("\n".join(["path,label", *rows]))
    return read_annotations(folder / "list.csv", allow_remote=allow_remote)


SOURCES = [whole_tar, web_data_set, listed_members, served_files, served_tar]


def loader_of(samples: list[Sample], workers: int) -> TrainingLoader:
    dataset = ClipDataset(samples, spec=SPEC, classes=["fall", "rise"], training=True, seed=5)
    return training_loader(dataset, batch_size=2, repeat=2, clips=2, seed=5, workers=workers)


def assert_same(one: list[ClipBatch], two: list[ClipBatch]) -> None:
    for left, right in zip(one, two, strict=True):
        assert (left.view, left.geometry) == (right.view, right.geometry)
        for name in ("pixels", "labels", "valid", "seconds", "indices"):
            assert torch.equal(getattr(left, name), getattr(right, name)), name


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_those_of_the_folder(
    source: Callable[..., list[Sample]], workers: int, small_set: Path, tmp_path: Path,
    server: Server,
) -> None:  # fmt: skip
    """The whole epoch, and what is left of one that stopped in its middle."""
    samples = source(small_set, tmp_path, server)
    theirs = list(loader_of(read_annotations(small_set), 0))
    assert [each.labels for each in samples] == [
        each.labels for each in read_annotations(small_set)
    ]
    assert_same(list(loader_of(samples, workers)), theirs)
    stopped = loader_of(samples, workers)
    batches = iter(stopped)
    for _ in range(4):
        next(batches)
    resumed = loader_of(samples, 0)
    resumed.load_state_dict(stopped.state_dict())
    assert_same(list(resumed), theirs[4:])


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_evaluation_clips_and_kept_frames(
    source: Callable[..., list[Sample]], small_set: Path, tmp_path: Path, server: Server
) -> None:
    settings = {"spec": SPEC, "classes": ["fall", "rise"], "training": False, "views": 2}
    ours = ClipDataset(source(small_set, tmp_path, server), **settings, cache_frames=True)
    ours.fill_cache(threads=2)
    theirs = ClipDataset(read_annotations(small_set), **settings)
    for number in range(len(theirs)):
        pairs = zip(ours[number], theirs[number], strict=True)
        assert all(torch.equal(a.clip.pixels, b.clip.pixels) for a, b in pairs)


def test_the_module_of_a_trainer(small_set: Path, tmp_path: Path, server: Server) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own imports
        from vidattn.training import VideoDataModule

    samples = served_files(small_set, tmp_path, server)
    data = VideoDataModule(str(tmp_path / "list.csv"), clip=SPEC, allow_remote=[server.address])
    assert data.splits.training == samples
    data.setup("fit")
    assert len(list(data.train_dataloader())) == 1
    with pytest.raises(AnnotationError, match="--allow-remote http "):
        VideoDataModule(str(tmp_path / "list.csv"), clip=SPEC).classes  # noqa: B018


def test_names_under_the_root(small_set: Path, tmp_path: Path, server: Server) -> None:
    [first, *_] = whole_tar(small_set, tmp_path, server)
    assert first.video_id == "all.tar::fall/0.mp4"
    assert first.name == f"{tmp_path}/all.tar::fall/0.mp4"
    [first, *_] = served_files(small_set, tmp_path, server)
    assert first.video_id == first.name == server.url("fall/0.mp4")


def test_films_of_both_sides_are_found_in_tar_files(
    small_set: Path, tmp_path: Path, server: Server
) -> None:
    packed, single = whole_tar(small_set, tmp_path, server), read_annotations(small_set)
    assert len(shared_films(packed, packed)) == len(single)
    assert len(shared_films(single, packed)) == len(single)
    assert not shared_films(packed[:1], single[1:2])
    asked = server.requests.count
    assert not shared_films(single, served_files(small_set, tmp_path, server))
    assert server.requests.count == asked


@pytest.mark.parametrize(
    ("rows", "line", "reason"),
    [
        ("all.tar::fall/0.mp4,a\nall.tar::fall/none.mp4,a", 3, "no member 'fall/none.mp4'"),
        ("all.tar::../0.mp4,a", 2, "without '..'"),
        ("all.tar::notes.txt,a\nall.tar::fall/0.mp4,a\nall.tar::fall/0.mp4,a", 4, "listed before"),
        ("none.tar::a.mp4,a", 2, "no such file"),
        ("../all.tar::fall/0.mp4,a", 2, "leads out of the data root"),
        ("s3://films/a.mp4,a", 2, "--allow-remote s3 "),
        ("http://films/all.tar::a.mp4,a", 2, "--allow-remote http "),
    ],
)
def test_rows_that_cannot_be_used(
    rows: str, line: int, reason: str, small_set: Path, tmp_path: Path
) -> None:
    data = (small_set / "fall" / "0.mp4").read_bytes()
    write_tar(tmp_path / "all.tar", {"fall/0.mp4": data, "notes.txt": b"text"})
    (tmp_path / "list.csv").write_text(f"path,label\n{rows}\n")
    with pytest.raises(AnnotationError, match=reason) as caught:
        read_annotations(tmp_path / "list.csv")
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"notes.txt": b"text"}, "a tar file without videos"),
        ({"a.mp4": b"video"}, "expected a folder named after its class, or a.cls"),
        ({"a.mp4": b"video", "a.cls": b" \n"}, "expected a folder named after its class"),
    ],
)
def test_tar_files_without_classes(members: dict[str, bytes], reason: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=reason):
        read_annotations(write_tar(tmp_path / "a.tar", members))
    (tmp_path / "b.tar").write_bytes(b"no tar file" * 99)
    with pytest.raises(AnnotationError, match="not a tar file"):
        read_annotations(tmp_path / "b.tar")
