from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidattn.cli.evaluation_figures import print_evaluation, reached, reached_by_attention
from vidattn.data import Sample
from vidattn.evaluation import Interval
from vidattn.jobs import AttentionEvaluation, AttentionFigure, Evaluation
from vidattn.jobs.clip_scores import packed
from vidattn.jobs.evaluation_record import gather_evaluation
from vidattn.runs.failures import failure

SETTINGS = {
    "videos_expected": 9,
    "protocol": {"name": "swin-4x3"},
    "views": 4,
    "crops": 3,
    "aggregation": "mean of probabilities over the clips of a video",
}


def evaluated(right: int) -> Evaluation:
    """Eight videos, five of one class and three of another, of which so many are recognised."""
    labels = np.array([0] * 5 + [1] * 3)
    predicted = np.where(np.arange(8) < right, labels, 1 - labels)
    samples = [
        Sample(Path(f"/{n}.mp4"), (("no", "yes")[label],), f"{n}.mp4")
        for n, label in enumerate(labels)
    ]
    broken = Sample(Path("/absent/broken.mp4"), ("no",), "broken.mp4")
    records = {
        n: {
            "scores": np.eye(2)[own].tolist(),
            "clip_ranks": [int(own != label)],
            "indices": ["0:8:2"],
        }
        for n, (own, label) in enumerate(zip(predicted, labels, strict=True))
    }
    records[8] = failure("VideoError", "torn <b>")
    return gather_evaluation(
        records, [*samples, broken], np.append(labels, 0), ("no", "yes"), SETTINGS
    )


def test_figures_stand_beside_what_needs_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    print_evaluation(evaluated(8))
    shown = capsys.readouterr()
    assert shown.err == "vidattn: /absent/broken.mp4: torn <b>\n"
    printed = " ".join(shown.out.split())
    assert "protocol swin-4x3: 8 of 9 videos" in printed
    assert "frames of 0.mp4: 0:8:2" in printed
    assert all(each in printed for each in ("chance 50.0%", "majority 62.5%", "without a model"))
    assert (
        "reached: video top1 100.0% (95 % interval 100.0% – 100.0%); guessing gives 50.0%, "
        "always naming the most frequent class 62.5%"
    ) in printed
    assert "no proof" not in printed


def test_what_may_be_luck_is_said_to_be() -> None:
    assert reached(evaluated(6)).endswith("this is no proof that the model learned")
    assert "no proof" not in reached(evaluated(8))
    # Worse than guessing is no success either.
    assert reached(evaluated(0)).endswith("worse than without a model")


def test_several_labels_stand_beside_a_random_order() -> None:
    """By hand: of three items, one or two positives in a random order."""
    labels = np.array([[1, 1], [0, 1], [0, 0]], dtype=np.float32)
    logits = np.array([[2.0, 1.0], [-1.0, 1.5], [-2.0, -2.0]], dtype=np.float32)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    samples = [Sample(Path(f"/{n}.mp4"), ("a",), f"{n}.mp4", "one") for n in range(3)]
    records = {
        n: {"scores": row.tolist(), "clip_logits": packed(logits[[n]]), "indices": ["0"]}
        for n, row in enumerate(scores)
    }
    found = gather_evaluation(records, samples, labels, "ab", SETTINGS)
    one = (1 + 1 / 2 + 1 / 3) / 3
    two = ((1 + 1) / 2 + (1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 3
    assert found.beside == {"chance": pytest.approx((one + two) / 2)}
    assert found.to_json()["beside_mean_average_precision"] == found.beside
    assert "guessing gives" in reached(found)


@pytest.mark.parametrize(
    ("gain", "ending"),
    [
        (Interval(0.25, 0.125, 0.375), "attention minus it +25% (+12% to +38%)"),
        (Interval(0.25, -0.125, 0.5), "no proof that attention is better"),
        (Interval(-0.25, -0.5, -0.125), "worse than without a model"),
    ],
)
def test_attention_stands_beside_the_best_that_needs_no_model(gain: Interval, ending: str) -> None:
    methods = {
        "attention": Interval(0.75, 0.5, 1.0),
        "random": Interval(0.25, 0.125, 0.375),
        "uniform": Interval(0.5, 0.25, 0.75),
        "shuffled": Interval(0.9, 0.8, 1.0),  # attention's own, without its order
        "best possible": Interval(1.0, 1.0, 1.0),
    }
    other = Interval(0.5, 0.4, 0.6)
    figure = AttentionFigure(4, 4, methods, {"random": other, "uniform": gain, "shuffled": other})
    found = AttentionEvaluation("keyframes", {"keyframe_precision": figure}, [], {}, {})
    sentence = reached_by_attention(found)
    assert "key frames inside the action 75% (50% to 100%)" in sentence
    assert "the best of what needs no model is uniform with 50%" in sentence
    assert sentence.endswith(ending)
