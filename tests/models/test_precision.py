"""A recogniser computes in the precision of its weights, whatever the clip has."""

from __future__ import annotations

import copy

import pytest
import torch

from vidattn.models import Recogniser, RecogniserSpec
from vidattn.models.pooling import POOLINGS

SLIM = {
    "widths": [4, 8],
    "spatial_strides": [2, 2],
    "temporal_strides": [1, 2],
    "inputs": ["colour", "velocity"],
}
# Relative steps of the formats, times what a few layers make of them.
TOLERANCE = {torch.float64: 1e-5, torch.bfloat16: 4e-2, torch.float16: 5e-3}


def build(pooling: str, backbone: str = "slim") -> Recogniser:
    settings = SLIM if backbone == "slim" else {}
    spec = RecogniserSpec(
        classes=("a", "b"), backbone=backbone, backbone_settings=settings, pooling=pooling
    )
    return Recogniser(spec).eval()


def check(network: Recogniser, kind: torch.dtype, frames: int, size: int = 32) -> None:
    clip = torch.randn(2, 3, frames, size, size)
    valid = torch.ones(2, frames, dtype=torch.bool)
    valid[1, frames // 2 :] = False
    other = copy.deepcopy(network).to(kind)
    with torch.inference_mode():
        expected, found = network(clip, valid), other(clip, valid)
        again = other(clip.to(kind), valid)
    assert found.logits.dtype == kind
    for name in ("logits", "frame_weights", "region_weights"):
        values, reference = getattr(found, name).float(), getattr(expected, name).float()
        limit = TOLERANCE[kind] * max(float(reference.abs().max()), 1.0)
        torch.testing.assert_close(values, reference, atol=limit, rtol=0)
    torch.testing.assert_close(found.logits, again.logits, atol=0, rtol=0)
    assert (found.frame_weights[1, -1:] == 0).all()  # padding


@pytest.mark.parametrize("kind", TOLERANCE)
@pytest.mark.parametrize("pooling", [*POOLINGS, "source"])
def test_weights_of_other_precision(pooling: str, kind: torch.dtype) -> None:
    check(build(pooling), kind, frames=8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TOLERANCE)
@pytest.mark.parametrize("backbone", ["s3d", "slowfast_r50", "x3d_xs", "i3d_r50", "videomae_s"])
def test_heads_that_pool_in_half_precision(backbone: str, kind: torch.dtype) -> None:
    check(build("source", backbone), kind, frames=16)


def test_half_precision_pools_where_a_cpu_cannot() -> None:
    from vidattn.backbones.staged import average_pool

    x = torch.randn(1, 2, 4, 6, 6)
    expected = x.unfold(2, 2, 1).unfold(3, 3, 1).unfold(4, 3, 1).mean((5, 6, 7))
    for kind in (torch.float16, torch.bfloat16):
        found = average_pool(x.to(kind), (2, 3, 3), stride=1)
        assert found.dtype == kind
        torch.testing.assert_close(found.float(), expected, atol=2e-2, rtol=0)


@pytest.mark.parametrize("pooling", [*POOLINGS, "source"])
def test_shapes_without_memory(pooling: str) -> None:
    with torch.device("meta"):
        network = build(pooling)
    out = network(torch.empty(3, 3, 8, 32, 32, device="meta"))
    assert out.logits.device.type == "meta"
    assert (out.logits.shape, out.frame_weights.shape) == ((3, 2), (3, 4))
    assert out.region_weights.shape == (3, 4, 8, 8)
