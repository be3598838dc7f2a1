from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.errors import ArgumentError

# On ordinary video this brings the spread of motion near that of normalised colours.
MOTION_SCALE = 4.0
# Added to the diagonal of the normal equations, in squared normalised colours per pixel: where
# the texture is weaker than that, the velocity shrinks to 0 instead of following noise.
DAMPING = 0.02
WINDOW = 5
# Pixels a frame; the linear model does not hold much further.
LARGEST_VELOCITY = 3.0


class MotionInputs(nn.Module):
    """What a network sees of a clip besides, or instead of, its colours.

    (N, 3, T, H, W), normalised -> (N, channels, T, H / stride, W / stride). There is nothing to
    learn here; a backbone that reads motion off its input needs far fewer clips to learn actions
    from than one that has to find out about motion first. The first frame's motion is 0.

    Args:
        inputs: any of, in the order wanted: "colour", the clip (3 channels); "change", brightness
            less that of the frame before (1); "colour_change", the same for each colour (3);
            "velocity", apparent motion to the right and down, less that of most of the picture,
            which is the camera's (2); see `velocity`. All but "colour" are multiplied by 4.
        stride: 1; or 2, means over 2 × 2 pixels: output pixel i is centred on 2 i + 0.5.
    """

    def __init__(self, inputs: Sequence[str], *, stride: int = 1) -> None:
        super().__init__()
        unknown = sorted(set(inputs) - set(INPUTS))
        if unknown or not inputs or len(set(inputs)) != len(inputs):
            raise ArgumentError(
                f"inputs: expected some of {sorted(INPUTS)}, each once, got {list(inputs)}"
            )
        if stride not in (1, 2):
            raise ArgumentError(f"input_stride: expected 1 or 2, got {stride}")
        self.inputs = tuple(inputs)
        self.stride = stride
        self.channels = sum(INPUTS[name][0] for name in inputs)

    def forward(self, clip: Tensor) -> Tensor:
        """(N, 3, T, H, W) -> (N, channels, T, H / stride, W / stride)."""
        parts = [INPUTS[name][1](clip, self.stride) for name in self.inputs]
        joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return joined.contiguous(memory_format=torch.channels_last_3d)


def colour(clip: Tensor, stride: int = 1) -> Tensor:
    """The clip itself, (N, 3, T, H / stride, W / stride)."""
    return clip if stride == 1 else F.avg_pool3d(clip, (1, stride, stride))


def change(clip: Tensor, stride: int = 1) -> Tensor:
    """Brightness less that of the frame before, × 4: (N, 1, T, H / stride, W / stride)."""
    return colour_change(clip.mean(1, keepdim=True), stride)


def colour_change(clip: Tensor, stride: int = 1) -> Tensor:
    """Each colour less that of the frame before, × 4: (N, 3, T, H / stride, W / stride)."""
    return colour(clip.diff(dim=2, prepend=clip[:, :, :1]) * MOTION_SCALE, stride)


def velocity(clip: Tensor, stride: int = 1) -> Tensor:
    """Apparent motion since the frame before, less the median over the picture.

    Minimises Σ (∇I · v + ∂I/∂t)² + damping · |v|² over all colours and a window of 5 × 5 pixels
    (6 × 6 with stride 2), on frames smoothed by a 3 × 3 mean; |v| is cut at 3 pixels a frame
    along each axis.

    Source: Lucas and Kanade, IJCAI 1981, section 5, one iteration at one scale; the damping is
    Tikhonov's; removing the median for the camera is ours.

    Args:
        clip: (N, 3, T, H, W), normalised colours.

    Returns:
        (N, 2, T, H / stride, W / stride): to the right and down, in quarter pixels a frame.
    """
    count, colours, frames, height, width = clip.shape
    # Slopes are small differences of large numbers: not in half precision.
    with torch.autocast(clip.device.type, enabled=False):
        # (N, 3, T, H, W) -> (N·T, 3, H, W): a view when the clip is `channels_last_3d`.
        flat = clip.float().transpose(1, 2).reshape(count * frames, colours, height, width)
        smooth = _mean_filter(flat, 3).unflatten(0, (count, frames))
        rise = smooth.diff(dim=1, prepend=smooth[:, :1])
        # Slopes halfway between the two frames, where the difference belongs.
        between = (smooth - rise / 2).flatten(0, 1)
        flow = _solve(*_slopes(between), rise.flatten(0, 1), stride)
        camera = flow.flatten(2).median(-1).values[..., None, None]
        flow = ((flow - camera) * MOTION_SCALE).unflatten(0, (count, frames))
    moving = torch.arange(frames, device=clip.device).view(1, -1, 1, 1, 1) > 0
    return (flow * moving).transpose(1, 2).to(clip.dtype)


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences of (B, C, H, W) along x and y; edges are continued."""
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    along_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    along_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return along_x, along_y


def _solve(along_x: Tensor, along_y: Tensor, rise: Tensor, stride: int) -> Tensor:
    """Slopes (B, C, H, W) -> velocity (B, 2, …), by the 2 × 2 normal equations."""
    products = (
        along_x * along_x,
        along_x * along_y,
        along_y * along_y,
        along_x * rise,
        along_y * rise,
    )
    sums = torch.stack([product.mean(1) for product in products], dim=1)
    xx, xy, yy, xt, yt = _mean_filter(sums, WINDOW + stride - 1, stride).unbind(1)
    xx, yy = xx + DAMPING, yy + DAMPING
    determinant = xx * yy - xy * xy
    right = (xy * yt - yy * xt) / determinant
    down = (xy * xt - xx * yt) / determinant
    return torch.stack([right, down], dim=1).clamp(-LARGEST_VELOCITY, LARGEST_VELOCITY)


def _mean_filter(picture: Tensor, size: int, stride: int = 1) -> Tensor:
    """Mean over size × size pixels of (B, C, H, W), centred on each stride × stride block."""
    padded = F.pad(picture, ((size - stride) // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, size, stride=stride)


INPUTS: dict[str, tuple[int, Callable[[Tensor, int], Tensor]]] = {
    "colour": (3, colour),
    "change": (1, change),
    "colour_change": (3, colour_change),
    "velocity": (2, velocity),
}
