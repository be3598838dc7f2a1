from __future__ import annotations

import pytest
import torch

from vidattn.attention import build, record_maps
from vidattn.attention.spatial.nystrom import pseudoinverse


def softmax(scores):
    powers = (scores - scores.max(1, keepdim=True).values).exp()
    return powers / powers.sum(1, keepdim=True)


def by_iteration(matrix, iterations):
    """Equation of the paper, from Aᵀ divided by the two norms of A, of which one is 1."""
    found = matrix.T / (matrix.abs().sum(0).max() * matrix.abs().sum(1).max())
    one = torch.eye(len(matrix), dtype=matrix.dtype)
    for _ in range(iterations):
        product = matrix @ found
        found = found @ (13 * one - product @ (15 * one - product @ (7 * one - product))) / 4
    return found


def means(tokens, count):
    """(L, d) -> (at most count, d), of stretches of equal length."""
    which = [i * count // len(tokens) for i in range(len(tokens))]
    groups = [[i for i, one in enumerate(which) if one == mark] for mark in range(count)]
    return torch.stack([tokens[group].mean(0) for group in groups if group])


def reference(w, x, heads, landmarks, iterations):
    """x (L, C), real positions only -> the result and (heads, L, L)."""
    away = x - x.mean(1, keepdim=True)
    normed = away / (away.square().mean(1, keepdim=True) + 1e-5).sqrt()
    normed = normed * w["norm.weight"] + w["norm.bias"]
    parts = (normed @ w["query_key_value.weight"].T + w["query_key_value.bias"]).chunk(3, 1)
    width, mixed, rows = x.shape[1] // heads, [], []
    for head in range(heads):
        query, key, value = (part[:, head * width : (head + 1) * width] for part in parts)
        marks, seen = means(query, landmarks), means(key, landmarks)
        near, middle, far = (
            softmax(one @ other.T / width**0.5)
            for one, other in ((query, seen), (marks, seen), (marks, key))
        )
        rows.append(near @ by_iteration(middle, iterations) @ far)
        mixed.append(rows[-1] @ value)
    added = torch.cat(mixed, 1) @ w["output.weight"].T + w["output.bias"]
    return x + added, torch.stack(rows)


@pytest.mark.parametrize("grid", [(11,), (4, 3), (2, 3, 3)])
@pytest.mark.parametrize(("landmarks", "iterations"), [(4, 6), (5, 2), (30, 6)])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(grid, landmarks, iterations, padded, training, randomise):
    settings = {"heads": 2, "landmarks": landmarks, "iterations": iterations}
    module = build("nystrom", 8, spatial_dims=len(grid), **settings)
    module = randomise(module).double().train(training).requires_grad_(False)
    x = torch.randn(2, 8, *grid, dtype=torch.float64)
    mask = torch.rand(2, 1, *grid) < (0.6 if padded else 2)
    mask[..., 0] = True
    x = x.masked_fill(~mask, torch.nan)
    with record_maps(module, affinities="full") as maps:
        out = module(x, mask=mask if padded else None)
    close = {"atol": 1e-9, "rtol": 1e-9}
    for n in range(2):
        real = mask[n].flatten()
        tokens = x[n].flatten(1).T[real]
        expected, rows = reference(module.state_dict(), tokens, 2, landmarks, iterations)
        torch.testing.assert_close(out[n].flatten(1).T[real], expected, **close)
        torch.testing.assert_close(maps[0].affinity[n][:, real][:, :, real], rows, **close)
        torch.testing.assert_close(maps[0].values[n].flatten(1)[:, real], rows.mean(1), **close)


def test_as_many_landmarks_as_positions_approach_the_softmax():
    torch.manual_seed(0)
    x = torch.randn(1, 8, 6, dtype=torch.float64)
    joint = build("self_attention", 8, spatial_dims=1, heads=2).double()
    for iterations, bound in ((3, 1.0), (30, 1e-8)):
        settings = {"heads": 2, "landmarks": 6, "iterations": iterations}
        module = build("nystrom", 8, spatial_dims=1, **settings).double()
        module.load_state_dict(joint.state_dict())
        error = (module(x) - joint(x)).abs().max() / (joint(x) - x).abs().max()
        assert error < bound


def test_iterations_find_the_inverse():
    matrix = (torch.randn(3, 5, 5, dtype=torch.float64) * 2).softmax(2)
    matrix[2, 4], matrix[2, :, 4] = 0, 0
    found = pseudoinverse(matrix, 40)
    torch.testing.assert_close(found[:2], matrix[:2].inverse(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found[2], torch.linalg.pinv(matrix[2]), atol=1e-6, rtol=1e-6)


@pytest.mark.oracle
def test_equals_hugging_face(randomise):
    modeling = pytest.importorskip("transformers.models.nystromformer.modeling_nystromformer")
    config = pytest.importorskip("transformers").NystromformerConfig(
        hidden_size=16,
        num_attention_heads=4,
        num_landmarks=6,
        segment_means_seq_len=24,
        attention_probs_dropout_prob=0.0,
    )
    ours = randomise(build("nystrom", 16, heads=4, landmarks=6)).double()
    theirs = modeling.NystromformerSelfAttention(config).double().eval()
    theirs.init_option, theirs.conv_kernel_size = "exact", None
    parts = zip(*(one.chunk(3) for one in ours.query_key_value.parameters()), strict=True)
    with torch.no_grad():
        for layer, (weight, bias) in zip(
            (theirs.query, theirs.key, theirs.value), parts, strict=True
        ):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    x = torch.randn(3, 16, 2, 4, 3, dtype=torch.float64)
    mixed = theirs(ours.norm(x.flatten(2).transpose(1, 2)))[0]
    expected = x + ours.output(mixed).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3}, "heads: expected a divisor of 8 channels, got 3"),
        ({"landmarks": 0}, "landmarks, iterations: expected at least 1, got 0, 6"),
        ({"iterations": 0}, "landmarks, iterations: expected at least 1, got 32, 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build("nystrom", 8, **settings)
