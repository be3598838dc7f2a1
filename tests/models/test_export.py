"""Exported with an open batch, a recogniser takes any number of clips, each as if it were alone."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vidattn import backbones
from vidattn.backbones.built_in import BUILT_IN
from vidattn.models import Recogniser, RecogniserSpec

REPRESENTATIVES = ("slim", "resnet18_2d")
# One network of each class of ours; the others of a class differ in width and depth.
KINDS = list({place: name for name, place in reversed(BUILT_IN.items())}.values())
# Where every backbone's smallest clip is: strides and kernels fit, and that is all.
FRAMES = {"slowfast_r50": 8, "s3d": 8}


def build(backbone: str, pooling: str) -> Recogniser:
    settings: dict[str, Any] = {}
    if backbone == "slim":  # all that it can see of a clip
        settings = {"inputs": ["colour", "change", "velocity"], "widths": [4, 8]}
        settings |= {"spatial_strides": [2, 2], "temporal_strides": [1, 2]}
    spec = RecogniserSpec(
        classes=("a", "b"), backbone=backbone, backbone_settings=settings, pooling=pooling
    )
    return Recogniser(spec).eval()


def clips(backbone: str, count: int) -> Tensor:
    return torch.randn(count, 3, FRAMES.get(backbone, 4), 32, 32)


def check(network: Recogniser, other: Any, backbone: str) -> None:
    """`other` gives for 1, 3 and 5 clips what the network gives for each clip by itself."""
    with torch.inference_mode():
        for count in (1, 3, 5):
            batch = clips(backbone, count)
            found = other(batch)
            alone = [network(clip[None])[:4] for clip in batch]
            for number, values in enumerate(found[:4]):
                expected = torch.cat([each[number] for each in alone])
                torch.testing.assert_close(values, expected, atol=2e-4, rtol=1e-3)


def check_export(backbone: str, pooling: str) -> None:
    network = build(backbone, pooling)
    # A `Dim` is a promise: export itself fails where the network fixes the number of clips.
    program = torch.export.export(
        network, (clips(backbone, 2),), dynamic_shapes=({0: torch.export.Dim("clips")},)
    )
    check(network, program.module(), backbone)


@pytest.mark.parametrize("backbone", REPRESENTATIVES)
def test_an_exported_recogniser_takes_any_number_of_clips(backbone: str) -> None:
    check_export(backbone, "source" if backbone == "resnet18_2d" else "joint")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", backbones.names())
def test_every_backbone_is_exported_with_an_open_batch(backbone: str) -> None:
    check_export(backbone, "source")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", KINDS)
def test_attention_pooling_is_exported_with_every_kind_of_backbone(backbone: str) -> None:
    check_export(backbone, "joint")


class Tuples(nn.Module):
    """A recogniser as tracing wants it."""

    def __init__(self, network: Recogniser) -> None:
        super().__init__()
        self.network = network

    def forward(self, clip: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(clip)[:4])


def check_trace(backbone: str, pooling: str) -> None:
    network = build(backbone, pooling)
    with warnings.catch_warnings():
        # Tracing is deprecated, and still what the older way to ONNX does; it warns of every
        # size that it takes for a constant, height and width among them.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(Tuples(network), clips(backbone, 2), check_trace=False)
        check(network, traced, backbone)


@pytest.mark.parametrize("backbone", REPRESENTATIVES)
def test_a_traced_recogniser_takes_any_number_of_clips(backbone: str) -> None:
    check_trace(backbone, "source" if backbone == "resnet18_2d" else "joint")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", KINDS)
def test_every_kind_of_backbone_is_traced_with_an_open_batch(backbone: str) -> None:
    check_trace(backbone, "source")
