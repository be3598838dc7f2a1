from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from vidattn.errors import ArgumentError

# What launchers tell each process they start: its number, and how many there are. Slurm's names
# stand outside a step too, where there is one process only, hence the third name.
_LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_ID"),
)


@dataclass(frozen=True)
class Shard:
    """Which of the processes that share a run this one is.

    Attributes:
        rank: 0 to count − 1.
        count: processes that share the run.
        local_rank: number of the process on its machine, which chooses its device.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count or self.local_rank < 0:
            raise ArgumentError(f"shard: expected 0 ≤ rank < processes, got {self}")

    def device(self, name: str) -> str:
        """`cuda` -> a device of this process's own, where there are several processes."""
        if name != "cuda" or self.count == 1:
            return name
        import torch

        return f"cuda:{self.local_rank % max(torch.cuda.device_count(), 1)}"


def shard_from_environment(environment: Mapping[str, str] | None = None) -> Shard:
    """What torchrun, Slurm or Lightning's launchers say of this process; the whole run if nothing.

    Raises:
        ArgumentError: the variables contradict each other, or the rank cannot be told.
    """
    known = os.environ if environment is None else environment
    for rank, count, sign in _LAUNCHERS:
        if rank in known and count in known and sign in known:
            local = next(name for name in ("LOCAL_RANK", "SLURM_LOCALID", rank) if name in known)
            return Shard(_number(known, rank), _number(known, count), _number(known, local))
    if "WORLD_SIZE" in known and "LOCAL_RANK" in known and _number(known, "WORLD_SIZE") > 1:
        # Lightning starts processes so; on one machine the local rank is the rank.
        if known.get("NODE_RANK", "0") != "0":
            raise ArgumentError("RANK: expected it to be set where several machines share a run")
        rank_here = _number(known, "LOCAL_RANK")
        return Shard(rank_here, _number(known, "WORLD_SIZE"), rank_here)
    return Shard()


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise ArgumentError(f"{name}: expected a whole number, got {environment[name]!r}") from None
