"""Frames that are left out at first: what is found must be what all frames show."""

from __future__ import annotations

import numpy as np
import pytest

from tests.selection.test_shots import as_bytes, lead_over, scene
from vidattn.errors import ArgumentError
from vidattn.selection import Transition, find_transitions
from vidattn.selection.glances import Glance, Stretch, frames_to_look_at, stretches


class Film:
    """Frames that are there when somebody looks."""

    def __init__(self, frames: np.ndarray, left_out: np.ndarray) -> None:
        self.frames, self.looked_at_again = frames, [0][:0]
        self.numbers = np.flatnonzero(~left_out)

    def found(self, at_once: int = 64) -> list[tuple[int, int, str]]:
        shown = self.frames[self.numbers]
        chunks = (shown[start : start + at_once] for start in range(0, len(shown), at_once))
        return [tuple(each) for each in find_transitions(chunks, Glance(self.numbers, self._look))]

    def _look(self, numbers: np.ndarray) -> np.ndarray:
        self.looked_at_again += numbers.tolist()
        return self.frames[numbers]


def three_of_four(count: int) -> np.ndarray:
    """All frames but each fourth and the last."""
    left_out = np.arange(count) % 4 != 0
    left_out[-1] = False
    return left_out


@pytest.mark.parametrize("first", [30, 31, 32, 33])
def test_a_cut_among_frames_left_out_is_found_to_the_frame(first: int) -> None:
    frames = as_bytes(scene(0, first), scene(1, 63))
    film = Film(frames, three_of_four(len(frames)))
    assert film.found() == [(first - 1, first, "cut")]
    assert not set(film.looked_at_again) & set(film.numbers.tolist())
    assert len(film.looked_at_again) <= 9


def test_nothing_is_looked_at_again_where_nothing_happens() -> None:
    film = Film(as_bytes(scene(0, 2500)), three_of_four(2500))
    assert (film.found(), film.looked_at_again) == ([], [])


@pytest.mark.parametrize("kind", ["dissolve", "fade", "wipe"])
def test_gradual_transitions_are_those_of_all_frames(kind: str) -> None:
    old, new = scene(1, 1040), scene(2, 80)
    frames = as_bytes(old[:1020], lead_over(old[1020:], new[:20], kind), new[20:])
    expected = [tuple(each) for each in find_transitions(frames)]
    film = Film(frames, three_of_four(len(frames)))
    assert film.found() == expected
    last_old, first_new, _ = expected[0]
    unknown = {n for n in range(last_old, first_new + 1) if n not in film.numbers}
    assert unknown <= set(film.looked_at_again)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_chunks_and_blocks_change_nothing(at_once: int) -> None:
    lengths = [301, 342, 381, 503, 103, 410]
    frames = as_bytes(*[scene(seed, length) for seed, length in enumerate(lengths)])
    film = Film(frames, three_of_four(len(frames)))
    assert [each[1] for each in film.found(at_once)] == np.cumsum(lengths)[:-1].tolist()


@pytest.mark.parametrize("numbers", [[0, 1], [0, 1, 2, 3]])
def test_other_frames_than_were_told_are_refused(numbers: list[int]) -> None:
    glance = Glance(np.array(numbers), lambda wanted: np.zeros((len(wanted), 36, 64, 3), np.uint8))
    with pytest.raises(ArgumentError, match=rf"frames: expected {len(numbers)}, as many"):
        list(find_transitions(as_bytes(scene(0, 3)), glance))


def test_frames_to_look_at_are_those_of_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    count = 4000
    intra = generator.random(count) < 0.03
    may_be_left_out = ~intra & (generator.random(count) < 0.6)
    evidence = generator.normal(0, 0.1, count) + (generator.random(count) < 0.004)
    expected, group = [], []
    for number in range(count + 1):
        if number == count or intra[number]:  # decide on the group before
            could = [n for n in group if may_be_left_out[n]]
            loud = [n for n in could if (evidence[max(n - 4, 0) : n + 5] > 0.7).any()]
            kept = could if len(loud) > 0.1 * len(could) else loud
            expected += sorted(set(group) - set(could) | set(kept))
            group = []
        group.append(number)
    expected = sorted({0, *expected, count - 1})
    found = frames_to_look_at(evidence, intra, may_be_left_out)
    assert found.tolist() == expected
    assert 0.5 * count < len(found) < 0.9 * count


def test_transitions_count_the_frames_looked_at() -> None:
    glance = Glance(np.array([0, 4, 5, 9, 12]), lambda numbers: np.empty(0, np.uint8))
    found = [Transition(4, 5, "cut"), Transition(6, 7, "cut"), Transition(7, 8, "cut")]
    # Between the last two there is no frame that was looked at.
    assert glance.among_those_looked_at(found) == [(1, 2, "cut"), (2, 3, "cut")]


def test_frames_left_out_are_guessed_as_mixtures_of_those_around_them() -> None:
    seen = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    glance = Glance(np.array([0, 4, 5, 8]), lambda numbers: np.empty(0, np.uint8))
    parts = list(stretches(iter([seen[:1], seen[1:3], seen[3:]]), glance))
    whole = Stretch.joined(parts)
    assert [len(part) for part in parts] == [1, 5, 3]
    assert np.flatnonzero(whole.known).tolist() == [0, 4, 5, 8]
    expected = {2: (seen[0] + seen[1]) / 2, 3: seen[0] / 4 + 3 * seen[1] / 4, 4: seen[1]}
    expected |= {5: seen[2], 6: 2 * seen[2] / 3 + seen[3] / 3}
    for number, cells in expected.items():
        np.testing.assert_allclose(whole.cells[number], cells, atol=1e-6)


def test_a_gap_is_doubtful_between_frames_that_differ_unless_all_around_move_as_much() -> None:
    levels = [0, 0, 0, 0, 30, 30, 30, 30, 60, 90, 90, 90, 150]
    known = np.isin(np.arange(13), [0, 3, 4, 8, 9, 12])
    cells = np.broadcast_to(np.array(levels, np.float32)[:, None, None, None], (13, 8, 8, 3))
    # 30 from 4 to 8 is no more than on both sides; 60 from 9 to 12 is more than what is before it.
    assert Stretch(cells, known).doubtful_gaps(6.0).tolist() == [10, 11]
    assert Stretch(cells, known).doubtful_gaps(60.0).tolist() == []
