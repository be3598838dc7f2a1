from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vidattn.data import ClipDataset, ClipSpec, UnreadableVideosError, read_annotations
from vidattn.data.dataset import Draw
from vidattn.data.failures import Failure
from vidattn.errors import ArgumentError
from vidattn.video import open_video

SPEC = ClipSpec(frames=4, frame_stride=2, short_side=32, crop_size=24)
CLASSES = ["fall", "rise"]


def dataset_of(samples, *, training=False, spec=SPEC, **settings) -> ClipDataset:
    return ClipDataset(samples, spec=spec, classes=CLASSES, training=training, **settings)


def only(item):
    assert len(item) == 1
    return item[0].clip


def test_training_clips_stack_and_know_where_they_are_from(small_set: Path):
    dataset = dataset_of(read_annotations(small_set), training=True)
    assert len(dataset) == 6
    for index in range(6):
        clip = only(dataset[index])
        assert clip.pixels.shape == (4, 3, 32, 32)
        assert clip.geometry.size == (32, 32)
        source = clip.geometry.source_size
        x1, y1, x2, y2 = clip.geometry.window
        assert x1 >= 0
        assert y1 >= 0
        assert x2 <= source[1] + 1e-6
        assert y2 <= source[0] + 1e-6
        # The shorter side is seen whole: 48 pixels as 32.
        assert (x2 - x1, y2 - y1) == pytest.approx((48, 48), abs=1)
        assert dataset[index][0].target.item() == index // 3


def test_evaluation_clip_is_the_centre(make_video, make_sample, frame_numbers):
    path = make_video("v.mp4", frames=21, size=(48, 64), fps=25)
    clip = only(dataset_of([make_sample(path)])[0])
    assert clip.indices.tolist() == [7, 9, 11, 13]
    assert frame_numbers(clip.pixels) == [7, 9, 11, 13]
    assert clip.seconds.tolist() == pytest.approx([7 / 25, 9 / 25, 11 / 25, 13 / 25])
    assert clip.valid.all()
    assert clip.pixels.shape == (4, 3, 24, 24)
    # 48 × 64 is shown as 32 × 43 (43 for 42.67), the crop starts at row 4 and column 9.
    expected = [9 * 64 / 43, 4 * 1.5, 33 * 64 / 43, 28 * 1.5]
    assert clip.geometry.window == pytest.approx(expected)
    assert clip.geometry.source_size == (48, 64)


def test_pixels_are_the_readers_own(make_video, make_sample):
    path = make_video("v.mp4", frames=12)
    clip = only(dataset_of([make_sample(path)])[0])
    with open_video(str(path)) as reader:
        frames = reader.frames_at(clip.indices.tolist(), short_side=32)
    top, left = (32 - 24) // 2, (frames.size[1] - 24) // 2
    expected = frames.pixels[:, :, top : top + 24, left : left + 24]
    assert torch.equal(clip.pixels, expected)


def test_views_and_crops(make_video, make_sample, frame_numbers):
    path = make_video("v.mp4", frames=27, size=(48, 96))
    items = dataset_of([make_sample(path)], views=3, crops=3)[0]
    assert [item.clip.view for item in items] == list(range(9))
    starts = [item.clip.indices[0].item() for item in items]
    assert starts == [0, 0, 0, 10, 10, 10, 20, 20, 20]
    windows = [item.clip.geometry.window for item in items[:3]]
    assert [window[0] for window in windows] == pytest.approx([0, 30, 60])
    assert [window[2] for window in windows] == pytest.approx([36, 66, 96])
    for item in items[::3]:
        assert frame_numbers(item.clip.pixels) == item.clip.indices.tolist()
    # The right third is dark, whatever the time.
    assert items[2].clip.pixels.max() < 40


def test_short_videos_repeat_their_last_frame(make_video, make_sample, frame_numbers):
    dataset = dataset_of([make_sample(make_video("v.mp4", frames=3))], training=True)
    clip = only(dataset[0])
    assert clip.indices.tolist() == [0, 2, 2, 2]
    assert clip.valid.tolist() == [True, True, False, False]
    assert torch.equal(clip.pixels[1], clip.pixels[3])


def test_small_videos_are_enlarged(make_video, make_sample, frame_numbers):
    path = make_video("v.mp4", size=(16, 20))
    clip = only(dataset_of([make_sample(path)])[0])
    assert clip.pixels.shape == (4, 3, 24, 24)
    assert clip.geometry.source_size == (16, 20)
    assert clip.geometry.window == pytest.approx((4, 2, 16, 14))
    assert frame_numbers(clip.pixels) == clip.indices.tolist()


def test_a_folder_of_images_is_a_video(tmp_path: Path):
    folder = tmp_path / "rise" / "one"
    folder.mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (64, 48), (number, 100, 200)).save(folder / f"{number}.png")
    clip = only(dataset_of(read_annotations(tmp_path))[0])
    assert clip.video_id == "rise/one"
    assert clip.pixels[:, 0, 0, 0].tolist() == clip.indices.tolist() == [2, 4, 6, 8]


def test_slivers_are_refused(make_video, make_sample):
    path = make_video("v.mp4", size=(2, 200))
    failure = dataset_of([make_sample(path)])[0]
    assert isinstance(failure, Failure)
    assert "too elongated" in failure.reason


def test_a_draw_is_a_clip(make_video, make_sample):
    path = make_video("v.mp4", frames=40, size=(48, 96))

    def first_and_window(draw: int | Draw, **settings) -> tuple:
        clip = only(dataset_of([make_sample(path)] * 2, training=True, **settings)[draw])
        return clip.indices[0].item(), clip.geometry.window

    assert first_and_window(0) == first_and_window(Draw(0))
    assert first_and_window(Draw(0, 3, 1)) == first_and_window(Draw(0, 3, 1))
    others = [Draw(0, 4, 1), Draw(0, 3, 2), Draw(1, 3, 1)]
    seen = {first_and_window(draw) for draw in (Draw(0, 3, 1), *others)}
    assert len(seen) == 4
    assert first_and_window(0, seed=1) != first_and_window(0)


def test_training_clips_reach_all_times_and_places(make_video, make_sample):
    path = make_video("v.mp4", frames=10, size=(32, 36))
    dataset = dataset_of([make_sample(path)], training=True, cache_frames=True)
    clips = [only(dataset[Draw(0, epoch)]) for epoch in range(200)]
    assert {clip.indices[0].item() for clip in clips} == {0, 1, 2, 3}
    assert {round(clip.geometry.window[0]) for clip in clips} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("training", [True, False])
def test_cached_frames_are_the_same_frames(small_set: Path, training):
    samples = read_annotations(small_set)
    spec = ClipSpec(frames=4, frames_per_second=10, short_side=32, crop_size=24)
    fresh = dataset_of(samples, training=training, spec=spec)
    kept = dataset_of(samples, training=training, spec=spec, cache_frames=True)
    kept.fill_cache(threads=2)
    for index in range(len(samples)):
        one, two = only(fresh[index]), only(kept[index])
        assert torch.equal(one.pixels, two.pixels)
        assert torch.equal(one.seconds, two.seconds)
        assert torch.equal(one.indices, two.indices)
        assert one.geometry == two.geometry


def test_a_filled_cache_opens_no_file(small_set: Path, monkeypatch):
    dataset = dataset_of(read_annotations(small_set), training=True, cache_frames=True)
    dataset.fill_cache()
    monkeypatch.setattr("vidattn.video.open_video", None, raising=False)
    assert only(dataset[0]).pixels.shape == (4, 3, 32, 32)
    with pytest.raises(ArgumentError, match="cache_frames is off"):
        dataset_of(dataset.samples).fill_cache()


def test_sources_of_any_rate_look_alike(make_video, make_sample):
    spec = ClipSpec(frames=4, frames_per_second=5, short_side=32, crop_size=24)
    for fps in (10, 25, 30):
        path = make_video(f"{fps}.mp4", frames=4 * fps // 5, fps=fps)
        clip = only(dataset_of([make_sample(path)], spec=spec)[0])
        assert np.allclose(np.diff(clip.seconds), 0.2, atol=1e-6)


class TestFailures:
    @pytest.fixture
    def samples(self, tmp_path: Path, make_video, make_sample):
        good = make_video("good.mp4")
        (tmp_path / "empty.mp4").write_bytes(b"")
        (tmp_path / "noise.mp4").write_bytes(b"not a video " * 100)
        names = [tmp_path / "empty.mp4", good, tmp_path / "noise.mp4"]
        return [make_sample(name) for name in names]

    @pytest.mark.parametrize("training", [True, False])
    def test_are_items_that_say_why(self, samples, training):
        dataset = dataset_of(samples, training=training)
        first, second, third = (dataset[index] for index in range(3))
        assert isinstance(first, Failure)
        assert isinstance(third, Failure)
        assert first.path.endswith("empty.mp4")
        assert "empty" in first.reason
        only(second)
        assert set(dataset.failures) == {str(samples[0].path), str(samples[2].path)}

    def test_are_not_tried_again(self, samples, monkeypatch):
        dataset = dataset_of(samples)
        first = dataset[0]
        monkeypatch.setattr("vidattn.video.open_video", None, raising=False)
        assert dataset[0] == first

    def test_beyond_the_limit_are_an_error_that_names_them(self, samples):
        failures = [Failure(f"{number}.mp4", "broken") for number in range(8)]
        dataset = dataset_of(samples * 3, maximum_failures=7)
        dataset.record(failures[:7])
        dataset.record(failures[:7])
        with pytest.raises(UnreadableVideosError, match=r"8 videos .* at most 7 .*0\.mp4: broken"):
            dataset.record(failures)
        dataset_of(samples).record(failures)

    def test_all_videos_are_too_many_whatever_the_limit(self, samples):
        dataset = dataset_of(samples, maximum_failures=100)
        failures = [Failure(str(sample.path), "broken") for sample in samples]
        dataset.record(failures[1:])
        with pytest.raises(UnreadableVideosError, match=f"at most {len(samples) - 1}"):
            dataset.record(failures)

    def test_count_while_the_cache_fills(self, samples):
        dataset = dataset_of(samples, cache_frames=True, maximum_failures=1)
        with pytest.raises(UnreadableVideosError, match=r"empty\.mp4") as caught:
            dataset.fill_cache()
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value)
        assert again.failures == dataset.failures


def test_refuses_settings_that_do_not_fit(make_sample):
    samples = [make_sample("v.mp4")]
    for settings in ({"views": 0}, {"crops": 2}, {"seed": -1}, {"training": True, "views": 2}):
        with pytest.raises(ArgumentError):
            dataset_of(samples, **settings)
    with pytest.raises(IndexError):
        dataset_of(samples)[1]
