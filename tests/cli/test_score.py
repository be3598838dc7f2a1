from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidattn.cli.entry import main
from vidattn.evaluation.scoring import task_names


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    contents = {
        "found.csv": "v,1,0,0,1,1,1,0.9\n",
        "truth.csv": "v,1,0,0,1,1,1,0\nv,2,0,0,1,1,2,0\n",
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in contents]


@pytest.mark.parametrize("name", task_names())
def test_every_task_helps(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["score", name, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert f"  vidattn score {name} " in shown
    assert "protocols:" in shown


def test_json_and_file(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "score.json"
    assert main(["score", "detection", *files, "--json", "--output", str(output)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads(output.read_text())
    assert record["figures"] == {"mAP@0.5": 0.5}
    assert (record["protocol"], record["settings"]["cap"]) == ("official", 50)
    assert record["counts"]["frames_without_predictions"] == 1
    assert record["files"] == files


def test_table(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["score", "detection", *files, "--protocol", "mmaction2", "--overlap", "0.3"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "1.000000" in shown
    assert "2: no prediction" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detecton"], "did you mean detection"),
        (["detection", "absent.csv", "absent.csv"], "absent.csv: expected a file"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", *arguments]) == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_a_wrong_option_is_a_wrong_command_line(files: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["score", "detection", *files, "--overlap", "much"])
    assert end.value.code == 2
