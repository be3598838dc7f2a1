from __future__ import annotations

import pytest
import torch

from vidattn.attention.convolutions import (
    BATCH_NORM,
    CONVOLUTION,
    CONVOLVE,
    LINEAR_INTERPOLATION,
    kernel_sizes,
    stored_like,
    strides,
)
from vidattn.errors import ArgumentError


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layers_have_the_axes_that_they_are_listed_for(rank):
    x = torch.randn(2, 3, *(4, 5, 6)[:rank], dtype=torch.float64)
    layer = CONVOLUTION[rank](3, 2, 1).double()
    mixed = torch.einsum("oc,nc...->no...", layer.weight.flatten(1), x)
    expected = mixed + layer.bias.reshape(-1, *[1] * rank)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(CONVOLVE[rank](x, layer.weight, layer.bias), expected)
    assert BATCH_NORM[rank](3).double()(x).shape == x.shape
    larger = torch.nn.functional.interpolate(x, scale_factor=2, mode=LINEAR_INTERPOLATION[rank])
    assert larger.shape[2:] == tuple(2 * size for size in x.shape[2:])


def test_one_size_serves_all_axes_or_each_has_its_own():
    assert kernel_sizes("kernel", 3, 2) == (3, 3)
    assert kernel_sizes("kernel", 1, 1) == (1,)
    assert kernel_sizes("kernel", [1, 3, 5], 3) == (1, 3, 5)
    assert strides("stride", 2, 3) == (2, 2, 2)
    assert strides("stride", 1, 1) == (1,)
    assert strides("stride", [1, 2], 2) == (1, 2)


@pytest.mark.parametrize("size", [0, 2, -1, (3, 3), (3, 3, 4), (3, 3, -3), (3,) * 4])
def test_sizes_of_kernels_must_be_odd_and_as_many_as_axes(size):
    with pytest.raises(ArgumentError, match="kernel: expected 3 odd sizes or one, got"):
        kernel_sizes("kernel", size, 3)


@pytest.mark.parametrize("stride", [0, -1, (1,), (1, 2, 0), (1,) * 4])
def test_strides_must_be_positive_and_as_many_as_axes(stride):
    with pytest.raises(ArgumentError, match="stride: expected 3 strides or one, got"):
        strides("stride", stride, 3)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [((2, 4, 3, 5), torch.channels_last), ((2, 4, 3, 5, 6), torch.channels_last_3d)],
)
def test_storage_is_that_of_the_input(shape, layout):
    x = torch.randn(shape)
    last = x.to(memory_format=layout)
    out = torch.randn(shape)
    for like, given, format_wanted in (
        (x, out, torch.contiguous_format),
        (x, out.to(memory_format=layout), torch.contiguous_format),
        (last, out, layout),
        (last, out.to(memory_format=layout), layout),
    ):
        stored = stored_like(like, given)
        assert stored.is_contiguous(memory_format=format_wanted)
        assert torch.equal(stored, out)
    assert stored_like(last, last) is last


def test_what_is_neither_becomes_contiguous():
    tokens = torch.randn(2, 5, 4).transpose(1, 2)
    assert stored_like(tokens, tokens).is_contiguous()
    strided = torch.randn(2, 4, 5, 3).transpose(2, 3)
    stored = stored_like(strided, strided)
    assert stored.is_contiguous()
    assert torch.equal(stored, strided)
    # With one channel both formats are one: the plain strides are taken.
    single = torch.randn(2, 1, 3, 5)
    assert stored_like(single, torch.randn(2, 4, 3, 5)).is_contiguous()
