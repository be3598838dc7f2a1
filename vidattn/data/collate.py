from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from vidattn.data.batch_memory import BatchMemory, received, rows_of
from vidattn.data.failures import Failure
from vidattn.data.targets import Target, stack_targets
from vidattn.errors import ArgumentError
from vidattn.video.clip import Clip, Geometry

# Of this process, where it is a loader's worker.
_MEMORY = BatchMemory()


@dataclass(frozen=True, eq=False)
class ClipWithTarget:
    """A clip and what it shows.

    Attributes:
        target: its label: class index, int64 of shape (); or multi-hot, float32 (classes,). None
            where nothing is known of it.
    """

    clip: Clip
    target: Target


@dataclass(eq=False)
class ClipBatch:
    """Clips of one size, stacked.

    Attributes:
        pixels: uint8 (N, 3, T, H, W), `channels_last_3d`; float and normalised once a device
            transform has run.
        target: of the clips: labels are int64 (N,), or float32 (N, classes), multi-hot or mixed;
            None where nothing is known of them.
        valid: bool (N, T), False where a frame is padding.
        seconds: float64 (N, T), on each source's clock; stays on the CPU.
        indices: int64 (N, T), frame positions in each source; stays on the CPU.
        geometry: where each clip's pixels lie in its source.
        video_id: each clip's video.
        view: number of each clip among those of its video.
        failures: videos that were meant to be in the batch and could not be read.
    """

    pixels: Tensor
    target: Target
    valid: Tensor
    seconds: Tensor
    indices: Tensor
    geometry: list[Geometry]
    video_id: list[str]
    view: list[int]
    failures: list[Failure] = field(default_factory=list)

    def __len__(self) -> int:
        return self.pixels.shape[0]

    @property
    def labels(self) -> Tensor:
        """The target where it is labels.

        Raises:
            ArgumentError: the clips have none.
        """
        if not isinstance(self.target, Tensor):
            raise ArgumentError(f"target: the clips of {', '.join(self.video_id)} have no labels")
        return self.target

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> ClipBatch:
        """The batch with pixels, target and mask on a device."""
        return replace(
            self,
            pixels=self.pixels.to(device, non_blocking=non_blocking),
            target=None
            if self.target is None
            else self.target.to(device, non_blocking=non_blocking),
            valid=self.valid.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> ClipBatch:
        """The batch with what goes to the device in page-locked memory."""
        return replace(
            self,
            pixels=self.pixels.pin_memory(),
            target=None if self.target is None else self.target.pin_memory(),
            valid=self.valid.pin_memory(),
        )


@dataclass(eq=False)
class _LentBatch(ClipBatch):
    """A batch of a worker; the process that it is sent to gets a `ClipBatch`.

    Attributes:
        block: of the worker's memory.
        lent: the pixels there; `pixels` may have become others since.
    """

    block: Tensor = field(kw_only=True)
    lent: Tensor = field(kw_only=True)

    def __reduce__(self) -> tuple[Callable[..., ClipBatch], tuple[Any, ...]]:
        values = {each.name: getattr(self, each.name) for each in fields(ClipBatch)}
        if self.pixels is not self.lent:
            return _arrived, (values,)
        shape = _stored(values.pop("pixels")).shape
        return _arrived, (values, self.block, shape)


def _arrived(
    values: dict[str, Any], block: Tensor | None = None, shape: Sequence[int] = ()
) -> ClipBatch:
    if block is not None:
        values = {**values, "pixels": _shown(received(block, shape))}
    return ClipBatch(**values)


def _shown(rows: Tensor) -> Tensor:
    """N·T·H·W·3 storage as (N, 3, T, H, W)."""
    return rows.permute(0, 4, 1, 2, 3)


def _stored(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 2, 3, 4, 1)


def collate_clips(items: Iterable[Sequence[ClipWithTarget] | Failure]) -> ClipBatch:
    """Stack the clips of several videos, in order.

    Args:
        items: for each video its clips, or why it has none. Those without clips shrink the
            batch: one of nothing but failures has N = 0 (and T = H = W = 0).

    Raises:
        ArgumentError: clips differ in size.
    """
    clips: list[ClipWithTarget] = []
    failures: list[Failure] = []
    for item in items:
        if isinstance(item, Failure):
            failures.append(item)
        else:
            clips.extend(item)
    if not clips:
        return _empty(failures)
    others: dict[str, Any] = {
        "target": stack_targets([item.target for item in clips]),
        "valid": torch.stack([item.clip.valid for item in clips]),
        "seconds": torch.stack([item.clip.seconds for item in clips]),
        "indices": torch.stack([item.clip.indices for item in clips]),
        "geometry": [item.clip.geometry for item in clips],
        "video_id": [item.clip.video_id for item in clips],
        "view": [item.clip.view for item in clips],
        "failures": failures,
    }
    rows = _rows([item.clip for item in clips])
    if get_worker_info() is None:
        return ClipBatch(pixels=_shown(torch.stack(rows)), **others)
    # No copy is made to send it, for it lies where the process that it goes to can see it.
    block = _MEMORY.lend(sum(row.nbytes for row in rows))
    stacked = torch.stack(rows, out=rows_of(block, (len(rows), *rows[0].shape)))
    pixels = _shown(stacked)
    return _LentBatch(pixels=pixels, **others, block=block, lent=pixels)


def _rows(clips: list[Clip]) -> list[Tensor]:
    """T·H·W·3 storage of each.

    Stacked, then permuted, it is channels_last_3d, whatever `stack` does with the strides of
    permuted views; any other order costs a copy later.
    """
    shapes = {tuple(clip.pixels.shape) for clip in clips}
    if len(shapes) > 1:
        raise ArgumentError(f"clips: expected one shape (T, 3, H, W), got {sorted(shapes)}")
    return [clip.pixels.permute(0, 2, 3, 1) for clip in clips]


def _empty(failures: list[Failure]) -> ClipBatch:
    return ClipBatch(
        pixels=torch.zeros(0, 3, 0, 0, 0, dtype=torch.uint8),
        target=torch.zeros(0, dtype=torch.int64),
        valid=torch.zeros(0, 0, dtype=torch.bool),
        seconds=torch.zeros(0, 0, dtype=torch.float64),
        indices=torch.zeros(0, 0, dtype=torch.int64),
        geometry=[],
        video_id=[],
        view=[],
        failures=failures,
    )
