"""What `vidattn train` says about its options, before anything is trained."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vidattn.cli.entry import main
from vidattn.cli.train import SHORT_HELP


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--data", "{flip: true}"], 2, "data.flip is now augmentation.flip"),
        (["--trainer.wings", "3"], 2, "option --trainer.wings; --help-all lists all options"),
        (["--outptu", "x"], 2, "did you mean --output?"),
        (["recogniser", "detector"], 2, "unknown option detector; --help-all"),
        (["--wings=3"], 2, "unknown option --wings; --help-all lists all options"),
        (["--model.bakbone", "slim"], 2, "unknown option --model.bakbone; did you mean --model.b"),
        (["--learning_rate=1"], 2, "did you mean --optimisation.learning_rate?"),
        (["--batch_size", "4"], 2, "did you mean --data.batch_size?"),
        (["--trainer.max_epochs", "many"], 2, "trainer.max_epochs: expected "),
        (["--data.batch_size", "x"], 2, "data.batch_size: expected int, got 'x'"),
        (["--clip.sampling", "some"], 2, "clip.sampling: expected "),
        (["--augmentation.flip", "maybe"], 2, "augmentation.flip: expected bool, got 'maybe'"),
        ([], 2, "data.annotations"),
        (["--config", "nope.yaml"], 1, "nope.yaml: no such configuration file"),
        (["--config", "list.yaml"], 1, "list.yaml: expected a YAML configuration"),
        (["--config", "broken.yaml"], 1, "broken.yaml: expected YAML: "),
        (["--config", "wrong.yaml"], 2, "optimisation.learning_rate: expected float, got 'fast'"),
        (["--config", "unknown.yaml"], 2, "wings"),
        (["detector"], 1, "kind of model: unknown name 'detector'; known are recogniser"),
        (["recognizer", "--config", "x"], 1, "did you mean recogniser?"),
        (["recogniser", "--config", "nope.yaml"], 1, "nope.yaml: no such configuration file"),
        (
            ["--optimisation.learning_rate", "-1", "--data.annotations", "v"],
            1,
            "learning_rate: exp",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch, capfd
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.yaml").write_text("[1, 2]")
    Path("broken.yaml").write_text("model: {a: [")
    Path("wrong.yaml").write_text("optimisation: {learning_rate: fast}")
    Path("unknown.yaml").write_text("model: {wings: 2}")
    assert main(["train", *arguments]) == code
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("vidattn: ")
    assert said in shown.err
    assert not Path("runs").exists()


def test_the_help_is_short_and_quick() -> None:
    code = (
        "import sys\nfrom vidattn.cli.entry import main\nassert main(['train', '--help']) == 0\n"
        "assert not {'torch', 'pytorch_lightning', 'jsonargparse'} & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    lines = found.stdout.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert "--help-all" in found.stdout
    assert found.stderr == ""


def test_what_the_help_says_is_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Every option of it is there, with the default that it says."""
    assert main(["train", "--help-all"]) == 0
    every = capsys.readouterr().out
    named = re.findall(r"^  --([\w.-]+)(?: .*\(default: ([^,)]+))?", SHORT_HELP, re.MULTILINE)
    assert len(named) > 20
    for name, default in named:
        if name in ("help", "help-all"):
            continue
        entry = re.search(
            rf"^  (?:-c CONFIG, )?--{re.escape(name)}[ ,\n].*?(?=^  -|^\S)", every, re.M | re.S
        )
        assert entry is not None, name
        own = re.search(r"default: ([^),]+)", " ".join(entry[0].split()))
        if default and name not in ("trainer.max_epochs", "trainer.precision", "threads"):
            assert own is not None
            assert own[1] == ("True" if default == "true" else default), name
    for group in ("optimisation", "clip", "augmentation", "data", "model", "trainer"):
        assert f"--{group}." in every
