from __future__ import annotations

import pytest
import torch

from vidattn.data import ClipBatch, Mixing
from vidattn.errors import ArgumentError
from vidattn.video import Geometry


def batch_of(count: int = 4, *, classes: int = 3, multi_label: bool = False) -> ClipBatch:
    # Clip n is n everywhere: what is mixed can be read from any pixel.
    levels = torch.arange(count).float().view(count, 1, 1, 1, 1)
    labels = torch.arange(count) % classes
    if multi_label:
        labels = torch.eye(classes)[labels]
        labels[:, 0] = 1
    return ClipBatch(
        pixels=levels.expand(count, 3, 2, 16, 16).contiguous(),
        target=labels,
        valid=torch.tensor([[True, number % 2 == 0] for number in range(count)]),
        seconds=torch.zeros(count, 2, dtype=torch.float64),
        indices=torch.zeros(count, 2, dtype=torch.int64),
        geometry=[Geometry.whole((16, 16))] * count,
        video_id=[str(number) for number in range(count)],
        view=[0] * count,
    )


@pytest.mark.parametrize("multi_label", [False, True])
def test_mixup_mixes_pixels_and_labels_by_the_same_share(multi_label):
    torch.manual_seed(0)
    batch = batch_of(multi_label=multi_label)
    mixed = Mixing(3, mixup_alpha=1.0)(batch)
    share = (mixed.pixels[1, 0, 0, 0, 0] - 0) / (1 - 0)  # of clip 1 in clip 1, the rest is clip 0
    assert 0 < share < 1
    hot = batch.labels if multi_label else torch.eye(3)[batch.labels]
    torch.testing.assert_close(mixed.labels, share * hot + (1 - share) * hot.roll(1, 0))
    expected = share * batch.pixels + (1 - share) * batch.pixels.roll(1, 0)
    torch.testing.assert_close(mixed.pixels, expected)
    assert mixed.pixels.is_contiguous(memory_format=torch.channels_last_3d)
    assert type(mixed.pixels) is torch.Tensor
    assert mixed.valid.all()


def test_cutmix_pastes_the_same_box_into_all_frames():
    torch.manual_seed(1)
    mixed = Mixing(3, cutmix_alpha=1.0)(batch_of())
    own = mixed.pixels[2, 0] == 2
    assert torch.equal(own[0], own[1])
    assert set(mixed.pixels[2].unique().tolist()) == {1, 2}
    share = own.double().mean().item()
    assert mixed.labels[2].tolist() == pytest.approx([0, 1 - share, share])


def test_both_take_turns():
    torch.manual_seed(0)
    mixing = Mixing(3, mixup_alpha=1.0, cutmix_alpha=1.0)
    pasted = [set(mixing(batch_of()).pixels[1].unique().tolist()) <= {0, 1} for _ in range(40)]
    assert 5 < sum(pasted) < 35


def test_refuses_nothing_to_mix():
    for settings in ({}, {"mixup_alpha": -1.0, "cutmix_alpha": 1.0}):
        with pytest.raises(ArgumentError):
            Mixing(3, **settings)
