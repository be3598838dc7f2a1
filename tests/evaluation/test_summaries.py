from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics import rank_correlation, summaries
from vidattn.evaluation.scoring import score
from vidattn.selection.knapsack import knapsack

ITEMS = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6)), min_size=1, max_size=8)
NUMBERS = st.lists(st.integers(0, 5), min_size=2, max_size=30)


def best_value(items: list[tuple[int, int]], capacity: int) -> int:
    every = (c for size in range(len(items) + 1) for c in combinations(items, size))
    return max(sum(v for v, _ in c) for c in every if sum(w for _, w in c) <= capacity)


def table_choice(items: list[tuple[int, int]], capacity: int) -> list[int]:
    table = [[0] * (capacity + 1)]
    for value, weight in items:
        above = table[-1]
        table.append(
            [
                max(above[room], above[room - weight] + value) if weight <= room else above[room]
                for room in range(capacity + 1)
            ]
        )
    chosen, room = [], capacity
    for number in range(len(items) - 1, -1, -1):
        if table[number + 1][room] != table[number][room]:
            chosen.append(number)
            room -= items[number][1]
    return chosen[::-1]


def looped_kendall(first: list[int], second: list[int]) -> float:
    surplus = ours = theirs = 0
    for i, j in combinations(range(len(first)), 2):
        a, b = np.sign(first[i] - first[j]), np.sign(second[i] - second[j])
        surplus, ours, theirs = surplus + a * b, ours + (a != 0), theirs + (b != 0)
    return float(surplus / np.sqrt(ours * theirs)) if ours and theirs else float("nan")


@settings(deadline=None)
@given(ITEMS, st.integers(0, 20), st.sampled_from(["float64", "float32", "int64"]))
def test_the_knapsack_is_the_best_that_fits(
    items: list[tuple[int, int]], capacity: int, arithmetic: str
) -> None:
    values, weights = zip(*items, strict=True)
    chosen = knapsack(values, weights, capacity, arithmetic=arithmetic).tolist()
    assert sum(weights[number] for number in chosen) <= capacity
    assert sum(values[number] for number in chosen) == best_value(items, capacity)
    if arithmetic != "int64":
        assert chosen == table_choice(items, capacity)


def test_whole_values_choose_as_or_tools_does() -> None:
    assert knapsack([0, 0, 5], [3, 1, 2], 5, arithmetic="int64").tolist() == [0, 2]
    assert knapsack([0, 0, 5], [4, 1, 2], 5, arithmetic="int64").tolist() == [2]
    assert knapsack([0, 0], [1, 1], 2, arithmetic="int64").tolist() == [0, 1]
    assert knapsack([0, 0], [1, 1], 2).tolist() == []


@settings(deadline=None)
@given(NUMBERS, st.integers(0, 2**31))
def test_kendall_is_that_of_pairs(first: list[int], seed: int) -> None:
    rows = np.random.default_rng(seed).integers(0, 4, (3, len(first)))
    found = rank_correlation.kendall_correlations(first, rows)
    wanted = [looped_kendall(first, row) for row in rows.tolist()]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_correlations_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(1)
    first, rows = generator.random(500), generator.random((4, 500)).round(2)
    tau = rank_correlation.kendall_correlations(first, rows)
    rho = rank_correlation.spearman_correlations(first, rows)
    np.testing.assert_allclose(tau, [stats.kendalltau(first, row)[0] for row in rows], atol=1e-12)
    np.testing.assert_allclose(rho, [stats.spearmanr(first, row)[0] for row in rows], atol=1e-12)


def test_equal_numbers_have_no_rank_correlation() -> None:
    assert np.isnan(rank_correlation.kendall_correlations([1, 1, 1], [[1, 2, 3]])).all()
    assert np.isnan(rank_correlation.spearman_correlations([1, 2, 3], [[2, 2, 2]])).all()


def test_conventions_differ_in_what_fits() -> None:
    answer = {"picks": [0, 10], "shots": [[0, 9], [10, 19]], "frame_count": 100}
    scores = [0.2, 0.8]
    pgl = summaries.key_shot_summary(scores, **answer, convention="pgl-sum")
    dsnet = summaries.key_shot_summary(scores, **answer, convention="dsnet")
    assert (len(pgl), pgl.sum()) == (20, 0)  # 15 % of 20 frames
    assert (len(dsnet), np.flatnonzero(dsnet).tolist()) == (100, list(range(10, 20)))


def test_thousandths_are_cut_off_from_the_float64_product() -> None:
    # 1000 · float32(0.7) is 699.999…, and 700 if rounded to float32 first.
    answer = {"picks": [0, 1, 2], "shots": [[0, 0], [1, 1], [2, 2]], "frame_count": 10}
    scores = [0.699, 0.7, 0.6985]
    found = summaries.key_shot_summary(scores, **answer, convention="dsnet")
    assert np.flatnonzero(found).tolist() == [0]


def test_vsumm_reinforce_lays_shots_end_to_end() -> None:
    found = summaries.key_shot_summary(
        [0, 1],
        picks=[0, 2],
        shots=[[0, 1], [2, 3]],
        shot_lengths=[3, 2],
        frame_count=20,
        convention="vsumm-reinforce",
    )
    assert found.astype(int).tolist() == [0, 0, 0, 1, 1]


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.sampled_from([0.1, 0.15, 0.5]))
def test_a_uniform_summary_uses_the_budget(frames: int, stretches: int, budget: float) -> None:
    found = summaries.uniform_summary(frames, stretches, budget=budget)
    assert len(found) == frames
    assert found.sum() == int(frames * budget)


def test_summe_people_agree_as_published(shared_data: Path, tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    folder = shared_data / "summaries/summe"
    answers = {
        path.stem: {
            "summary": (scipy_io.loadmat(path)["user_score"][:, 0] > 0).astype(int).tolist()
        }
        for path in folder.glob("*.mat")
    }
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(answers))
    found = score("summaries", path, folder, draws=1)
    assert found.counts["videos_evaluated"] == 25
    assert round(found.figures["F1_human_mean"], 4) == 0.3107
    assert round(found.figures["F1_human"], 4) == 0.5433
    assert found.figures["F1"] == 1.0  # of a person with themselves


def test_tvsum_people_agree_as_published(shared_data: Path) -> None:
    h5py = pytest.importorskip("h5py")
    taus, rhos, alphas = [], [], []
    with h5py.File(shared_data / "summaries/tvsum/ydata-tvsum50.mat") as stream:
        table = stream["tvsum50"]
        for number in range(50):
            people = stream[table["user_anno"][number, 0]][()]
            seconds = float(stream[table["length"][number, 0]][()].item())
            frames = people.shape[1]
            middles = (2 * np.arange(np.ceil(seconds / 2)) + 1) * frames / seconds
            shots = people[:, np.minimum(middles.astype(int), frames - 1)]
            tau, rho = summaries.people_correlations(shots)
            taus.append(tau)
            rhos.append(rho)
            alphas.append(summaries.cronbach_alpha(shots))
    assert np.mean(taus) == pytest.approx(0.1776, abs=1e-4)
    assert np.mean(rhos) == pytest.approx(0.2044, abs=5e-5)
    assert np.mean(alphas) == pytest.approx(0.8135, abs=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"shots": [[0, 5], [5, 9]]},
        {"shots": [[5, 0]]},
        {"shots": [[50, 60]]},
        {"picks": [0, 0]},
        {"scores": [1.0, 2.0, 3.0]},
        {"scores": [-1.0, 0.0]},
        {"scores": [np.nan, 0.0]},
        {"budget": 0.0},
        {"convention": "average"},
    ],
)
def test_wrong_arguments_are_refused(change: dict) -> None:
    given = {"scores": [0.5, 1.0], "picks": [0, 5], "shots": [[0, 4], [5, 9]], "frame_count": 10}
    summaries.key_shot_summary(**given)
    with pytest.raises(ArgumentError):
        summaries.key_shot_summary(**{**given, **change})
