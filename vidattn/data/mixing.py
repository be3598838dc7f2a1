from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torchvision import tv_tensors
from torchvision.transforms import v2

from vidattn.data.collate import ClipBatch
from vidattn.errors import ArgumentError


class Mixing(nn.Module):
    """Mixup and CutMix of a batch: each clip is mixed with the one before it, labels alike.

    All frames of a clip are mixed alike. With both on, each batch gets one of them at random.
    Uses torch's global random numbers, as torchvision's transforms do.

    Args:
        classes: number of classes.
        mixup_alpha, cutmix_alpha: of the Beta(α, α) that the share is drawn from; 0 is off.

    Source: Zhang et al., mixup, ICLR 2018; Yun et al., CutMix, ICCV 2019.
    """

    def __init__(
        self, classes: int, *, mixup_alpha: float = 0.0, cutmix_alpha: float = 0.0
    ) -> None:
        super().__init__()
        if min(mixup_alpha, cutmix_alpha) < 0 or max(mixup_alpha, cutmix_alpha) == 0:
            raise ArgumentError(
                "expected mixup_alpha or cutmix_alpha above 0 and none below, "
                f"got {mixup_alpha} and {cutmix_alpha}"
            )
        self.classes = classes
        self.choices: list[nn.Module] = []
        if mixup_alpha:
            self.choices.append(v2.MixUp(alpha=mixup_alpha))
        if cutmix_alpha:
            self.choices.append(v2.CutMix(alpha=cutmix_alpha))

    def forward(self, batch: ClipBatch) -> ClipBatch:
        """Float pixels mixed, labels as float32 (N, classes); a frame real in either is valid."""
        chosen = self.choices[int(torch.randint(len(self.choices), ()))]
        labels = batch.labels
        if labels.ndim == 1:
            labels = one_hot(labels, self.classes).float()
        # torchvision takes videos as (N, T, C, H, W).
        video = tv_tensors.Video(batch.pixels.transpose(1, 2))
        mixed, labels = chosen(video, labels)
        pixels: Tensor = mixed.as_subclass(torch.Tensor).transpose(1, 2)
        return replace(
            batch,
            pixels=pixels.contiguous(memory_format=torch.channels_last_3d),
            target=labels,
            valid=batch.valid | batch.valid.roll(1, 0),
        )
