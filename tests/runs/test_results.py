"""Nothing of a person's is deleted or written over; what an earlier run wrote, only when asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError
from vidattn.jobs import index_videos, keyframe_work, write_features
from vidattn.models import LoadedRecogniser
from vidattn.runs.result_files import JOURNAL_FOLDER
from vidattn.runs.results import KEPT_FOLDER, ResultFolder

MINE = "three months of work"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MINE)
    return path


@pytest.fixture
def film(write_flash: Callable[..., Path]) -> Path:
    return write_flash("match.mp4", frame_count=12)


THEIRS = [
    "match",  # a file where a folder is needed
    "match/holiday.jpg",
    "match/frame_000003.png",
    "match/frame_000003_00-00-00.120.jpg",
    "match/poster.webp",
    "keyframes.csv",
    "match/contact_sheet.jpg",
    "match/contact_sheet.png",  # of earlier versions
    "match/below/notes.txt",
    "keyframes.json",
    "keyframes.json/notes.txt",  # a folder where a file is needed
    ".vidattn-run",
]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", THEIRS)
def test_what_is_in_the_way_is_refused_before_anything_is_done(
    name: str, overwrite: bool, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    put(output / name)
    monkeypatch.setattr(keyframe_work, "extract_keyframes", lambda *_, **__: pytest.fail("begun"))
    with pytest.raises(ArgumentError, match=r"in the way.*--output") as caught:
        vidattn.write_keyframes([film], output, overwrite=overwrite)
    assert str(output / Path(name).parts[0]) in str(caught.value)
    assert tree(output) == {name: MINE.encode()}


@pytest.mark.parametrize(
    "name", ["unfinished/thesis.txt", "thesis.txt", "other/frame_000003.png", ".vidattn-run/my.txt"]
)
def test_what_is_not_in_the_way_stays(name: str, film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    mine = put(output / name)
    vidattn.write_keyframes([film], output, count=1)
    vidattn.write_keyframes([film], output, count=2, minimum_gap_seconds=0, overwrite=True)
    assert mine.read_text() == MINE
    assert len(list(output.glob("match/frame_*.jpg"))) == 2


def test_pictures_of_an_earlier_run_never_lie_among_the_new(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    vidattn.write_keyframes([film], output, count=4, minimum_gap_seconds=0)
    before = tree(output)
    with pytest.raises(ArgumentError, match=r"keyframes\.json.*earlier run.*--overwrite"):
        vidattn.write_keyframes([film], output, count=3, minimum_gap_seconds=0)
    with pytest.raises(ArgumentError, match=r"earlier run"):
        vidattn.write_keyframes([film], output, count=4, minimum_gap_seconds=0)
    assert tree(output) == before
    notes = put(output / "match" / "notes.txt")
    found = vidattn.write_keyframes([film], output, count=2, minimum_gap_seconds=0, overwrite=True)
    assert found is not None
    names = set(found[0].images)
    assert len(names) == 2
    assert set(tree(output)) == {
        *names, "match/contact_sheet.jpg", "match/notes.txt",
        "keyframes.json", "keyframes.csv", "keyframes.html",
    }  # fmt: skip
    assert notes.read_text() == MINE


def test_folders_of_videos_that_are_not_there_any_more_go_when_they_are_empty(
    film: Path, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    other, third = write_flash("other.mp4", frame_count=5), write_flash("third.mp4", frame_count=5)
    vidattn.write_keyframes([film, other, third], output, count=1)
    mine = put(output / "third" / "notes.txt")
    vidattn.write_keyframes([film], output, count=1, overwrite=True)
    assert sorted(path.name for path in output.iterdir()) == [
        "keyframes.csv", "keyframes.html", "keyframes.json", "match", "third"
    ]  # fmt: skip
    assert os.listdir(output / "third") == [mine.name]


@pytest.mark.parametrize("change", ["edited", "linked", "replaced by a folder"])
def test_a_picture_that_a_person_changed_is_theirs(change: str, film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    vidattn.write_keyframes([film], output, count=1)
    [picture] = output.glob("match/frame_*.jpg")
    content = picture.read_bytes()
    picture.unlink()
    if change == "edited":
        picture.write_bytes(content + b"my remarks")
    elif change == "linked":
        put(tmp_path / "drawing.png")
        picture.symlink_to(tmp_path / "drawing.png")
    else:
        put(picture / "x.txt")
    before = tree(output)
    with pytest.raises(ArgumentError, match=picture.name):
        vidattn.write_keyframes([film], output, count=2, minimum_gap_seconds=0, overwrite=True)
    assert tree(output) == before


def test_names_in_a_record_that_lead_elsewhere_are_not_followed(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    vidattn.write_keyframes([film], output, count=1)
    mine = [put(tmp_path / "thesis.txt"), put(tmp_path / "elsewhere.txt")]
    record = json.loads((output / "keyframes.json").read_text())
    record["written"]["files"] |= {"../thesis.txt": None, str(mine[1]): None}
    (output / "keyframes.json").write_text(json.dumps(record))
    vidattn.write_keyframes([film], output, count=2, minimum_gap_seconds=0, overwrite=True)
    assert all(path.read_text() == MINE for path in mine)


@pytest.mark.parametrize("content", [
    "[1]", "no JSON", "{}", '{"written": 3}', '{"written": {"command": "features", "files": {}}}',
    '{"written": {"command": "keyframes", "files": [1]}}',
])  # fmt: skip
def test_a_record_of_something_else_is_not_replaced(
    content: str, film: Path, tmp_path: Path
) -> None:
    record = tmp_path / "out" / "keyframes.json"
    record.parent.mkdir()
    record.write_text(content)
    with pytest.raises(ArgumentError, match=r"keyframes\.json.*in the way"):
        vidattn.write_keyframes([film], record.parent, overwrite=True)
    assert tree(record.parent) == {"keyframes.json": content.encode()}


def interrupted(output: Path, videos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends at the second video."""
    write, done = keyframe_work.write_images, []

    def write_once(found: Any, folder: Path, **settings: Any) -> list[Path]:
        paths = write(found, folder, **settings)
        if done:
            raise KeyboardInterrupt
        done.append(paths)
        return paths

    with monkeypatch.context() as patch:
        patch.setattr(keyframe_work, "write_images", write_once)
        with pytest.raises(KeyboardInterrupt):
            vidattn.write_keyframes(videos, output, count=3, minimum_gap_seconds=0, processes=0)


def test_an_interrupted_run_leaves_whole_videos_and_can_be_thrown_away(
    film: Path,
    write_flash: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, videos = tmp_path / "out", [film, write_flash("second.mp4", frame_count=9)]
    interrupted(output, videos, monkeypatch)
    assert sorted(path.name for path in output.iterdir()) == [JOURNAL_FOLDER, "match"]
    assert len(list(output.glob("match/*.*g"))) == 4
    with pytest.raises(ArgumentError, match=r"other settings \(count: 3 there, 1 here.*--overw"):
        vidattn.write_keyframes(videos, output, count=1)
    vidattn.write_keyframes(videos, output, count=1, overwrite=True)
    assert len(list(output.rglob("frame_*.jpg"))) == 2
    assert not (output / JOURNAL_FOLDER).exists()


def test_an_interrupted_replacement_goes_on(
    film: Path,
    write_flash: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, videos = tmp_path / "out", [film, write_flash("second.mp4", frame_count=9)]
    settings: dict[str, Any] = {"count": 3, "minimum_gap_seconds": 0}
    whole = vidattn.write_keyframes(videos, tmp_path / "whole", **settings)
    vidattn.write_keyframes(videos, output, count=5, minimum_gap_seconds=0)
    with pytest.raises(ArgumentError):
        interrupted(output, videos, monkeypatch)
    calls = []
    write = keyframe_work.write_images
    monkeypatch.setattr(
        keyframe_work,
        "write_images",
        lambda *given, **more: (
            write(*given, **more) if not calls and not calls.append(1) else 1 / 0
        ),
    )
    with pytest.raises(ZeroDivisionError):
        vidattn.write_keyframes(videos, output, overwrite=True, processes=0, **settings)
    monkeypatch.setattr(keyframe_work, "write_images", write)
    assert vidattn.write_keyframes(videos, output, **settings).to_json() == whole.to_json()
    assert tree(output) == tree(tmp_path / "whole")


def test_the_unfinished_run_of_another_command_is_not_thrown_away(
    film: Path,
    write_flash: Callable[..., Path],
    loaded_brightness: LoadedRecogniser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, videos = tmp_path / "out", [film, write_flash("second.mp4", frame_count=9)]
    interrupted(output, videos, monkeypatch)
    before = tree(output)
    with pytest.raises(ArgumentError, match="unfinished run of another command"):
        write_features(loaded_brightness, videos, output, progress=False, overwrite=True)
    assert tree(output) == before


def test_what_a_killed_process_left_goes_with_the_journal(film: Path, tmp_path: Path) -> None:
    left = [f"{JOURNAL_FOLDER}/.partial-0123456789abcdef/frame_000001.png",
            f"{JOURNAL_FOLDER}/.partial-0123456789abcdef.json"]  # fmt: skip
    for name in left:
        put(tmp_path / "out" / name)
    vidattn.write_keyframes([film], tmp_path / "out", count=1)
    assert not (tmp_path / "out" / JOURNAL_FOLDER).exists()


def test_an_empty_folder_of_a_person_stays_where_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "theirs").mkdir()
    for name in ("theirs", "ours"):
        vidattn.write_keyframes([tmp_path / "text.mp4"], tmp_path / name)
    assert os.listdir(tmp_path / "theirs") == []
    assert not (tmp_path / "ours").exists()


def evaluate(loaded: LoadedRecogniser, data: Path, output: Path, overwrite: bool) -> None:
    vidattn.evaluate(loaded, data, output=output, threads=1, progress=False, overwrite=overwrite)


def features(loaded: LoadedRecogniser, data: Path, output: Path, overwrite: bool) -> None:
    videos = [data / "bright" / "0.mp4"]
    write_features(loaded, videos, output, threads=1, progress=False, overwrite=overwrite)


def explain(loaded: LoadedRecogniser, data: Path, output: Path, overwrite: bool) -> None:
    video = data / "bright" / "0.mp4"
    vidattn.explain(
        video, checkpoint=loaded, output=output, frames=2, progress=False, overwrite=overwrite
    )


COMMANDS = {
    evaluate: {"evaluation.json", "evaluation.html"},
    features: {"features.json", "0.npz"},
    explain: {"explanation.json", "overlay.mp4", "overlay.png"},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_a_result_that_a_person_changed_is_theirs(
    command: Callable[..., None],
    loaded_brightness: LoadedRecogniser,
    class_folders: Path,
    tmp_path: Path,
) -> None:
    output = tmp_path / "out"
    command(loaded_brightness, class_folders, output, False)
    for name in sorted(COMMANDS[command]):
        if name.endswith(".json"):  # the record itself, which says what belongs to the result
            continue
        before = (output / name).read_bytes()
        put(output / name)
        with pytest.raises(ArgumentError, match=f"{name}.*changed since"):
            command(loaded_brightness, class_folders, output, True)
        assert (output / name).read_text() == MINE
        (output / name).write_bytes(before)
    command(loaded_brightness, class_folders, output, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_keeps_what_is_there(
    command: Callable[..., None],
    loaded_brightness: LoadedRecogniser,
    class_folders: Path,
    tmp_path: Path,
) -> None:
    for number, name in enumerate(sorted(COMMANDS[command])):
        output = tmp_path / f"theirs{number}"
        put(output / name)
        for overwrite in (False, True):
            with pytest.raises(ArgumentError, match=name):
                command(loaded_brightness, class_folders, output, overwrite)
        assert tree(output) == {name: MINE.encode()}
    output = tmp_path / "out"
    put(output / "unfinished" / "thesis.txt")
    command(loaded_brightness, class_folders, output, False)
    own = {name for name in tree(output) if not name.startswith(KEPT_FOLDER)}  # a video fails
    assert own == COMMANDS[command] | {"unfinished/thesis.txt"}
    before = tree(output)
    with pytest.raises(ArgumentError, match="--overwrite"):
        command(loaded_brightness, class_folders, output, False)
    assert tree(output) == before
    command(loaded_brightness, class_folders, output, True)
    assert set(tree(output)) == set(before)


def test_a_late_process_of_a_launcher_does_not_begin_again(tmp_path: Path) -> None:
    settings = {"views": 1}
    assert ResultFolder(tmp_path / "out", "evaluate", "r.json").begin(settings, shared=True)
    first = ResultFolder(tmp_path / "out", "evaluate", "r.json")
    first.begin(settings, shared=True)
    first.finish({"top1": 1.0}, [])
    for overwrite in (False, True):
        late = ResultFolder(tmp_path / "out", "evaluate", "r.json", overwrite=overwrite)
        assert not late.begin(settings, shared=True)
    os.utime(tmp_path / "out" / "r.json", (1, 1))  # of another day
    with pytest.raises(ArgumentError, match="--overwrite"):
        ResultFolder(tmp_path / "out", "evaluate", "r.json").begin(settings, shared=True)


def test_a_report_of_something_else_is_not_replaced(film: Path, tmp_path: Path) -> None:
    vidattn.write_keyframes([film], tmp_path / "out", count=1)
    for report in (tmp_path / "out" / "keyframes.json", put(tmp_path / "thesis.json")):
        before = report.read_bytes()
        with pytest.raises(ArgumentError, match=r"no report of this command"):
            index_videos([film], report=report, progress=False, overwrite=True)
        assert report.read_bytes() == before
    with pytest.raises(ArgumentError, match="folder"):
        index_videos([film], report=tmp_path / "out", progress=False)


def test_a_report_keeps_its_records(
    film: Path, write_flash: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    report, other = tmp_path / "r.json", write_flash("other.mp4", frame_count=5)
    index_videos([film, other], report=report, progress=False)
    before = report.read_bytes()
    with pytest.raises(ArgumentError, match=r"holds 1 videos.*match\.mp4.*--overwrite"):
        index_videos([other], report=report, progress=False)
    assert report.read_bytes() == before
    index_videos([other], report=report, progress=False, overwrite=True)
    assert json.loads(report.read_text())["videos_expected"] == 1
    other.unlink()  # nothing is lost with a video that is not there
    index_videos([film], report=report, progress=False)


def test_single_files_are_replaced_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.csv").write_text("video,label\na,up\n")
    (tmp_path / "t.csv").write_text("video,label\na,up\n")
    files = [str(tmp_path / name) for name in ("p.csv", "t.csv")]
    for option in ("--output", "--confusion"):
        mine = put(tmp_path / f"mine{option}.json")
        line = ["score", "recognition", *files, option, str(mine)]
        assert main(line) == 1
        assert "--overwrite" in capsys.readouterr().err
        assert mine.read_text() == MINE
        assert main([*line, "--overwrite"]) == 0
        assert mine.read_text() != MINE


@pytest.mark.parametrize("written", ["p.csv", "t.csv", "labels.txt", "link.csv"])
@pytest.mark.parametrize("option", ["--output", "--confusion"])
def test_a_file_that_is_read_is_never_replaced(
    option: str, written: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("p.csv", "t.csv"):
        (tmp_path / name).write_text("video,label\na,up\n")
    (tmp_path / "labels.txt").write_text("up\n")
    (tmp_path / "link.csv").symlink_to("t.csv")
    before = tree(tmp_path)
    files = [str(tmp_path / name) for name in ("p.csv", "t.csv")]
    options = ["--labels", str(tmp_path / "labels.txt"), option, str(tmp_path / written)]
    assert main(["score", "recognition", *files, *options, "--overwrite"]) == 1
    assert f"{written}: this file is read" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_images_that_are_explained_stay_the_only_ones_in_their_folder(
    loaded_brightness: LoadedRecogniser, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(8):
        Image.new("RGB", (64, 48), (20 * number, 0, 0)).save(images / f"{number}.png")
    (tmp_path / "link").symlink_to(images)
    for output in (images, tmp_path / "link"):
        with pytest.raises(ArgumentError, match=r"overlay\.png would be taken for one of them"):
            vidattn.explain(images, checkpoint=loaded_brightness, output=output, progress=False)
    assert len(tree(images)) == 8
