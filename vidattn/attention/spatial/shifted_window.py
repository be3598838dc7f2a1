from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vidattn.attention.mechanism import Mixer
from vidattn.attention.spatial.groups import Places, attend_in_groups, forbid, show_groups
from vidattn.attention.spatial.windows import Windows, relative_bias, window_sizes
from vidattn.errors import ArgumentError

WINDOWS = {1: (8,), 2: (7, 7), 3: (8, 7, 7)}


class ShiftedWindowAttention(Mixer):
    """Every position reads from those in its own window, with a learned bias by relative position.

    y = x + W_o [softmax(q kᵀ / √d + B) v] + b_o inside each window, with q, k, v linear in
    LayerNorm(x), d = C / heads, B_ij = table[i − j]. Windows do not overlap; every second layer
    has them shifted by half a window, so that their borders differ. No window is larger than x,
    an axis that one window covers is not shifted, and windows that stick out of x are filled up
    with positions that nobody reads. Time and memory grow with L times the window.

    Source: Liu et al., Swin Transformer, ICCV 2021 (1-D and 2-D); Liu et al., Video Swin
    Transformer, CVPR 2022 (3-D).

    Args:
        channels: C.
        spatial_dims: number of position axes of x.
        window: sizes, one for all axes or one for each; None for 8, 7 × 7 or 8 × 7 × 7.
        heads: must divide C.
        shifted: shift the windows by half.
        compat: as in the published weights' code: the positions that fill up a window are read
            as if they held zeros, and in 3-D a window clipped in H or W reads wrong biases; in
            1-D and 2-D no window is clipped.
    """

    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = (
        "Liu et al., Swin Transformer, ICCV 2021; Liu et al., Video Swin Transformer, CVPR 2022"
    )
    map_meaning: ClassVar[str] = "attention each position received, mean over queries; sums to 1"

    def __init__(
        self,
        channels: int,
        *,
        spatial_dims: int = 3,
        window: int | Sequence[int] | None = None,
        heads: int = 8,
        shifted: bool = False,
        compat: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ArgumentError(f"heads: expected a divisor of {channels} channels, got {heads}")
        self.ranks = (spatial_dims,)
        self.window = window_sizes("window", window, WINDOWS[spatial_dims])
        self.heads = heads
        self.shifted = shifted
        self.compat = compat
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self._make_position_bias()

    def _make_position_bias(self) -> None:
        self.position_bias = nn.Parameter(
            torch.zeros(1, self.heads, *(2 * size - 1 for size in self.window))
        )
        nn.init.trunc_normal_(self.position_bias, std=0.02)

    def change(
        self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...], context: Any
    ) -> Tensor:
        """See `Mixer.change`."""
        return self.output(self._mix(self.norm(tokens), mask, grid))

    def _mix(self, tokens: Tensor, mask: Tensor | None, grid: tuple[int, ...]) -> Tensor:
        """(N, L, C) -> (N, L, C): what each position reads, before the last linear layer."""
        windows = Windows.fitted(
            grid, self.window, shifted=self.shifted, clipped=not self.compat or len(grid) == 3
        )
        projected = self._project(windows.split(tokens.unflatten(1, grid)))
        # (N, G, P, 3·C) -> three of (N, G, heads, P, d)
        query, key, value = projected.unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        query, key = self._scaled(query, key)
        bias = self._bias(windows, mask, tokens.device).to(query.dtype)
        if self.observer.recording:
            places = windows.places(tokens.device)
            real = torch.ones_like(tokens[:1, :, 0], dtype=torch.bool) if mask is None else mask
            show_groups(self.observer, query, key, bias, Places(places, places, real, grid))
        mixed = attend_in_groups(query, key, value.to(query.dtype), bias).to(value.dtype)
        return windows.join(mixed.transpose(2, 3).flatten(3)).flatten(1, -2)

    def _project(self, tokens: Tensor) -> Tensor:
        projected: Tensor = self.query_key_value(tokens)
        return projected

    def _scaled(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return query * query.shape[4] ** -0.5, key

    def _position_bias(self, window: Sequence[int]) -> Tensor:
        """(heads, P, P)."""
        return relative_bias(self.position_bias, window, self.window, compat=self.compat)

    def _bias(self, windows: Windows, mask: Tensor | None, device: torch.device) -> Tensor:
        """(N or 1, windows or 1, heads, P, P), −∞ where a position may not be read."""
        bias = self._position_bias(windows.window)[None, None]
        if windows.moved:
            regions = windows.regions(device)
            same = regions[:, :, None] == regions[:, None, :]
            bias = forbid(bias, same[None, :, None])
        if mask is None and (self.compat or windows.filled):
            return bias
        if mask is None:
            mask = torch.ones(1, *windows.grid, dtype=torch.bool, device=device)
        inside = windows.split(mask.reshape(-1, *windows.grid, 1), empty=self.compat)[
            :, :, None, None, :, 0
        ]
        # Each may read itself: otherwise padding that sees padding only would get NaN.
        itself = torch.eye(inside.shape[4], dtype=torch.bool, device=device)
        return forbid(bias, inside | itself)
