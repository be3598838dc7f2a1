from __future__ import annotations

import torch
from torch import Tensor


def source_evidence(
    features: Tensor, logits: Tensor, shares: Tensor | None, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Where a network with its own head found the class that it decided for.

    Such a head weighs all positions alike and has no attention to show. What it can say is how
    much each position adds to the strongest class's logit, the class activation map: a frame's
    score is its positions' mean, so that the mean of the scores over all frames is that logit.
    Frame weights are the softmax of the scores over time, region weights that of the shares
    within each frame: they show evidence, and are not what the head multiplied by. A head whose
    logits are no mean over positions (`shares` is None) says nothing of the kind: scores 0,
    weights all the same.

    The head itself sees padding like any frame, as its source does; padding has no weight here.

    Source: Zhou et al., CVPR 2016, class activation mapping, equation 2.

    Args:
        features: (N, C, T', H', W') that the head read.
        logits: (N, classes).
        shares: (N, classes, T', H', W') of `Backbone.position_logits`, or None.
        valid: bool (N, T').

    Returns:
        frame scores (N, T'), frame weights (N, T'), region weights (N, T', H', W').
    """
    count, _, steps, rows, columns = features.shape
    if shares is None:
        evidence = features.new_zeros(count, steps, rows, columns)
    else:
        evidence = shares[torch.arange(count, device=shares.device), logits.argmax(1)]
    scores = evidence.mean((2, 3))
    weights = scores.float().masked_fill(~valid, float("-inf")).softmax(1).nan_to_num()
    regions = evidence.float().flatten(2).softmax(2).view(count, steps, rows, columns)
    return scores, weights, regions
