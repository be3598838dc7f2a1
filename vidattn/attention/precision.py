"""Layers that compute in more precision than they are kept in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vidattn.attention.masking import single_precision


def in_single_precision(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer(x)` in float32 at least, for products and sums that half precision cannot hold.

    Autocasting is off meanwhile. Running statistics of the layer are updated as ever.

    Args:
        layer: with parameters in any number type.
        x: brought to float32 where it is half precision.

    Returns:
        What the layer returns, float32 at least.
    """
    kept = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    lent = {
        name: single_precision(value) for name, value in kept.items() if value.is_floating_point()
    }
    with torch.autocast(x.device.type, enabled=False):
        if all(lent[name] is kept[name] for name in lent):
            out: Tensor = layer(single_precision(x))
            return out
        out = functional_call(layer, lent, (single_precision(x),))
    if layer.training:
        with torch.no_grad():
            for name, buffer in layer.named_buffers():
                if name in lent:
                    buffer.copy_(lent[name])
    return out
