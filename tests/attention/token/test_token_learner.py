from __future__ import annotations

import math

import pytest
import torch

from vidattn.attention import PerFrame, build, record_maps


def reference(x, mask, norm, hidden, score):
    """Loops over samples, tokens and positions; x (C, *positions), mask (*positions)."""
    columns = x.flatten(1).T
    kept = mask.flatten()
    logits = []
    for column in columns:
        centred = column - column.mean()
        normed = centred / (centred.pow(2).mean() + 1e-6).sqrt() * norm[0] + norm[1]
        inner = hidden[0] @ normed + hidden[1]
        gelu = (
            0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        )
        logits.append(score[0] @ gelu + score[1])
    weights = torch.stack(logits).exp() * kept[:, None]
    weights = weights / weights.sum(0)
    return columns.T @ weights, weights.T.reshape(-1, *x.shape[1:])


def parameters(layer):
    return layer.weight.detach(), layer.bias.detach()


@pytest.mark.parametrize("grid", [(6,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_reference(grid, training, randomise):
    module = build("token_learner", 12, spatial_dims=len(grid), tokens=3, hidden_channels=7)
    module = randomise(module).double().train(training)
    x = torch.randn(2, 12, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < 0.7
    mask[..., 0] = True
    for given in (mask, None):
        out = module(x, mask=given)
        for index in range(2):
            kept = mask[index, 0] if given is not None else torch.ones(grid, dtype=torch.bool)
            layers = [parameters(layer) for layer in (module.norm, module.hidden, module.score)]
            features, source = reference(x[index], kept, *layers)
            torch.testing.assert_close(out.features[index], features, atol=1e-10, rtol=1e-10)
            torch.testing.assert_close(out.source[index], source, atol=1e-10, rtol=1e-10)
        assert out.valid.all()


def test_per_frame_gives_each_frame_its_own_tokens(randomise):
    module = randomise(build("token_learner", 12, scope="frame", tokens=3)).double()
    assert isinstance(module, PerFrame)
    x = torch.randn(2, 12, 5, 4, 6, dtype=torch.float64)
    mask = torch.arange(5).lt(4).reshape(1, 1, 5, 1, 1)
    with record_maps(module) as maps:
        out = module(x, mask=mask)
    assert out.features.shape == (2, 12, 5, 3)
    assert out.source.shape == (2, 5, 3, 4, 6)
    assert torch.equal(out.valid, torch.arange(5).lt(4).reshape(1, 5, 1).expand(2, 5, 3))
    for frame in range(4):
        alone = module.module(x[:, :, frame])
        torch.testing.assert_close(out.features[:, :, frame], alone.features)
        torch.testing.assert_close(out.source[:, frame], alone.source)
    torch.testing.assert_close(maps[0].values, out.source.transpose(1, 2))


def test_over_time_gives_each_site_its_own_tokens(randomise):
    module = randomise(build("token_learner", 12, scope="time", tokens=3)).double()
    x = torch.randn(2, 12, 5, 4, 6, dtype=torch.float64)
    out = module(x)
    alone = module.module(x[:, :, :, 1, 2])
    torch.testing.assert_close(out.features[..., 1, 2], alone.features)
    torch.testing.assert_close(out.source[..., 1, 2], alone.source)
    assert out.valid.shape == (2, 3, 4, 6)


def test_positions_are_where_tokens_come_from(randomise):
    out = randomise(build("token_learner", 12))(torch.randn(2, 12, 2, 3, 4))
    assert torch.equal(out.positions, out.source.reshape(2, 8, 24).argmax(2))


def test_there_is_at_least_one_token():
    with pytest.raises(ValueError, match="tokens: expected at least 1, got 0"):
        build("token_learner", 12, tokens=0)
