from __future__ import annotations

import pytest
import torch

from vidattn.attention import build


@pytest.mark.parametrize("grid", [(7,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_a_linear_layer_behind_it_makes_second_order_class_scores(grid, training, randomise, close):
    module = build("bottom_up_attention_pooling", 8, spatial_dims=len(grid))
    module = randomise(module).double().train(training)
    b = module.bottom_up.weight[0]
    a = torch.randn(6, 8, dtype=torch.float64)
    x = torch.randn(3, 8, *grid, dtype=torch.float64)
    out = module(x)
    for n, one in enumerate(x):
        positions = one.flatten(1).T
        second_order = positions.T @ positions / len(positions)
        expected = [torch.trace(second_order @ torch.outer(b, row)) for row in a]
        close(out.features[n] @ a.T, torch.stack(expected))
        close(out.weights[n].flatten(), positions @ b / len(positions))
        close(out.scores[n].flatten(), positions @ b)


@pytest.mark.parametrize("normalisation", ["relu", "softmax"])
def test_normalisations(normalisation, randomise, slow, close):
    module = build("bottom_up_attention_pooling", 8, spatial_dims=1, normalisation=normalisation)
    module = randomise(module).double()
    x = torch.randn(2, 8, 9, dtype=torch.float64)
    scores = torch.einsum("nct,c->nt", x, module.bottom_up.weight[0])
    weights = scores.clamp(min=0) / 9 if normalisation == "relu" else slow.softmax(scores)
    close(module(x).weights, weights)
    close(module(x).features, torch.einsum("nct,nt->nc", x, weights))


def test_padding_does_not_count_in_the_mean(randomise, close):
    module = randomise(build("bottom_up_attention_pooling", 8, spatial_dims=1)).double()
    x = torch.randn(2, 8, 9, dtype=torch.float64)
    mask = torch.arange(9).lt(6).reshape(1, 1, 9)
    close(module(x, mask=mask).features, module(x[:, :, :6]).features)


def test_unknown_normalisation_is_refused():
    with pytest.raises(ValueError, match="normalisation: expected 'none', 'relu' or 'softmax'"):
        build("bottom_up_attention_pooling", 8, normalisation="max")


def test_the_weights_start_small():
    """Normal with a deviation of 0.001, to a twentieth: that of 10,000 is known to 0.7 %."""
    start = build("bottom_up_attention_pooling", 10_000, spatial_dims=1).bottom_up.weight
    assert start.std().item() == pytest.approx(1e-3, rel=0.05)
