from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(6, 4, 5), (2, 3, 2), (1, 2, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula_frame_by_frame(grid, training, randomise, normalise):
    module = randomise(build("stdm", 4)).double().train(training)
    x = torch.randn(3, 4, *grid, dtype=torch.float64)
    added = reference(module.state_dict(), x, normalise, training=training)
    torch.testing.assert_close(module(x), x + added, atol=1e-12, rtol=1e-10)
    with record_maps(module) as maps:
        module(x)
    torch.testing.assert_close(maps[0].values, added.abs().mean(1, keepdim=True))


def test_padded_frame_is_no_change(randomise):
    module = randomise(build("stdm", 4)).double().eval()
    x = torch.randn(1, 4, 7, 4, 4, dtype=torch.float64)
    mask = torch.arange(7).ge(2).reshape(1, 1, 7, 1, 1)
    torch.testing.assert_close(module(x, mask=mask)[:, :, 2:], module(x[:, :, 2:]))


def test_one_pixel_frames_are_refused():
    with pytest.raises(ValueError, match=r"expected H and W of at least 2, got \(1, 4\)"):
        build("stdm", 4)(torch.zeros(1, 4, 3, 1, 4))


def reference(state, x, normalise, *, training):
    """What is added to x."""
    _, channels, frames, height, width = x.shape
    rows, columns = height // 2, width // 2
    taps = state["convolution.weight"][:, :, 0]
    scores = torch.zeros(len(x), channels, frames, rows, columns, dtype=x.dtype)
    for t in range(frames):
        for part, j in enumerate((-2, -1, 0, 1)):
            if not (t + j >= 0 and t + j + 1 < frames):
                continue
            change = x[:, :, t + j + 1] - x[:, :, t + j]
            small = torch.zeros(len(x), channels, rows, columns, dtype=x.dtype)
            for u in range(2):
                for v in range(2):
                    small += change[:, :, u : 2 * rows : 2, v : 2 * columns : 2] / 4
            around = F.pad(small, (1, 1, 1, 1))
            mine = taps[:, part * channels : (part + 1) * channels]
            for u in range(3):
                for v in range(3):
                    window = around[:, :, u : u + rows, v : v + columns]
                    scores[:, :, t] += torch.einsum("nkhw,jk->njhw", window, mine[:, :, u, v])
    read = normalise(scores, state, "norm", training=training).clamp(min=0)
    row = [i * rows // height for i in range(height)]
    column = [j * columns // width for j in range(width)]
    return read[:, :, :, row][:, :, :, :, column]
