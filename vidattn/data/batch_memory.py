"""Shared memory for batches, used again once a batch is needed no more."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# Of a worker: two batches wait to be fetched, one is used, and one is fetched meanwhile.
_MOST_BLOCKS = 4
_FREE, _LENT = 0, 1

_forks = 0  # of this process, and of those that it was forked from


class BatchMemory:
    """Blocks of shared memory in which a worker hands over what it made.

    New pages cost half a millisecond a megabyte, much more than copying frames there. So up to four
    blocks, each as large as a batch, are kept for as long as the worker lives, and used again. The
    last byte of a block tells whether the process that got it still has what was in it.
    """

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []

    def lend(self, size: int) -> Tensor:
        """A block of more than `size` bytes that nobody has: uint8, 1-D. See `received`."""
        free = [place for place, block in enumerate(self._blocks) if block[-1] == _FREE]
        large = [place for place in free if len(self._blocks[place]) > size]
        if large:
            block = self._blocks[large[0]]
        else:
            block = _new_block(size + 1)
            # One that is too small makes room, or else the oldest: it may never come back.
            if len(self._blocks) == _MOST_BLOCKS or free:
                del self._blocks[free[0] if free else 0]
            self._blocks.append(block)
        block[-1] = _LENT
        return block


def rows_of(block: Tensor, shape: Sequence[int]) -> Tensor:
    """The array at the beginning of a block."""
    return block[: math.prod(shape)].view(*shape)


def received(block: Tensor, shape: Sequence[int]) -> Tensor:
    """In the process that got a block: the array at its beginning.

    The worker has the block back once the array is gone, and with it all that shares its memory,
    unless this process was forked meanwhile: then it never has, for the other one may still look.
    """
    whole = block.numpy()
    rows = whole[: math.prod(shape)].reshape(shape)
    # A tensor made of an array keeps that very array for as long as anybody has its memory.
    weakref.finalize(rows, _give_back, whole, _forks).atexit = False
    return torch.from_numpy(rows)


def _give_back(whole: np.ndarray, forks: int) -> None:
    if forks == _forks:
        whole[-1] = _FREE


def _count_fork() -> None:
    global _forks
    _forks += 1


def _new_block(size: int) -> Tensor:
    storage = torch.UntypedStorage._new_shared(size)
    return torch.empty(0, dtype=torch.uint8).set_(storage)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork)
