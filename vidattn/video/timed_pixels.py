"""Pictures with their times, as `Frames` and `Clip` hold them: NumPy inside, torch on request."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from vidattn.errors import ArgumentError
from vidattn.video.notebook import shown_places, strip_html

if TYPE_CHECKING:
    from torch import Tensor

Kind = TypeVar("Kind", bound="TimedPixels")

# Order of a tensor's axes (T, 3, H, W) in the array (T, H, W, 3), and the other way round.
_STORED, _SHOWN = (0, 2, 3, 1), (0, 3, 1, 2)


class TimedPixels:
    """Base of frozen dataclasses with the fields below; decorate them with `given_as_tensors`.

    Each field is kept as a NumPy array and given as a tensor over the same memory. Reading a
    field imports torch; `array`, `seconds_array`, `indices_array` and `valid_array` do not.
    Arrays and tensors in the CPU's memory are taken without a copy, except those that torch
    cannot share: read-only arrays, and those with a negative stride.

    Attributes:
        pixels: uint8 RGB, shape (T, 3, H, W), stored T·H·W·3.
        seconds: float64, shape (T,).
        indices: int64, shape (T,).
        valid: bool, shape (T,).
    """

    pixels: Tensor
    seconds: Tensor
    indices: Tensor
    valid: Tensor

    @property
    def array(self) -> np.ndarray:
        """The pixels as NumPy stores pictures: uint8, shape (T, H, W, 3); a view, not a copy."""
        return _held(self, "pixels")

    @property
    def seconds_array(self) -> np.ndarray:
        """`seconds` as a NumPy array; a view, not a copy."""
        return _held(self, "seconds")

    @property
    def indices_array(self) -> np.ndarray:
        """`indices` as a NumPy array; a view, not a copy."""
        return _held(self, "indices")

    @property
    def valid_array(self) -> np.ndarray:
        """`valid` as a NumPy array; a view, not a copy."""
        return _held(self, "valid")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pixels."""
        height, width = self.array.shape[1:3]
        return height, width

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, place: int | slice) -> Self:
        """One frame or several, by their places in this object; views where the step is positive.

        Raises:
            IndexError: there is no such place.
        """
        if isinstance(place, slice):
            return self.part(place)
        number = range(len(self))[place]  # counts from the end where negative
        return self.part(slice(number, number + 1))

    def __iter__(self) -> Iterator[Self]:
        return map(self.__getitem__, range(len(self)))

    def part(self, places: slice) -> Self:
        """Neighbouring frames, by their places in this object; views, not copies."""
        return self._at(places)

    def take(self, places: Sequence[int] | np.ndarray) -> Self:
        """Frames by their place in this object, in the order asked for; copies."""
        return self._at(np.asarray(places, np.int64))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._described()})"

    def _repr_html_(self) -> str:
        return strip_html(repr(self), self.array[shown_places(len(self))])

    def _described(self) -> str:
        count, (height, width) = len(self), self.size
        words = [f"pixels ({count}, 3, {height}, {width})"]
        if count:
            first, last = self.seconds_array[[0, -1]].tolist()
            words.append(f"{first:.3f} s" if count == 1 else f"{first:.3f} to {last:.3f} s")
        if lost := count - int(self.valid_array.sum()):
            words.append(f"{lost} not valid")
        return ", ".join(words)

    def _at(self, places: slice | np.ndarray) -> Self:
        return self._with(**{name: _held(self, name)[places] for name in _FIELDS})

    def _with(self, **arrays: np.ndarray) -> Self:
        """The same with other arrays; those of the pixels as they are stored. Needs no torch."""
        given = {}
        for each in fields(self):  # type: ignore[arg-type]
            if each.name not in _FIELDS:
                given[each.name] = getattr(self, each.name)
                continue
            array = arrays.get(each.name, _held(self, each.name))
            given[each.name] = array.transpose(_SHOWN) if each.name == "pixels" else array
        return type(self)(**given)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy:
            return self.array.astype(dtype or np.uint8)
        return np.asarray(self.array, dtype)

    def _check_arrays(self) -> None:
        array = self.array
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
            shape = tuple(np.transpose(array, _SHOWN).shape) if array.ndim == 4 else array.shape
            raise ArgumentError(
                f"pixels: expected uint8 of shape (T, 3, H, W), got {array.dtype} of shape {shape}"
            )
        for name, dtype in _TIMES.items():
            values = _held(self, name)
            if values.dtype != dtype or values.shape != array.shape[:1]:
                raise ArgumentError(
                    f"{name}: expected {np.dtype(dtype)} of shape ({len(array)},), "
                    f"got {values.dtype} of shape {values.shape}"
                )


_TIMES: dict[str, type[np.generic]] = {
    "seconds": np.float64,
    "indices": np.int64,
    "valid": np.bool_,
}


_FIELDS = ("pixels", *_TIMES)


class _TensorOverArray:
    """A field that is kept as an array and given as a tensor over the same memory."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: TimedPixels | None, kind: type) -> Any:
        if owner is None:
            return self
        import torch

        tensor = torch.from_numpy(_held(owner, self._name))
        return tensor.permute(_SHOWN) if self._name == "pixels" else tensor

    def __set__(self, owner: TimedPixels, value: Any) -> None:
        array = None if value is None else _as_array(self._name, value)
        owner.__dict__[f"_{self._name}"] = array


def given_as_tensors(kind: type[Kind]) -> type[Kind]:
    """Make the four fields of a dataclass what `TimedPixels` says.

    Where torch is loaded, they travel between processes as tensors do: in shared memory.
    """
    for name in _FIELDS:
        field = _TensorOverArray()
        field.__set_name__(kind, name)
        setattr(kind, name, field)
    ForkingPickler.register(kind, _to_another_process)
    return kind


def _held(owner: TimedPixels, name: str) -> np.ndarray:
    array: np.ndarray = owner.__dict__[f"_{name}"]
    return array


def _as_array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"{name}: expected an array or a tensor in the CPU's memory, got {error}"
        ) from error
    if name == "pixels" and array.ndim == 4:
        array = array.transpose(_STORED)
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    return array


def _to_another_process(value: Any) -> Any:
    if "torch" not in sys.modules:
        return value.__reduce_ex__(4)
    return type(value), tuple(getattr(value, each.name) for each in fields(value))
