from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def randomise() -> Callable[[nn.Module], nn.Module]:
    """Gives every parameter and norm statistic a random value: defaults hide half the mistakes."""

    def fill(module: nn.Module, seed: int = 0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)

        def random(like: torch.Tensor) -> torch.Tensor:
            return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(random(parameter) * 0.4)
            for name, buffer in module.named_buffers():
                if buffer.is_floating_point():
                    value = random(buffer)
                    buffer.copy_(value.abs() + 0.5 if name.endswith("var") else value)
        return module

    return fill
