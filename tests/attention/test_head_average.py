from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vidattn.attention.head_average import average_heads


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("padded", [True, False])
def test_equals_loops(heads, padded):
    logits = torch.randn(2, heads, 7, dtype=torch.float64) * 3
    mask = torch.rand(2, 7) < 0.6 if padded else torch.ones(2, 7, dtype=torch.bool)
    mask[:, 0] = True
    weights, scores = average_heads(logits, mask if padded else None)
    for sample in range(2):
        total = np.zeros(7)
        everything = 0.0
        for head in range(heads):
            powers = [
                math.exp(logits[sample, head, place]) if mask[sample, place] else 0.0
                for place in range(7)
            ]
            total += np.array(powers) / sum(powers) / heads
            everything += sum(powers)
        np.testing.assert_allclose(weights[sample].numpy(), total, atol=1e-12)
        real = mask[sample].numpy()
        expected = np.log(total[real]) + math.log(everything / heads)
        np.testing.assert_allclose(scores[sample].numpy()[real], expected, atol=1e-12)
        assert (weights[sample, ~mask[sample]] == 0).all()


def test_scores_of_one_head_are_its_logits():
    logits = torch.randn(3, 1, 6, dtype=torch.float64)
    _, scores = average_heads(logits, None)
    torch.testing.assert_close(scores, logits.squeeze(1))


def test_scores_can_be_compared_between_inputs():
    """Raising all logits raises the scores, which weights do not show."""
    logits = torch.randn(1, 4, 6, dtype=torch.float64)
    weights, scores = average_heads(torch.cat((logits, logits + 2)), None)
    torch.testing.assert_close(weights[0], weights[1])
    torch.testing.assert_close(scores[0] + 2, scores[1])


def test_padding_only_has_no_weight_and_finite_scores():
    weights, scores = average_heads(torch.randn(1, 2, 4), torch.zeros(1, 4, dtype=torch.bool))
    assert (weights == 0).all()
    assert scores.isfinite().all()


def test_half_precision_is_summed_in_single():
    logits = torch.randn(1, 2, 5, dtype=torch.bfloat16)
    weights, scores = average_heads(logits, None)
    assert weights.dtype == scores.dtype == torch.float32
