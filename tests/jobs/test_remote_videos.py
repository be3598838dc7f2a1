"""Every command on videos of a server: the results of the files here, or a recorded failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vidattn
from tests.video.sources import serving
from tests.video.sources.serving import Server, served
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError, UndoneError
from vidattn.jobs import index_videos
from vidattn.video.sources import attempts

# Command -> its arguments, where {list} is a list of videos, and the file that it writes.
COMMANDS = {
    "keyframes": ("keyframes {list} --output {out} --count 2", "keyframes.json"),
    "shots": ("shots {list} --output {out} --split", "shots.json"),
    "summarise": ("summarise {list} --output {out} --budget 50%", "summaries.json"),
    "index": ("index {list} --report {out}/health.json --salvage", "health.json"),
    "predict": ("predict {list} --output {out} --checkpoint {model}", "predictions.json"),
    "features": ("features {model} --data {list} --output {out}", "features.json"),
    "evaluate": ("evaluate {model} --data {list} --output {out}", "evaluation.json"),
}
NETWORK = ("predict", "features", "evaluate")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PAUSES_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(attempts, "STALL_SECONDS", 0.1)


@pytest.fixture
def films(write_flash: Callable[..., Path]) -> Path:
    for number in range(2):
        write_flash(f"films/{number}.mp4", frame_count=12 + number)
    return write_flash("films/2.mp4", frame_count=20).parent


@pytest.fixture
def server(films: Path) -> Iterator[Server]:
    with served({f"films/{each.name}": each.read_bytes() for each in films.iterdir()}) as found:
        yield found


def listed(path: Path, addresses: list[str]) -> Path:
    path.write_text("path,label\n" + "".join(f"{each},dark\n" for each in addresses))
    return path


def numbers(record: Any) -> list[float]:
    """All numbers of a record in order."""
    if isinstance(record, dict):
        record = list(record.values())
    if isinstance(record, list):
        return [number for each in record for number in numbers(each)]
    return [record] if isinstance(record, int | float) else []


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in NETWORK else []) for n in COMMANDS],
)
def test_commands_in_child_processes(
    name: str, server: Server, films: Path, untrained: Path, tmp_path: Path
) -> None:
    arguments, file = COMMANDS[name]
    names = sorted(each.name for each in films.iterdir())
    lists = {
        "here": listed(tmp_path / "here.csv", [f"films/{each}" for each in names]),
        "there": listed(tmp_path / "there.csv", [server.url(f"films/{each}") for each in names]),
    }
    for place, path in lists.items():
        (tmp_path / place).mkdir()
        words = arguments.format(list=path, out=tmp_path / place, model=untrained).split()
        remote = ["--allow-remote", server.address] if place == "there" else []
        assert main([*words, "--processes", "1", *remote]) == 0
    records = [json.loads((tmp_path / place / file).read_text()) for place in lists]
    for record in records if name == "index" else []:
        for video in record["videos"]:
            del video["state"]  # of files, when they were changed
    assert len(records[0]["videos"]) == len(names)
    assert numbers(records[0]["videos"]) == numbers(records[1]["videos"])
    assert server.requests.count >= len(names)
    if name == "features":
        for number, each in enumerate(names):
            here, there = (sorted((tmp_path / p).rglob("*.npz"))[number] for p in lists)
            assert np.array_equal(np.load(here)["features"], np.load(there)["features"]), each
    # A name says which server and file it is, and holds nothing that a file system refuses.
    host = server.address.removeprefix("http://").replace(":", "_")
    if name in ("keyframes", "shots", "summarise"):
        found = sorted(str(each.relative_to(tmp_path / "there")) for each in _folders(tmp_path))
        assert found == [f"{host}/films/{number}" for number in range(3)]


def _folders(tmp_path: Path) -> list[Path]:
    return [each for each in (tmp_path / "there").glob("*/*/*") if each.is_dir()]


@pytest.mark.parametrize("name", COMMANDS)
def test_without_the_switch_nothing_is_asked(
    name: str,
    server: Server,
    untrained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = listed(tmp_path / "list.csv", [server.url("films/0.mp4")])
    out = tmp_path / "out"
    words = COMMANDS[name][0].format(list=path, out=out, model=untrained).split()
    for remote in ([], ["--allow-remote", "https", "--allow-remote", "s3"]):
        assert main([*words, "--processes", "0", *remote]) == 1
        [line] = capsys.readouterr().err.strip().splitlines()
        assert "list.csv:2: " in line
        assert "--allow-remote http " in line
    assert server.requests.count == 0
    assert not out.exists()


def test_a_private_server_is_a_failure_of_its_video(
    server: Server, films: Path, tmp_path: Path
) -> None:
    given = [server.url("films/0.mp4"), films / "1.mp4"]
    found = vidattn.write_keyframes(given, tmp_path / "out", allow_remote=("http",), processes=0)
    assert found is not None
    [failure] = found.failures
    assert failure.video == given[0]
    assert failure.error == "UnsafePathError"
    assert "private network" in failure.reason
    assert [each.video for each in found] == [str(given[1])]
    assert server.requests.count == 0


@pytest.mark.usefixtures("impatient")
def test_trouble_that_passes_leaves_no_trace(server: Server, films: Path, tmp_path: Path) -> None:
    troubles = [serving.answer(503), serving.reset, serving.truncate]
    for number, trouble in enumerate(troubles):
        server.trouble[f"films/{number}.mp4"] = serving.at_first(2, trouble)
    given = [server.url(f"films/{number}.mp4") for number in range(3)]
    found = vidattn.write_shots(given, allow_remote=(server.address,), processes=0)
    assert found is not None
    assert not found.failures
    theirs = vidattn.write_shots([films], processes=0)
    assert theirs is not None
    assert [len(each) for each in found] == [len(each) for each in theirs]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trouble", [serving.stall, serving.truncate, serving.answer(503)])
def test_trouble_that_stays_is_left_undone_and_done_by_the_next_start(
    server: Server, films: Path, tmp_path: Path, trouble: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [server.url(f"films/{number}.mp4") for number in range(3)]
    monkeypatch.setattr("vidattn.runs.schedule.PAUSES_SECONDS", (0.0, 0.0))
    server.trouble["films/1.mp4"] = trouble
    out = tmp_path / "out"
    settings: dict[str, Any] = {"allow_remote": (server.address,), "processes": 0, "count": 2}
    with pytest.raises(UndoneError, match=r"1 of 3 videos are left undone.*films/1\.mp4"):
        vidattn.write_keyframes(given, out, **settings)
    assert not (out / "keyframes.json").exists()
    assert not list(out.glob("**/1/*"))
    asked = dict.fromkeys(("films/0.mp4", "films/2.mp4"), 0)
    for path in asked:
        asked[path] = server.requests.paths.count(path)
    server.trouble.clear()
    found = vidattn.write_keyframes(given, out, **settings)
    assert found is not None
    assert not found.failures
    assert len(found) == 3
    for path, times in asked.items():
        assert server.requests.paths.count(path) == times, "read once more"


@pytest.mark.usefixtures("impatient")
def test_a_file_that_changes_while_it_is_read_is_recorded(server: Server, tmp_path: Path) -> None:
    """The first request gets the file as it was; all others are for another version."""
    data = server.files["films/0.mp4"]
    server.ranges = True
    server.files["films/0.mp4"] = data + bytes(2**20)  # more than the first block

    def change(handler: Any, number: int) -> bool:
        if number:
            server.files["films/0.mp4"] = data + bytes(2**20 - 1) + b"x"
        return False

    server.trouble["films/0.mp4"] = change
    given = [server.url(f"films/{number}.mp4") for number in range(2)]
    found = vidattn.write_keyframes(
        given, tmp_path / "out", allow_remote=(server.address,), processes=0, count=1
    )
    assert found is not None
    [failure] = found.failures
    assert failure.error == "DecodeError"
    assert "changed" in failure.reason
    assert not list((tmp_path / "out").glob("**/0/*"))


def test_a_report_is_no_word_on_what_a_server_has_now(
    server: Server, films: Path, tmp_path: Path
) -> None:
    report, given = tmp_path / "health.json", [server.url("films/0.mp4"), str(films / "1.mp4")]
    settings: dict[str, Any] = {"report": report, "processes": 0, "progress": False}
    settings["allow_remote"] = (server.address,)
    found = index_videos(given, **settings)
    assert found is not None
    before = found.videos[0].metadata.frame_count
    server.files["films/0.mp4"] = server.files["films/2.mp4"]
    found = index_videos(given, **settings)
    assert found is not None
    assert (before, found.videos[0].metadata.frame_count) == (12, 20)
    with pytest.raises(ArgumentError, match=r"holds 1 videos that are not given now.*films/0\.mp4"):
        index_videos(given[1:], **settings)


def test_explain(server: Server, films: Path, untrained: Path, tmp_path: Path) -> None:
    for video, place in ((server.url("films/0.mp4"), "there"), (str(films / "0.mp4"), "here")):
        out = ["--output", str(tmp_path / place), "--frames", "1", "--checkpoint", str(untrained)]
        assert main(["explain", video, *out, "--allow-remote", server.address]) == 0
    here, there = ((tmp_path / p / "overlay.png").read_bytes() for p in ("here", "there"))
    assert here == there
