"""Every mechanism stays on the device and in the number type of what it is given."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from tests.attention.test_battery import HIGHEST, Case, tensors, variants

AS_BUILT = [(name, rank, {}) for name, rank in HIGHEST]


@contextlib.contextmanager
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("name", "rank", "settings"), AS_BUILT + variants(), ids=str)
def test_what_is_made_on_the_way_has_the_device_and_type_of_x(name, rank, settings, monkeypatch):
    """On a device without numbers whose types are checked, where the default type is another."""
    heads = {"heads": 2} if "rotary" in settings else {}  # which need wide heads
    case = Case(name, rank, lambda module: module, **heads, **settings)
    x, extra = case.inputs(dtype=torch.float32)
    mask = torch.ones(3, 1, *x.shape[2:], dtype=torch.bool)
    x, mask, *context = (part.to("meta") for part in (x, mask, *extra.values()))
    module = case.module.float().to("meta")
    # There is no autocast on that device.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    runs = [(True, {"mask": mask})] if settings else [(False, {}), (True, {"mask": mask})]
    for training, given in runs:
        with double_by_default():
            out = module.train(training)(x, **given, **dict(zip(extra, context, strict=True)))
        for part in tensors(out):
            assert part.device == x.device
            assert part.dtype in (torch.float32, torch.bool)


# Their last step weighs x, or what layers made of it, in half precision.
ROUNDING = {
    "adaptive_scan_pooling",
    "attentive_temporal_pooling",
    "bottom_up_attention_pooling",
    "channel_affinity",
    "conditional_convolution",
    "convolutional_temporal_pooling",
    "convolutional_token_learner",
    "dynamic_convolution",
    "external_attention",
    "factorised_attention_pooling",
    "gated_recurrent_pooling",
    "global_context",
    "interpretable_space_time_pooling",
    "joint_attention_pooling",
    "local_self_attention",
    "pooling_attention",
    "recurrent_space_time_pooling",
    "shifted_window_v2",
    "space_time_selection",
    "spatial_attention_pooling",
    "spatial_channel_squeeze",
    "stripe_attention_pooling",
    "temporal_attention_pooling",
    "token_fusion",
    "token_learner",
    "token_reorganisation",
}
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Precision:
    """In place of `torch.autocast`: which layers are rounded, where nothing else is."""

    autocast = torch.autocast
    outside = 0

    def __init__(self, device: str, *, enabled: bool) -> None:
        self.enabled = enabled

    def __enter__(self) -> None:
        Precision.outside += not self.enabled

    def __exit__(self, *_) -> None:
        Precision.outside -= not self.enabled

    @classmethod
    def round(cls, layer: nn.Module) -> None:
        exact = layer.forward

        def forward(x):
            if cls.outside:
                return exact(x)
            with cls.autocast("cpu", dtype=torch.bfloat16):
                return exact(x)

        layer.forward = forward


@pytest.mark.parametrize(
    ("name", "rank"), [case for case in HIGHEST if case[0] not in ROUNDING], ids=str
)
def test_autocast_rounds_layers_only(name, rank, randomise, monkeypatch):
    """What a mechanism computes from their results is as exact as without it."""
    case = Case(name, rank, randomise)
    module = case.module.float()
    x, extra = case.inputs(dtype=torch.float32, apart=False)
    rounded = copy.deepcopy(module)
    for layer in rounded.modules():
        if isinstance(layer, LAYERS):
            Precision.round(layer)
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            ours = tensors(module(x, **extra))[0]
        monkeypatch.setattr(torch, "autocast", Precision)
        theirs = tensors(rounded(x, **extra))[0]
    torch.testing.assert_close(ours.float(), theirs.float(), atol=1e-6, rtol=1e-6)
