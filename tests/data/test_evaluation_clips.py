from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vidattn.data import ClipDataset, ClipSpec
from vidattn.data.dataset import ClipWithTarget
from vidattn.data.evaluation_clips import EvaluationClips
from vidattn.errors import ArgumentError
from vidattn.sampling import FrameTimes
from vidattn.sampling.protocols import protocol, protocol_names
from vidattn.video import open_video

SPEC = ClipSpec(frames=4, frame_stride=2, short_side=32, crop_size=24)


def items(sample, **settings) -> list[ClipWithTarget]:
    dataset = ClipDataset([sample], spec=SPEC, classes=["rise"], training=False, **settings)
    found = dataset[0]
    assert isinstance(found, list), found
    return found


def test_a_protocols_frames_and_squares_are_what_the_network_gets(make_video, make_sample):
    chosen = protocol("pyslowfast-10x3")
    path = make_video("v.mp4", frames=40, size=(60, 80), fps=25)
    clips = items(make_sample(path), protocol=chosen)
    assert len(clips) == 30
    expected = chosen.for_clip(frames=4, stride=2).indices(40, 25.0)
    assert [item.clip.view for item in clips] == list(range(30))
    with open_video(path) as reader:
        whole = reader.frames_at(range(40))
    for number, item in enumerate(clips):
        assert item.clip.indices.tolist() == expected[number // 3].tolist()
        assert item.clip.pixels.shape == (4, 3, 256, 256)
        assert item.clip.valid.all()
    # 60 × 80 is enlarged to 256 × 341: the squares are left, centre and right, to a half pixel.
    windows = [item.clip.geometry.window for item in clips[:3]]
    lefts = [0, 85 / 2 * 80 / 341, 85 * 80 / 341]
    assert [window[0] for window in windows] == pytest.approx(lefts, abs=0.2)
    assert whole.seconds[clips[3].clip.indices].tolist() == clips[3].clip.seconds.tolist()


def test_ten_crops_are_five_places_and_their_mirror_images(make_video, make_sample):
    path = make_video("v.mp4", frames=30, size=(60, 80))
    clips = [item.clip for item in items(make_sample(path), protocol=protocol("tsn-25x10"))]
    windows: dict[tuple, list] = {}
    for clip in clips[:10]:
        windows.setdefault(clip.geometry.window, []).append(clip)
    assert len(windows) == 5
    for pair in windows.values():
        assert sorted(clip.geometry.flipped for clip in pair) == [False, True]
        assert torch.equal(pair[0].pixels, pair[1].pixels.flip(3))


def test_a_size_that_does_not_keep_the_ratio(make_video, make_sample):
    chosen = protocol("torchvision-5")
    path = make_video("v.mp4", frames=40, size=(60, 60), fps=6)
    spec = ClipSpec(frames=16, short_side=128, crop_size=112)
    dataset = ClipDataset(
        [make_sample(path)], spec=spec, classes=["rise"], training=False, protocol=chosen
    )
    clip = dataset[0][0].clip
    assert clip.pixels.shape == (16, 3, 112, 112)
    x1, y1, x2, y2 = clip.geometry.window
    # Square frames were shown 171 wide and 128 high.
    assert (x2 - x1, y2 - y1) == pytest.approx((112 * 60 / 171, 112 * 60 / 128))


def test_a_video_that_a_protocol_leaves_out_is_a_failure(make_video, make_sample):
    path = make_video("v.mp4", frames=4, fps=15)
    dataset = ClipDataset(
        [make_sample(path)],
        spec=ClipSpec(),
        classes=["rise"],
        training=False,
        protocol=protocol("torchvision-5"),
    )
    assert "v.mp4" in dataset[0].path
    assert "frames" in dataset[0].reason


def test_each_frame_is_asked_for_once(make_video, make_sample, monkeypatch):
    asked: list[list[int]] = []
    path = make_video("v.mp4", frames=30, size=(48, 64))
    kind = type(open_video(path))
    frames_at = kind.frames_at

    def noted(self, indices, **settings):
        asked.append(list(indices))
        return frames_at(self, indices, **settings)

    monkeypatch.setattr(kind, "frames_at", noted)
    items(make_sample(path), protocol=protocol("mmaction2-10x3"))
    assert len(asked) == 1
    assert asked[0] == sorted(set(asked[0]))


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_makes_clips(name: str, make_video, make_sample):
    chosen = protocol(name)
    clips = EvaluationClips(SPEC, protocol=chosen)
    indices, valid = clips.indices(FrameTimes.even(400, 25.0))
    assert indices.shape == valid.shape
    assert indices.shape[0] == chosen.views
    assert len(clips.positions(chosen.resize_to or (chosen.short_side, 400))) == chosen.crops
    assert clips.count == chosen.views * chosen.crops
    assert clips.to_json()["protocol"]["name"] == name


def test_strides_are_counted_at_the_rate_of_the_protocol() -> None:
    # Trained at 15 fps, every second frame: at 30 fps that is every fourth.
    spec = ClipSpec(frames=4, frame_stride=2, frames_per_second=15)
    aligned = EvaluationClips(spec, protocol=protocol("pyslowfast-10x3"))
    assert aligned.to_json()["protocol"]["stride"] == 4
    native = EvaluationClips(spec, protocol=protocol("mmaction2-10x3"))
    assert native.to_json()["protocol"]["stride"] is None
    for fps, stride in ((30.0, 4), (60.0, 8), (7.0, 1)):
        assert set(np.diff(native.indices(FrameTimes.even(4000, fps))[0][0]).tolist()) == {stride}


def test_views_are_the_protocols_or_ones_own() -> None:
    with pytest.raises(ArgumentError, match="either"):
        EvaluationClips(SPEC, views=2, protocol=protocol("pyslowfast-10x3"))
    with pytest.raises(ArgumentError, match="crops 1 or 3"):
        EvaluationClips(SPEC, crops=2)


def test_training_has_no_protocol(make_sample):
    with pytest.raises(ArgumentError, match="protocol"):
        ClipDataset(
            [make_sample(Path("v.mp4"))],
            spec=SPEC,
            classes=["rise"],
            training=True,
            protocol=protocol("pyslowfast-10x3"),
        )
