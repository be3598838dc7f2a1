"""Building blocks of the references, in float64 NumPy and as plain as can be."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate

Weights = dict[str, np.ndarray]


def weights_of(module) -> Weights:
    return {name: value.clone().numpy() for name, value in module.state_dict().items()}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    """A layer on the channels, which are axis 1, whatever comes behind."""
    kernel = w[f"{name}.weight"]
    out = np.einsum("oi,ni...->no...", kernel.reshape(kernel.shape[:2]), x)
    return out + channelwise(w[f"{name}.bias"], x.ndim) if f"{name}.bias" in w else out


def channelwise(values: np.ndarray, ndim: int) -> np.ndarray:
    """(C,) -> (1, C, 1, …)."""
    return values.reshape(1, -1, *[1] * (ndim - 2))


def batch_norm(x: np.ndarray, w: Weights, name: str, *, training: bool) -> np.ndarray:
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axes) if training else w[f"{name}.running_mean"]
    variance = x.var(axes) if training else w[f"{name}.running_var"]
    scale = w[f"{name}.weight"] / np.sqrt(variance + 1e-5)
    return channelwise(scale, x.ndim) * (x - channelwise(mean, x.ndim)) + channelwise(
        w[f"{name}.bias"], x.ndim
    )


def convolve(x: np.ndarray, w: Weights, name: str, *, dilation: int = 1) -> np.ndarray:
    """A convolution of stride 1 that keeps the size, with zeros beyond the border."""
    kernel = w[f"{name}.weight"]
    spread = np.zeros(
        (*kernel.shape[:2], *((size - 1) * dilation + 1 for size in kernel.shape[2:]))
    )
    spread[(..., *[slice(None, None, dilation)] * (x.ndim - 2))] = kernel
    out = np.stack(
        [
            np.stack(
                [
                    sum(
                        correlate(one, k, mode="constant")
                        for one, k in zip(sample, row, strict=True)
                    )
                    for row in spread
                ]
            )
            for sample in x
        ]
    )
    return out + channelwise(w[f"{name}.bias"], x.ndim) if f"{name}.bias" in w else out


def others(axis: int, ndim: int) -> tuple[int, ...]:
    """All position axes but one."""
    return tuple(one for one in range(2, ndim) if one != axis)
