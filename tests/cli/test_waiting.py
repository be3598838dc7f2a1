from __future__ import annotations

import os

import pytest

from vidattn.cli import train
from vidattn.cli.waiting import wait_passively

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # restored afterwards, whoever changes it
        monkeypatch.delenv(name)


def test_threads_sleep_by_default() -> None:
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize(
    ("name", "value"),
    [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "1000"), ("KMP_BLOCKTIME", "200")],
)
def test_what_a_person_chose_counts(name: str, value: str, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    wait_passively()
    assert {key: os.environ[key] for key in NAMES if key in os.environ} == {name: value}


def test_the_way_on_leaves_out_how_it_began() -> None:
    given = ["--config", "a b.yaml", "--resume", "old.ckpt", "--overwrite", "--seed=1"]
    assert list(train._without_start(given)) == ["--config", "a b.yaml", "--seed=1"]
    given = ["--resume=old.ckpt", "--overwrite=true", "--resume", "--model.weights", "x"]
    assert list(train._without_start(given)) == ["--model.weights", "x"]
