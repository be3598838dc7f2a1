"""Where the tokens of other people's networks lie in the clip, by the class of their attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.observe import RecordingError
from vidattn.attention.patches import Grid, Patches


class Site(NamedTuple):
    """An attention module and where it is.

    Attributes:
        path: in the network.
        module: itself.
        around: the modules that hold it, the nearest first.
        grid: positions, from the caller, for modules that cannot know.
        prefix_tokens: tokens in front of the positions, likewise.
        patches: what the network's patch embedding has made in this call.
    """

    path: str
    module: Any
    around: Sequence[Any]
    grid: Grid | None
    prefix_tokens: int
    patches: Patches


# Weights (B, heads, Q, K) and the module's inputs -> values (N, heads, *grid), grid.
Layout = Callable[[Site, Tensor, tuple[Any, ...]], tuple[Tensor, Grid]]


def layout_of(module: nn.Module) -> Layout | None:
    """How to lay out what this module applies; None where it is no attention known here."""
    return next((LAYOUTS[name] for name in _class_names(module) if name in LAYOUTS), None)


def attention_paths(network: nn.Module) -> list[str]:
    """Where in the network there is attention whose keys have a known order."""
    reordering = [
        path
        for path, module in network.named_modules()
        if not REORDERING.isdisjoint(_class_names(module))
    ]
    return [
        path
        for path, module in network.named_modules()
        if layout_of(module) is not None
        and not any(f"{path}.".startswith(f"{above}." if above else "") for above in reordering)
    ]


def _class_names(module: nn.Module) -> list[str]:
    return [f"{parent.__module__}.{parent.__qualname__}" for parent in type(module).__mro__]


def tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """`torch.nn.MultiheadAttention`: keys as the caller said, or else all along one axis."""
    added = (site.module.bias_k is not None) + bool(site.module.add_zero_attn)
    keys = weights.mean(2)
    keys = keys[..., : keys.shape[2] - added]
    grid = site.grid or (keys.shape[2] - site.prefix_tokens,)
    return _positions(site, keys, grid, site.prefix_tokens), grid


def image_tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """A timm vision transformer: class and register tokens, then H·W."""
    counts = [getattr(module, "num_prefix_tokens", None) for module in site.around]
    prefix = next((count for count in counts if count is not None), site.prefix_tokens)
    return _embedded(site, weights.mean(2), prefix)


def patch_tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """ViT, DINOv2 and ViViT of transformers: class and register tokens, then (T·)H·W."""
    config = _around(site, "config").config
    return _embedded(site, weights.mean(2), 1 + getattr(config, "num_register_tokens", 0))


def tube_tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """VideoMAE: T·H·W tubes, no class token."""
    return _embedded(site, weights.mean(2), 0)


def divided_tokens(site: Site, weights: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Grid]:
    """TimeSformer: sequences over time at each site, over space in each frame, or over all.

    Over space and over all, a class token comes first; over all, time is the innermost axis.
    """
    config = _around(site, "attention_type").config
    ran = None
    if site.patches.images is not None and site.patches.grid is not None:
        ran = (site.patches.images[1], *site.patches.grid)  # images (N, T, 3, H, W)
    grid = _agreed(site, ran)
    if len(grid) != 3:
        raise RecordingError(f"{site.path}: expected a grid of T, H and W, got {_product(grid)}")
    frames, height, width = grid
    if config.attention_type == "divided_space_time" and frames != config.num_frames:
        raise RecordingError(
            f"{site.path}: the network folds its tokens as if all clips had {config.num_frames} "
            f"frames, and mixes up those of {frames}; give it clips of {config.num_frames} frames"
        )
    received = weights.mean(2)
    if site.path.rpartition(".")[0].endswith("temporal_attention"):
        values = _positions(site, received, (frames,), 0)
        return _folded(site, values, (height, width)).permute(0, 3, 4, 1, 2), grid
    if config.attention_type == "joint_space_time":
        return _positions(site, received, (height, width, frames), 1).movedim(4, 2), grid
    values = _positions(site, received, (height, width), 1)
    return _folded(site, values, (frames,)).transpose(1, 2), grid


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


def _embedded(site: Site, keys: Tensor, prefix_tokens: int) -> tuple[Tensor, Grid]:
    """Keys (B, heads, K), all patches that the network made of its input, row by row."""
    ran = site.patches.grid
    if ran is None or keys.shape[2] == prefix_tokens + prod(ran):
        grid = _agreed(site, ran)
    elif site.grid is not None:
        grid = site.grid
    else:
        raise RecordingError(
            f"{site.path}: {keys.shape[2]} keys are not {prefix_tokens} tokens in front and the "
            f"{_product(ran)} patches that the network made: it has left some out, by masking or "
            "dropping; run it without that, or give `adapt` a grid that the kept ones fill"
        )
    return _positions(site, keys, grid, prefix_tokens), grid


def _agreed(site: Site, ran: Grid | None) -> Grid:
    """The grid that the network ran on, where that is known, or else the caller's."""
    if ran is None and site.grid is None:
        raise RecordingError(
            f"{site.path}: its patches were not seen being made, so that nothing says where they "
            "lie; give `adapt` the grid"
        )
    if ran is not None and site.grid not in (None, ran):
        raise RecordingError(
            f"{site.path}: `adapt` was given a grid of {_product(site.grid)}, the network ran on "
            f"{_product(ran)}; leave the grid out"
        )
    return ran or site.grid or ()


def _positions(site: Site, keys: Tensor, grid: Grid, prefix_tokens: int) -> Tensor:
    """(B, heads, K) -> (B, heads, *grid), without the tokens in front."""
    if keys.shape[2] != prefix_tokens + prod(grid):
        raise RecordingError(
            f"{site.path}: {keys.shape[2]} keys are not {prefix_tokens} tokens in front and a grid "
            f"of {_product(grid)}; give `adapt` the grid and, where the network does not tell "
            "them, the prefix tokens"
        )
    return keys[..., prefix_tokens:].unflatten(2, grid)


def _folded(site: Site, values: Tensor, sizes: Grid) -> Tensor:
    """(N · sizes, heads, …) -> (N, *sizes, heads, …)."""
    if values.shape[0] % prod(sizes):
        raise RecordingError(
            f"{site.path}: {values.shape[0]} sequences are not one for each of {_product(sizes)}; "
            "give `adapt` the grid that the network runs on"
        )
    return values.unflatten(0, (-1, *sizes))


def _product(sizes: Sequence[int] | None) -> str:
    return " × ".join(str(size) for size in sizes or ())


def _around(site: Site, attribute: str) -> Any:
    for module in site.around:
        if hasattr(module, attribute):
            return module
    raise RecordingError(f"{site.path}: expected it inside a module that has {attribute!r}")


LAYOUTS: dict[str, Layout] = {
    "timm.layers.attention.Attention": image_tokens,
    "timm.layers.attention.AttentionRope": image_tokens,
    "timm.models.beit.Attention": image_tokens,
    "timm.models.eva.EvaAttention": image_tokens,
    "timm.models.vision_transformer.Attention": image_tokens,
    "torch.nn.modules.activation.MultiheadAttention": tokens,
    "torchvision.models.video.mvit.MultiscaleAttention": pooled_tokens,
    "torchvision.models.video.swin_transformer.ShiftedWindowAttention3d": windows,
    "transformers.models.dinov2.modeling_dinov2.Dinov2Attention": patch_tokens,
    "transformers.models.dinov2_with_registers.modeling_dinov2_with_registers."
    "Dinov2WithRegistersAttention": patch_tokens,
    "transformers.models.timesformer.modeling_timesformer.TimesformerSelfAttention": divided_tokens,
    "transformers.models.videomae.modeling_videomae.VideoMAESelfAttention": tube_tokens,
    "transformers.models.vit.modeling_vit.ViTAttention": patch_tokens,
    "transformers.models.vivit.modeling_vivit.VivitAttention": patch_tokens,
}

# Their tokens are in an order of their own: those that are seen, then those that are asked for.
REORDERING = {"transformers.models.videomae.modeling_videomae.VideoMAEDecoder"}
