"""What clips are to be told: class labels, and later boxes, spans or masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidattn.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class RaggedTarget:
    """Targets of which each clip has as many rows as there are: boxes, spans.

    Attributes:
        rows: (rows, …), those of the first clip, then those of the second, …
        counts: int64 (N,), rows of each clip; stays on the CPU.
    """

    rows: Tensor
    counts: Tensor

    def __post_init__(self) -> None:
        total = int(self.counts.sum())
        if self.counts.ndim != 1 or self.counts.dtype != torch.int64 or total != len(self.rows):
            raise ArgumentError(
                f"counts: expected int64 (N,) with the sum {len(self.rows)}, the number of rows, "
                f"got {self.counts.dtype} {tuple(self.counts.shape)} with the sum {total}"
            )

    @classmethod
    def of_clip(cls, rows: Tensor) -> RaggedTarget:
        """The target of one clip, from its rows (rows, …)."""
        return cls(rows, torch.tensor([len(rows)]))

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, clip: int) -> Tensor:
        """The rows of one clip."""
        return self.rows.split(self.counts.tolist())[clip]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> RaggedTarget:
        """The target with its rows on a device."""
        return RaggedTarget(self.rows.to(device, non_blocking=non_blocking), self.counts)

    def pin_memory(self) -> RaggedTarget:
        """The target with its rows in page-locked memory."""
        return RaggedTarget(self.rows.pin_memory(), self.counts)


# A tensor has one entry of one shape for each clip; None: nothing is known of the clips.
Target = Tensor | RaggedTarget | None


def stack_targets(targets: Sequence[Target]) -> Target:
    """The targets of single clips -> the target of their batch, in order.

    Args:
        targets: of each clip, at least one: tensors of one shape, ragged targets of one clip each,
            or None throughout.

    Raises:
        ArgumentError: targets of different kinds.
    """
    ragged = [target for target in targets if isinstance(target, RaggedTarget)]
    tensors = [target for target in targets if isinstance(target, Tensor)]
    if len(tensors) == len(targets):
        return torch.stack(tensors)
    if len(ragged) == len(targets):
        rows = torch.cat([target.rows for target in ragged])
        return RaggedTarget(rows, torch.cat([target.counts for target in ragged]))
    if tensors or ragged:
        kinds = sorted({type(target).__name__ for target in targets})
        raise ArgumentError(f"target: expected one kind for all clips of a batch, got {kinds}")
    return None
