"""Weights that follow from a parameter's name and shape alone, so that none need be stored.

The same function fills another project's network when its logits are recorded, and stands for
its checkpoint when ours are compared with them.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch
from torch import Tensor


def seeded_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A state dict for these names; counters are 0."""
    return {name: seeded_tensor(name, shape) for name, shape in shapes.items()}


def seeded_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Uniform values from NumPy's frozen Mersenne twister, seeded by the CRC-32 of the name.

    Variances lie in [0.5, 1.5], scales of norms in [0.5, 1], other vectors in [-0.2, 0.2];
    matrices and kernels keep the size of what passes through them; tables of positions and
    tokens lie in [-0.5, 0.5].
    """
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    low, high = -0.2, 0.2
    if last == "running_var":
        low, high = 0.5, 1.5
    elif last == "weight" and len(shape) == 1:
        low, high = 0.5, 1.0
    elif last == "weight":
        high = (3 / np.prod(shape[1:])) ** 0.5
        low = -high
    elif len(shape) > 1:
        low, high = -0.5, 0.5
    generator = np.random.RandomState(crc32(name.encode()))
    values = generator.random_sample(shape).astype(np.float32)
    return torch.from_numpy(np.float32(low) + values * np.float32(high - low))


def seeded_clip(*shape: int) -> Tensor:
    """Values in [-2, 2], likewise from "clip"."""
    generator = np.random.RandomState(crc32(b"clip"))
    return torch.from_numpy(generator.random_sample(shape).astype(np.float32) * 4 - 2)


def pack(shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Names and shapes as short lines: five entries of a norm as one, weight and bias as one."""
    left = dict(shapes)
    lines = []
    for name, shape in shapes.items():
        stem = name.rpartition(".")[0]
        if name not in left:
            continue
        norm = [f"{stem}.{each}" for each in NORM]
        pair = [f"{stem}.weight", f"{stem}.bias"]
        text = "×".join(map(str, shape))
        if name == norm[0] and all(each in left for each in norm):
            lines.append(f"{stem} norm {text}")
            taken = norm
        elif name == pair[0] and left.get(pair[1]) == shape[:1]:
            lines.append(f"{stem} pair {text}")
            taken = pair
        else:
            lines.append(f"{name} one {text}")
            taken = [name]
        for each in taken:
            del left[each]
    return lines


def unpack(lines: list[str]) -> dict[str, tuple[int, ...]]:
    """The inverse of `pack`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for line in lines:
        stem, kind, *text = line.split(" ")
        shape = tuple(int(size) for size in text[0].split("×")) if text[0] else ()
        if kind == "one":
            shapes[stem] = shape
        else:
            shapes[f"{stem}.weight"], shapes[f"{stem}.bias"] = shape, shape[:1]
        if kind == "norm":
            shapes[f"{stem}.running_mean"] = shapes[f"{stem}.running_var"] = shape
            shapes[f"{stem}.num_batches_tracked"] = ()
    return shapes


NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
