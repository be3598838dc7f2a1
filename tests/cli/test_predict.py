from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidattn.cli.entry import main


def test_the_answer_is_printed_and_nothing_written(
    write_flash: Callable[..., Path],
    untrained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_flash(frame_count=60)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["predict", str(path), "--checkpoint", str(untrained)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path}: ")
    assert lines[0].split(": ")[1].split()[0] in ("dark", "bright")
    assert "0.00 –" in lines[1]
    assert sorted(tmp_path.iterdir()) == before


def test_json(
    write_flash: Callable[..., Path],
    untrained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["predict", str(write_flash(frame_count=60)), "--checkpoint", str(untrained)]
    arguments += ["--every", "0.5", "--top", "1", "--json", "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert printed == {name: value for name, value in written.items() if name != "written"}
    [video] = printed["videos"]
    assert [len(step["labels"]) for step in video["steps"]] == [1] * 5


def test_broken_videos_and_pictures(
    write_flash: Callable[..., Path],
    untrained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / "a.png")
    names = ["broken.mp4", "a.png", write_flash(frame_count=9).name]
    paths = [str(tmp_path / name) for name in names]
    output = tmp_path / "out"
    arguments = ["predict", *paths, "--checkpoint", str(untrained), "--output", str(output)]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert "2 of 3 videos" in captured.out
    assert "broken.mp4: " in captured.err
    assert "a.png: one frame shows no motion" in captured.err
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--every", "0"], "every_seconds: expected at least 0.01 seconds, got 0"),
        (["--every", "-1"], "every_seconds: expected at least 0.01 seconds, got -1"),
        (["--every", "nan"], "every_seconds"),
        (["--top", "0"], "top: expected a whole number of at least 1, got 0"),
        (["--batch-size", "0"], "batch_size"),
        (["--decoder", "abacus"], "abacus"),
        (["--device", "abacus"], "device: 'abacus'"),
    ],
)
def test_bad_options_are_one_line(
    options: list[str],
    words: str,
    untrained: Path,
    write_flash: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["predict", str(write_flash(frame_count=3)), "--checkpoint", str(untrained)]
    assert main([*arguments, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vidattn: ")
    assert words in error
    assert error.count("\n") == 1


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["predict", "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert shown.count("  vidattn predict ") == 3
    for option in ("--every", "--top", "--output", "--checkpoint", "--json"):
        assert option in shown
