"""Which commands load torch and Lightning, and what a missing or broken library takes down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning")
# A process in which some libraries cannot be imported, and which says what was loaded.
SCRIPT = """
import json, sys
from vidattn.cli.entry import main

class Refusal:
    def __init__(self, names, error):
        self.names, self.error = names, error
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise self.error(f"no {name} here")

names, error, commands, code, file = json.loads(sys.argv[1])
error = {"ImportError": ImportError, "OSError": OSError}[error]
sys.meta_path.insert(0, Refusal(names, error))
codes = [main(command) for command in commands]
exec(code)
with open(file, "w") as result:
    json.dump([codes, sorted(name for name in sys.modules if "." not in name)], result)
"""
READING = """
import numpy as np, vidattn
with vidattn.open_video("flash.mp4") as reader:
    frames = reader.frames_at([3, 1])
    assert frames.array.shape == (2, 64, 96, 3)
    assert frames.indices_array.tolist() == [3, 1]
    assert frames.seconds_array.tolist() == reader.seconds_of([3, 1])
    assert frames.valid_array.all()
    assert np.shares_memory(np.asarray(frames), frames.array)
    assert len(list(reader)) == len(reader) == 48
    assert len(reader[4:20:2]) == len(frames[:1].take([0] * 8)) == 8
    assert "img" in frames._repr_html_() and "img" in reader._repr_html_()
    assert "48 frames" in repr(reader) and reader.metadata.codec == "h264"
"""


def run(
    folder: Path,
    commands: list[list[str]],
    *,
    refused: tuple[str, ...] = (),
    error: str = "ImportError",
    code: str = "",
) -> tuple[list[int], set[str], str]:
    """Exit codes of commands, the packages that were loaded by then, and standard error."""
    result = folder / "result.json"
    argument = json.dumps([refused, error, commands, code, str(result)])
    # For the processes that a command starts: packages that cannot be imported, found first.
    for name in refused:
        (folder / "broken" / name).mkdir(parents=True, exist_ok=True)
        (folder / "broken" / name / "__init__.py").write_text(f"raise {error}('no {name} here')")
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", SCRIPT, argument],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder / "broken")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    codes, loaded = json.loads(result.read_text())
    return codes, set(loaded), done.stderr


def light_commands(folder: Path) -> list[list[str]]:
    (folder / "truth.csv").write_text("v,1,0,0,1,1,1,0\n")
    (folder / "found.csv").write_text("v,1,0,0,1,1,1,0.9\n")
    return [
        ["score", "detection", "found.csv", "truth.csv"],
        ["keyframes", "flash.mp4", "--output", "keyframes", "--count", "2"],
        ["index", "flash.mp4"],
        ["index", "flash.mp4", "--salvage"],
        ["protocols", "list"],
    ]


@pytest.mark.parametrize("refused", [(), HEAVY])
def test_light_commands_and_reading_load_no_torch(
    refused: tuple[str, ...], write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    write_flash()
    codes, loaded, _ = run(tmp_path, light_commands(tmp_path), refused=refused, code=READING)
    assert codes == [0] * 5
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_broken_libraries_take_down_no_light_command(
    error: str, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    write_flash()
    refused = (*HEAVY, "decord", "torchcodec", "pytorchvideo", "tensorboard", "timm")
    commands = light_commands(tmp_path)
    codes, _, _ = run(tmp_path, commands, refused=refused, error=error, code=READING)
    assert codes == [0] * 5


@pytest.mark.parametrize("error", ["ImportError", pytest.param("OSError", marks=pytest.mark.slow)])
def test_networks_need_no_trainer_and_no_other_decoder(
    error: str, untrained: Path, class_folders: Path, tmp_path: Path
) -> None:
    video = class_folders / "dark" / "0.mp4"
    commands = [
        ["evaluate", untrained.name, "--data", "videos", "--output", "evaluation"],
        ["features", untrained.name, "--data", str(video), "--output", "features"],
        ["keyframes", str(video), "--checkpoint", untrained.name, "--output", "keyframes"],
    ]
    refused = ("pytorch_lightning", "lightning", "decord", "torchcodec", "pytorchvideo")
    codes, _, errors = run(
        tmp_path, commands, refused=(*refused, "tensorboard", "timm"), error=error
    )
    assert codes == [1, 0, 0], errors  # one of the videos of the class folders is broken


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
@pytest.mark.parametrize(
    ("command", "library", "remedy"),
    [
        (
            ["keyframes", "flash.mp4", "--output", "out", "--checkpoint", "x.ckpt"],
            "torch",
            "pip install torch",
        ),
        (["train"], "pytorch_lightning", "pip install pytorch-lightning"),
        (["keyframes", "flash.mp4", "--output", "out", "--decoder", "decord"], "decord", "decord"),
        (
            ["show", "flash.mp4"],
            "torch",
            "pip install torch",
        ),
    ],
)
def test_what_is_really_needed_is_named_with_its_remedy(
    command: list[str],
    library: str,
    remedy: str,
    error: str,
    write_flash: Callable[..., Path],
    tmp_path: Path,
) -> None:
    write_flash()
    codes, _, errors = run(tmp_path, [command], refused=(library,), error=error)
    assert codes == [1]
    assert errors.count("\n") == 1
    assert errors.startswith("vidattn: ")
    assert library in errors
    assert remedy in errors
