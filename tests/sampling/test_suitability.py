"""Which protocols suit which models, as a table; what suits what is stated by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vidattn.backbones.conversion import layout_names
from vidattn.backbones.conversion.convert import layout
from vidattn.data import ClipSpec
from vidattn.sampling.protocols import protocol, protocol_names
from vidattn.sampling.suitability import filled, mismatches, suitable, warning

LARGE = ClipSpec(frames=16, frame_stride=4, short_side=256, crop_size=224)
# A small one at a rate of its own, on whole frames.
SMALL = ClipSpec(frames=16, short_side=80, crop_size=80, aspect="stretch", frames_per_second=8)
SEGMENTS = ClipSpec(frames=8, sampling="segments", short_side=256, crop_size=224)
IMAGES = replace(SEGMENTS, frames=3)
TORCHVISION = ClipSpec(frames=16, short_side=128, crop_size=112, frames_per_second=15)


@pytest.mark.parametrize(
    ("name", "clip", "words"),
    [
        # What is published: larger crops than in training, other numbers of views and crops.
        ("pyslowfast-10x3", LARGE, []),
        ("mmaction2-10x3", LARGE, []),
        ("mvit-5x1", LARGE, []),
        ("swin-4x3", LARGE, []),
        ("videomae-5x3", LARGE, []),
        ("pyslowfast-10x3", replace(LARGE, short_side=182, crop_size=182), []),
        ("tsm-1x1", SEGMENTS, []),
        ("ssv2-uniform-1x3", SEGMENTS, []),
        ("torchvision-5", TORCHVISION, []),
        ("timesformer-1x3", replace(LARGE, frames=8, frame_stride=32), []),
        ("torchvision-mvit-5", replace(LARGE, frame_stride=1, frames_per_second=7.5), []),
        # One frame a clip for a model that looks at motion.
        ("tsn-25x10", LARGE, ["1 frame a clip, the model was trained on 16"]),
        ("tsn-caffe-25x10", SEGMENTS, ["1 frame a clip, the model was trained on 8"]),
        ("tsn-25x10", replace(LARGE, frames=1), []),
        # Other numbers of frames.
        ("torchvision-swin-12", TORCHVISION, ["32 frames", "224 pixels"]),
        ("torchvision-mvit-5", replace(LARGE, frames=32), ["16 frames a clip"]),
        ("torchvision-mvit-5", replace(LARGE, frames=13), []),
        # Other rates: 4 frames at 30 fps are two at 15.
        ("torchvision-swin-12", replace(LARGE, frames=32), ["0.0667 s apart", "0.133 s"]),
        ("torchvision-swin-12", replace(LARGE, frames=32, frame_stride=2), []),
        ("tsm-dense-10", replace(LARGE, frames=8, frame_stride=8), []),
        ("tsm-dense-10", replace(LARGE, frames=8, frame_stride=2), ["0.267 s apart"]),
        # Spread over the video or a step apart.
        ("tsm-1x1", LARGE, ["spread over the whole video", "0.133 s apart"]),
        ("mmaction2-10x3", SEGMENTS, ["0.0333 s apart", "spread over the whole video"]),
        # Other sizes, other shapes.
        ("pyslowfast-10x3", SMALL, ["256 pixels, in training they had 80", "squares"]),
        ("torchvision-5", LARGE, ["112 pixels", "0.0667 s apart"]),
        ("mmaction2-swin-4x3", replace(LARGE, short_side=340), ["resized to 224", "340"]),
        ("mmaction2-swin-4x3", replace(LARGE, short_side=320), []),
        ("torchvision-5", replace(TORCHVISION, aspect="stretch", crop_size=128), []),
    ],
)
def test_what_suits(name: str, clip: ClipSpec, words: list[str]) -> None:
    found = mismatches(protocol(name), clip)
    for word in words:
        assert any(word in reason for reason in found), found
    assert bool(found) == bool(words), found
    line = warning(protocol(name), clip)
    assert (line is None) == (not words)
    if line is not None:
        assert line.startswith(f"protocol {name} does not suit this model: ")
        assert "\n" not in line


@pytest.mark.parametrize("name", ["tsn-25x10", "tsm-1x1", "pyslowfast-10x3", "torchvision-mvit-5"])
def test_networks_of_single_frames_suit_whatever_number_and_step(name: str) -> None:
    assert mismatches(protocol(name), IMAGES, per_frame=True) == []
    assert mismatches(protocol("torchvision-5"), IMAGES, per_frame=True) != []  # 112 pixels


def networks() -> list[Any]:
    return [
        pytest.param(name, found, id=f"{own}-{name}")
        for own in layout_names()
        for name, found in layout(own).networks.items()
        if found.protocol
    ]


@pytest.mark.parametrize(("name", "conversion"), networks())
def test_published_networks_suit_the_protocol_of_their_figure(name: str, conversion: Any) -> None:
    clip = ClipSpec(**conversion.clip)
    assert mismatches(protocol(conversion.protocol), clip, per_frame=name.endswith("_2d")) == []


def test_every_protocol_is_judged_and_the_line_names_suitable_ones() -> None:
    found = suitable(LARGE)
    assert list(found) == protocol_names()
    line = warning(protocol("tsn-25x10"), LARGE)
    assert line is not None
    named = line.partition("suitable are ")[2]
    assert "pyslowfast-10x3" in named
    assert "tsn" not in named
    assert all(not found[name] for name in named.split(" and ")[0].split(", "))
    none = warning(protocol("pyslowfast-10x3"), SMALL)
    assert none is not None
    assert "without --protocol" in none


def test_open_places_are_filled_at_the_protocols_rate() -> None:
    assert filled(protocol("pyslowfast-10x3"), SMALL).stride == 4  # 8 of 30 a second: 3.75
    assert filled(protocol("mmaction2-10x3"), SMALL, fps=24).stride == 3
    assert filled(protocol("torchvision-5"), SMALL).frames == 16
