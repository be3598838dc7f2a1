from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def reference(x, w):
    """The paper's two steps, descriptor by descriptor; returns y and the two attentions."""
    out, gathers, picks = np.empty_like(x), [], []
    for n, sample in enumerate(x):
        columns = sample.reshape(len(sample), -1)
        maps = {
            name: w[f"{name}.weight"] @ columns + w[f"{name}.bias"][:, None]
            for name in ("value", "gather", "distribute")
        }
        b = np.stack([np.exp(row) / np.exp(row).sum() for row in maps["gather"]])
        v = np.stack([np.exp(at) / np.exp(at).sum() for at in maps["distribute"].T], axis=1)
        g = np.stack([(maps["value"] * row).sum(1) for row in b], axis=1)
        z = np.stack([g @ at for at in v.T], axis=1)
        change = w["output.weight"] @ z + w["output.bias"][:, None]
        out[n] = sample + change.reshape(sample.shape)
        gathers.append(b)
        picks.append(v)
    return out, gathers, picks


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("widths", [(None, None), (5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, widths, training, randomise):
    hidden, descriptors = widths
    module = build(
        "double_attention",
        8,
        spatial_dims=len(grid),
        hidden_channels=hidden,
        descriptors=descriptors,
    )
    randomise(module).double().train(training)
    assert module.gather.out_features == (descriptors or 2)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    with record_maps(module, affinities="full") as maps:
        out = module(x)
    expected, gathers, picks = reference(x.numpy(), weights)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-12, rtol=1e-12)
    for n, (b, v) in enumerate(zip(gathers, picks, strict=True)):
        table = v.T @ b
        np.testing.assert_allclose(maps[0].affinity[n, 0], table, atol=1e-12)
        np.testing.assert_allclose(maps[0].values[n].flatten(), table.mean(0), atol=1e-12)


def test_a_sample_does_not_depend_on_its_batch(randomise):
    # A popular copy takes its softmax over the batch.
    module = randomise(build("a2", 8)).double()
    x = torch.randn(4, 8, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(module(x)[:1], module(x[:1]), atol=1e-12, rtol=1e-12)


def test_padding_is_not_in_the_map(randomise):
    module = randomise(build("a2", 8)).double()
    x = torch.randn(2, 8, 4, 3, 3, dtype=torch.float64)
    mask = torch.arange(4).lt(3).reshape(1, 1, 4, 1, 1)
    with record_maps(module) as maps:
        module(x, mask=mask)
        module(x[:, :, :3])
    torch.testing.assert_close(maps[0].values[:, :, :3], maps[1].values)
    assert (maps[0].values[:, :, 3] == 0).all()
