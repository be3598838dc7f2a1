"""Whatever names files have and wherever it is printed: no traceback, and JSON that can be read."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vidattn.cli.entry import main
from vidattn.cli.streams import print_json

NAMES = ["caf\udce9.mp4", "日本.mp4", "😀.mp4", "é.mp4"]


def run(code: str, encoding: str) -> subprocess.CompletedProcess[bytes]:
    given = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    return subprocess.run([sys.executable, "-c", code], env=given, capture_output=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "encoding",
    ["utf-8:strict", "ascii:strict", "latin-1:strict", "utf-8", "ascii:surrogateescape"],
)
def test_json_and_lines_are_printed_in_any_encoding(name: str, encoding: str) -> None:
    code = (
        "from vidattn.cli.streams import make_lenient, print_json\n"
        f"make_lenient()\nprint_json({{'video': {name!a}}})\nprint({name!a})\n"
    )
    found = run(code, encoding)
    assert found.stderr == b""
    *lines, last = found.stdout.decode(encoding.split(":")[0]).splitlines()
    assert json.loads("\n".join(lines)) == {"video": name}
    codec = encoding.split(":")[0]
    assert last == name.encode(codec, "backslashreplace").decode(codec)


def test_what_can_be_read_is_not_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"video": "é"}, indent=None)
    assert capsys.readouterr().out == '{"video": "é"}\n'


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("command", ["index", "keyframes"])
def test_commands_with_such_names(
    command: str,
    encoding: str,
    options: list[str],
    write_flash: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIDATTN_CACHE", str(tmp_path / "cache"))
    film = write_flash("a.mp4", frame_count=5)
    (tmp_path / "videos").mkdir()
    for name in ("caf\udce9.mp4", "é.mp4"):
        (tmp_path / "videos" / name).write_bytes(film.read_bytes())
    (tmp_path / "videos" / "brok\udce9n.mp4").write_bytes(b"no video")
    line = [command, str(tmp_path / "videos"), *options]
    if command == "keyframes":
        line += ["--count", "1", "--output", str(tmp_path / "out")]
    printed = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
    for name, stream in zip(("stdout", "stderr"), printed, strict=True):
        monkeypatch.setattr(sys, name, stream)
    assert main(line) == 1  # one is broken
    if options:
        printed[0].seek(0)
        videos = [record["video"] for record in json.loads(printed[0].read())["videos"]]
        assert {"caf\udce9.mp4", "é.mp4"} <= {Path(video).name for video in videos}


COMMAND = "import sys; from vidattn.cli.entry import main; sys.exit(main({}))"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("line", [["protocols", "list"], ["protocols", "list", "--json"]])
def test_a_full_disk_behind_standard_output_is_one_line(line: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        found = subprocess.run(
            [sys.executable, "-c", COMMAND.format(line)], stdout=full, stderr=subprocess.PIPE
        )
    assert found.returncode == 1
    assert found.stderr == b"vidattn: standard output: No space left on device\n"


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    code = COMMAND.format(["protocols", "list", "--json"])
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 1
