from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidattn.data import Sample
from vidattn.jobs import evaluation_page as pages
from vidattn.jobs import evaluation_record
from vidattn.jobs.evaluation_record import Evaluation

SETTINGS = {
    "videos_expected": 61,
    "protocol": {"name": "swin-4x3"},
    "views": 4,
    "crops": 3,
    "aggregation": "mean of probabilities over the clips of a video",
    "checkpoint": "model.ckpt",
    "checkpoint_sha256": "0" * 64,
    "data": None,
    "decoder": "pyav",
    "versions": {},
}


@pytest.fixture
def many() -> Evaluation:
    """Sixty videos of fifty classes, none of which can be read any more, and one failure."""
    names = [f"class {number}" for number in range(50)]
    labels = np.arange(60) % 50
    predicted = np.where(labels < 3, 7, labels)
    scores = np.full((60, 50), 0.001)
    scores[np.arange(60), predicted] = 1 - 0.049
    samples = [
        Sample(Path(f"/absent/{number}.mp4"), (names[label],), f"{number}.mp4")
        for number, label in enumerate(labels)
    ]
    records = {
        number: {"scores": row.tolist(), "clip_ranks": [0], "indices": ["0:8:2"]}
        for number, row in enumerate(scores)
    }
    broken = Sample(Path("/absent/broken.mp4"), ("class 0",), "broken.mp4")
    records[60] = {"error": "VideoError", "reason": "torn <b>", "attempts": 1}
    return evaluation_record.gather_evaluation(
        records, [*samples, broken], np.append(labels, 0), names, SETTINGS
    )


def test_of_many_classes_the_confused_pairs_are_shown(many: Evaluation, tmp_path: Path) -> None:
    pages.write_evaluation_page(tmp_path / "page.html", many)
    page = (tmp_path / "page.html").read_text()
    assert "Classes confused most" in page
    assert "Confusion matrix" not in page
    assert page.count(">class 7</td>") == 3 + 1  # three pairs, and the table of classes
    assert "60 of 61 videos, 4 × 3 clips each" in page
    assert "protocol swin-4x3" in page
    assert "torn &lt;b&gt;" in page
