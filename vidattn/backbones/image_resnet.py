from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.backbones.staged import StagedNetwork, Step, at_positions, check_classes


class ImageResNet(StagedNetwork):
    """torchvision's image ResNets, frame by frame; and TSM, in which frames exchange channels.

    T is folded into the batch inside each stage and unfolded at its end, so that stages exchange
    (N, C, T, H, W) and what is inserted between them sees time. On `channels_last_3d` clips
    neither copies. Stages: stem, layer1 … layer4. The logits are the mean of the frames' own.

    In tsm_r50 each residual branch begins with a shift over time: an eighth of the channels comes
    from the next frame, an eighth from the one before. Nothing of it is learned, so its weights
    are those of resnet50.
    Source: He et al., CVPR 2016; Lin, Gan, Han, ICCV 2019.

    Args:
        variant: "resnet18_2d", "resnet34_2d", "resnet50_2d" or "tsm_r50".
        classes: size of the source's head; None for no head.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, variant: str, *, classes: int | None = None) -> None:
        from torchvision import models

        shifted = variant == "tsm_r50"
        source = "resnet50" if shifted else variant.removesuffix("_2d")
        network = getattr(models, source)(num_classes=check_classes(classes) or 1)
        expansion = 4 if source == "resnet50" else 1
        container = ShiftedSequential if shifted else FramewiseSequential
        for name in ("layer1", "layer2", "layer3", "layer4"):
            setattr(network, name, container(*network.get_submodule(name)))
        network.maxpool = FramewiseMaxPool(3, stride=2, padding=1)
        layers = []
        for number in range(4):
            name, stride = f"layer{number + 1}", 2 if number else 1
            layers.append(Step(name, (64 << number) * expansion, (1, stride, stride), (name,)))
        super().__init__(
            network,
            steps=[Step("stem", 64, (1, 4, 4), ("maxpool",)), *layers],
            variant=variant,
            classes=classes,
            head_path="fc",
            classifier_path="fc",
        )
        self.mixes_frames = shifted

    def _enter(self, clip: Tensor) -> Tensor:
        network = self.network
        x = network.relu(network.bn1(network.conv1(fold_frames(clip))))
        return unfold_frames(x, clip.shape[0])

    def _classify(self, x: Tensor) -> Tensor:
        frames = self.network.avgpool(fold_frames(x)).flatten(1)
        return self.network.fc(frames).unflatten(0, (x.shape[0], -1)).mean(1)

    def position_logits(self, features: Tensor) -> Tensor:
        """See `Backbone.position_logits`."""
        return at_positions(self.network.fc, features)


class FramewiseSequential(nn.Sequential):
    """Image modules in order, on each frame of (N, C, T, H, W); children keep their names."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H', W')."""
        return unfold_frames(super().forward(fold_frames(x)), x.shape[0])


class ShiftedSequential(nn.Sequential):
    """Bottleneck blocks on (N, C, T, H, W), frames exchanging channels in each one's branch."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H', W')."""
        for block in self:
            x = unfold_frames(_shifted_block(block, x), x.shape[0])
        return x


class FramewiseMaxPool(nn.MaxPool2d):
    """Image max pooling on each frame of (N, C, T, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, T, H', W')."""
        return unfold_frames(super().forward(fold_frames(x)), x.shape[0])


def _shifted_block(block: Any, x: Tensor) -> Tensor:
    """One bottleneck block of torchvision's, its first convolution on shifted channels."""
    y = block.relu(block.bn1(block.conv1(fold_frames(shift_frames(x)))))
    y = block.relu(block.bn2(block.conv2(y)))
    y = block.bn3(block.conv3(y))
    shortcut = fold_frames(x)
    if block.downsample is not None:
        shortcut = block.downsample(shortcut)
    return block.relu(y + shortcut)


def shift_frames(x: Tensor, division: int = 8) -> Tensor:
    """(N, C, T, H, W): C / division channels from the next frame, as many from the one before."""
    moved = x.shape[1] // division
    coming, past, rest = x.split([moved, moved, x.shape[1] - 2 * moved], 1)
    coming = F.pad(coming[:, :, 1:], (0, 0, 0, 0, 0, 1))
    past = F.pad(past[:, :, :-1], (0, 0, 0, 0, 1, 0))
    return torch.cat([coming, past, rest], 1)


def fold_frames(x: Tensor) -> Tensor:
    """(N, C, T, H, W) -> (N·T, C, H, W); a view where x is `channels_last_3d`."""
    return x.transpose(1, 2).flatten(0, 1)


def unfold_frames(x: Tensor, clips: int) -> Tensor:
    """(N·T, C, H, W) -> (N, C, T, H, W) with N = `clips`; always a view."""
    return x.unflatten(0, (clips, -1)).transpose(1, 2)
