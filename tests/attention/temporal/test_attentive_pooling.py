from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import build


@pytest.mark.parametrize("frames", [1, 6])
@pytest.mark.parametrize("others", [None, 1, 4])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula_in_loops(frames, others, training, randomise):
    module = randomise(build("atp", 8, spatial_dims=1)).double().train(training)
    x = torch.randn(3, 8, frames, dtype=torch.float64)
    other = None if others is None else torch.randn(3, 8, others, dtype=torch.float64)
    pooled, matrix = module(x, context=other), module.match.weight.detach()
    for n in range(3):
        seen = x[n] if other is None else other[n]
        best = [
            max(math.tanh(float(x[n, :, t] @ matrix @ seen[:, s])) for s in range(seen.shape[1]))
            for t in range(frames)
        ]
        powers = [math.exp(score) for score in best]
        weights = torch.tensor(powers, dtype=torch.float64) / sum(powers)
        features = sum(weights[t] * x[n, :, t] for t in range(frames))
        torch.testing.assert_close(pooled.weights[n], weights, atol=1e-12, rtol=1e-10)
        torch.testing.assert_close(pooled.features[n], features, atol=1e-12, rtol=1e-10)
        assert pooled.scores[n].tolist() == pytest.approx(best, rel=1e-10, abs=1e-12)


def test_padded_frames_match_nothing(randomise):
    module = randomise(build("atp", 8, spatial_dims=1)).double()
    x = torch.randn(1, 8, 6, dtype=torch.float64)
    kept = [1, 2, 5]
    mask = torch.zeros(1, 1, 6, dtype=torch.bool)
    mask[:, :, kept] = True
    torch.testing.assert_close(module(x, mask=mask).features, module(x[:, :, kept]).features)


def test_padded_frames_match_nothing_where_real_ones_match_less_than_nothing():
    """A zero in their place would be a better match than every real frame."""
    module = build("atp", 8, spatial_dims=1).double()
    with torch.no_grad():
        module.match.weight.copy_(-torch.eye(8))
    x = torch.rand(2, 8, 6, dtype=torch.float64) / 4 + 0.01
    mask = torch.tensor([1, 0, 1, 1, 0, 0]).bool().reshape(1, 1, 6)
    padded, alone = module(x, mask=mask), module(x[:, :, mask[0, 0]])
    assert (alone.scores < 0).all()
    torch.testing.assert_close(padded.scores[:, mask[0, 0]], alone.scores)
    torch.testing.assert_close(padded.features, alone.features)


@pytest.mark.parametrize("others", [4, 6])
def test_padding_of_one_clip_is_none_of_the_other(others, randomise):
    module = randomise(build("atp", 8, spatial_dims=1)).double()
    x = torch.randn(2, 8, 6, dtype=torch.float64)
    other = torch.randn(2, 8, others, dtype=torch.float64)
    mask = torch.tensor([0, 1, 1, 0, 0, 1]).bool().reshape(1, 1, 6)
    padded, alone = module(x, mask=mask, context=other), module(x[..., mask[0, 0]], context=other)
    torch.testing.assert_close(padded.features, alone.features)
    torch.testing.assert_close(padded.scores[:, mask[0, 0]], alone.scores)


def test_both_sides_of_a_pair_share_one_matrix(randomise):
    one, other = (build("atp", 8, spatial_dims=1).double() for _ in range(2))
    randomise(one)
    with torch.no_grad():
        other.match.weight.copy_(one.match.weight.T)
    probe, gallery = torch.randn(2, 8, 5).double(), torch.randn(2, 8, 4).double()
    matrix = torch.einsum("nct,cd,nds->nts", probe, one.match.weight, gallery).tanh()
    torch.testing.assert_close(one(probe, context=gallery).scores, matrix.amax(2))
    torch.testing.assert_close(other(gallery, context=probe).scores, matrix.amax(1))


@pytest.mark.parametrize("context", [torch.zeros(1, 4, 3), torch.zeros(1, 8), "clip"])
def test_context_of_another_shape_is_refused(context):
    with pytest.raises(ValueError, match=r"expected context of shape \(N, 8, T'\), got"):
        build("atp", 8, spatial_dims=1)(torch.zeros(1, 8, 5), context=context)


def test_the_match_starts_small():
    """Uniform in ± 1 / C, so that the largest of many is near it."""
    start = build("attentive_temporal_pooling", 32, spatial_dims=1).match.weight
    assert 0.9 / 32 < start.max() <= 1 / 32
    assert -1 / 32 <= start.min() < -0.9 / 32
