from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.backbones.motion_inputs import (
    LARGEST_VELOCITY,
    MotionInputs,
    velocity,
)
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


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("right", "down"), [(1.0, 0.0), (0.0, -0.8), (-0.6, 0.5), (0.3, 0.3)])
def test_an_object_has_its_own_velocity_and_the_camera_none(
    right: float, down: float, stride: int
) -> None:
    camera = moving(0.4, -0.3)
    thing = moving(0.4 + right, -0.3 + down)
    pictures = camera.copy()
    pictures[:, 8:28, 12:32] = thing[:, 8:28, 12:32]
    flow = velocity(as_clip(pictures), stride)[0].numpy() / 4
    places = np.arange(48 // stride) * stride + (stride - 1) / 2
    rows, columns = (places > 13) & (places < 22), (places > 17) & (places < 26)
    inside = flow[:, 1:, rows][..., columns].mean((1, 2, 3))
    assert inside == pytest.approx([right, down], abs=0.15)
    outside = flow[:, 1:, places > 33]
    assert np.abs(outside).mean() < 0.05
    assert (flow[:, 0] == 0).all()


def test_without_texture_there_is_no_motion_and_no_number_is_wild() -> None:
    torch.manual_seed(0)
    flat = velocity(torch.randn(1, 3, 4, 20, 20) * 0.02)
    assert flat.abs().mean() < 0.2
    wild = velocity(torch.randn(1, 3, 4, 20, 20) * 50)
    assert torch.isfinite(wild).all()
    assert wild.abs().max() <= 4 * 2 * LARGEST_VELOCITY
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


def test_a_stride_takes_means_over_blocks() -> None:
    torch.manual_seed(2)
    clip = torch.randn(1, 3, 3, 8, 6)
    out = MotionInputs(["colour", "change"], stride=2)(clip)
    assert out.shape == (1, 4, 3, 4, 3)
    assert out[0, 1, 2, 3, 0].item() == pytest.approx(clip[0, 1, 2, 6:8, 0:2].mean().item())
    rise = (clip[0, :, 2] - clip[0, :, 1]).mean(0)[2:4, 4:6].mean()
    assert out[0, 3, 2, 1, 2].item() == pytest.approx(4 * rise.item(), abs=1e-6)


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
