"""A count below its least is refused with the name of its option, and nothing is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_bad_inputs import save_slim
from vidattn.cli.entry import main

WRONG = {
    "keyframes film.mp4 --output out": {
        "--count": (-1, 0),
        "--regions": (-1, 0),
        "--minimum-gap-seconds": (-1, "nan", "inf"),
        "--processes": (-2,),
        "--video-seconds": (-1, "nan", "inf"),
        "--video-memory": (-1, "much", "4 apples"),
        "--threads": (0, -1),
    },
    "evaluate model.ckpt --data classes --output out": {
        "--views": (0, -1),
        "--batch-size": (0, -1),
        "--workers": (-1,),
        "--processes": (-1,),
        "--threads": (0, -1),
    },
    "evaluate model.ckpt --task keyframes --data classes --output out": {
        "--count": (0, -1),
        "--minimum-gap-seconds": (-1, "nan"),
    },
    "features model.ckpt --data film.mp4 --output out": {
        "--hop": (0, -1),
        "--batch-size": (0, -1),
        "--processes": (-3,),
        "--threads": (0,),
    },
    "explain film.mp4 --checkpoint model.ckpt --output out": {"--frames": (0, -3)},
    "index film.mp4 --report out": {"--processes": (-1,)},
    "demo --output out": {"--seed": (-1,)},
    "protocols show pyslowfast-10x3": {"--frames": (0, -5), "--fps": (0, -1, "nan", "inf")},
}
CASES = [
    (line, option, value)
    for line, options in WRONG.items()
    for option, values in options.items()
    for value in values
]


@pytest.mark.parametrize(("line", "option", "value"), CASES)
def test_a_wrong_count_is_named(
    line: str,
    option: str,
    value: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_slim(Path("model.ckpt"))
    for name in ("film.mp4", "classes/bright/a.mp4", "classes/dark/b.mp4"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"never opened")
    assert main([*line.split(), f"{option}={value}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("vidattn: ")
    assert error.count("\n") == 1
    name = option.strip("-")
    names = {name, name.replace("-", "_"), name.split("-")[-1].removesuffix("s"), "frame rate"}
    assert any(each in error for each in names)
    assert not Path("out").exists()
