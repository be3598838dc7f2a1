from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vidattn.attention import (
    Factorised,
    OverTime,
    PerFrame,
    Pooled,
    build,
    catalogue,
    record_maps,
)
from vidattn.errors import ArgumentError


class Spy(nn.Module):
    """Returns what it got, and remembers where it lay."""

    def forward(self, x, *, mask=None, context=None):
        self.x, self.mask, self.context = x, mask, context
        return x


@pytest.fixture
def clip():
    return torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)


def test_per_frame_copies_nothing_of_a_channels_last_clip(clip):
    spy = Spy()
    clip = clip.to(memory_format=torch.channels_last_3d)
    out = PerFrame(spy)(clip)
    assert spy.x.shape == (8, 8, 3, 5)
    assert spy.x.data_ptr() == clip.data_ptr() == out.data_ptr()
    assert spy.x.is_contiguous(memory_format=torch.channels_last)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(out, clip)


class Operations(TorchDispatchMode):
    """Names of all that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["se", "eca"])
def test_per_frame_gate_copies_nothing_forward_or_backward(clip, name):
    gate = build(name, 8, scope="frame").double()
    clip = clip.to(memory_format=torch.channels_last_3d).requires_grad_()
    grad = torch.randn_like(clip)
    with Operations() as operations:
        out = gate(clip)
        out.backward(grad)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    assert clip.grad.is_contiguous(memory_format=torch.channels_last_3d)
    copies = {"clone", "copy_", "contiguous", "_to_copy"}
    assert not copies & set(operations.names), operations.names

    with Operations() as operations:
        gate(clip.detach().contiguous())
    assert "clone" in operations.names, "a contiguous clip is copied: the measure sees it"


def test_per_frame_applies_a_network_to_each_frame(clip):
    network = nn.Sequential(nn.Conv2d(8, 6, 3, stride=2), nn.ReLU()).double()
    expected = torch.stack([network(clip[:, :, t]) for t in range(4)], dim=2)
    torch.testing.assert_close(PerFrame(network)(clip), expected)


@pytest.mark.parametrize(
    "shape", [(2, 1, 4, 3, 5), (2, 1, 4, 1, 1), (1, 1, 4, 1, 1), (2, 1, 1, 3, 5), (1,) * 5]
)
def test_masks_reach_the_right_frames_and_sites(clip, shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5
    whole = mask.expand(2, 1, 4, 3, 5)
    frames, sites = Spy(), Spy()
    PerFrame(frames)(clip, mask=mask)
    OverTime(sites)(clip, mask=mask)
    for n in range(2):
        for t in range(4):
            seen = frames.mask[n * 4 + t].expand(1, 3, 5)
            assert torch.equal(seen, whole[n, :, t])
            assert torch.equal(frames.x[n * 4 + t], clip[n, :, t])
        for i in range(3):
            for j in range(5):
                row = (n * 3 + i) * 5 + j
                assert torch.equal(sites.mask[row].expand(1, 4), whole[n, :, :, i, j])
                assert torch.equal(sites.x[row], clip[n, :, :, i, j])


def test_per_frame_folds_a_clip_context_and_passes_any_other(clip):
    spy = Spy()
    PerFrame(spy)(clip, context=clip * 2)
    assert torch.equal(spy.context, spy.x * 2)
    PerFrame(spy)(clip, context="words")
    assert spy.context == "words"


def test_over_time_applies_a_network_to_each_site(clip):
    network = nn.Conv1d(8, 6, 3, stride=2).double()
    out = OverTime(network)(clip)
    assert out.shape == (2, 6, 1, 3, 5)
    for i in range(3):
        for j in range(5):
            torch.testing.assert_close(out[..., i, j], network(clip[..., i, j]))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_over_time_keeps_the_memory_format(clip, layout):
    out = OverTime(nn.Conv1d(8, 6, 1).double())(clip.to(memory_format=layout))
    assert out.is_contiguous(memory_format=layout)


def test_over_time_lays_pooled_weights_out_in_the_clip(clip, randomise):
    pooler = build("temporal_attention_pooling", 8, spatial_dims=1)
    view = OverTime(randomise(pooler).double())
    mask = torch.tensor([True, True, False, True]).reshape(1, 1, 4, 1, 1)
    with record_maps(view) as maps:
        out = view(clip, mask=mask)
    assert isinstance(out, Pooled)
    assert out.features.shape == (2, 8, 3, 5)
    assert out.scores.shape == (2, 4, 3, 5)
    one = view.module(clip[:, :, :, 1, 2], mask=mask[..., 0, 0])
    torch.testing.assert_close(out.features[..., 1, 2], one.features)
    torch.testing.assert_close(out.weights[..., 1, 2], one.weights)
    torch.testing.assert_close(maps[0].values[:, 0], out.weights.detach())
    assert maps[0].grid == (4, 3, 5)


def test_gate_over_time_is_recorded_in_the_clip(clip, randomise):
    view = OverTime(randomise(build("se", 8, spatial_dims=1)).double())
    with record_maps(view) as maps:
        out = view(clip)
    assert maps[0].values.shape == (2, 8, 1, 3, 5)
    torch.testing.assert_close(out, clip * maps[0].values)


def test_factorised_is_one_after_the_other_with_the_same_mask(clip, randomise):
    first = PerFrame(randomise(build("self_attention", 8, spatial_dims=2, heads=2)).double())
    second = OverTime(randomise(build("se", 8, spatial_dims=1)).double())
    mask = torch.rand(2, 1, 4, 3, 5) < 0.7
    both = Factorised(first, second)
    expected = second(first(clip, mask=mask), mask=mask)
    assert torch.equal(both(clip, mask=mask), expected)
    with record_maps(both) as maps:
        both(clip)
    assert [found.name for found in maps] == ["first.module", "second.module"]
    assert all(found.saliency().shape == (2, 4, 3, 5) for found in maps)


def test_modules_that_know_no_mask_can_be_viewed(clip):
    both = Factorised(PerFrame(nn.Conv2d(8, 8, 1)), OverTime(nn.Conv1d(8, 8, 1))).double()
    assert both(clip).shape == clip.shape


def test_a_view_starts_as_the_identity_where_what_it_views_says_so():
    identity = build("non_local", 8, spatial_dims=2)
    assert identity.starts_as_identity
    other = nn.Conv2d(8, 8, 1)
    for view in (PerFrame, OverTime):
        assert view(identity).starts_as_identity
        assert not view(other).starts_as_identity
    assert Factorised(identity, identity).starts_as_identity
    assert not Factorised(identity, other).starts_as_identity
    assert not Factorised(other, other).starts_as_identity


@pytest.mark.parametrize("view", [PerFrame, OverTime])
def test_an_image_is_refused(view):
    with pytest.raises(
        ValueError, match=r"expected x of shape \(N, C, T, H, W\), got \(2, 8, 3, 5\)"
    ):
        view(Spy())(torch.zeros(2, 8, 3, 5))


def test_views_compile_and_export_with_any_batch_and_time(clip, randomise):
    view = Factorised(
        PerFrame(build("cbam", 8, spatial_dims=2)),
        OverTime(build("self_attention", 8, spatial_dims=1, heads=2)),
    )
    randomise(view).double().eval()
    compiled = torch.compile(view, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(clip), view(clip))
    free = torch.export.Dim.DYNAMIC
    shapes = {"x": {0: free, 2: free}, "mask": {0: free, 2: free}}
    mask = torch.rand(2, 1, 4, 1, 1) < 0.8
    exported = torch.export.export(view, (clip,), {"mask": mask}, dynamic_shapes=shapes)
    longer = torch.randn(3, 8, 7, 3, 5, dtype=torch.float64)
    mask = torch.rand(3, 1, 7, 1, 1) < 0.8
    out = exported.module()(longer, mask=mask)
    torch.testing.assert_close(out, view(longer, mask=mask))


# The mechanisms that take a context and may be used per frame: settings, and contexts of a clip of
# 2 samples, 4 frames and 8 channels, with the frame's own part of each.
CONTEXTS = {
    "attention_gate": ({}, lambda frames: torch.randn(2, 8, frames, 3, 2)),
    "attention_gated_crf": (
        {"senders": 2, "iterations": 1},
        lambda frames: [torch.randn(2, 8, frames, 3, 2), torch.randn(2, 8, frames, 5, 4)],
    ),
    "cross_attention": (  # a context and its mask
        {"heads": 2},
        lambda frames: (torch.randn(2, 8, frames, 3, 2), torch.rand(2, 1, frames, 3, 2) < 0.7),
    ),
    "multi_scale_deformable": (
        {"levels": 3, "heads": 2},
        lambda frames: (torch.randn(2, 8, frames, 3, 2), torch.randn(2, 8, frames, 2, 2)),
    ),
    "token_reorganisation": ({"heads": 2, "tokens": 3}, lambda frames: torch.randn(2, 8)),
}


def test_every_mechanism_with_a_context_is_tried_per_frame():
    taking = {
        name
        for name, facts in catalogue().items()
        if facts.context_meaning is not None and 2 in facts.ranks
    }
    assert taking == set(CONTEXTS)


def of_frame(context, index: int):
    if isinstance(context, torch.Tensor):
        return context[:, :, min(index, context.shape[2] - 1)] if context.ndim == 5 else context
    return [of_frame(one, index) for one in context]


@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("frames", [4, 1])
def test_per_frame_gives_each_frame_its_own_part_of_a_context(name, frames, randomise):
    settings, contexts = CONTEXTS[name]
    torch.manual_seed(0)
    context = contexts(frames)
    module = randomise(build(name, 8, spatial_dims=2, **settings)).eval()
    x = torch.randn(2, 8, 4, 6, 5)
    out = PerFrame(module)(x, context=context)
    for index in range(4):
        alone = module(x[:, :, index], context=of_frame(context, index))
        if isinstance(alone, tuple):
            torch.testing.assert_close(out.features[:, :, index], alone.features)
            torch.testing.assert_close(out.source[:, index], alone.source)
        else:
            torch.testing.assert_close(out[:, :, index], alone)


@pytest.mark.parametrize("shape", [(2, 8, 3, 3, 2), (3, 8, 4, 3, 2), (8, 8, 3, 2), (3, 8)])
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one]])
def test_a_context_of_other_frames_or_samples_is_refused(shape, wrap):
    view = PerFrame(build("attention_gate", 8, spatial_dims=2))
    with pytest.raises(ArgumentError, match=r"context: expected (T of 4|a batch of 2)"):
        view(torch.randn(2, 8, 4, 6, 5), context=wrap(torch.randn(shape)))


def test_over_time_gives_each_site_its_own_part_of_a_context(randomise):
    module = randomise(build("attentive_temporal_pooling", 8, spatial_dims=1)).eval()
    x, context = torch.randn(2, 8, 4, 3, 2), torch.randn(2, 8, 5, 3, 2)
    out = OverTime(module)(x, context=context)
    shared = OverTime(module)(x, context=context[..., 0, 0])
    for row in range(3):
        for column in range(2):
            site = (..., row, column)
            alone = module(x[site], context=context[site])
            torch.testing.assert_close(out.features[site], alone.features)
            alone = module(x[site], context=context[..., 0, 0])
            torch.testing.assert_close(shared.features[site], alone.features)
    with pytest.raises(
        ArgumentError, match=r"context: expected \(N, C, T, H, W\) with H, W of 3, 2"
    ):
        OverTime(module)(x, context=context[..., :1])
