from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.attention import build, record_maps


def reference(x, w, *, normalise):
    """x (L, C), real positions only -> features, r (L,) and a (L, K), difference by difference."""
    vectors = np.zeros(w["centres"].shape)
    ways, shares = np.zeros(len(x)), np.zeros((len(x), len(vectors)))
    for i, one in enumerate(x):
        one = one / np.linalg.norm(one) if normalise else one
        powers = np.exp(w["assign.weight"] @ one + w["assign.bias"])
        shares[i] = powers / powers.sum()
        for k, centre in enumerate(w["centres"]):
            vectors[k] += shares[i, k] * (one - centre)
            ways[i] += shares[i, k] * np.linalg.norm(one - centre)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = vectors.reshape(-1)
    return w["output.weight"] @ (flat / np.linalg.norm(flat)), ways, shares


@pytest.mark.parametrize("grid", [(7,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, normalise, padded, training, randomise):
    settings = {"clusters": 5, "normalise_input": normalise}
    module = build("netvlad", 6, spatial_dims=len(grid), **settings)
    module = randomise(module).double().train(training).requires_grad_(False)
    w = {name: value.numpy() for name, value in module.state_dict().items()}
    x = torch.randn(2, 6, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.6 if padded else 2)
    mask[..., 0] = True
    x = x.masked_fill(~mask, torch.inf)
    with record_maps(module) as maps:
        out = module(x, mask=mask if padded else None)
    close = {"atol": 1e-12, "rtol": 1e-10}
    for n in range(2):
        real = mask[n].flatten()
        tokens = x[n].flatten(1).T[real].numpy()
        features, ways, shares = reference(tokens, w, normalise=normalise)
        np.testing.assert_allclose(out.features[n].numpy(), features, **close)
        np.testing.assert_allclose(out.weights[n].flatten()[real], ways / ways.sum(), **close)
        np.testing.assert_allclose(out.scores[n].flatten()[real], np.log(ways), **close)
        np.testing.assert_allclose(maps[0].values[n].flatten(1).T[real], shares, **close)
        assert (maps[0].values[n].flatten(1).T[~real] == 0).all()


def test_order_of_the_positions_does_not_matter(randomise):
    module = randomise(build("netvlad", 8, spatial_dims=1)).double()
    x = torch.randn(2, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(module(x[:, :, torch.randperm(9)]).features, module(x).features)


def test_position_on_a_centre_has_a_gradient(randomise):
    module = build("netvlad", 4, spatial_dims=1, clusters=2, normalise_input=False)
    module = randomise(module).double()
    x = module.centres.detach().T.unsqueeze(0).clone().requires_grad_()
    out = module(x)
    (out.features.sum() + out.weights.square().sum() + out.scores.sum()).backward()
    assert x.grad.isfinite().all()


def test_half_precision_survives_large_and_zero_features():
    module = build("netvlad", 32).half()
    x = torch.randn(1, 32, 2, 4, 4).half() * 3000
    x[:, :, 0] = 0
    assert all(part.isfinite().all() for part in module(x))


def test_new_centres_are_about_as_long_as_the_input():
    lengths = build("netvlad", 256).centres.norm(dim=1)
    assert lengths.shape == (32,)
    assert abs(lengths.mean().item() - 1) < 0.1


def test_clusters_are_checked():
    with pytest.raises(ValueError, match="clusters: expected at least 1, got 0"):
        build("netvlad", 8, clusters=0)
