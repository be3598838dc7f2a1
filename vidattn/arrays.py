"""Arrays from a caller, checked: shape and range are named in the error, NaN never passes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vidattn.errors import ArgumentError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def finite_array(
    name: str,
    values: ArrayLike,
    shape: tuple[int | None, ...],
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
) -> FloatArray:
    """`values` as float64 of the given shape, None standing for any length.

    Raises:
        ArgumentError: not numbers, another shape, NaN or infinite, outside [minimum, maximum].
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name}: expected numbers, got {error}") from None
    _check_shape(name, array.shape, shape)
    if not np.isfinite(array).all():
        raise ArgumentError(f"{name}: expected finite numbers, got NaN or infinity")
    if array.size and (array.min() < minimum or array.max() > maximum):
        raise ArgumentError(
            f"{name}: expected values in [{minimum:g}, {maximum:g}], "
            f"got [{array.min():g}, {array.max():g}]"
        )
    return array


def index_array(
    name: str, values: ArrayLike, shape: tuple[int | None, ...], *, below: int | None = None
) -> IntArray:
    """`values` as int64 of the given shape, each in [0, below).

    Raises:
        ArgumentError: not whole numbers, another shape, negative or not below `below`.
    """
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    _check_shape(name, array.shape, shape)
    if array.dtype.kind not in "iu":
        raise ArgumentError(f"{name}: expected whole numbers, got {array.dtype}")
    limit = math.inf if below is None else below
    if array.size and (array.min() < 0 or array.max() >= limit):
        raise ArgumentError(
            f"{name}: expected values in [0, {limit}), got [{array.min()}, {array.max()}]"
        )
    return array.astype(np.int64)


def pixel_array(name: str, values: NDArray[np.uint8], dimensions: int) -> NDArray[np.uint8]:
    """uint8 RGB pixels with channels last, as they are.

    Raises:
        ArgumentError: another dtype, number of dimensions or number of channels, or empty.
    """
    array = np.asarray(values)
    if array.dtype != np.uint8 or array.ndim != dimensions or array.shape[-1] != 3:
        axes = "(T, H, W, 3)" if dimensions == 4 else "(H, W, 3)"
        raise ArgumentError(
            f"{name}: expected uint8 of shape {axes}, got {array.dtype} of shape {array.shape}"
        )
    if 0 in array.shape[-3:]:
        raise ArgumentError(f"{name}: expected at least one pixel, got shape {array.shape}")
    return array


def at_least(name: str, value: int, minimum: int) -> int:
    """`value` if it is a whole number of at least `minimum`, or ArgumentError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ArgumentError(f"{name}: expected a whole number of at least {minimum}, got {value!r}")
    return int(value)


def _check_shape(name: str, got: tuple[int, ...], expected: tuple[int | None, ...]) -> None:
    fits = len(got) == len(expected) and all(
        want in (None, have) for want, have in zip(expected, got, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in expected)
        raise ArgumentError(f"{name}: expected shape ({wanted}), got {got}")
