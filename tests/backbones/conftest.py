from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn


def _source(name: str, classes: int) -> nn.Module:
    """The source's own network, by the source's own function."""
    if name.endswith("_2d"):
        from torchvision import models

        return getattr(models, name.removesuffix("_2d"))(num_classes=classes)
    if name in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d"):
        from torchvision.models import video

        return getattr(video, name)(num_classes=classes)
    with warnings.catch_warnings():
        # The hub imports mobile networks that are scripted with torch.jit.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.")
        from pytorchvideo.models import hub
    return getattr(hub, name)(model_num_class=classes)


@pytest.fixture(scope="session")
def source_network() -> Callable[..., nn.Module]:
    """(name, classes) -> the source's network with random weights and norm statistics."""

    def make(name: str, classes: int) -> nn.Module:
        torch.manual_seed(len(name))
        network = _source(name, classes)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                # Some sources start so small that nothing of the clip would reach the logits.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                nn.init.normal_(module.running_mean, 0, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.weight, 0.2, 0.8)
                nn.init.normal_(module.bias, 0, 0.1)
        return network.eval()

    return make


@pytest.fixture(scope="session")
def random_clip() -> Callable[..., Any]:
    def make(*shape: int, seed: int = 0) -> torch.Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

    return make
