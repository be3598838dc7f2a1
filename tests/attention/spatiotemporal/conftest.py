from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor


def softmax(scores: Tensor) -> Tensor:
    """Rows of (…, Q, K) from the definition; the largest is taken off for the range's sake."""
    powers = (scores - scores.max(-1, keepdim=True).values).exp()
    return powers / powers.sum(-1, keepdim=True)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.sum(-1, keepdim=True) / x.shape[-1]
    variance = (centred**2).sum(-1, keepdim=True) / x.shape[-1]
    return centred / (variance + 1e-5).sqrt() * weight + bias


def linear(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    out = torch.einsum("...i,oi->...o", x, weights[f"{name}.weight"])
    return out + weights.get(f"{name}.bias", 0)


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def heads_of(q: Tensor, k: Tensor, v: Tensor, heads: int, seen: Tensor | None = None):
    """(L, C) each -> (L, C) and (heads, L, L): head by head, position by position."""
    width, value_width = q.shape[1] // heads, v.shape[1] // heads
    mixed, rows = [], []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = torch.stack([(k[:, part] * one).sum(1) for one in q[:, part]]) / width**0.5
        if seen is not None:
            scores = scores.masked_fill(~seen, -torch.inf)
        rows.append(softmax(scores))
        mixed.append(rows[-1] @ v[:, head * value_width : (head + 1) * value_width])
    return torch.cat(mixed, 1), torch.stack(rows)


@pytest.fixture
def slow() -> SimpleNamespace:
    """What attention is made of, written from the definitions."""
    return SimpleNamespace(
        softmax=softmax, layer_norm=layer_norm, linear=linear, gelu=gelu, heads_of=heads_of
    )


@pytest.fixture
def close() -> Callable[[Tensor, Tensor], None]:
    def check(ours: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(ours, expected, atol=1e-10, rtol=1e-10)

    return check
