"""One weight for each position from several heads."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vidattn.attention.masking import masked_softmax, single_precision


def average_heads(logits: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights of the positions, averaged over the heads, and scores whose softmax they are.

    The scores differ from log weights by the log-sum-exp of all logits less log(heads), so that
    they can be compared between inputs; with one head they are the logits.

    Args:
        logits: (N, heads, L).
        mask: bool (N, L); False positions get weight 0.

    Returns:
        weights and scores, (N, L), float32 at least.
    """
    logits = single_precision(logits)
    kept = None if mask is None else mask.unsqueeze(1)
    weights = masked_softmax(logits, kept, dim=2).mean(1)
    if kept is not None:
        logits = logits.masked_fill(~kept, torch.finfo(logits.dtype).min)
    level = logits.flatten(1).logsumexp(1, keepdim=True) - math.log(logits.shape[1])
    return weights, weights.clamp(min=torch.finfo(weights.dtype).tiny).log() + level
