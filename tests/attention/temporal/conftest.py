from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from torch import Tensor
from torch.nn import functional as F


@pytest.fixture
def normalise() -> Callable[..., Tensor]:
    """Batch normalisation of (N, C, …) by the parameters and statistics under one name."""

    def apply(x: Tensor, state: Mapping[str, Tensor], name: str, *, training: bool) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{part}"].clone()
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias, training=training)

    return apply
