"""Measurements of runs: a model beside its simulation, and figures worked out by hand."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from vidattn.video import open_video

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"
NAMES = ("poisoned_list", "runs_engines", "scale_model", "small_films")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(str(BENCH))
    yield {name: importlib.import_module(name) for name in NAMES}
    for name in NAMES:
        sys.modules.pop(name, None)


def test_the_model_of_a_run_by_hand(tools: dict[str, ModuleType]) -> None:
    model = tools["scale_model"]
    work = model.Work(0.5, runner_seconds=0.001, list_seconds=0.0, part_videos=2)
    found = model.estimate(3600, work, model.Cluster(2, 5, 2, hourly_price=3.0))
    # 3600 videos * 0.5 s / 10 cores, and half a part of 2 videos.
    assert found.seconds == 180.5
    assert found.machine_hours == pytest.approx(361 / 3600)
    assert found.price == pytest.approx(1083 / 3600)
    assert not found.is_bound_by_runner
    # One driver serves 1000 videos a second; 1000 cores would do 2000.
    bound = model.estimate(3600, work, model.Cluster(100, 10, 1, hourly_price=3.0))
    assert bound.is_bound_by_runner
    assert bound.seconds == pytest.approx(3.6 + 0.5)
    # Ten lists, each with its tail.
    many = model.estimate(10_000_000, work, model.Cluster(2, 5, 2, hourly_price=3.0))
    assert many.seconds == pytest.approx(500_000 + 10 * 0.5)
    lost = model.Work(1.0, lost_share=0.25, lost_seconds=9.0)
    assert lost.mean_seconds == 3.0


@pytest.mark.parametrize(("machines", "drivers"), [(1, 1), (10, 10), (10, 1)])
@pytest.mark.parametrize("lost_share", [0.0, 0.001])
def test_the_model_agrees_with_videos_drawn_at_random(
    tools: dict[str, ModuleType], machines: int, drivers: int, lost_share: float
) -> None:
    model = tools["scale_model"]
    work = model.Work(0.2, lost_share=lost_share, lost_seconds=20.0)
    cluster = model.Cluster(machines, 16, drivers, hourly_price=1.0)
    expected = model.estimate(200_000, work, cluster).seconds
    assert model.simulate(200_000, work, cluster, seed=1) == pytest.approx(expected, rel=0.05)


def test_a_simulated_run_that_its_driver_holds_up(tools: dict[str, ModuleType]) -> None:
    model = tools["scale_model"]
    work = model.Work(0.1, runner_seconds=0.01)
    cluster = model.Cluster(10, 10, 1, hourly_price=1.0)
    expected = model.estimate(20_000, work, cluster)
    assert expected.is_bound_by_runner
    seconds = model.simulate(20_000, work, cluster, seed=1)
    assert seconds == pytest.approx(expected.seconds, rel=0.05)


def test_ratios_are_those_of_one_round(tools: dict[str, ModuleType]) -> None:
    seconds = {
        "local-1": [10.0, 30.0, 20.0],
        "local-2": [5.0, 20.0, 10.0],
        "ray-2": [5.0, 16.0, 12.5],
    }
    first, second = tools["runs_engines"].ratios(seconds)
    assert (first.median, first.least, first.greatest) == (2.0, 1.5, 2.0)
    assert (second.median, second.least, second.greatest) == (1.0, 0.8, 1.25)


def test_the_list_has_the_films_that_do_harm(
    tools: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tools["poisoned_list"].poisoned_list(None, tmp_path)
    acts = [film.name.partition("-")[0] for film in films]
    assert {act: acts.count(act) for act in set(acts)} == {
        "film": 281, "kill": 3, "hang": 3, "eat": 3, "broken": 10
    }  # fmt: skip
    assert (tmp_path / "list.txt").read_text().split() == list(map(str, films))
    good = next(film for film in films if film.name.startswith("film-"))
    with open_video(good) as video:
        assert len(video) == 25


def test_a_failure_with_another_reason_is_noticed(tools: dict[str, ModuleType]) -> None:
    right = {
        "video": "/films/hang-1.mp4",
        "error": "LimitError",
        "reason": "nothing moved for 3 s (--video-seconds)",
        "attempts": 2,
    }
    is_expected = tools["poisoned_list"]._is_expected
    assert is_expected(right)
    for wrong in ({"attempts": 1}, {"error": "ProcessError"}, {"video": "/films/film-001.mp4"}):
        assert not is_expected(right | wrong)
    assert not is_expected(right | {"reason": "its process was killed by SIGKILL"})
