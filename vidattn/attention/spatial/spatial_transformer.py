from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention.convolutions import stored_like
from vidattn.attention.masking import masked_mean, single_precision, zero_padding
from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind, Observer


class SpatialTransformer(Mechanism):
    """A window of the picture, chosen by the picture, is enlarged to the full height and width.

    Output position u (of H and W, from −1 to 1) reads x at s u + t by linear interpolation, and
    0 outside. s = 1 + tanh(a₁) and t = tanh(a₂, a₃), so that the middle of the window stays in
    the picture; a is linear in the mean of h = ReLU(W x + b) and in its means weighted by
    each coordinate of u. This is the attention-only form, with one s for both axes and no
    rotation, so that the sampling is two small matrix products, the same in every run. A clip
    has one window for all its frames, and T is not resampled; it starts with the whole picture.

    Positions are those of `grid_sample` with `align_corners=False`. Padding reads as 0 and stays
    0, as in every replacement. There
    is no 1-D form, whose only axis would be time.

    Source: Jaderberg et al., Spatial Transformer Networks, NeurIPS 2015. The paper leaves the
    network that finds s and t open; this one is ours, for any size of x.

    Args:
        channels: C.
        hidden_channels: rows of W.
    """

    kind: ClassVar[Kind] = "replacement"
    family: ClassVar[str] = "spatial"
    source: ClassVar[str] = "Jaderberg et al., Spatial Transformer Networks, NeurIPS 2015"
    map_kind: ClassVar[MapKind] = "selection"
    map_meaning: ClassVar[str] = "how often each position was read; 1 where x is left as it is"

    ranks: tuple[int, ...] = (2, 3)

    def __init__(self, channels: int, *, hidden_channels: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, hidden_channels)
        self.window = nn.Linear(3 * hidden_channels, 3)
        self.observer = Observer(self.map_kind)
        self.starts_as_identity = True
        nn.init.zeros_(self.window.weight)
        nn.init.zeros_(self.window.bias)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """(N, C, *positions) -> the same shape."""
        self.check_rank(x)
        real = zero_padding(x, mask)
        scale, down, right = self._window(real, mask).unbind(1)
        rows = _interpolation(1 + scale, down, x.shape[-2])
        columns = _interpolation(1 + scale, right, x.shape[-1])
        if self.observer.recording:
            read = [matrix.detach().sum(1) for matrix in (rows, columns)]
            seen = read[0].unsqueeze(2) * read[1].unsqueeze(1)
            self._show(seen, mask, x)
        lifted = (slice(None), *[None] * (x.ndim - 3))
        # Without autocast, which would round what is only moved.
        with torch.autocast(x.device.type, enabled=False):
            across = real @ columns.to(x.dtype).transpose(1, 2)[lifted]
            out = rows.to(x.dtype)[lifted] @ across
        return stored_like(x, zero_padding(out, mask))

    def _window(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """s − 1, and t for H and for W: (N, 3), float32 at least."""
        with torch.autocast(x.device.type, enabled=False):
            tokens = single_precision(x).movedim(1, -1)
            hidden = F.relu(_linear(self.hidden, tokens)).movedim(-1, 1)
            height, width = (_coordinates(size, hidden) for size in x.shape[-2:])
            weighted = (hidden, hidden * height.unsqueeze(1), hidden * width)
            means = torch.cat([masked_mean(part, mask) for part in weighted], 1)
            return _linear(self.window, means).tanh()

    def _show(self, seen: Tensor, mask: Tensor | None, x: Tensor) -> None:
        """Hand the observer how often each position is read: (N, H, W)."""
        seen = seen.reshape(len(seen), 1, *[1] * (x.ndim - 4), *x.shape[-2:])
        if mask is not None:
            seen = zero_padding(seen.expand(-1, 1, *x.shape[2:]), mask)
        self.observer(seen, x.shape[2:])


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """The layer in the precision of x, which may be higher than its own."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _coordinates(size: int, like: Tensor) -> Tensor:
    """(size,): the middle of each position, from −1 to 1 between the outer edges."""
    index = torch.arange(size, device=like.device, dtype=like.dtype)
    return (2 * index + 1) / size - 1


def _interpolation(scale: Tensor, shift: Tensor, size: int) -> Tensor:
    """(N, output, input): each output position's weights, at two neighbours at most."""
    index = torch.arange(size, device=scale.device, dtype=scale.dtype)
    middle = (size - 1) / 2
    read = scale[:, None] * (index - middle) + middle + shift[:, None] * (size / 2)
    below = read.detach().floor()
    # Not a tent 1 − |read − index|: its gradient vanishes where every window starts.
    above_share = (read - below).unsqueeze(2)
    at = index - below.unsqueeze(2)
    return (at == 0) * (1 - above_share) + (at == 1) * above_share
