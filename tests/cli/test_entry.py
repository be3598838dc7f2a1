from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vidattn.cli.entry import COMMANDS, GROUPS, build_parser, main
from vidattn.cli.score import _task_parser
from vidattn.evaluation.scoring import task, task_names


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from vidattn.cli.entry import build_parser\n"
        "build_parser().format_help()\n"
        "heavy = {'torch', 'torchvision', 'pytorch_lightning', 'av', 'pytorchvideo', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"train"}))
def test_every_command_helps_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"  vidattn {command} " in capsys.readouterr().out


def test_train_helps_too() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "vidattn", "train", "--help"], capture_output=True, text=True
    )
    assert found.returncode == 0
    assert "vidattn train --config" in found.stdout
    assert "--model.backbone" in found.stdout


def test_key_frames_from_the_command_line(
    write_flash: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_flash()
    output = tmp_path / "out"
    assert main(["keyframes", str(path), "--output", str(output), "--count", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["videos"][0]["frames"]) == 2
    written = json.loads((output / "keyframes.json").read_text())
    assert written.pop("written")["command"] == "keyframes"
    assert record == written


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["keyframes", "absent.mp4", "--output", "out"], "absent.mp4"),
        (["keyframes", "concat:a|b", "--output", "out"], "concat:a|b"),
        (["keyframes", "text.mp4", "--output", "out"], "text.mp4"),
        (["keyframes", "text.mp4", "--output", "out", "--count", "0"], "count"),
        (["explain", "text.mp4", "--checkpoint", "absent.ckpt", "--output", "out"], "absent.ckpt"),
        (["evaluate", "absent.ckpt", "--data", ".", "--output", "out"], "absent.ckpt"),
        (["evaluate", "text.mp4", "--data", ".", "--output", "out"], "text.mp4"),
        (["demo", "--videos", "absent", "--output", "out"], "absent"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_1(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("not a video")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("vidattn: ")
    assert error.count("\n") == 1
    assert named in error
    assert not Path("out").exists()


def test_a_wrong_command_line_is_exit_code_2() -> None:
    for arguments in ([], ["fly"], ["keyframes"], ["keyframes", "a.mp4", "--wings"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2


def test_a_folder_that_cannot_be_made_is_one_line(
    write_flash: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file")
    output = tmp_path / "taken" / "out"
    assert main(["keyframes", str(write_flash(frame_count=4)), "--output", str(output)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vidattn: ")
    assert error.count("\n") == 1
    assert "taken" in error


def test_help_lists_every_command_once_in_groups() -> None:
    text = build_parser().format_help()
    for command in COMMANDS:
        assert len(re.findall(rf"^  {command} {{2,}}\S", text, re.MULTILINE)) == 1
    for title in GROUPS:
        assert f"\n{title}:\n" in text
    assert text.startswith("usage: vidattn COMMAND [options]\n")
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) <= 50


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def test_every_option_says_in_words_what_it_is() -> None:
    tasks = [_task_parser(task(name)) for name in task_names()]
    found = [each for each in (*parsers(build_parser()), *tasks) if not each.prog.endswith("train")]
    assert len(found) > 25
    for parser in found:
        for action in parser._actions:
            if action.help == argparse.SUPPRESS or not (
                action.option_strings or action.nargs is None
            ):
                continue
            words = re.sub(r"\(.*?\)", "", action.help or "").split()
            named = f"{parser.prog} {action.option_strings or action.dest}: {action.help}"
            assert words, named
            assert words[0] not in ("at", "and", "likewise"), named


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["keyframes", "a.mp4", "--output", ""], "--output: expected a value, got an empty one"),
        (["keyframes", "a.mp4", "--output="], "--output: expected a value, got none"),
        (["index", "a.mp4", "--report", ""], "--report: expected a value, got an empty one"),
        (["score", "detection", "", "a.csv"], "expected a path or a name, got an empty argument"),
        (["keyframes", "--output", "out", "--", ""], "expected a path or a name, got an empty"),
    ],
)
def test_an_empty_argument_is_not_the_working_folder(
    arguments: list[str],
    message: str,
    write_flash: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_flash("a.mp4", frame_count=4)
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"vidattn: {message}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("command", [["index"], ["keyframes", "--output", "out"]])
def test_a_list_of_nothing_is_named(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n")
    Path("folder").mkdir()
    assert main([*command, "empty.txt"]) == 1
    assert capsys.readouterr().err == "vidattn: empty.txt: no video found\n"
