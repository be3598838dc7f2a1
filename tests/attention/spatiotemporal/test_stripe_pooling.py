from __future__ import annotations

import pytest
import torch

from vidattn.attention import build
from vidattn.attention.spatiotemporal.stripe_pooling import share_over_time


def reference(clip, w, stripes):
    """(C, T, H, W) -> features (C,), weights (T, H, W), by loops."""
    frames, height, width = clip.shape[1:]
    rows = [[h for h in range(height) if h * stripes // height == k] for k in range(stripes)]
    rows = [some for some in rows if some]
    score = torch.zeros(frames, len(rows), dtype=clip.dtype)
    for t in range(frames):
        energy = clip[:, t].pow(2).sum(0).sqrt()
        energy = energy / energy.pow(2).sum().sqrt()
        for k, some in enumerate(rows):
            score[t, k] = energy[some].mean()
    share = score / score.sum(0)
    means = torch.stack([clip[:, :, some].mean((2, 3)) for some in rows], 2)  # (C, T, K)
    best = torch.stack([means[:, share[:, k].argmax(), k] for k in range(len(rows))], 1).mean(1)
    weighted = (means * share).sum(1).mean(1)
    features = w["fusion.weight"] @ torch.cat((best, weighted)) + w["fusion.bias"]
    weights = torch.zeros(frames, height, width, dtype=clip.dtype)
    for k, some in enumerate(rows):
        weights[:, some] = (share[:, k] / len(rows) / len(some) / width)[:, None, None]
    return features, weights


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("height", "stripes"), [(8, 4), (7, 4), (3, 4), (5, 1)])
def test_equals_formula(height, stripes, training, randomise, close):
    module = build("stripe_attention_pooling", 6, stripes=stripes)
    module = randomise(module).double().train(training)
    x = torch.randn(3, 6, 4, height, 5, dtype=torch.float64)
    out = module(x)
    for n, clip in enumerate(x):
        features, weights = reference(clip, module.state_dict(), stripes)
        close(out.features[n], features)
        close(out.weights[n], weights)


def test_attention_has_no_parameters():
    module = build("stripe_attention_pooling", 6)
    assert {name for name, _ in module.named_parameters()} == {"fusion.weight", "fusion.bias"}


def test_a_covered_stripe_is_read_from_other_frames(close):
    module = build("stripe_attention_pooling", 6).double()
    x = torch.rand(1, 6, 4, 8, 5, dtype=torch.float64) + 1
    x[:, :, 2, :2] = 0
    weights = module(x).weights
    assert (weights[0, 2, :2] == 0).all()
    close(weights[0, :, :2].sum(), torch.tensor(0.25, dtype=torch.float64))


def test_stripes_of_zeros_share_evenly(close):
    module = build("stripe_attention_pooling", 6).double()
    x = torch.zeros(1, 6, 4, 8, 5, dtype=torch.float64, requires_grad=True)
    out = module(x)
    close(out.weights, torch.full_like(out.weights, 1 / 160))
    out.features.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("total", [1.1e-12, 1.9e-12, 1.0])
def test_small_scores_are_shared_out_like_large_ones(total):
    score = total * torch.tensor([[[0.25], [0.0], [0.75]]], dtype=torch.float64)
    shares = share_over_time(score, torch.ones(1, 3, 1))
    torch.testing.assert_close(shares.flatten(), torch.tensor([0.25, 0.0, 0.75]).double())
    shares = share_over_time(score * 0.9e-12, torch.ones(1, 3, 1))
    torch.testing.assert_close(shares.flatten(), torch.full((3,), 1 / 3).double())


def test_a_stripe_of_zeros_is_shared_evenly_by_its_real_frames():
    count = torch.tensor([[[2.0], [0.0], [3.0]], [[0.0], [4.0], [0.0]], [[0.0], [0.0], [0.0]]])
    shares = share_over_time(torch.zeros(3, 3, 1), count)[..., 0]
    assert shares.tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 0]]
