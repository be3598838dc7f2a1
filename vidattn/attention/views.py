"""One mechanism, several ways to look at a clip: each frame, each site over time, one by one.

Any module serves, a mechanism or a whole 2-D network. Maps recorded inside a view come out in the
clip's axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from vidattn.attention.convolutions import stored_like
from vidattn.attention.mechanism import Pooled, Reduced
from vidattn.attention.observe import Observation, call_lifted
from vidattn.errors import ArgumentError


class PerFrame(nn.Module):
    """Applies a 2-D module to every frame: T is folded into the batch.

    (N, C, T, H, W) -> (N, C', T, H', W'); a pooler's `Pooled` -> features (N, C, T), weights and
    scores (N, T, H, W); a reducer's `Reduced` -> each frame's own tokens, see there. Nothing is
    copied when x is `channels_last_3d`: the module then sees `channels_last`. A mask is folded
    likewise. So is a context, or each of a sequence: of (N, C, T, *any), every frame gets its
    own; of (N, *any) without T, or with a T of 1, every frame gets the same.

    Args:
        module: what to apply to (N·T, C, H, W).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.starts_as_identity = getattr(module, "starts_as_identity", False)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Any:
        """Apply the module; see `Mechanism.forward` for mask and context."""
        _check_clip(self, x)
        batch, frames = x.shape[0], x.shape[2]

        def lift(seen: Observation) -> Observation:
            values = unfold_frames(seen.values, frames)
            return replace(seen, values=values, grid=(frames, *seen.grid))

        out = call_lifted(
            lift,
            self.module,
            fold_frames(x),
            mask=None if mask is None else fold_mask(mask, batch, frames),
            context=_fold_context(context, partial(_context_of_frames, x)),
        )
        if not isinstance(out, Pooled | Reduced):
            return unfold_frames(out, frames)
        features, *others = out
        return type(out)(
            unfold_frames(features, frames),
            *(part.unflatten(0, (-1, frames)) for part in others),
        )


class OverTime(nn.Module):
    """Applies a 1-D module to the time axis at every site (h, w) by itself.

    (N, C, T, H, W) -> (N, C', T', H, W); a pooler's `Pooled` -> features (N, C, H, W), weights
    and scores (N, T, H, W); a reducer's `Reduced` -> features (N, C, K, H, W), source
    (N, K, T, H, W), valid (N, K, H, W). The sites are folded into the batch, which copies x and the
    result, whose memory format is that of x. A context, or each of a sequence, is folded likewise:
    of (N, C, any T, H, W) every site gets its own, of (N, *any) without sites all get the same.
    To let frames be judged as wholes instead, pool over space and apply the 1-D module to
    (N, C, T).

    Args:
        module: what to apply to (N·H·W, C, T).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.starts_as_identity = getattr(module, "starts_as_identity", False)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Any:
        """Apply the module; see `Mechanism.forward` for mask and context."""
        _check_clip(self, x)
        sites = (x.shape[0], x.shape[3], x.shape[4])

        def lift(seen: Observation) -> Observation:
            return replace(
                seen, values=_unfold_sites(seen.values, sites), grid=(*seen.grid, *sites[1:])
            )

        if mask is not None:
            mask = _fold_sites(mask.expand(sites[0], 1, *x.shape[2:]))
        context = _fold_context(context, partial(_context_of_sites, x))
        out = call_lifted(lift, self.module, _fold_sites(x), mask=mask, context=context)
        if not isinstance(out, Pooled | Reduced):
            return stored_like(x, _unfold_sites(out, sites))
        return type(out)(*(_unfold_sites(part, sites) for part in out))


class Factorised(nn.Module):
    """One module after another, each with the same mask and context.

    Args:
        first: applied to x.
        second: applied to what the first returns.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.starts_as_identity = all(
            getattr(module, "starts_as_identity", False) for module in (first, second)
        )

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Any:
        """Apply both; see `Mechanism.forward` for mask and context."""
        given = {"mask": mask, "context": context}
        given = {name: value for name, value in given.items() if value is not None}
        return self.second(self.first(x, **given), **given)


def fold_frames(x: Tensor) -> Tensor:
    """(N, C, T, *rest) -> (N·T, C, *rest); a view when x is `channels_last_3d`."""
    return x.transpose(1, 2).flatten(0, 1)


def unfold_frames(x: Tensor, frames: int) -> Tensor:
    """(N·T, C, *rest) -> (N, C, T, *rest), always a view."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def fold_mask(mask: Tensor, batch: int, frames: int) -> Tensor:
    """Broadcastable to (N, 1, T, H, W) -> broadcastable to (N·T, 1, H, W)."""
    return fold_frames(mask.expand(batch, 1, frames, *mask.shape[3:]))


def _fold_context(context: Any, fold: Callable[[Tensor], Tensor]) -> Any:
    """A tensor, or each of a sequence; anything else as it is."""
    if isinstance(context, Tensor):
        return fold(context)
    if isinstance(context, list | tuple):
        return [_fold_context(one, fold) for one in context]
    return context


def _context_of_frames(x: Tensor, context: Tensor) -> Tensor:
    """(N, C, T or 1, *any) or (N, *any) -> (N·T, …), for x of (N, C, T, H, W)."""
    batch, frames = x.shape[0], x.shape[2]
    _check_context(context, context.shape[:1] == (batch,), f"a batch of {batch}")
    if context.ndim < 5:
        return context.repeat_interleave(frames, 0)
    _check_context(context, context.shape[2] in (1, frames), f"T of {frames} frames, or of 1")
    return fold_frames(context.expand(-1, -1, frames, -1, -1))


def _context_of_sites(x: Tensor, context: Tensor) -> Tensor:
    """(N, C, any T, H, W) or (N, *any) -> (N·H·W, …), for x of (N, C, T, H, W)."""
    batch, height, width = x.shape[0], x.shape[3], x.shape[4]
    _check_context(context, context.shape[:1] == (batch,), f"a batch of {batch}")
    if context.ndim < 5:
        return context.repeat_interleave(height * width, 0)
    sites = context.shape[3:] == (height, width)
    _check_context(context, sites, f"(N, C, T, H, W) with H, W of {height}, {width}")
    return _fold_sites(context)


def _check_context(context: Tensor, fits: bool, expected: str) -> None:
    if not fits:
        raise ArgumentError(f"context: expected {expected}, got {tuple(context.shape)}")


def _fold_sites(x: Tensor) -> Tensor:
    """(N, C, T, H, W) -> (N·H·W, C, T), stored as N·H·W, T, C: sequences of features."""
    return x.permute(0, 3, 4, 2, 1).flatten(0, 2).transpose(1, 2)


def _unfold_sites(x: Tensor, sites: tuple[int, int, int]) -> Tensor:
    """(N·H·W, *rest) -> (N, *rest, H, W)."""
    return x.unflatten(0, sites).movedim((1, 2), (-2, -1))


def _check_clip(view: nn.Module, x: Tensor) -> None:
    if x.ndim != 5:
        raise ArgumentError(
            f"{type(view).__name__}: expected x of shape (N, C, T, H, W), got {tuple(x.shape)}"
        )
