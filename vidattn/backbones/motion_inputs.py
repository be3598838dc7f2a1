from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

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
            which is the camera's (2); see `velocity`. Changes and velocity are multiplied by 4.
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
    return _block_mean(clip, stride)


def change(clip: Tensor, stride: int = 1) -> Tensor:
    """Brightness less that of the frame before, × 4: (N, 1, T, H / stride, W / stride)."""
    red, green, blue = clip.unbind(1)
    brightness = (red + green + blue) / 3
    return colour_change(brightness.unsqueeze(1), stride)


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
    # A clip at a time on a CPU: its pictures then stay in the cache, which is most of the time.
    # A loop over clips would fix their number in an exported network: that one takes all at once.
    if _is_recorded() or clip.device.type != "cpu" or len(clip) <= 1:
        return _velocity(clip, stride)
    return torch.cat([_velocity(part, stride) for part in clip.split(1)])


def _is_recorded() -> bool:
    """Whether the operations become a program for other clips: exported, compiled or traced."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _velocity(clip: Tensor, stride: int) -> Tensor:
    # Slopes are small differences of large numbers: not in half precision.
    device = clip.device.type
    known = torch.amp.is_autocast_available(device)  # "meta", which only has shapes, is not
    with torch.autocast(device, enabled=False) if known else nullcontext():
        # Colour by colour: a sum over an axis of three is the slowest way to add three pictures.
        colours = [_box_mean(picture, 3) for picture in clip.float().unbind(1)]
        flow = _solve(_normal_equations(colours, stride))
        # A quarter of the places says as well which way most of the picture goes.
        camera = flow[..., ::2, ::2].flatten(3).median(-1).values[..., None, None]
        flow = (flow - camera).mul_(MOTION_SCALE)
        flow[:, :, 0] = 0
    return flow.to(clip.dtype)


def _normal_equations(colours: Sequence[Tensor], stride: int) -> list[Tensor]:
    """Pictures (N, T, H, W) -> Σ xx, xy, yy, xt, yt, each (N, T, H / stride, W / stride)."""
    sums: list[Tensor] = []
    for picture in colours:
        rise = picture.diff(dim=1, prepend=picture[:, :1])
        # Slopes halfway between the two frames, where the difference belongs.
        between = picture - rise / 2
        x, y = _slope(between, -1), _slope(between, -2)
        pairs = ((x, x), (x, y), (y, y), (x, rise), (y, rise))
        if sums:
            for total, (first, second) in zip(sums, pairs, strict=True):
                total.addcmul_(first, second)
        else:
            sums = [first * second for first, second in pairs]
    # 6 × 6 pixels around a block of 2 × 2 are 3 × 3 blocks.
    size = WINDOW if stride == 1 else 3
    return [_box_mean(_block_mean(total, stride), size) / len(colours) for total in sums]


def _solve(equations: Sequence[Tensor]) -> Tensor:
    """Normal equations -> velocity (N, 2, T, H', W'), cut to the largest that makes sense."""
    xx, xy, yy, xt, yt = equations
    xx, yy = xx + DAMPING, yy + DAMPING
    determinant = xx * yy - xy * xy
    right = (xy * yt - yy * xt) / determinant
    down = (xy * xt - xx * yt) / determinant
    return torch.stack([right, down], dim=1).clamp(-LARGEST_VELOCITY, LARGEST_VELOCITY)


def _slope(picture: Tensor, axis: int) -> Tensor:
    """Central differences along an axis; edges are continued."""
    slope = torch.empty_like(picture)
    length = picture.shape[axis]
    for place, low, high, count in ((1, 0, 2, length - 2), (0, 0, 1, 1), (-1, -2, -1, 1)):
        start = place % length
        if count > 0 and length > 1:
            torch.sub(
                picture.narrow(axis, high % length, count),
                picture.narrow(axis, low % length, count),
                out=slope.narrow(axis, start, count),
            )
    return slope.div_(2) if length > 1 else torch.zeros_like(picture)


def _box_sum(picture: Tensor, size: int, axis: int) -> Tensor:
    """Sum over `size` neighbours along an axis, size odd; edges are continued.

    By sums of shifted pictures: on a CPU several times faster than pooling.
    """
    total = picture.clone(memory_format=torch.contiguous_format)
    length = picture.shape[axis]
    first, last = picture.narrow(axis, 0, 1), picture.narrow(axis, length - 1, 1)
    for shift in range(1, size // 2 + 1):
        kept = max(length - shift, 0)
        total.narrow(axis, length - kept, kept).add_(picture.narrow(axis, 0, kept))
        total.narrow(axis, 0, length - kept).add_(first)
        total.narrow(axis, 0, kept).add_(picture.narrow(axis, length - kept, kept))
        total.narrow(axis, kept, length - kept).add_(last)
    return total


def _box_mean(picture: Tensor, size: int) -> Tensor:
    """Mean over size × size pixels of (…, H, W), size odd; edges are continued."""
    return _box_sum(_box_sum(picture, size, -1), size, -2).div_(size * size)


def _block_mean(picture: Tensor, stride: int) -> Tensor:
    """Mean over stride × stride blocks of (…, H, W); an incomplete last one is left out."""
    if stride == 1:
        return picture
    height, width = (length // 2 * 2 for length in picture.shape[-2:])
    even, odd = picture[..., 0:height:2, :width], picture[..., 1:height:2, :width]
    rows = even + odd
    return (rows[..., 0::2] + rows[..., 1::2]) / 4


INPUTS: dict[str, tuple[int, Callable[[Tensor, int], Tensor]]] = {
    "colour": (3, colour),
    "change": (1, change),
    "colour_change": (3, colour_change),
    "velocity": (2, velocity),
}
