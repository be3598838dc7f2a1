from __future__ import annotations

import pytest

from vidattn.cli.arguments import RENAMED
from vidattn.cli.entry import COMMANDS, build_parser, main
from vidattn.cli.parser import Parser

# Words that make a command complete, so that what is wrong is the rest.
COMPLETE = {
    "evaluate": "m.ckpt --data d",
    "compare": "a.json b.json",
    "score": "detection a.csv b.csv",
    "features": "m.ckpt --data a.mp4 --output o",
    "keyframes": "a.mp4 --output o",
    "explain": "a.mp4 --checkpoint m.ckpt",
    "index": "a.mp4",
    "convert": "a.pth b.ckpt",
    "show": "m.ckpt",
    "demo": "",
    "attention": "list",
    "backbones": "list",
    "protocols": "list",
}


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a wrong command line gets."""
    with pytest.raises(SystemExit) as end:
        main(line.split())
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.endswith("--help`)\n")
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"train"}))
def test_a_wrong_option_is_one_line_of_every_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = COMPLETE.get(command, "")
    for wrong in ("--wings", "--wings=2", "--wings 2"):
        line = refused(f"{command} {words} {wrong}", capsys)
        assert line.startswith(f"vidattn {command}")
        assert "'--wings'" in line
    # Also where something else is missing.
    if words:
        assert "'--wings'" in refused(f"{command} {words.split()[0]} --wings", capsys)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "required: COMMAND"),
        ("fly", "unknown name 'fly'"),
        ("evalute m.ckpt --data d", "did you mean evaluate"),
        ("--wings evaluate", "unknown name '--wings'"),
        ("evaluate m.ckpt --dat d --prtocol x", "did you mean --protocol"),
        ("evaluate m.ckpt --data d --task sing", "--task: invalid choice: 'sing'"),
        ("evaluate m.ckpt --data d --views two", "--views: invalid int value: 'two'"),
        ("evaluate --data d", "required: checkpoint"),
        ("keyframes a.mp4", "required: --output"),
        ("keyframes -x a.mp4 --output o", "not understood: -x"),
        ("show a.ckpt b.ckpt", "not understood: b.ckpt"),
        ("attention lst", "did you mean list"),
        ("protocols show pyslowfast-10x3 --clip 3", "expected frames x stride"),
        ("score", "required: TASK"),
        ("score detection a.csv", "required: TRUTH"),
    ],
)
def test_what_is_wrong_is_named(
    line: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(line, capsys)


def test_options_of_earlier_versions_are_answered_with_the_new_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refused("evaluate m.ckpt --data d --task keyframes --gap 0.5", capsys)
    assert "option: '--gap' is now called '--minimum-gap-seconds'" in line
    assert "now called" in refused("evaluate m.ckpt --gap=0.5", capsys)
    line = refused("index a.mp4 --workers 4", capsys)
    assert "'--workers' is now called '--processes'" in line
    assert set(RENAMED) <= set(COMMANDS)


def test_a_task_of_an_earlier_version_is_answered_with_the_new_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["score", "segmentation", "a", "b"]) == 1
    assert capsys.readouterr().err == "vidattn: task: 'segmentation' is now called 'frame_labels'\n"


def test_an_option_that_is_there_is_no_old_one() -> None:
    parser = Parser(prog="x", renamed={"--wings": "--feathers"})
    parser.add_argument("--wings")
    assert parser.parse_args(["--wings", "2"]).wings == "2"


def test_what_argparse_allows_stays_allowed() -> None:
    parse = build_parser().parse_args
    assert parse(["keyframes", "--out", "o", "a.mp4"]).output.name == "o"  # a beginning is enough
    assert parse(["keyframes", "--output=o", "--", "--a.mp4"]).videos == ["--a.mp4"]
    assert parse(["keyframes", "--output=o", "--a film.mp4"]).videos == ["--a film.mp4"]
    assert parse(["keyframes", "a.mp4", "--output=o", "--minimum-gap-seconds", "-1"])
    assert parse(["score", "detection", "--wings", "a", "b"]).rest == ["--wings", "a", "b"]


def test_line_breaks_of_what_was_given_are_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["show", "a", "b\nc"])
    assert capsys.readouterr().err.count("\n") == 1
