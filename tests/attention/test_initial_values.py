"""What a new mechanism starts from: its learning rates depend on it, its formula does not.

Layers start as torch's do: weights and biases uniform in ±1 / √(inputs of one output), norms as if
they were not there. `STATED` are all other parameters and buffers, by what the papers, the
authors' code or the docstrings say of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from inspect import Parameter
from math import log, pi, sqrt

import pytest
import torch
from torch import Tensor, nn

from vidattn.attention import build, catalogue

C = 64
GRID = (4, 4, 4)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Spread:
    """Independent random values.

    Attributes:
        low, high: what none is beyond.
        mean, deviation: theirs, of many.
    """

    low: float
    high: float
    mean: float
    deviation: float

    def check(self, values: Tensor) -> None:
        """So far from what is expected comes one in a thousand; seeds are fixed."""
        count = values.numel()
        assert self.low <= values.min()
        assert values.max() <= self.high
        assert abs(values.mean() - self.mean) <= 4 * self.deviation / sqrt(count)
        if count > 3:
            away = (values - self.mean).square().mean().sqrt() / self.deviation
            assert abs(away - 1) <= 4 / sqrt(2 * count)


def normal(deviation: float) -> Spread:
    return Spread(-5 * deviation, 5 * deviation, 0, deviation)


def uniform(low: float, high: float) -> Spread:
    rounding = 1e-6 * (high - low)
    return Spread(low - rounding, high + rounding, (low + high) / 2, (high - low) / sqrt(12))


def xavier(inputs: int, outputs: int) -> Spread:
    bound = sqrt(6 / (inputs + outputs))
    return uniform(-bound, bound)


def shift_taps(channels: int, share: int) -> Tensor:
    """One share of the channels moves each way, the others stay: taps at t - 1, t and t + 1."""
    rows = [(0, 0, 1)] * share + [(1, 0, 0)] * share + [(0, 1, 0)] * (channels - 2 * share)
    return torch.tensor(rows, dtype=torch.float32)


def rings(heads: int, levels: int, points: int) -> Tensor:
    """Deformable DETR: a head's points lie on a ray, one step apart along the nearer axis."""
    turns = torch.arange(heads) * 2 * pi / heads
    rays = torch.stack([turns.cos(), turns.sin()], 1)
    rays = rays / rays.abs().amax(1, keepdim=True)
    return torch.stack([torch.stack([rays * (1 + one) for one in range(points)], 1)] * levels, 1)


EYE = torch.eye(2)
EXPERT = uniform(-((27 * C) ** -0.5), (27 * C) ** -0.5)  # as a convolution of 3 × 3 × 3
WORD = uniform(-((32 * C) ** -0.5), (32 * C) ** -0.5)
ZEROS: dict[str, object] = {"output.weight": 0, "output.bias": 0}
WIDTH = C // 8  # of one of eight heads
STATED: dict[str, dict[str, object]] = {
    "action_excitation": {"shift.weight": shift_taps(C, 8)},
    "attention_gated_crf": {"scale": 1, "shift": 0},
    "attentive_probe": {"probe": normal(0.02)},
    "attentive_temporal_pooling": {"match.weight": uniform(-1 / C, 1 / C)},
    "bottleneck_transformer": {f"relative.{axis}": normal((C // 4) ** -0.5) for axis in "THW"},
    "bottom_up_attention_pooling": {"bottom_up.weight": normal(1e-3)},
    "channel_affinity": {"strength": 0},
    "class_attention": {"token": normal(0.02)},
    "conditional_convolution": {"convolution.weight": EXPERT},
    "context_encoding": {
        "codewords": WORD, "smoothing": uniform(-1, 0),
    },
    "criss_cross": {"gamma": 0},
    "deformable": {"position_bias": normal(0.01)},
    "deformable_convolution": {"offset.weight": 0, "offset.bias": 0},
    "differential": {"balance": normal(0.1)},
    "divided_space_time": {f"temporal.module.{name}": 0 for name in ZEROS},
    "dual_attention": {"position.strength": 0, "channel.strength": 0},
    "dynamic_convolution": {
        "temperature": 30,
        "convolution.weight": EXPERT,
        "convolution.bias": EXPERT,
    },
    "enhancement_interaction": {"interaction.weight": shift_taps(C, 8)},
    "expectation_maximisation": {"bases": normal(C**-0.5)},
    "factorised_encoder": {"spatial.token": normal(0.02), "temporal.token": normal(0.02)},
    "factorised_self_attention": {f"temporal.module.{name}": 0 for name in ZEROS},
    "gated_channel": {"scale": 1, "gate_weight": 0, "gate_bias": 0},
    "global_context": {"excite.weight": 0, "excite.bias": 0},
    "global_local_temporal": {"norm.weight": 0},
    "highway": {"gate.bias": -2},
    "linear_chain": {"transition": EYE},
    "linear_context": {"weight": 0, "bias": 1},
    "linformer": {"key_rows": normal(32**-0.5), "value_rows": normal(32**-0.5)},
    "local_self_attention": {f"position.{axis}": normal(1) for axis in "THW"},
    "mean_field": {"near_weight": 3, "similar_weight": 5, "penalty": 1 - EYE},
    "multi_scale_deformable": {
        "value.weight": xavier(C, C), "value.bias": 0, "output.weight": xavier(C, C),
        "output.bias": 0, "offset.weight": 0, "offset.bias": rings(8, 2, 4),
        "weight.weight": 0, "weight.bias": 0,
    },
    "multi_view_fusion": {"kernels": normal(sqrt(2 / (3 * 32)))},
    "net_vlad": {"centres": normal(C**-0.5)},
    "non_local": ZEROS,
    "pooling_attention": {f"relative.{axis}": normal(0.02) for axis in "THW"},
    "position_attention": {"strength": 0},
    "position_sensitive_axial": {
        f"along.{axis}.module.{name}": spread
        for axis in "THW"
        for name, spread in {
            "relative": normal(WIDTH**-0.5), "query_key_value.weight": normal(C**-0.5)
        }.items()
    },
    "register_self_attention": {"registers": normal(1e-6)},
    "shifted_window": {"position_bias": normal(0.02)},
    "shifted_window_v2": {"log_scale": log(10), "query_bias": 0, "value_bias": 0},
    "shuffle": {
        f"{part}_{name}": float((name == "shift") != (part == "norm"))
        for part in ("channel", "position", "norm")
        for name in ("scale", "shift")
    },
    "spatial_group_enhance": {"scale": 0, "shift": 1},
    "spatial_transformer": {"window.weight": 0, "window.bias": 0},
    "style_recalibration": {"style_weight": 0},
    "temporal_shift": {"kernel.weight": shift_taps(C, 8)},
    "token_fusion": {"mix.weight": 0, "mix.bias": 0},
    "token_reorganisation": {"class_token": normal(0.02)},
}  # fmt: skip
# Their own tests say what these are.
ELSEWHERE = {("frequency_channel", "frequencies"), ("performer", "projection")}


def as_torch_has_it(part: nn.Module, name: str) -> object:
    """What a layer of torch starts from."""
    if isinstance(part, NORMS):
        return 1 if name in ("weight", "running_var") else 0
    assert isinstance(part, nn.Linear | nn.modules.conv._ConvNd), f"{name}: nobody states it"
    bound = part.weight[0].numel() ** -0.5
    return uniform(-bound, bound)


@cache
def started(name: str) -> list[tuple[str, nn.Module, str, Tensor]]:
    """Path, owner, name and value of all that a new one holds."""
    facts = catalogue()[name]
    rank = max(facts.ranks)
    sized = facts.settings.get("grid") is Parameter.empty
    torch.manual_seed(0)
    module = build(name, C, spatial_dims=rank, **({"grid": GRID[:rank]} if sized else {}))
    return [
        (f"{path}.{own}".removeprefix("."), part, own, value.detach().float())
        for path, part in module.named_modules()
        for own, value in (*part._parameters.items(), *part._buffers.items())
        if value is not None
    ]


@pytest.mark.parametrize("name", catalogue())
def test_a_new_one_starts_as_stated(name):
    stated = dict(STATED.get(name, {}))
    for path, part, own, value in started(name):
        if (name, path) in ELSEWHERE:
            continue
        expected = stated.pop(path) if path in stated else as_torch_has_it(part, own)
        if isinstance(expected, Spread):
            expected.check(value)
        else:
            wanted = torch.as_tensor(expected, dtype=torch.float32)
            if wanted.numel() > 1:
                wanted = wanted.reshape(value.shape)
            torch.testing.assert_close(value, wanted.expand_as(value), atol=1e-6, rtol=1e-6)
    assert not stated, "these are not there"


# Of CBAM, of triplet attention, of differential attention and of flax, as their authors have them.
NORM_SETTINGS = {
    "convolutional_block_attention": {"norm": (1e-5, 0.01)},
    "convolutional_token_learner": {"norm": (1e-6, None)},
    "token_fusion": dict.fromkeys(
        ("learner.norm", "token_norm", "mixed_norm", "norm"), (1e-06, None)
    ),
    "token_learner": {"norm": (1e-6, None)},
    "triplet": {f"norms.{branch}": (1e-5, 0.01) for branch in range(4)},
}


@pytest.mark.parametrize("name", catalogue())
def test_norms_have_the_epsilon_and_momentum_of_torch_or_those_stated(name):
    stated = dict(NORM_SETTINGS.get(name, {}))
    parts = {path.rpartition(".")[0]: part for path, part, *_ in started(name)}
    for path, part in parts.items():
        if isinstance(part, NORMS):
            expected = stated.pop(path, (1e-5, 0.1))
            momentum = getattr(part, "momentum", None)
            assert (part.eps, momentum) == (expected[0], expected[1] if momentum else None)
    assert not stated
