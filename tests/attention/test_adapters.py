"""Each layout against the weights as the network itself applies or returns them."""

from __future__ import annotations

import copy
from functools import partial
from itertools import product
from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidattn.attention import PerFrame, RecordingError, adapt, build, record_maps
from vidattn.attention.capture import fused_weights
from vidattn.errors import ArgumentError


def hooks(network: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()
    )


def recorded(network: nn.Module, x, *, full: bool = False, **settings):
    """Maps by name; the network gives the same numbers and is left as it was."""
    adapted = adapt(network, **settings)
    before = hooks(network)
    with torch.no_grad():
        expected = network(x)
        with record_maps(adapted, affinities="full" if full else "received") as maps:
            out = adapted(x)
    assert torch.equal(first(out), first(expected))
    assert hooks(network) == before
    return {found.name: found for found in maps}


def first(out):
    if isinstance(out, torch.Tensor):
        return out
    return out[0] if isinstance(out, tuple) else out.last_hidden_state


def randomised(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.double().eval()


# torch.nn.MultiheadAttention


class Encoder(nn.Module):
    """One attention, in a network that calls it in one of the ways there are."""

    def __init__(self, **settings) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **settings)

    def forward(self, x, **given):
        return self.attention(x, x, x, need_weights=False, **given)[0]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("extra", [{}, {"add_bias_kv": True, "add_zero_attn": True}])
def test_multihead_attention_of_torch(batch_first, extra):
    network = randomised(Encoder(batch_first=batch_first, **extra))
    x = torch.randn(3, 13, 8, dtype=torch.float64)
    x = x if batch_first else x.transpose(0, 1)
    adapted = adapt(network, grid=(2, 2, 3), prefix_tokens=1)
    hidden = torch.rand(3, 13) < 0.3
    hidden[:, 0] = False
    for given in ({}, {"key_padding_mask": hidden}):
        expected = network.attention(x, x, x, average_attn_weights=False, **given)[1]
        with record_maps(adapted, affinities="full") as maps:
            out = adapted(x, **given)
        torch.testing.assert_close(out, network(x, **given), atol=1e-12, rtol=1e-12)
        found = maps.named("attention")
        torch.testing.assert_close(found.affinity, expected, atol=1e-12, rtol=1e-12)
        received = expected.mean(2)[:, :, 1:13].reshape(3, 2, 2, 2, 3)
        torch.testing.assert_close(found.values, received, atol=1e-12, rtol=1e-12)
        assert found.grid == (2, 2, 3)


def test_encoder_whose_fast_path_would_skip_the_attention():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
    network = randomised(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    adapted = adapt(network)
    with torch.no_grad(), record_maps(adapted) as maps:
        out = adapted(x)
    assert [found.name for found in maps] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert maps[0].grid == (6, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(out, network(x), atol=1e-12, rtol=1e-12)
        seen = network.layers[0](x)
        _, weights = network.layers[1].self_attn(seen, seen, seen, average_attn_weights=False)
    torch.testing.assert_close(maps[1].values[..., 0, 0], weights.mean(2))


def test_per_frame_lays_frames_along_time():
    network = randomised(Encoder(batch_first=True))

    class Image(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen = adapt(network, grid=(2, 3))

        def forward(self, x):
            return self.seen(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, (2, 3))

    clip = torch.randn(2, 8, 4, 2, 3, dtype=torch.float64)
    view = PerFrame(Image())
    with record_maps(view) as maps:
        view(clip)
    found = maps.named("module.seen.attention")
    assert found.saliency().shape == (2, 4, 2, 3)
    tokens = clip[1, :, 2].flatten(1).T.unsqueeze(0)
    weights = network.attention(tokens, tokens, tokens, average_attn_weights=False)[1]
    torch.testing.assert_close(found.values[1, :, 2].flatten(1), weights[0].mean(1))


@pytest.mark.parametrize("given", ["none", "bool", "float", "causal", "scale", "groups"])
def test_weights_of_the_fused_kernel_are_those_that_mix_its_values(given):
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    query, key, value = draw(2, 4, 5, 3), draw(2, 4, 7, 3), draw(2, 4, 7, 6)
    if given == "groups":
        key, value = key[:, :2], value[:, :2]
    settings = {
        "none": {},
        "bool": {"attn_mask": draw(2, 1, 5, 7) > -0.5},
        "float": {"attn_mask": draw(2, 4, 5, 7)},
        "causal": {"is_causal": True},
        "scale": {"scale": 0.3},
        "groups": {"enable_gqa": True},
    }[given]
    expected = F.scaled_dot_product_attention(query, key, value, **settings)
    if given == "groups":
        value = value[:, [0, 0, 1, 1]]
    weights = fused_weights(query, key, value, **settings)
    torch.testing.assert_close(weights @ value, expected, atol=1e-12, rtol=1e-12)


# torchvision


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 1, 2)])
@pytest.mark.parametrize("grid", [(4, 5, 6), (1, 4, 7)])
def test_swin3d_windows_are_where_the_network_reads(grid, shift):
    """The network is asked itself: value 1 at one position shows who reads how much from there."""
    from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

    heads, channels = 2, 8
    module = ShiftedWindowAttention3d(channels, [2, 2, 4], list(shift), heads)
    module = randomised(module)
    with torch.no_grad():
        for parameter in (module.qkv.bias, module.proj.bias, module.qkv.weight[:, -1]):
            parameter.zero_()  # the last channel says nothing to queries and keys
        values = module.qkv.weight[2 * channels :]
        values.zero_()
        values[[0, channels // heads], -1] = 1  # and is all that the values carry
        module.proj.weight.copy_(torch.eye(channels))
    length = prod(grid)
    x = torch.randn(1, *grid, channels, dtype=torch.float64)
    asked = x.expand(length, -1, -1, -1, -1).clone()
    asked[..., -1] = torch.eye(length, dtype=torch.float64).reshape(length, *grid)
    with torch.no_grad():
        out = module(asked)[..., [0, channels // heads]].flatten(1, 3)  # (key, query, heads)
    readers = (out > 0).sum(1).clamp(min=1)
    expected = (out.sum(1) / readers).T.reshape(1, heads, *grid)

    found = recorded(module, x)[""]
    torch.testing.assert_close(found.values, expected, atol=1e-12, rtol=1e-12)
    assert found.grid == grid


def test_swin3d_network():
    from torchvision.models.video.swin_transformer import SwinTransformer3d

    network = randomised(SwinTransformer3d([2, 4, 4], 4, [2, 2], [2, 2], [2, 3, 3], num_classes=3))
    maps = recorded(network, torch.randn(2, 3, 8, 28, 36, dtype=torch.float64))
    assert [(name, found.grid) for name, found in maps.items()] == [
        ("features.0.0.attn", (4, 7, 9)),
        ("features.0.1.attn", (4, 7, 9)),
        ("features.2.0.attn", (4, 4, 5)),
        ("features.2.1.attn", (4, 4, 5)),
    ]


def small_mvit(*, rel_pos: bool):
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    blocks = [
        MSBlockConfig(1, 4, 8, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 2, 2]),
        MSBlockConfig(2, 8, 8, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 2, 1]),
        MSBlockConfig(2, 8, 8, [], [], [], []),
    ]
    return randomised(
        MViT((32, 24), 8, blocks, True, True, rel_pos, True, num_classes=3)
    )  # patches: 4 × 8 × 6


@pytest.mark.parametrize("rel_pos", [True, False])
def test_mvit(rel_pos):
    network = small_mvit(rel_pos=rel_pos)
    x = torch.randn(2, 3, 8, 32, 24, dtype=torch.float64)
    inputs = {}
    handles = [
        block.attn.register_forward_pre_hook(
            lambda module, given, index=index: inputs.__setitem__(index, given)
        )
        for index, block in enumerate(network.blocks)
    ]
    network(x)
    for handle in handles:
        handle.remove()
    maps = recorded(network, x, full=True)
    for index, grid in enumerate([(4, 4, 3), (4, 4, 6), (4, 4, 3)]):
        found = maps[f"blocks.{index}.attn"]
        expected = mvit_weights(network.blocks[index].attn, *inputs[index])
        torch.testing.assert_close(found.affinity, expected, atol=1e-12, rtol=1e-12)
        received = expected.mean(2)[..., 1:].reshape(found.values.shape)
        torch.testing.assert_close(found.values, received, atol=1e-12, rtol=1e-12)
        assert found.grid == tuple(found.values.shape[2:]) == grid


def mvit_weights(module, x, thw):
    """The weights in loops, and by the network's own pooling only."""
    batch, length, _ = x.shape
    query, key, _ = (
        part.reshape(batch, length, module.num_heads, -1).transpose(1, 2)
        for part in module.qkv(x).chunk(3, dim=2)
    )
    query, asked = (query, thw) if module.pool_q is None else module.pool_q(query, thw)
    key, keys = (key, thw) if module.pool_k is None else module.pool_k(key, thw)
    scores = query @ key.transpose(2, 3) / module.head_dim**0.5
    if module.rel_pos_h is not None:
        tables = (module.rel_pos_t, module.rel_pos_h, module.rel_pos_w)
        tables = [
            F.interpolate(table.T[None], size=2 * max(q, k) - 1, mode="linear")[0].T
            for table, q, k in zip(tables, asked, keys, strict=True)
        ]
        for i, at in enumerate(product(*map(range, asked)), start=1):
            for j, to in enumerate(product(*map(range, keys)), start=1):
                for axis, table in enumerate(tables):
                    q, k = asked[axis], keys[axis]
                    apart = at[axis] * max(k / q, 1) - (to[axis] + 1 - k) * max(q / k, 1)
                    scores[:, :, i, j] += query[:, :, i] @ table[int(apart)]
    return scores.softmax(3).detach()


# What holds for all


def test_nothing_known_is_an_error():
    with pytest.raises(ArgumentError, match="holds no attention known here"):
        adapt(build("se", 8))


def test_a_grid_that_does_not_fit_is_an_error():
    adapted = adapt(Encoder(batch_first=True), grid=(2, 3))
    message = "13 keys are not 0 tokens in front and a grid of 2"
    with pytest.raises(RecordingError, match=message), record_maps(adapted):
        adapted(torch.randn(1, 13, 8))
    assert hooks(adapted.network) == 0


def test_not_recorded_means_untouched_and_copies_record_themselves():
    network = Encoder(batch_first=True).eval()
    adapted = adapt(network)
    x = torch.randn(1, 5, 8)
    assert torch.equal(adapted(x), network(x))
    twin = copy.deepcopy(adapted)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    with record_maps(twin) as maps:
        twin(x)
    assert maps[0].values.std() > 0
    assert list(adapted.state_dict()) == [f"network.{name}" for name in network.state_dict()]


def test_an_error_in_the_network_leaves_no_hooks():
    network = Encoder(batch_first=True)
    adapted = adapt(network)
    with pytest.raises((AssertionError, RuntimeError)), record_maps(adapted):
        adapted(torch.randn(1, 5, 7))
    assert hooks(network) == 0


# Libraries that return their own weights


@pytest.mark.oracle
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_videomae(implementation):
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=6, tubelet_size=2, hidden_size=16,
        num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        attn_implementation=implementation,
    )  # fmt: skip
    network = randomised(transformers.VideoMAEModel(config))
    clip = torch.randn(2, 6, 3, 32, 32, dtype=torch.float64)
    maps = recorded(network, clip, full=True)
    network.set_attn_implementation("eager")
    expected = network(clip, output_attentions=True).attentions
    assert len(maps) == len(expected) == 2
    for found, weights in zip(maps.values(), expected, strict=True):
        torch.testing.assert_close(found.affinity, weights, atol=1e-12, rtol=1e-12)
        received = weights.mean(2).reshape(2, 2, 3, 4, 4)
        torch.testing.assert_close(found.values, received, atol=1e-12, rtol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["divided_space_time", "space_only", "joint_space_time"])
def test_timesformer(kind):
    transformers = pytest.importorskip("transformers")
    config = transformers.TimesformerConfig(
        image_size=24, patch_size=8, num_frames=4, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=16, attention_type=kind,
    )  # fmt: skip
    network = randomised(transformers.TimesformerModel(config))
    clip = torch.randn(2, 4, 3, 24, 24, dtype=torch.float64)
    maps = recorded(network, clip)
    expected = network(clip, output_attentions=True).attentions
    for index, weights in enumerate(expected):
        found = maps[f"encoder.layer.{index}.attention.attention"]
        received = weights.detach().mean(2)[..., 1:]
        if kind == "joint_space_time":  # patches, and the frames of each
            received = received.reshape(2, 2, 3, 3, 4).permute(0, 1, 4, 2, 3)
        else:  # clips, and the frames of each
            received = received.reshape(2, 4, 2, 3, 3).transpose(1, 2)
        torch.testing.assert_close(found.values, received, atol=1e-12, rtol=1e-12)
    if kind == "divided_space_time":
        check_over_time(network, clip, maps)


def check_over_time(network, clip, maps) -> None:
    """These weights the library does not return; its dropout layer sees them."""
    for index, layer in enumerate(network.encoder.layer):
        seen = []
        dropout = layer.temporal_attention.attention.attn_drop
        handle = dropout.register_forward_hook(
            lambda module, given, out, seen=seen: seen.append(out)
        )
        network(clip)
        handle.remove()
        received = seen[0].detach().mean(2).reshape(2, 3, 3, 2, 4).permute(0, 3, 4, 1, 2)
        found = maps[f"encoder.layer.{index}.temporal_attention.attention"]
        torch.testing.assert_close(found.values, received, atol=1e-12, rtol=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("registers", [0, 2])
def test_timm_vision_transformer_per_frame(registers):
    timm = pytest.importorskip("timm")
    from timm.utils import AttentionExtract

    network = timm.models.VisionTransformer(
        img_size=(24, 32), patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3,
        reg_tokens=registers,
    )  # fmt: skip
    network = randomised(network)
    clip = torch.randn(2, 3, 4, 24, 32, dtype=torch.float64)
    view = PerFrame(adapt(network))
    with record_maps(view) as maps:
        out = view(clip)
    expected = torch.stack([network(clip[:, :, t]) for t in range(4)], dim=2)
    torch.testing.assert_close(out, expected)
    for block in network.blocks:
        block.attn.fused_attn = False
    extract = AttentionExtract(network, method="hook")
    for t in range(4):
        for index, weights in enumerate(extract(clip[:, :, t]).values()):
            found = maps.named(f"module.blocks.{index}.attn")
            assert found.saliency().shape == (2, 4, 3, 4)
            received = weights.detach().mean(2)[..., 1 + registers :].reshape(2, 2, 3, 4)
            torch.testing.assert_close(found.values[:, :, t], received, atol=1e-12, rtol=1e-12)
