"""Where the tokens of other people's networks lie in the clip, by the class of their attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.observe import RecordingError

Grid = tuple[int, ...]


class Site(NamedTuple):
    """An attention module and where it is.

    Attributes:
        path: in the network.
        module: itself.
        around: the modules that hold it, the nearest first.
        grid: positions, from the caller, for modules that cannot know.
        prefix_tokens: tokens in front of the positions, likewise.
    """

    path: str
    module: Any
    around: Sequence[Any]
    grid: Grid | None
    prefix_tokens: int


# Weights (B, heads, Q, K) and the module's inputs -> values (N, heads, *grid), grid.
Layout = Callable[[Site, Tensor, tuple[Any, ...]], tuple[Tensor, Grid]]


def layout_of(module: nn.Module) -> Layout | None:
    """How to lay out what this module applies; None where it is no attention known here."""
    for parent in type(module).__mro__:
        found = LAYOUTS.get(f"{parent.__module__}.{parent.__qualname__}")
        if found is not None:
            return found
    return None


def tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """`torch.nn.MultiheadAttention`: keys as the caller said, or else all along one axis."""
    added = (site.module.bias_k is not None) + bool(site.module.add_zero_attn)
    keys = weights.mean(2)
    keys = keys[..., : keys.shape[2] - added]
    grid = site.grid or (keys.shape[2] - site.prefix_tokens,)
    return _positions(site, keys, grid, site.prefix_tokens), grid


def image_tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """A timm vision transformer: class and register tokens, then H·W."""
    network = _around(site, "patch_embed")
    grid = tuple(network.patch_embed.grid_size) if site.grid is None else site.grid
    return _positions(site, weights.mean(2), grid, network.num_prefix_tokens), grid


def tube_tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """VideoMAE: T·H·W tubes, no class token."""
    config = site.module.config
    frames = config.num_frames // config.tubelet_size
    height, width = (size // config.patch_size for size in _pair(config.image_size))
    grid = (frames, height, width)
    return _positions(site, weights.mean(2), grid, 0), grid


def divided_tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """TimeSformer: sequences over time at each site, over space in each frame, or over all.

    Over space and over all, a class token comes first; over all, time is the innermost axis.
    """
    config = _around(site, "attention_type").config
    height, width = (size // config.patch_size for size in _pair(config.image_size))
    frames = config.num_frames
    grid = (frames, height, width)
    received = weights.mean(2)
    if site.path.rpartition(".")[0].endswith("temporal_attention"):
        values = _positions(site, received, (frames,), 0)
        return values.unflatten(0, (-1, height, width)).permute(0, 3, 4, 1, 2), grid
    if config.attention_type == "joint_space_time":
        return _positions(site, received, (height, width, frames), 1).movedim(4, 2), grid
    values = _positions(site, received, (height, width), 1)
    return values.unflatten(0, (-1, frames)).transpose(1, 2), grid


def pooled_tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """torchvision's MViT: a class token, then the positions of the pooled keys."""
    grid: Grid = tuple(inputs[1])
    if site.module.pool_k is not None:
        pool = site.module.pool_k.pool
        grid = tuple(
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(
                grid, pool.padding, pool.kernel_size, pool.stride, strict=True
            )
        )
    return _positions(site, weights.mean(2), grid, 1), grid


def windows(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """torchvision's Swin3D: shifted windows, put back; padded queries do not count."""
    frames, height, width = inputs[0].shape[1:4]
    grid = (frames, height, width)
    window, shift = _window_and_shift(site.module, grid)
    counts = tuple(-(-size // side) for size, side in zip(grid, window, strict=True))
    real = _windowed(torch.ones(grid, device=weights.device), window, shift, counts)
    weights = weights.unflatten(0, (-1, prod(counts)))  # (N, windows, heads, Q, K)
    asked = real[None, :, None, :, None]
    received = (weights * asked).sum(3) / asked.sum(3)
    axes = received.unflatten(3, window).unflatten(1, counts)
    # (N, windows along T, H, W, heads, T, H, W inside) -> (N, heads, T, H, W)
    values = axes.permute(0, 4, 1, 5, 2, 6, 3, 7).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    values = values.roll(shift, (2, 3, 4))
    return values[:, :, :frames, :height, :width], grid


def _windowed(x: Tensor, window: Grid, shift: Grid, counts: Grid) -> Tensor:
    """(T, H, W) -> (windows, positions inside), 0 where the network pads."""
    missing = [
        count * side - size for count, side, size in zip(counts, window, x.shape, strict=True)
    ]
    x = F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))
    x = x.roll(tuple(-one for one in shift), (0, 1, 2))
    for axis, side in enumerate(window):
        x = x.unflatten(2 * axis, (-1, side))
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(0, 2)


def _window_and_shift(module: Any, grid: Grid) -> tuple[Grid, Grid]:
    """A window that is as large as the clip along an axis is cut to it, and not shifted."""
    fits = [size <= side for size, side in zip(grid, module.window_size, strict=True)]
    window = tuple(
        size if fit else side
        for size, side, fit in zip(grid, module.window_size, fits, strict=True)
    )
    shift = tuple(0 if fit else step for step, fit in zip(module.shift_size, fits, strict=True))
    return window, shift


def _positions(site: Site, keys: Tensor, grid: Grid, prefix_tokens: int) -> Tensor:
    """(B, heads, K) -> (B, heads, *grid), without the tokens in front."""
    if keys.shape[2] != prefix_tokens + prod(grid):
        raise RecordingError(
            f"{site.path}: {keys.shape[2]} keys are not {prefix_tokens} tokens in front and a grid "
            f"of {' × '.join(str(size) for size in grid)}; give `adapt` the grid"
        )
    return keys[..., prefix_tokens:].unflatten(2, grid)


def _around(site: Site, attribute: str) -> Any:
    for module in site.around:
        if hasattr(module, attribute):
            return module
    raise RecordingError(f"{site.path}: expected it inside a module that has {attribute!r}")


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


LAYOUTS: dict[str, Layout] = {
    "timm.layers.attention.Attention": image_tokens,
    "timm.models.vision_transformer.Attention": image_tokens,
    "torch.nn.modules.activation.MultiheadAttention": tokens,
    "torchvision.models.video.mvit.MultiscaleAttention": pooled_tokens,
    "torchvision.models.video.swin_transformer.ShiftedWindowAttention3d": windows,
    "transformers.models.timesformer.modeling_timesformer.TimesformerSelfAttention": divided_tokens,
    "transformers.models.videomae.modeling_videomae.VideoMAESelfAttention": tube_tokens,
}
