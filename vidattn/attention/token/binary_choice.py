"""Keeping or dropping each position: the draw, its gradient, and what keeps its rate in bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from vidattn.attention.masking import single_precision
from vidattn.attention.token.gumbel_top_k import gumbel_noise


def binary_choice(logits: Tensor, noise: Tensor | None, *, temperature: float) -> Tensor:
    """1 or 0 for each logit, 1 with probability σ(logit); the gradient is that of a soft draw.

    soft = σ((logit + g₁ − g₂) / τ), g standard Gumbel noise: a Gumbel softmax of two classes.

    Args:
        logits: any shape: log-odds of being kept.
        noise: (*shape, 2); drawn where it is None.
        temperature: τ.
    """
    logits = single_precision(logits)
    if noise is None:
        noise = gumbel_noise(logits.detach().unsqueeze(-1).expand(*logits.shape, 2))
    perturbed = logits + (noise[..., 0] - noise[..., 1])
    soft = (perturbed / temperature).sigmoid()
    return (perturbed > 0).to(soft.dtype) + (soft - soft.detach())


def keep_rate_loss(kept: Tensor, rate: float, mask: Tensor | None = None) -> Tensor:
    """Mean square of how far each sample's share of kept positions is from the rate.

    Args:
        kept: (N, *positions), 1 or 0.
        rate: wanted share, in [0, 1].
        mask: bool (N, *positions); padding counts neither as kept nor as dropped.
    """
    if mask is None:
        share = kept.flatten(1).mean(1)
    else:
        total = kept.masked_fill(~mask, 0).flatten(1).sum(1)
        share = total / mask.flatten(1).sum(1).clamp(min=1)
    return (share - rate).square().mean()


def policy_softmax(scores: Tensor, policy: Tensor, *, epsilon: float = 1e-6) -> Tensor:
    """Softmax over keys, in which dropped keys count nothing and every query sees itself.

    With G = policy of the key, or 1 where key and query are the same position:
    (exp(s − max s) G + ε / L) / (Σ exp(s − max s) G + ε). The policy gets a gradient.

    Source: Rao et al., DynamicViT, NeurIPS 2021, with ε of their code.

    Args:
        scores: (N, heads, L, L), query by key.
        policy: (N, L), 1 where kept, 0 where dropped.
        epsilon: ε, which keeps the gradient of rows finite.
    """
    scores, policy = single_precision(scores), single_precision(policy)
    length = policy.shape[1]
    own = torch.eye(length, dtype=policy.dtype, device=policy.device)
    counted = policy[:, None, None] * (1 - own) + own
    powers = (scores - scores.amax(3, keepdim=True)).exp() * counted
    return (powers + epsilon / length) / (powers.sum(3, keepdim=True) + epsilon)
