from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from vidattn.backbones.staged import (
    StagedNetwork,
    Step,
    WindowAverage,
    at_positions,
    check_classes,
)
from vidattn.errors import ArgumentError

HeadPooling = Literal["logits", "probabilities", "whole"]


class Recipe(NamedTuple):
    """How the source builds a network, and where its strides lie.

    Attributes:
        builder: module and function under `pytorchvideo.models`.
        settings: what the source's hub passes to it.
        widths: channels of the stem and of each layer.
        spatial: stride along H and W of the stem and of each layer, likewise.
        temporal: stride along T, likewise.
        softmax: whether the source's head ends in a softmax.
    """

    builder: str
    settings: dict[str, Any]
    widths: tuple[int, ...] = (64, 256, 512, 1024, 2048)
    spatial: tuple[int, ...] = (4, 1, 2, 2, 2)
    temporal: tuple[int, ...] = (1, 1, 1, 1, 1)
    softmax: bool = False


def _x3d(frames: int, size: int) -> Recipe:
    return Recipe(
        "x3d.create_x3d",
        {"input_clip_length": frames, "input_crop_size": size, "head_activation": None},
        widths=(24, 24, 48, 96, 192),
        spatial=(2, 2, 2, 2, 2),
        softmax=True,
    )


RECIPES = {
    "slow_r50": Recipe(
        "resnet.create_resnet",
        {"stem_conv_kernel_size": (1, 7, 7), "head_pool_kernel_size": (8, 7, 7)},
    ),
    "c2d_r50": Recipe(
        "resnet.create_resnet",
        {
            "stem_conv_kernel_size": (1, 7, 7),
            "stage1_pool": nn.MaxPool3d,
            "stage_conv_a_kernel_size": ((1, 1, 1),) * 4,
        },
        temporal=(1, 1, 2, 1, 1),
    ),
    "i3d_r50": Recipe(
        "resnet.create_resnet",
        {
            "stem_conv_kernel_size": (5, 7, 7),
            "stage1_pool": nn.MaxPool3d,
            "stage_conv_a_kernel_size": (
                (3, 1, 1),
                [(3, 1, 1), (1, 1, 1)],
                [(3, 1, 1), (1, 1, 1)],
                [(1, 1, 1), (3, 1, 1)],
            ),
        },
        temporal=(1, 1, 2, 1, 1),
    ),
    "r2plus1d_r50": Recipe(
        "r2plus1d.create_r2plus1d",
        {"dropout_rate": 0.5, "head_activation": None},
        spatial=(2, 2, 2, 2, 2),
        temporal=(1, 1, 1, 2, 2),
        softmax=True,
    ),
    "csn_r101": Recipe(
        "csn.create_csn",
        {"model_depth": 101, "stem_pool": nn.MaxPool3d, "head_pool_kernel_size": (4, 7, 7)},
        temporal=(1, 1, 2, 2, 2),
    ),
    "x3d_xs": _x3d(4, 160),
    "x3d_s": _x3d(13, 160),
    "x3d_m": _x3d(16, 224),
}


class VideoBlocks(StagedNetwork):
    """pytorchvideo's single-pathway networks: Slow, C2D, I3D, R(2+1)D, CSN and X3D.

    Stages: stem, layer1 … layer4. c2d_r50 and i3d_r50 pool pairs of frames before layer2: from
    there on features are centred on frame 0.5 + 2·t; all others on multiples of the stride.

    Args:
        variant: one of `RECIPES`.
        classes: size of the source's head; None for no head.
        temporal_stride: total stride along T; None keeps the source's.
        head_pooling: what the head makes of features larger than its pooling window, as crops
            larger than in training give: the mean of the "logits" of all places of the window,
            of their "probabilities", or no window but the "whole" averaged. None is
            pytorchvideo's own: probabilities for r2plus1d_r50 and X3D, else logits.
        shortcut_norm: (X3D) a norm after the first shortcut, which PySlowFast and MMAction2 have.
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)

    def __init__(
        self,
        variant: str,
        *,
        classes: int | None = None,
        temporal_stride: int | None = None,
        head_pooling: HeadPooling | None = None,
        shortcut_norm: bool = False,
    ) -> None:
        recipe = RECIPES[variant]
        network = create(recipe.builder, recipe.settings, check_classes(classes))
        _replace_swish(network)
        if shortcut_norm:
            _add_shortcut_norm(network, variant)
        pooled = "stage1_pool" in recipe.settings
        last = len(network.blocks) - 1
        super().__init__(
            network,
            steps=_steps(recipe, pooled=pooled),
            variant=variant,
            classes=classes,
            head_path=f"blocks.{last}",
            classifier_path=f"blocks.{last}.proj",
            temporal_stride=temporal_stride,
        )
        if classes is not None:
            lowered = math.prod(recipe.temporal) // self.stages[-1].stride[0]
            own: HeadPooling = "probabilities" if recipe.softmax else "logits"
            _open_head(network.blocks[last], lowered, check_pooling(head_pooling) or own)

    def _classify(self, x: Tensor) -> Tensor:
        return self.network.get_submodule(self.head_path)(x)

    def position_logits(self, features: Tensor) -> Tensor | None:
        """See `Backbone.position_logits`; None for X3D, whose head has a layer behind its mean."""
        if self.variant.startswith("x3d"):
            return None
        return at_positions(self.network.get_submodule(self.classifier_path), features)


class AverageProbabilities(nn.Module):
    """Logits at several positions -> logits of the mean of their softmax.

    Some sources apply softmax at each position, then average. These logits, (N, C), have exactly
    that average as their softmax; from a single position they are the position's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C)."""
        x = x.flatten(2)
        level = torch.logsumexp(x, 1, keepdim=True)
        mean = torch.logsumexp(x - level, 2) - math.log(x.shape[2])
        return mean + level.mean(2)


def create(builder: str, settings: dict[str, Any], classes: int | None) -> Any:
    """Call a function of `pytorchvideo.models`, such as "resnet.create_resnet"."""
    module, _, function = builder.partition(".")
    with warnings.catch_warnings():
        # fvcore, which it imports, still scripts two losses with torch.jit.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.")
        package = import_module(f"pytorchvideo.models.{module}")
    return getattr(package, function)(**settings, model_num_class=classes or 1)


def _replace_swish(network: nn.Module) -> None:
    """Put torch's own function in: the source's backward pass relies on a deprecated attribute."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "Swish":
                setattr(module, name, nn.SiLU())


def _steps(recipe: Recipe, *, pooled: bool) -> list[Step]:
    steps, block = [], 0
    for number, width in enumerate(recipe.widths):
        modules: tuple[str, ...] = (f"blocks.{block}",)
        shift = 0.0
        if pooled and number == 2:
            block += 1
            modules, shift = (*modules, f"blocks.{block}"), 0.5
        spatial, temporal = recipe.spatial[number], recipe.temporal[number]
        name = f"layer{number}" if number else "stem"
        steps.append(Step(name, width, (temporal, spatial, spatial), modules, (shift, 0.0, 0.0)))
        block += 1
    return steps


def check_pooling(head_pooling: HeadPooling | None) -> HeadPooling | None:
    """`head_pooling` itself, or an ArgumentError where it is none."""
    if head_pooling is not None and head_pooling not in get_args(HeadPooling):
        raise ArgumentError(
            f"head_pooling: expected one of {get_args(HeadPooling)} or None, got {head_pooling!r}"
        )
    return head_pooling


def _add_shortcut_norm(network: Any, variant: str) -> None:
    block = network.blocks[1].res_blocks[0]
    if not variant.startswith("x3d"):
        raise ArgumentError(f"shortcut_norm: only X3D lacks it, got {variant}")
    block.branch1_norm = nn.BatchNorm3d(block.branch1_conv.out_channels)


def _open_head(head: Any, lowered: int, pooling: HeadPooling) -> None:
    """Let the head take other clip sizes, and return logits.

    Args:
        head: the source's.
        lowered: how many times longer T' is than with the source's stride; the pooling window
            grows with it, to span the same frames.
        pooling: see `VideoBlocks`.
    """
    holder = head.pool if hasattr(head.pool, "pool") else head
    frames, height, width = (int(size) for size in holder.pool.kernel_size)
    if pooling == "whole":
        holder.pool = nn.AdaptiveAvgPool3d(1)
    else:
        holder.pool = WindowAverage((frames * lowered, height, width))
    if pooling == "probabilities":
        head.output_pool = AverageProbabilities()
