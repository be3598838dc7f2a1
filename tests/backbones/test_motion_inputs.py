from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.backbones.motion_inputs import LARGEST_VELOCITY, MotionInputs, velocity
from vidattn.errors import ArgumentError


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth pattern that is known everywhere, so that it can be moved by any fraction."""
    waves = [(0.35, 0.1, 0.3), (0.1, 0.4, 1.1), (-0.25, 0.3, 2.0), (0.5, -0.2, 0.7)]
    return 4 * sum(np.sin(a * x + b * y + c) for a, b, c in waves)


def moving(right: float, down: float, *, size: int = 48, frames: int = 4) -> np.ndarray:
    """(T, H, W), the texture moving by so many pixels a frame."""
    y, x = np.mgrid[:size, :size].astype(float)
    return np.stack([texture(x - right * t, y - down * t) for t in range(frames)])


def as_clip(pictures: np.ndarray) -> torch.Tensor:
    colours = np.stack([pictures, 0.5 * pictures, -pictures])
    return torch.from_numpy(colours).float()[None]


@pytest.mark.parametrize(("right", "down"), [(1.0, 0.0), (0.0, -0.8), (-0.6, 0.5), (0.3, 0.3)])
def test_an_object_has_its_own_velocity_and_the_camera_none(right: float, down: float) -> None:
    camera = moving(0.4, -0.3)
    thing = moving(0.4 + right, -0.3 + down)
    pictures = camera.copy()
    pictures[:, 8:28, 12:32] = thing[:, 8:28, 12:32]
    flow = velocity(as_clip(pictures))[0].numpy()
    inside = flow[:, 1:, 14:22, 18:26].mean((1, 2, 3))
    assert inside == pytest.approx([right, down], abs=0.15)
    outside = flow[:, 1:, 34:44, 4:44]
    assert np.abs(outside).mean() < 0.05
    assert (flow[:, 0] == 0).all()


def test_without_texture_there_is_no_motion_and_no_number_is_wild() -> None:
    torch.manual_seed(0)
    flat = velocity(torch.randn(1, 3, 4, 20, 20) * 0.02)
    assert flat.abs().mean() < 0.05
    wild = velocity(torch.randn(1, 3, 4, 20, 20) * 50)
    assert torch.isfinite(wild).all()
    assert wild.abs().max() <= 2 * LARGEST_VELOCITY
    assert velocity(torch.randn(1, 3, 1, 8, 8)).abs().max() == 0


def test_channels_come_in_the_order_asked_for() -> None:
    torch.manual_seed(1)
    clip = torch.randn(2, 3, 5, 12, 14).contiguous(memory_format=torch.channels_last_3d)
    inputs = MotionInputs(["colour_change", "colour", "velocity", "change"])
    out = inputs(clip)
    assert out.shape == (2, 9, 5, 12, 14)
    assert inputs.channels == 9
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(out[:, 3:6], clip)
    assert torch.equal(out[:, 6:8], velocity(clip))
    for frame in range(1, 5):
        change = 4 * (clip[:, :, frame] - clip[:, :, frame - 1])
        torch.testing.assert_close(out[:, :3, frame], change)
        torch.testing.assert_close(out[:, 8, frame], change.mean(1))
    assert (out[:, :3, 0] == 0).all()
    assert (out[:, 8, 0] == 0).all()


def test_velocity_keeps_its_precision_under_autocast() -> None:
    clip = as_clip(moving(0.5, 0.2))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(velocity(clip), velocity(clip))
        found = velocity(clip)
    assert torch.equal(found, velocity(clip))


@pytest.mark.parametrize("inputs", [[], ["colour", "colour"], ["flow"]])
def test_wrong_inputs_are_named(inputs: list[str]) -> None:
    with pytest.raises(ArgumentError, match="inputs"):
        MotionInputs(inputs)
