from __future__ import annotations

import torch
from torch.nn import functional as F

from vidattn.attention.token.binary_choice import binary_choice, keep_rate_loss, policy_softmax


def test_choice_equals_gumbel_softmax_of_two_classes():
    logits = torch.randn(3, 7, 2, dtype=torch.float64).log_softmax(2).requires_grad_()
    noise = torch.randn(3, 7, 2, dtype=torch.float64)
    for temperature in (1.0, 5.0):
        kept = binary_choice(logits[..., 0] - logits[..., 1], noise, temperature=temperature)
        perturbed = logits + noise
        soft = (perturbed / temperature).softmax(2)[..., 0]
        assert torch.equal(kept, (perturbed.argmax(2) == 0).double())
        upstream = torch.randn_like(kept)
        (gradient,) = torch.autograd.grad(kept, logits, upstream)
        (expected,) = torch.autograd.grad(soft, logits, upstream)
        torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=1e-10)


def test_draws_have_the_probability_of_the_logit():
    torch.manual_seed(0)
    logits = torch.tensor([-2.0, 0.0, 1.0])
    drawn = binary_choice(logits.expand(20_000, 3), None, temperature=5.0)
    torch.testing.assert_close(drawn.mean(0), logits.sigmoid(), atol=0.015, rtol=0)


def test_keep_rate_loss_counts_real_positions():
    kept = torch.tensor([[1.0, 1, 0, 0], [1, 0, 1, 1]])
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    assert float(keep_rate_loss(kept, 0.75)) == ((0.5 - 0.75) ** 2 + 0) / 2
    assert float(keep_rate_loss(kept, 0.75, mask)) == (0.5 - 0.75) ** 2


def test_policy_softmax_equals_its_formula():
    scores = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    policy = torch.tensor([[1, 0, 1, 1, 0], [1, 1, 1, 1, 1]]).double()
    out = policy_softmax(scores, policy, epsilon=1e-3)
    for n in range(2):
        for head in range(3):
            for query in range(5):
                row = scores[n, head, query]
                powers = [
                    float((row[key] - row.max()).exp())
                    * (1.0 if key == query else float(policy[n, key]))
                    for key in range(5)
                ]
                expected = [(power + 1e-3 / 5) / (sum(powers) + 1e-3) for power in powers]
                found = out[n, head, query]
                torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_policy_softmax_is_attention_among_those_kept():
    scores = torch.randn(1, 1, 5, 5, dtype=torch.float64)
    kept = torch.tensor([True, False, True, True, False])
    out = policy_softmax(scores, kept.double().unsqueeze(0), epsilon=0.0)
    alone = F.softmax(scores[:, :, kept][..., kept], dim=3)
    torch.testing.assert_close(out[:, :, kept][..., kept], alone)
    assert (out[0, 0, kept][:, ~kept] == 0).all()
