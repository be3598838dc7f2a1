from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build, record_maps


@pytest.mark.parametrize("frames", [1, 7])
@pytest.mark.parametrize("dilations", [(1, 2, 4), (1, 2, 3), (2,)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula_in_loops(frames, dilations, training, randomise, normalise):
    module = build("gltr", 8, spatial_dims=1, dilations=dilations)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 8, frames, dtype=torch.float64)
    near, attention, mixed = reference(module.state_dict(), x, dilations)
    added = normalise(mixed, module.state_dict(), "norm", training=training)
    torch.testing.assert_close(module(x), near + added, atol=1e-11, rtol=1e-10)
    with record_maps(module, affinities="full") as maps:
        module(x)
    torch.testing.assert_close(maps[0].affinity[:, 0], attention, atol=1e-11, rtol=1e-10)


def test_new_one_only_reads_near_frames():
    module = build("gltr", 8, spatial_dims=1).double().eval()
    x = torch.randn(2, 8, 9, dtype=torch.float64)
    near, _, _ = reference(module.state_dict(), x, (1, 2, 4))
    torch.testing.assert_close(module(x), near)


@pytest.mark.parametrize("dilations", [(), (0, 1, 2), (1, 2)])
def test_dilations_out_of_range_are_refused(dilations):
    with pytest.raises(ValueError, match="dilations: expected numbers from 1"):
        build("gltr", 8, spatial_dims=1, dilations=dilations)


def reference(state, x, dilations):
    """The local features, the attention (N, T, T), and what W_z makes of what was read."""
    batch, _, frames = x.shape
    narrow = torch.einsum("nct,kc->nkt", x, state["narrow.weight"][:, :, 0])
    narrow = narrow + state["narrow.bias"][:, None]
    parts = [narrow]
    for index, dilation in enumerate(dilations):
        part = torch.zeros_like(narrow) + state[f"pyramid.{index}.bias"][:, None]
        for t in range(frames):
            for k in range(3):
                source = t + (k - 1) * dilation
                if 0 <= source < frames:
                    taps = state[f"pyramid.{index}.weight"][:, :, k]
                    part[:, :, t] += narrow[:, :, source] @ taps.T
        parts.append(part)
    near = torch.cat(parts, 1)

    def linear(name):
        weight = state[f"{name}.weight"]
        return near.transpose(1, 2) @ weight.T + state[f"{name}.bias"]

    query, key, value = linear("query"), linear("key"), linear("value")
    attention = torch.zeros(batch, frames, frames, dtype=x.dtype)
    for n in range(batch):
        for t in range(frames):
            powers = [math.exp(float(query[n, t] @ key[n, s])) for s in range(frames)]
            attention[n, t] = torch.tensor(powers, dtype=x.dtype) / sum(powers)
    mixed = torch.einsum("nts,nsk,ck->nct", attention, value, state["output.weight"][:, :, 0])
    return near, attention, mixed + state["output.bias"][:, None]
