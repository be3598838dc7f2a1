"""Who is to blame when a process is lost, and what becomes of the others in its group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from vidattn.runs import schedule as module
from vidattn.runs.schedule import Schedule
from vidattn.runs.work import Group, Record

Act = Callable[[Group], str]


class Given:
    """A list of groups, as one part."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups

    def more(self) -> Sequence[Group]:
        given, self.groups = self.groups, []
        return given

    def seconds_to_wait(self) -> float | None:
        return None


def played(groups: list[list[int]], act: Act) -> tuple[dict[int, Record], list[list[int]]]:
    """Records of a schedule whose groups fare as `act` says, and the groups in order of attempts.

    `act` gives "done", "lost" or "trouble" for a group.
    """
    found: dict[int, Record] = {}
    attempts: list[list[int]] = []

    def record(records: Mapping[int, Record]) -> None:
        assert not found.keys() & records.keys(), "a final record is recorded once"
        found.update(records)

    schedule = Schedule(Given(groups), record)
    while (stream := schedule.stream()) or schedule.seconds_to_wait() is not None:
        while stream and (group := stream.take()):
            attempts.append(list(group))
            fate = act(group)
            if fate == "done":
                stream.done({number: {"with": list(group)} for number in group})
            elif fate == "lost":
                stream.lost("ProcessError", "killed")
                break
            else:
                stream.trouble("Input/output error")
                break
    found["undone"] = schedule.undone  # type: ignore[index, assignment]
    return found, attempts


BLAMED = {"error": "ProcessError", "reason": "killed", "attempts": 2}


def test_a_video_is_blamed_after_a_second_attempt_alone() -> None:
    found, attempts = played([[0], [1], [2]], lambda group: "lost" if 1 in group else "done")
    assert attempts == [[0], [1], [1], [2]]
    assert found[1] == BLAMED
    assert found[0] == {"with": [0]}
    assert found[2] == {"with": [2]}


def test_a_loss_that_does_not_come_again_is_nobodys_fault() -> None:
    fates = iter(["lost", "done", "done"])
    found, attempts = played([[0], [1]], lambda group: next(fates))
    assert attempts == [[0], [0], [1]]
    assert found[0] == {"with": [0]}


def test_a_process_that_tried_one_video_gets_no_other_of_the_trial() -> None:
    found: dict[int, Record] = {}
    schedule = Schedule(Given([[0, 1]]), found.update)
    first = schedule.stream()
    assert first is not None
    assert first.take() == [0, 1]
    first.lost("ProcessError", "killed")
    one = schedule.stream()
    assert one is not None
    assert one.take() == [0]
    one.done({0: {"frames": 3}})
    assert one.take() is None  # while it ends, another process begins
    other = schedule.stream()
    assert other is not None
    assert other.take() == [1]
    assert one.in_work == []
    assert other.in_work == [[1]]
    other.lost("LimitError", "nothing moved")
    assert found[1]["reason"] == "nothing moved"


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({0}, [[0, 1, 2], [0], [1, 2], [3]]),
        ({2}, [[0, 1, 2], [0], [1], [2], [0, 1], [3]]),
        ({0, 2}, [[0, 1, 2], [0], [1, 2], [1], [2], [1], [3]]),
        ({0, 1, 2}, [[0, 1, 2], [0], [1, 2], [1], [2], [2], [3]]),
    ],
)
def test_the_others_of_a_group_go_through_together(bad: set[int], expected: list) -> None:
    found, attempts = played([[0, 1, 2], [3]], lambda group: "lost" if bad & {*group} else "done")
    rest = [number for number in range(3) if number not in bad]
    for number in range(3):
        if number in bad:
            assert found[number]["error"] == "ProcessError"
            tried = [group for group in attempts if number in group]
            assert found[number]["attempts"] == len(tried) >= 2
        else:
            assert found[number] == {"with": rest}
    assert attempts == expected


def test_a_group_that_only_fails_together_is_done_one_by_one() -> None:
    found, _ = played([[0, 1]], lambda group: "lost" if len(group) > 1 else "done")
    assert found[0] == {"with": [0]}
    assert found[1] == {"with": [1]}


@pytest.mark.parametrize(("videos", "tried"), [((), [0, 1, 2, 3]), (("d", "x"), [3])])
def test_of_all_groups_in_work_the_video_that_is_named_is_tried_first(
    videos: tuple[str, ...], tried: list[int]
) -> None:
    """One that reads ahead has taken further groups."""
    found: dict[int, Record] = {}
    schedule = Schedule(Given([[0, 1], [2, 3], [4]]), found.update, "abcde")
    stream = schedule.stream()
    assert stream is not None
    assert [stream.take(), stream.take()] == [[0, 1], [2, 3]]
    stream.lost("ProcessError", "killed", videos)
    for number in tried:
        trial = schedule.stream()
        assert trial is not None
        assert [trial.take(), trial.take()] == [[number], None]
        if number == 3:
            trial.lost("ProcessError", "killed")
        else:
            trial.done({number: {}})
    rest = schedule.stream()
    assert rest is not None
    assert [rest.take() for _ in range(4)] == [[0, 1], [2], [4], None]
    assert found == {3: BLAMED}


@pytest.mark.parametrize(("times", "undone"), [(1, 0), (2, 0), (3, 1)])
def test_input_and_output_trouble_is_tried_again_and_blames_nobody(
    times: int, undone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSES_SECONDS", (0.001, 0.002))
    left = [times]

    def act(group: Group) -> str:
        if 1 in group and left[0]:
            left[0] -= 1
            return "trouble"
        return "done"

    found, _ = played([[0, 1], [2]], act)
    assert found[2] == {"with": [2]}
    assert found["undone"] == ([([0, 1], "Input/output error")] if undone else [])  # type: ignore
    assert (0 in found) == (1 in found) == (not undone)
