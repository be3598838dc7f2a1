"""What becomes of groups whose actor is lost, with actors that are lost when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from vidattn.errors import ProcessError
from vidattn.runs.limits import RunLimits
from vidattn.runs.ray_executor import MOST_RESTARTS, RayCluster, _Driver
from vidattn.runs.ray_worker import Found
from vidattn.runs.schedule import Schedule
from vidattn.runs.work import Group


class LostError(Exception):
    """Stands for every error of Ray that says that an actor is no more."""


class Cluster:
    """As much of Ray as a driver calls; actors answer when they are asked for their answers."""

    exceptions = SimpleNamespace(RayTaskError=KeyError, RayError=LostError)

    def __init__(self, loses: Callable[[Sequence[Group]], bool]) -> None:
        self.loses = loses
        self.handed: list[list[int]] = []
        self.killed: set[int] = set()
        self.count = 0

    def put(self, value: Any) -> Any:
        return value

    def remote(self, kind: type) -> Any:
        return SimpleNamespace(options=lambda **settings: SimpleNamespace(remote=self._started))

    def _started(self, *given: Any) -> Any:
        self.count += 1
        number = self.count

        def work_on(groups: Sequence[Group]) -> Any:
            self.handed.append([each for group in groups for each in group])
            return Call(number, groups)

        return SimpleNamespace(
            number=number,
            begin=SimpleNamespace(remote=lambda *given: Call(number, None)),
            work_on=SimpleNamespace(remote=work_on),
        )

    def wait(self, calls: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return calls[:1], calls[1:]

    def get(self, call: Any) -> Found | None:
        if call.groups is None:
            return None
        if call.actor in self.killed or self.loses(call.groups):
            raise LostError
        return Found([{each: {"done": each} for each in group} for group in call.groups])

    def kill(self, handle: Any) -> None:
        self.killed.add(handle.number)


class Call:
    def __init__(self, actor: int, groups: Sequence[Group] | None) -> None:
        self.actor, self.groups = actor, groups


class Groups:
    def __init__(self, count: int) -> None:
        self.left: list[Group] = [[number] for number in range(count)]

    def more(self) -> Sequence[Group]:
        given, self.left = self.left, []
        return given

    def seconds_to_wait(self) -> None:
        return None


def run(cluster: Cluster, count: int, workers: int) -> tuple[list[int], Schedule]:
    recorded: list[int] = []
    schedule = Schedule(Groups(count), recorded.extend)
    _Driver(cluster, RayCluster(None, workers, RunLimits(), 1, ()), None, schedule).run()  # type: ignore[arg-type]
    return recorded, schedule


@pytest.mark.parametrize("workers", [1, 3])
def test_only_the_group_that_ends_its_machine_is_left_undone(workers: int) -> None:
    cluster = Cluster(lambda groups: [20] in groups)
    recorded, schedule = run(cluster, 60, workers)
    assert sorted(recorded) == [number for number in range(60) if number != 20]
    assert [list(group) for group, _ in schedule.undone] == [[20]]
    assert "3 actors of Ray were lost" in schedule.undone[0][1]
    assert sum(20 in groups for groups in cluster.handed) == 3
    # It is handed out with others once; after that it is alone.
    assert [groups for groups in cluster.handed if 20 in groups][1:] == [[20], [20]]


def test_what_one_lost_actor_had_another_one_does() -> None:
    losses = iter([True])
    cluster = Cluster(lambda groups: [5] in groups and next(losses, False))
    recorded, schedule = run(cluster, 40, 2)
    assert sorted(recorded) == list(range(40))
    assert schedule.undone == []
    assert cluster.count == 3


def test_a_run_whose_actors_are_always_lost_gives_up() -> None:
    cluster = Cluster(lambda groups: True)
    with pytest.raises(ProcessError, match="actors of Ray were lost during this run"):
        run(cluster, 1000, 1)
    assert cluster.count == MOST_RESTARTS + 1
