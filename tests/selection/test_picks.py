"""Key frames of made films whose shots, flaws and copies are known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.selection.test_coverage import flat, scenes
from vidattn.errors import ArgumentError
from vidattn.selection import Picks, Transition, find_transitions, pick_frames
from vidattn.selection.sketch import Sketch, Sketcher, sketch_frames


def looked_at(frames: np.ndarray) -> tuple[Sketch, list[Transition]]:
    sketcher = Sketcher(limit=4096)
    transitions = list(find_transitions(sketcher.watch(frames)))
    return sketcher.sketch(), transitions


def picked(frames: np.ndarray, count: int | None, **settings: object) -> list[int]:
    return indices(pick_frames(*looked_at(frames), count, **settings))  # type: ignore[arg-type]


def indices(picks: Picks) -> list[int]:
    return [each.index for each in picks.kept]


def blurred(frames: np.ndarray) -> np.ndarray:
    """Means over 9 × 9 pixels."""
    values = frames.astype(np.float32)
    for axis in (1, 2):
        values = np.mean([np.roll(values, shift, axis) for shift in range(-4, 5)], axis=0)
    return values.astype(np.uint8)


@pytest.mark.parametrize("count", [6, 9, 14])
def test_every_shot_has_a_frame_before_any_has_two(count: int) -> None:
    lengths = [60, 12, 40, 9, 80, 25]
    chosen = picked(scenes(lengths), count)
    numbers = np.searchsorted(np.cumsum(lengths), chosen, side="right")
    assert len(set(chosen)) == count
    assert set(numbers) == set(range(6))


def test_fewer_frames_than_shots_are_of_different_shots_and_cover_the_film() -> None:
    lengths = [20] * 24
    chosen = picked(scenes(lengths), 6)
    assert len({place // 20 for place in chosen}) == 6
    assert np.diff([0, *chosen, 480]).max() <= 2.5 * 480 / 6


@pytest.mark.parametrize("count", [4, 8, 13, 30])
@pytest.mark.parametrize("lengths", [[15, 15], [33, 33], [56, 4, 57, 34], [3, 40, 9]])
def test_picks_cover_a_film_of_repeated_scenes(count: int, lengths: list[int]) -> None:
    frames = np.concatenate([scenes(lengths, seed=7)] * 8)
    chosen = picked(frames, count)
    assert len(chosen) == count
    assert np.diff([0, *chosen, len(frames)]).max() <= 2.5 * len(frames) / count


@pytest.mark.parametrize("level", [0, 255, 90])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_no_blank_frame_while_others_remain(level: int, count: int) -> None:
    detail = scenes([30], seed=3)
    length = 200 if level in (0, 255) else 20  # grey films are about what they show
    blank = np.full((length, *detail.shape[1:]), level, np.uint8)
    for frames, start in (
        (np.concatenate([blank, detail]), length),
        (np.concatenate([detail, blank]), 0),
    ):
        chosen = np.array(picked(frames, count, minimum_gap=4))
        assert len(chosen) == count
        assert ((chosen >= start) & (chosen < start + 30)).all()


def test_flat_pictures_are_what_a_film_of_flat_pictures_is_about() -> None:
    red, blue = np.full((560, 48, 64, 3), (200, 0, 0)), np.full((40, 48, 64, 3), (0, 0, 200))
    red[550:] = np.random.default_rng(0).integers(0, 255, (48, 64, 3))
    frames = np.concatenate([red, blue]).astype(np.uint8)
    chosen = picked(frames, 5, minimum_gap=5)
    assert max(chosen) >= 560
    assert sum(each < 550 for each in chosen) >= 2
    assert np.diff(chosen).max() > 100


def test_a_blank_frame_is_kept_where_no_other_is_left_and_marked() -> None:
    frames = np.concatenate([np.zeros((40, 48, 64, 3), np.uint8), scenes([5], seed=3)])
    picks = pick_frames(*looked_at(frames), 8)
    assert len(picks.kept) == 8
    flaws = [each.flaw for each in picks.kept]
    assert flaws.count("blank") == 3
    assert all("no better frame was left" in each.reason for each in picks.kept if each.flaw)


def test_no_frame_of_a_fade_from_black() -> None:
    scene = scenes([100], seed=5).astype(np.float32)
    scene[:30] *= (np.arange(30) / 30)[:, None, None, None]
    frames = np.concatenate([np.zeros((10, *scene.shape[1:])), scene]).astype(np.uint8)
    for count in (1, 4, 8, 16):
        chosen = np.array(picked(frames, count))
        assert len(chosen) == count
        assert (chosen >= 10 + 0.6 * 30 - 3).all()


def test_no_blurred_frame_while_others_remain() -> None:
    frames = scenes([60, 60], seed=8)
    for span in (slice(0, 25), slice(70, 95), slice(110, 120)):
        frames[span] = blurred(frames[span])
    sketch, transitions = looked_at(frames)
    picks = pick_frames(sketch, transitions, 8)
    chosen = np.array(indices(picks))
    poor = (chosen < 25) | ((chosen >= 70) & (chosen < 95)) | (chosen >= 110)
    assert not poor.any()
    assert {each.reason for each in picks.dropped if each.index < 25} == {"blurred"}


@pytest.mark.parametrize("length", [8, 14, 24])
def test_no_ghost_of_a_dissolve(length: int) -> None:
    old, new = scenes([40 + length, 40 + length], seed=9).reshape(2, 40 + length, 48, 64, 3)
    shares = ((np.arange(length) + 1) / (length + 1))[:, None, None, None]
    ghosts = (old[40:] * (1 - shares) + new[:length] * shares).astype(np.uint8)
    frames = np.concatenate([old[:40], ghosts, new[length:]])
    for count in (2, 5, 12):
        chosen = np.array(picked(frames, count))
        assert len(chosen) == count
        assert not ((chosen >= 42) & (chosen < 38 + length)).any()


def test_a_frame_between_two_dissolves_is_no_shot() -> None:
    parts = scenes([60, 60, 60], seed=9).reshape(3, 60, 48, 64, 3).astype(np.float32)
    shares = ((np.arange(12) + 1) / 13)[:, None, None, None]
    lead = [parts[n, 48:] * (1 - shares) + parts[n + 1, :12] * shares for n in (0, 1)]
    frames = np.concatenate([parts[0], lead[0], parts[1, 12:14], lead[1], parts[2]])
    sketch, _ = looked_at(frames.astype(np.uint8))
    marks = [Transition(59, 72, "dissolve"), Transition(73, 86, "dissolve")]
    chosen = indices(pick_frames(sketch, marks, 6))
    assert not [place for place in chosen if 60 <= place < 86]
    assert len(chosen) == 6


@pytest.mark.parametrize("frame_count", [1, 2, 7])
def test_as_many_as_a_short_film_has(frame_count: int) -> None:
    assert picked(scenes([frame_count]), 8) == list(range(frame_count))


@pytest.mark.parametrize("frames", [flat((300, 128)), np.repeat(scenes([1]), 300, axis=0)])
def test_a_still_film_gives_as_many_as_asked_for_spread(frames: np.ndarray) -> None:
    chosen = picked(frames, 8, minimum_gap=10)
    assert len(chosen) == 8
    assert np.diff([0, *chosen, 300]).max() <= 2.5 * 300 / 8


def test_another_frame_is_taken_where_a_film_shows_a_thing_twice() -> None:
    """The second shot begins like the first one and goes on."""
    first, other = (np.repeat(scenes([1], seed=each), 40, axis=0) for each in (1, 3))
    between = np.repeat(scenes([1], seed=2), 200, axis=0)
    second = np.concatenate([first[:25], other[:20]])
    sketch, _ = looked_at(np.concatenate([first, between, second]))
    cuts = [Transition(39, 40, "cut"), Transition(239, 240, "cut")]
    chosen = indices(pick_frames(sketch, cuts, 3))
    assert chosen[0] < 40 <= chosen[1] < 240
    assert chosen[2] >= 240 + 25


def test_near_copies_go_only_where_that_is_asked_for() -> None:
    frames = np.concatenate([np.repeat(scenes([1], seed=each), 50, axis=0) for each in (1, 2, 1)])
    assert len(picked(frames, 8)) == 8
    for chosen in (picked(frames, 8, distinct=True), picked(frames, None)):
        assert len(chosen) == 2
        assert {place // 50 % 2 for place in chosen} == {0, 1}
    dropped = pick_frames(*looked_at(frames), 8, distinct=True).dropped
    assert all("looks like frame" in each.reason for each in dropped)


@pytest.mark.parametrize("shots", [1, 3, 7])
def test_open_number_follows_the_content(shots: int) -> None:
    assert len(picked(scenes([40] * shots), None)) == shots


@pytest.mark.parametrize("side", [4, 5, 6])
def test_a_small_subject_is_not_averaged_away(side: int) -> None:
    """It fills a hundredth of the picture or less, and comes for a few frames."""
    still = np.repeat(scenes([1], seed=4), 240, axis=0)
    still = (still * 0.5).astype(np.uint8)
    still[100:106, 20 : 20 + side, 30 : 30 + side] = 255
    chosen = picked(still, 3, distinct=True)
    assert any(100 <= place < 106 for place in chosen)


@pytest.mark.parametrize("per_shot", [1, 2, 4])
def test_so_many_of_each_shot(per_shot: int) -> None:
    lengths = [50, 20, 90, 3]
    chosen = picked(scenes(lengths), None, per_shot=per_shot)
    numbers = np.searchsorted(np.cumsum(lengths), chosen, side="right")
    assert np.bincount(numbers).tolist() == [per_shot, per_shot, per_shot, min(per_shot, 3)]
    assert len(picked(scenes(lengths), 3, per_shot=per_shot)) == 3


def test_an_open_number_takes_no_blank_frames_and_no_flashes() -> None:
    frames = scenes([40, 40], seed=5)
    frames[10::15] = 255
    frames = np.concatenate([np.zeros((30, *frames.shape[1:]), np.uint8), frames])
    open_numbers = (
        picked(frames, None),
        picked(frames, None, per_shot=2),
        picked(frames, 30, distinct=True),
    )
    for chosen in open_numbers:
        assert min(chosen) >= 30
        assert frames[chosen].std(axis=(1, 2, 3)).min() > 10
    black = picked(frames[:30], None, per_shot=1)
    assert len(black) == 1


@pytest.mark.parametrize("margin", [3, 8, 15])
def test_frames_keep_away_from_cuts(margin: int) -> None:
    lengths = [40, 60, 50]
    cuts = np.cumsum(lengths)[:-1]
    chosen = np.array(picked(scenes(lengths), 6, margin=margin))
    assert len(chosen) == 6
    for cut in cuts:
        assert (np.where(chosen >= cut, chosen - cut, cut - 1 - chosen) >= margin).all()
    # A shot that is too short for it keeps its middle.
    chosen = np.array(picked(scenes([40, 9, 40]), 3, margin=12))
    assert [place for place in chosen if 40 <= place < 49] == [44]


def test_one_of_each_stretch() -> None:
    frames = scenes([100], seed=2)
    frames[20:40] = 0
    for length in (10, 25, 33.5):
        chosen = np.array(picked(frames, None, stretch=length))
        assert (chosen // length).tolist() == list(range(int(np.ceil(100 / length))))
    whole = np.array(picked(frames, None, stretch=50))
    assert not ((whole >= 20) & (whole < 40)).any()


def test_gaps_are_kept_where_enough_frames_are_left() -> None:
    for gap in (5, 12):
        assert np.diff(picked(scenes([50, 50]), 6, minimum_gap=gap)).min() >= gap
    assert len(picked(scenes([20]), 15, minimum_gap=100)) == 15


def test_a_row_of_shots_that_are_shorter_than_the_gap_has_its_frames() -> None:
    lengths = [200, *[8] * 6, 200, *[8] * 6]
    for count in (14, 18):
        chosen = picked(scenes(lengths, seed=3), count, minimum_gap=12)
        shots = np.searchsorted(np.cumsum(lengths), chosen, side="right")
        assert set(shots) == set(range(14))
        for long in (0, 7):
            assert np.diff(np.array(chosen)[shots == long]).min(initial=99) >= 12


def test_more_frames_than_candidates() -> None:
    frames = np.repeat(scenes([700], seed=6), 2, axis=0)
    sketch, transitions = looked_at(frames)
    assert len(set(indices(pick_frames(sketch, transitions, 1400)))) == 1400


@pytest.mark.parametrize("step", [2, 5])
def test_a_sketch_of_some_frames_finds_the_same_shots(step: int) -> None:
    lengths = [60, 12, 40, 9, 80, 25]
    sketcher = Sketcher(limit=64, step=step)
    transitions = list(find_transitions(sketcher.watch(scenes(lengths))))
    sketch = sketcher.sketch()
    assert sketch.measures is not None
    sharpness = sketch.measures.sharpness
    assert len(sharpness) == 226
    for entry in sketch.indices.tolist():
        group = slice(entry // sketch.step * sketch.step, (entry // sketch.step + 1) * sketch.step)
        assert sharpness[entry] == sharpness[group].max()
    chosen = indices(pick_frames(sketch, transitions, 6))
    assert np.searchsorted(np.cumsum(lengths), chosen, side="right").tolist() == list(range(6))


def test_every_candidate_says_why() -> None:
    picks = pick_frames(*looked_at(scenes([30, 40])), 5)
    assert all(each.reason for each in (*picks.kept, *picks.dropped))
    assert {each.shot for each in picks.kept} == {0, 1}
    assert picks.shot_count == 2
    assert all(0 <= each.score <= 1 for each in picks.kept)


def test_wrong_arguments_are_named() -> None:
    sketch = sketch_frames(scenes([5]))
    for name in ("count", "per_shot"):
        with pytest.raises(ArgumentError, match=name):
            pick_frames(sketch, [], **{name: 0})
    with pytest.raises(ArgumentError, match="minimum_gap"):
        pick_frames(sketch, minimum_gap=-1)


def test_gains_that_are_not_computed_could_not_have_been_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(3)
    levels = generator.integers(0, 256, (40, 4, 6, 3)).repeat(12, 0).repeat(8, 1).repeat(8, 2)
    noise = generator.integers(-9, 10, levels.shape)
    sketch = sketch_frames((levels + noise).clip(0, 255).astype(np.uint8))
    few = pick_frames(sketch, count=60)
    monkeypatch.setattr("vidattn.selection.picks._GAINS_AT_ONCE", 10**6)  # all of them, every time
    assert few == pick_frames(sketch, count=60)


@pytest.mark.slow
def test_thousands_of_shots_have_a_candidate_each_and_few_more() -> None:
    generator = np.random.default_rng(4)
    frames = generator.integers(0, 256, (3000, 2, 2, 3)).repeat(8, 0).repeat(8, 1).repeat(8, 2)
    cuts = [Transition(first - 1, first, "cut") for first in range(8, 24000, 8)]
    found = pick_frames(sketch_frames(frames.astype(np.uint8), limit=4096), cuts, 8)
    assert found.shot_count == 3000
    assert len(found.kept) + len(found.dropped) < 3000 + 300
