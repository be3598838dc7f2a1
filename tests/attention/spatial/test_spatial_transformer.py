from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps


def window(x, w):
    """s, t_h, t_w of one sample (C, T, H, W), position by position."""
    total = np.zeros((3, len(w["hidden.bias"])))
    _, frames, height, width = x.shape
    for t, i, j in np.ndindex(frames, height, width):
        h = np.maximum(w["hidden.weight"] @ x[:, t, i, j] + w["hidden.bias"], 0)
        total += np.outer([1, (2 * i + 1) / height - 1, (2 * j + 1) / width - 1], h)
    mean = total.reshape(-1) / (frames * height * width)
    s, down, right = np.tanh(w["window.weight"] @ mean + w["window.bias"])
    return 1 + s, down, right


def made(randomise, rank):
    return randomise(build("stn", 6, spatial_dims=rank, hidden_channels=4)).double()


@pytest.mark.parametrize("grid", [(5, 7), (3, 6, 4), (1, 5, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_torch_sampling(grid, training, randomise):
    module = made(randomise, len(grid)).train(training)
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(4, 6, *grid, dtype=torch.float64)
    with record_maps(module) as maps:
        out = module(x)
    for n, sample in enumerate(x.reshape(4, 6, -1, *grid[-2:])):
        s, down, right = window(sample.numpy(), w)
        frames = sample.transpose(0, 1)
        theta = torch.tensor([[[s, 0, right], [0, s, down]]]).expand(len(frames), -1, -1)
        at = F.affine_grid(theta, list(frames.shape), align_corners=False)
        expected = F.grid_sample(frames, at, align_corners=False).transpose(0, 1)
        torch.testing.assert_close(out[n].reshape(expected.shape), expected, atol=1e-12, rtol=1e-12)
        ones = torch.ones(1, 1, *grid[-2:], dtype=torch.float64, requires_grad=True)
        F.grid_sample(ones, at[:1], align_corners=False).sum().backward()
        shown = maps[0].values[n].expand(1, -1, -1, -1)[0, 0]
        torch.testing.assert_close(shown, ones.grad[0, 0], atol=1e-12, rtol=1e-12)


def test_one_window_for_the_clip_one_for_each_frame_when_per_frame(randomise):
    whole = made(randomise, 3)
    frames = build("stn", 6, scope="frame", hidden_channels=4).double()
    frames.module.load_state_dict(whole.state_dict())
    x = torch.randn(2, 6, 3, 5, 6, dtype=torch.float64)
    for t in range(3):
        torch.testing.assert_close(frames(x)[:, :, t : t + 1], whole(x[:, :, t : t + 1]))
    assert not torch.allclose(frames(x), whole(x))


def test_a_new_one_is_the_identity_and_learns_as_with_torch_sampling():
    module = build("stn", 6, spatial_dims=2).double()
    x = torch.randn(2, 6, 5, 6, dtype=torch.float64)
    wanted = torch.randn(2, 6, 5, 6, dtype=torch.float64)
    out = module(x)
    assert torch.equal(out, x)
    (out * wanted).sum().backward()
    # A little to the right and down, for rounding would put each position on either side.
    theta = torch.tensor([[1, 0, 1e-9], [0, 1, 1e-9]]).double().repeat(2, 1, 1).requires_grad_()
    at = F.affine_grid(theta, [2, 6, 5, 6], align_corners=False)
    (F.grid_sample(x, at, align_corners=False) * wanted).sum().backward()
    scaled, moved = theta.grad.sum(0)[:, :2].trace(), theta.grad.sum(0)[:, 2].flip(0)
    torch.testing.assert_close(module.window.bias.grad, torch.cat([scaled[None], moved]))


def test_half_precision_finds_the_same_window(randomise):
    module = made(randomise, 2).float()
    x = torch.randn(2, 6, 5, 6)
    out = module.half()(x.half())
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.float(), module.float()(x), atol=0.02, rtol=0)


def test_a_new_one_rounds_nothing_under_autocast():
    x = torch.randn(1, 6, 5, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(build("stn", 6, spatial_dims=2)(x), x)
