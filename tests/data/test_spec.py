from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.data import ClipSpec
from vidattn.errors import ArgumentError
from vidattn.sampling import FrameTimes

specs = st.builds(
    ClipSpec,
    frames=st.integers(1, 64),
    frame_stride=st.integers(1, 8),
    short_side=st.integers(64, 256),
    crop_size=st.integers(1, 64),
    frames_per_second=st.none() | st.floats(1, 60),
) | st.builds(ClipSpec, frames=st.integers(1, 64), sampling=st.just("segments"))


@given(specs)
def test_survives_json(spec):
    assert ClipSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frame": 8}, "unknown fields \\['frame'\\]"),
        ({"frames": 0}, "frames"),
        ({"frames": 8.0}, "frames"),
        ({"frames": True}, "frames"),
        ({"frames": "8"}, "frames"),
        ({"sampling": "random"}, "sampling"),
        ({"short_side": 100, "crop_size": 112}, "crop_size: expected at most short_side = 100"),
        ({"mean": [0.5, 0.5]}, "mean"),
        ({"mean": "abc"}, "mean"),
        ({"std": [0.5, 0, 0.5]}, "std"),
        ({"frames_per_second": 0}, "frames_per_second"),
        ({"frames_per_second": "15"}, "frames_per_second"),
        ({"sampling": "segments", "frame_stride": 2}, "segments"),
        ({"sampling": "segments", "frames_per_second": 15}, "segments"),
    ],
)
def test_refuses(values, message):
    with pytest.raises(ArgumentError, match=message):
        ClipSpec.from_json(values)


@given(specs, st.integers(1, 200), st.floats(5, 60), st.integers(1, 5))
def test_indices_exist_and_only_the_end_is_padding(spec, frame_count, fps, views):
    times = FrameTimes.even(frame_count, fps)
    indices, valid = spec.evaluation_indices(times, views)
    assert indices.shape == valid.shape == (views, spec.frames)
    random, random_valid = spec.training_indices(times, np.random.default_rng(0))
    assert random.shape == random_valid.shape == (spec.frames,)
    for row, mask in [*zip(indices, valid, strict=True), (random, random_valid)]:
        assert row.min() >= 0
        assert row.max() < frame_count
        assert (np.diff(row) >= 0).all()
        assert (np.diff(mask.astype(int)) <= 0).all()
        assert (row[~mask] == frame_count - 1).all()


def test_a_short_video_is_padded_not_stretched():
    spec = ClipSpec(frames=5, sampling="segments")
    for indices, valid in (
        spec.training_indices(FrameTimes.even(3, 25), np.random.default_rng(0)),
        (row[0] for row in spec.evaluation_indices(FrameTimes.even(3, 25))),
    ):
        assert indices.tolist() == [0, 1, 2, 2, 2]
        assert valid.tolist() == [True, True, True, False, False]


def test_a_rate_makes_sources_look_alike():
    spec = ClipSpec(frames=8, frames_per_second=6)
    for fps in (6, 12, 24, 30, 60):
        indices, _ = spec.evaluation_indices(FrameTimes.even(int(fps * 10), fps))
        seconds = indices[0] / fps
        assert np.allclose(np.diff(seconds), 1 / 6)
        assert abs(seconds.mean() - 5) < 1 / 6
    assert spec.stride_at(30) == 5
    assert ClipSpec(frame_stride=4).stride_at(12) == 4


def test_needs_no_torch():
    code = (
        "import sys\n"
        "from vidattn.data import ClipSpec, read_annotations\n"
        "assert not {'torch', 'av', 'pytorch_lightning'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
