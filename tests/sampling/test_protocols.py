from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.errors import ArgumentError, TooShortError, UnknownNameError
from vidattn.sampling import Protocol, protocol, protocol_names

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocols.md"

ASKED_FOR = [
    "pyslowfast-10x3",
    "mmaction2-10x3",
    "mmaction2-dense",
    "tsn-25x10",
    "tsm-dense-10",
    "torchvision-5",
    "videomae-5x3",
    "swin-4x3",
    "timesformer-1x3",
    "mvit-5x1",
    "ssv2-uniform-1x3",
]


def filled(name: str) -> Protocol:
    found = protocol(name)
    frames, stride = found.usual_clip
    return found.for_clip(frames=frames, stride=stride)


def test_names():
    names = protocol_names()
    assert set(ASKED_FOR) <= set(names)
    assert len(set(names)) == len(names)
    assert all(protocol(name).name == name for name in names)
    with pytest.raises(UnknownNameError, match="did you mean pyslowfast-10x3"):
        protocol("pyslowfast10x3")


@pytest.mark.parametrize("name", protocol_names())
@given(st.integers(64, 900), st.sampled_from([24.0, 25.0, 30.0, 60.0]))
def test_indices_have_the_shape_that_is_said(name, frame_count, fps):
    asked = filled(name)
    try:
        found = asked.indices(frame_count, fps)
    except TooShortError:
        assert name.startswith("torchvision")
        return
    assert found.shape == (asked.views, asked.frames)
    assert found.dtype == np.int64
    assert found.min() >= 0
    assert found.max() < frame_count


@pytest.mark.parametrize("name", protocol_names())
def test_crops_are_as_many_as_said(name):
    asked = protocol(name)
    size = asked.resize_to or (asked.short_side, asked.short_side * 16 // 9)
    found = asked.crop_positions(size)
    assert len(found) == asked.crops
    assert any(one.flipped for one in found) is (asked.crops == 10)


@pytest.mark.parametrize("name", protocol_names())
def test_whole_protocols(name):
    asked = protocol(name)
    assert asked.crop_size <= asked.short_side
    assert asked.short_side == min(asked.resize_to or (asked.short_side,))
    assert asked.aggregation in ("probabilities", "logits")
    assert ("softmax" in asked.summary) is (asked.aggregation == "probabilities") or (
        asked.summary.startswith("as ") or name == "timesformer-1x3"
    )
    told = json.loads(json.dumps(asked.to_json()))
    assert told["sampler"] == asked.sampler.__name__
    assert told["views"] == asked.views
    assert pickle.loads(pickle.dumps(asked)) == asked


def test_only_what_is_open_is_filled_in():
    given_clip = {"frames": 12, "stride": 7}
    assert (filled("tsn-25x10").frames, filled("tsn-25x10").stride) == (1, 1)
    assert protocol("torchvision-swin-12").for_clip(**given_clip).frames == 32
    spread = protocol("ssv2-uniform-1x3").for_clip(**given_clip)
    assert (spread.frames, spread.stride) == (12, 1)
    dense = protocol("mmaction2-10x3").for_clip(**given_clip)
    assert (dense.frames, dense.stride) == (12, 7)


def test_refuses_what_it_cannot_know():
    with pytest.raises(ArgumentError, match="mmaction2-10x3: frames and stride"):
        protocol("mmaction2-10x3").indices(100, 30.0)
    for frame_count, fps in ((0, 30.0), (10, 0.0), (10, float("nan")), (10, float("inf"))):
        with pytest.raises(ArgumentError, match="at least one frame and a frame rate above 0"):
            filled("mmaction2-10x3").indices(frame_count, fps)
    with pytest.raises(ArgumentError, match="1 or more"):
        protocol("mmaction2-10x3").for_clip(frames=0, stride=1).indices(10, 30.0)


def test_protocols_by_hand():
    # 300 frames at 30 fps: ten seconds of Kinetics.
    starts = {name: filled(name).indices(300, 30.0)[:, 0].tolist() for name in protocol_names()}
    ends = {name: filled(name).indices(300, 30.0)[:, -1].tolist() for name in protocol_names()}
    assert starts["pyslowfast-10x3"] == [0, 23, 47, 70, 94, 118, 141, 165, 188, 212]
    assert ends["pyslowfast-10x3"][-1] == 275
    assert starts["mmaction2-10x3"] == [0, 26, 53, 79, 105, 132, 158, 184, 211, 237]
    assert ends["mmaction2-10x3"][-1] == 299
    assert starts["mvit-5x1"] == [0, 59, 118, 177, 236]
    assert starts["swin-4x3"] == [29, 88, 148, 207]
    assert starts["mmaction2-swin-4x3"] == [0, 79, 158, 237]
    assert starts["videomae-5x3"] == [0, 56, 116, 176, 236]
    assert filled("timesformer-1x3").indices(300, 30.0).tolist() == [
        [0, 36, 72, 109, 145, 182, 218, 255]
    ]
    assert filled("mmaction2-timesformer-1x3").indices(300, 30.0)[0].tolist() == [
        *range(37, 262, 32)
    ]
    assert starts["tsm-dense-10"] == [0, 26, 52, 78, 104, 131, 157, 183, 209, 236]
    assert filled("tsm-1x1").indices(300, 30.0).tolist() == [[18, 56, 93, 131, 168, 206, 243, 281]]
    assert starts["torchvision-5"] == [0, 66, 134, 200, 268]
    assert starts["tsn-25x10"][:4] == [6, 18, 30, 42]
    assert starts["tsn-caffe-25x10"][:4] == [0, 12, 24, 36]


def test_projects_disagree_where_it_is_said():
    def indices(name, frame_count, fps):
        return filled(name).indices(frame_count, fps)

    slow, other = indices("pyslowfast-10x3", 300, 30.0), indices("mmaction2-10x3", 300, 30.0)
    assert (slow != other).mean() > 0.85
    # Meant to be the same, and so where the video is long enough and nothing lies on a border.
    np.testing.assert_array_equal(
        protocol("pyslowfast-offset-10x3").for_clip(frames=16, stride=5).indices(300, 30.0),
        filled("mmaction2-aligned-10x3").indices(300, 30.0),
    )


def test_the_document_has_every_protocol_as_it_is():
    from vidattn.cli.protocols import _row

    lines = DOCUMENT.read_text().splitlines()
    for name in protocol_names():
        cells = " | ".join(_row(protocol(name))[1:])
        assert f"| `{name}` | {cells} |" in lines, name
        for figure in protocol(name).figures:
            assert any(figure in line and f"`{name}`" in line for line in lines), figure
