"""Every mechanism stays on the device and in the number type of what it is given."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.attention.test_battery import HIGHEST, Case, tensors, variants
from vidattn.attention import record_maps

AS_BUILT = [(name, rank, {}) for name, rank in HIGHEST]
SLOW_VARIANTS = [pytest.param(*each, marks=pytest.mark.slow) for each in variants()]


def with_wide_heads(settings: dict) -> dict:
    """Which rotary positions need."""
    return {"heads": 2, **settings} if "rotary" in settings else settings


@contextlib.contextmanager
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("name", "rank", "settings"), [*AS_BUILT, *SLOW_VARIANTS], ids=str)
def test_what_is_made_on_the_way_has_the_device_and_type_of_x(name, rank, settings, monkeypatch):
    """On a device without numbers whose types are checked, where the default type is another."""
    case = Case(name, rank, lambda module: module, **with_wide_heads(settings))
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


# Their weights and maps come of products that are no layers.
FUNCTIONS = {
    "conditional_convolution",
    "external_attention",
    "factorised_attention_pooling",
    "global_context",
    "local_self_attention",
    "pooling_attention",
    "recurrent_space_time_pooling",
    "shifted_window_v2",
    "spatial_channel_squeeze",
}
# Their last step weighs x, or what layers made of it, in half precision.
ROUNDING = {
    "adaptive_scan_pooling",
    "attentive_temporal_pooling",
    "bottom_up_attention_pooling",
    "channel_affinity",
    "convolutional_temporal_pooling",
    "convolutional_token_learner",
    "dynamic_convolution",
    "gated_recurrent_pooling",
    "interpretable_space_time_pooling",
    "joint_attention_pooling",
    "pooling_attention",
    "space_time_selection",
    "spatial_attention_pooling",
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
    def rounded(cls, exact):
        def run(*given, **settings):
            if cls.outside:
                return exact(*given, **settings)
            with cls.autocast("cpu", dtype=torch.bfloat16):
                return exact(*given, **settings)

        return run


@pytest.mark.parametrize(
    ("name", "rank", "settings"),
    [
        *[one for one in AS_BUILT if one[0] not in FUNCTIONS],
        *[one for one in SLOW_VARIANTS if one.values[0] not in FUNCTIONS],
        ("pooling_attention", 3, {"version": 1}),
    ],
    ids=str,
)
def test_autocast_rounds_layers_only(name, rank, settings, randomise, monkeypatch):
    """What a mechanism computes from their results is as exact as without it."""
    case = Case(name, rank, randomise, **with_wide_heads(settings))
    module = case.module.float()
    x, extra = case.inputs(dtype=torch.float32, apart=False)
    rounded = copy.deepcopy(module)
    for layer in rounded.modules():
        if isinstance(layer, LAYERS):
            layer.forward = Precision.rounded(layer.forward)
    with torch.no_grad(), record_maps(module) as maps, torch.autocast("cpu", torch.bfloat16):
        ours = tensors(module(x, **extra))[0]
    for function in ("linear", "scaled_dot_product_attention"):
        monkeypatch.setattr(F, function, Precision.rounded(getattr(F, function)))
    monkeypatch.setattr(torch, "autocast", Precision)
    with torch.no_grad(), record_maps(rounded) as others:
        theirs = tensors(rounded(x, **extra))[0]
    close = {"atol": 1e-6, "rtol": 1e-6}
    if name not in ROUNDING:
        torch.testing.assert_close(ours.float(), theirs.float(), **close)
    for one, other in zip(maps, others, strict=True):
        torch.testing.assert_close(one.values.float(), other.values.float(), **close)
