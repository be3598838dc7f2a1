from __future__ import annotations

import csv
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidattn.data.annotations import Sample
from vidattn.data.split import split_by_fold, split_by_group
from vidattn.errors import ArgumentError


def sample(number: int, label: str, group: str | None, fold: int | None = None) -> Sample:
    return Sample(Path(f"{number}.mp4"), (label,), f"{number}.mp4", group, fold)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from("tuvwxyz")),
        min_size=4,
        max_size=60,
    ),
    st.floats(0.1, 0.9),
    st.integers(0, 1000),
)
def test_no_group_is_on_both_sides_and_every_class_is_trained(rows, fraction, seed):
    samples = [sample(number, *row) for number, row in enumerate(rows)]
    try:
        training, validation = split_by_group(samples, fraction, seed=seed)
    except ArgumentError:
        return  # what the groups forbid is checked below
    assert not {s.group for s in training} & {s.group for s in validation} - {None}
    assert sorted(training + validation, key=lambda s: int(s.path.stem)) == samples
    assert validation
    assert {s.labels for s in training} == {s.labels for s in samples}


def test_the_only_group_of_a_class_is_trained_on_whatever_the_balance():
    rows = ["a"] * 4 + ["a"] * 6 + ["b"]
    samples = [sample(n, label, "small" if n < 4 else "large") for n, label in enumerate(rows)]
    _, validation = split_by_group(samples, 0.6)
    assert {s.group for s in validation} == {"small"}


def test_is_stratified_as_well_as_brute_force_can():
    sizes = [(3, 1), (1, 4), (2, 2), (5, 0), (0, 5), (4, 3), (1, 1), (2, 5), (6, 2)]
    samples = [
        sample(1000 * group + 100 * label + number, "ab"[label], f"g{group}")
        for group, counts in enumerate(sizes)
        for label, count in enumerate(counts)
        for number in range(count)
    ]
    total = [sum(counts[label] for counts in sizes) for label in (0, 1)]

    def distance(chosen) -> float:
        return sum(
            abs(sum(sizes[group][label] for group in chosen) / total[label] - 0.25)
            for label in (0, 1)
        )

    best = min(distance(c) for r in range(1, 9) for c in combinations(range(9), r))
    _, validation = split_by_group(samples, 0.25)
    assert distance({int(s.group[1:]) for s in validation}) <= best + 0.05


def test_without_groups_each_class_gives_its_share():
    samples = [sample(number, "ab"[number % 5 == 0], None) for number in range(100)]
    _, validation = split_by_group(samples, 0.2)
    assert Counter(s.labels[0] for s in validation) == {"a": 16, "b": 4}


def test_depends_on_the_seed_alone():
    samples = [sample(number, "ab"[number % 2], f"g{number // 3}") for number in range(60)]
    assert split_by_group(samples, 0.2, seed=1) == split_by_group(samples, 0.2, seed=1)
    assert split_by_group(samples, 0.2, seed=1) != split_by_group(samples, 0.2, seed=2)
    shuffled = split_by_group(samples[::-1], 0.2, seed=1)
    assert shuffled[1][::-1] == split_by_group(samples, 0.2, seed=1)[1]


def test_refuses_what_groups_forbid():
    samples = [sample(number, "ab"[number % 2], "one") for number in range(10)]
    with pytest.raises(ArgumentError, match="none of the 1 groups"):
        split_by_group(samples, 0.2)
    for fraction in (0, 1, -0.5):
        with pytest.raises(ArgumentError, match="validation_fraction"):
            split_by_group(samples, fraction)


def test_folds():
    samples = [sample(number, "a", f"g{number % 4}", number % 4) for number in range(12)]
    training, test = split_by_fold(samples, [0, 2])
    assert {s.fold for s in training} == {1, 3}
    assert {s.fold for s in test} == {0, 2}
    with pytest.raises(ArgumentError, match=r"expected some of \[0, 1, 2, 3\], got \[7\]"):
        split_by_fold(samples, [7])
    with pytest.raises(ArgumentError, match="no video is left"):
        split_by_fold(samples, [0, 1, 2, 3])
    with pytest.raises(ArgumentError, match="do not name a fold"):
        split_by_fold([*samples, sample(12, "a", None)], [0])
    with pytest.raises(ArgumentError, match=r"groups on both sides: \['g0'\]"):
        split_by_fold([*samples, sample(12, "a", "g0", 1)], [0])


def test_real_folds_share_no_group(shared_data: Path):
    for name, column in (("fights", "source"), ("basketball", "group")):
        with (shared_data / name / "clips.csv").open() as file:
            rows = list(csv.DictReader(file))
        samples = [
            Sample(Path(row["path"]), (row["label"],), row["path"], row[column], int(row["fold"]))
            for row in rows
        ]
        for fold in range(4):
            training, test = split_by_fold(samples, [fold])
            inner, validation = split_by_group(training, 0.2)
            sides = [{s.group for s in side} for side in (inner, validation, test)]
            assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
            assert 0.1 < len(validation) / len(training) < 0.3
