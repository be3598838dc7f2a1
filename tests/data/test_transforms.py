from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from vidattn.data import ClipSpec, EvaluationTransform, TrainTransform
from vidattn.data.transforms import DrawnAugmentation
from vidattn.errors import ArgumentError
from vidattn.video import Geometry

CLIP = ClipSpec(short_side=40, crop_size=32)
PLAIN = ClipSpec(short_side=40, crop_size=32, mean=(0, 0, 0), std=(1, 1, 1))


def random_pixels(count: int = 3, frames: int = 4, height: int = 40, width: int = 40):
    generator = torch.Generator().manual_seed(0)
    shape = (count, frames, height, width, 3)
    rows = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return rows.permute(0, 4, 1, 2, 3)


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_evaluation_normalises_as_torchvision_does():
    pixels = random_pixels()
    result = EvaluationTransform(CLIP)(pixels)
    frames = functional.to_dtype(pixels.transpose(1, 2), torch.float64, scale=True)
    expected = functional.normalize(frames, list(CLIP.mean), list(CLIP.std)).transpose(1, 2)
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last_3d)
    half = EvaluationTransform(CLIP, dtype=torch.bfloat16)(pixels)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, result.bfloat16())


def test_evaluation_has_no_state_to_save():
    assert not EvaluationTransform(CLIP).state_dict()


def test_the_whole_frame_at_its_size_is_only_normalised():
    pixels = random_pixels(height=32, width=32)
    transform = TrainTransform(CLIP, crop_scale=(1, 1), crop_ratio=(1, 1), flip=False)
    result = transform(pixels)
    assert torch.equal(result, EvaluationTransform(CLIP)(pixels))
    assert result.is_contiguous(memory_format=torch.channels_last_3d)


def test_crops_and_flips_as_pillow_does():
    pixels = random_pixels(2, 3)
    boxes = torch.tensor([[3, 5, 30, 20], [0, 10, 40, 30]])
    drawn = DrawnAugmentation(boxes, torch.tensor([False, True]), torch.ones(2, 3))
    result = TrainTransform(PLAIN)(pixels, drawn).mul(255).permute(0, 2, 3, 4, 1).numpy()
    assert result.shape == (2, 3, 32, 32, 3)
    for clip, (top, left, height, width), flip in zip(
        range(2), boxes.tolist(), (False, True), strict=True
    ):
        for frame in range(3):
            image = Image.fromarray(pixels[clip, :, frame].permute(1, 2, 0).numpy())
            box = (left, top, left + width, top + height)
            resized = image.crop(box).resize((32, 32), Image.Resampling.BILINEAR)
            expected = np.asarray(resized)
            if flip:
                expected = expected[:, ::-1]
            assert np.abs(result[clip, frame] - expected).max() < 1.5


def test_frames_of_a_clip_change_alike_and_clips_differ():
    still = random_pixels(1, 1).expand(6, 3, 5, 40, 40)
    result = TrainTransform(CLIP, colour_jitter=0.4, generator=seeded())(still)
    assert all(torch.equal(result[:, :, 0], result[:, :, t]) for t in range(5))
    assert not any(torch.equal(result[0], result[n]) for n in range(1, 6))


def test_draws_stay_in_their_ranges():
    transform = TrainTransform(CLIP, crop_scale=(0.3, 0.6), colour_jitter=0.2, generator=seeded())
    drawn = transform.draw(4000, (60, 100))
    top, left, height, width = drawn.boxes.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 60).all()
    assert (left + width <= 100).all()
    share = (height * width) / 6000
    assert 0.28 < share.min() < 0.33
    assert 0.57 < share.max() < 0.62
    ratio = width / height
    assert ratio.min() > 0.7
    assert ratio.max() < 1.4
    assert drawn.flips.double().mean() == pytest.approx(0.5, abs=0.03)
    assert drawn.colours.min() >= 0.8
    assert drawn.colours.max() <= 1.2
    assert drawn.colours.std(0).min() > 0.1


def test_crops_reach_every_edge():
    drawn = TrainTransform(CLIP, generator=seeded()).draw(3000, (40, 40))
    top, left, height, width = drawn.boxes.T
    smaller = (height < 40) & (width < 40)
    for start, length in ((top, height), (left, width)):
        assert (start[smaller] == 0).any()
        assert (start + length == 40)[smaller].any()


def test_no_flip_where_direction_matters():
    assert not TrainTransform(CLIP, flip=False).draw(200, (40, 40)).flips.any()


def test_the_same_generator_gives_the_same_clips():
    pixels = random_pixels()
    settings = {"colour_jitter": 0.3}
    one = TrainTransform(CLIP, generator=seeded(4), **settings)(pixels)
    two = TrainTransform(CLIP, generator=seeded(4), **settings)(pixels)
    three = TrainTransform(CLIP, generator=seeded(5), **settings)(pixels)
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


@pytest.mark.parametrize("flip", [False, True])
def test_geometry_follows_the_pixels(flip):
    # One bright pixel block in the source must be where the geometry says it is.
    pixels = torch.zeros(1, 3, 1, 40, 40, dtype=torch.uint8)
    pixels[:, :, :, 20:24, 12:16] = 255
    before = Geometry.whole((80, 80), (40, 40))
    drawn = DrawnAugmentation(
        torch.tensor([[8, 4, 24, 24]]), torch.tensor([flip]), torch.ones(1, 3)
    )
    (after,) = drawn.apply_to([before], 32)
    result = TrainTransform(PLAIN)(pixels, drawn)[0, 0, 0]
    x1, y1, x2, y2 = after.to_clip(np.array([[24.0, 40.0, 32.0, 48.0]]))[0]
    rows, columns = torch.nonzero(result > 0.5, as_tuple=True)
    centre = (columns.double().mean() + 0.5, rows.double().mean() + 0.5)
    assert centre[0].item() == pytest.approx((x1 + x2) / 2, abs=0.3)
    assert centre[1].item() == pytest.approx((y1 + y2) / 2, abs=0.3)
    assert after.size == (32, 32)
    assert after.flipped is flip


@pytest.mark.parametrize(
    "settings",
    [
        {"crop_scale": (0, 1)},
        {"crop_scale": (0.8, 0.5)},
        {"crop_scale": (0.5, 1.1)},
        {"crop_ratio": (2, 1)},
        {"colour_jitter": 1.0},
        {"colour_jitter": -0.1},
    ],
)
def test_refuses_settings_out_of_range(settings):
    with pytest.raises(ArgumentError, match=next(iter(settings))):
        TrainTransform(CLIP, **settings)


def test_refuses_floats_and_other_shapes():
    for pixels in (torch.zeros(1, 3, 2, 8, 8), torch.zeros(3, 2, 8, 8, dtype=torch.uint8)):
        for transform in (EvaluationTransform(CLIP), TrainTransform(CLIP)):
            with pytest.raises(ArgumentError, match="expected uint8"):
                transform(pixels)
