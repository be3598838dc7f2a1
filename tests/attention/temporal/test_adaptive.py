from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("grid", [(6,), (6, 4, 3)])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula_in_loops(grid, kernel, training, randomise, normalise):
    module = build("tam", 8, spatial_dims=len(grid), frames=6, kernel=kernel)
    module = randomise(module).double().train(training)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    expected, _, _ = reference(module.state_dict(), x, normalise, training=training)
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=1e-10)


def test_map_is_the_total_weight_of_each_frame(randomise, normalise):
    module = randomise(build("tam", 8, spatial_dims=1, frames=6)).double().eval()
    x = torch.randn(3, 8, 6, dtype=torch.float64)
    with record_maps(module, affinities="full") as maps:
        y = module(x)
    # The whole matrix, applied to x, is the result; its columns sum to the map.
    matrix = maps[0].affinity
    torch.testing.assert_close(torch.einsum("nctp,ncp->nct", matrix, x), y)
    torch.testing.assert_close(maps[0].values.flatten(2), matrix.sum(2))
    _, local, kernel = reference(module.state_dict(), x, normalise, training=False)
    inner = maps[0].values.flatten(2)[:, :, 1:-1]
    torch.testing.assert_close(inner, local[:, :, 1:-1])  # a kernel sums to 1
    torch.testing.assert_close(matrix[:, :, 0, 1], kernel[:, :, 2] * local[:, :, 1])


def test_padded_frames_are_zeros_and_keep_their_values(randomise):
    module = randomise(build("tam", 8, frames=6)).double().eval()
    x = torch.randn(3, 8, 6, 4, 3, dtype=torch.float64)
    mask = torch.arange(6).lt(4).reshape(1, 1, 6, 1, 1)
    expected = module(x * mask)
    out = module(x, mask=mask)
    torch.testing.assert_close(out[:, :, :4], expected[:, :, :4])
    assert torch.equal(out[:, :, 4:], x[:, :, 4:])


@pytest.mark.parametrize("frames", [1, 7])
def test_other_number_of_frames_is_refused(frames):
    with pytest.raises(ValueError, match=f"expected x with T = 8 frames, got {frames}"):
        build("tam", 8)(torch.zeros(1, 8, frames, 2, 2))


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel: expected an odd size, got 4"):
        build("tam", 8, kernel=4)


def reference(state, x, normalise, *, training):
    """The result, local weights (N, C, T) and kernels (N, C, K)."""
    batch, channels, frames = x.shape[:3]
    flat = x.reshape(batch, channels, frames, -1)
    means = flat.mean(3)

    squeeze = state["local_squeeze.weight"]
    size = squeeze.shape[2]
    hidden = torch.zeros(batch, squeeze.shape[0], frames, dtype=x.dtype)
    for t in range(frames):
        for k in range(size):
            source = t + k - size // 2
            if 0 <= source < frames:
                hidden[:, :, t] += means[:, :, source] @ squeeze[:, :, k].T
    hidden = normalise(hidden, state, "local_norm", training=training).clamp(min=0)
    scores = torch.einsum("nht,ch->nct", hidden, state["local_excite.weight"][:, :, 0])
    local = 1 / (1 + torch.exp(-scores))

    units = torch.einsum("nct,ut->nuc", means, state["global_squeeze.weight"])
    units = normalise(units, state, "global_norm", training=training).clamp(min=0)
    taps = torch.einsum("nuc,ku->nck", units, state["global_excite.weight"]).exp()
    kernel = taps / taps.sum(2, keepdim=True)

    result = torch.zeros_like(flat)
    for t in range(frames):
        for k in range(size):
            source = t + k - size // 2
            if 0 <= source < frames:
                weight = kernel[:, :, k] * local[:, :, source]
                result[:, :, t] += weight[:, :, None] * flat[:, :, source]
    return result.reshape(x.shape), local, kernel
