from __future__ import annotations

import pytest

from vidattn.errors import ArgumentError
from vidattn.runs.shards import Shard, shard_from_environment


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Shard()),
        ({"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}, Shard(2, 4, 0)),
        (
            {
                "SLURM_PROCID": "5",
                "SLURM_NTASKS": "8",
                "SLURM_STEP_ID": "0",
                "SLURM_LOCALID": "1",
            },
            Shard(5, 8, 1),
        ),
        # In a batch script, outside a step, there is one process whatever was asked for.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, Shard()),
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "1", "NODE_RANK": "0"}, Shard(1, 2, 1)),
        ({"WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Shard()),
    ],
)
def test_what_launchers_say(environment: dict[str, str], expected: Shard) -> None:
    assert shard_from_environment(environment) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "4", "WORLD_SIZE": "4"},
        {"RANK": "one", "WORLD_SIZE": "4"},
        {"WORLD_SIZE": "4", "LOCAL_RANK": "1", "NODE_RANK": "1"},
    ],
)
def test_contradictions_are_errors(environment: dict[str, str]) -> None:
    with pytest.raises(ArgumentError):
        shard_from_environment(environment)


def test_only_processes_that_share_get_devices_of_their_own() -> None:
    assert Shard().device("cuda") == "cuda"
    assert Shard(1, 2, 1).device("cpu") == "cpu"
    assert Shard(1, 2, 1).device("cuda").startswith("cuda:")
