"""One record of a failure, everywhere; those of earlier versions are read."""

from __future__ import annotations

import pytest

from vidattn.errors import InputOutputError, NotAVideoError
from vidattn.runs.failures import failed, failure, up_to_date
from vidattn.runs.outcome import VideoFailure, counts, failures_of, in_words

TORN = {"error": "NotAVideoError", "reason": "torn", "attempts": 1}


def test_a_record_says_what_was_raised() -> None:
    assert failed(NotAVideoError("a.mp4", "torn")) == TORN
    with pytest.raises(InputOutputError):  # no video is to blame
        failed(InputOutputError("a.mp4", "cannot be read: Stale file handle"))


def test_counts_are_numbers_and_failures_a_list() -> None:
    records = {0: {"frames": 3}, 1: TORN | {"state": [1, 2]}, 2: failure("LimitError", "big", 2)}
    found = failures_of(["a", "b", "c"], records)
    assert found == (
        VideoFailure("b", "NotAVideoError", "torn"),
        VideoFailure("c", "LimitError", "big", 2),
    )
    assert counts(1, found) == {
        "videos_expected": 3,
        "videos_done": 1,
        "videos_failed": 2,
        "failures": [
            {"video": "b", **TORN},
            {"video": "c", "error": "LimitError", "reason": "big", "attempts": 2},
        ],
    }
    assert in_words(found) == "b: torn; c: big"
    assert in_words(found, most=1) == "b: torn; …"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"failure": "torn", "state": [1]}, TORN | {"error": "VideoError", "state": [1]}),
        ({"error": "NotAVideoError", "reason": "torn"}, TORN),
        ({"frames": 3}, {"frames": 3}),
        (TORN | {"attempts": 2}, TORN | {"attempts": 2}),
    ],
)
def test_records_of_earlier_versions(old: dict, new: dict) -> None:
    assert up_to_date(old) == new
