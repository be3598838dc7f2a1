"""Results are one line in a console, and a table in a notebook."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.cli.test_evaluation_figures import evaluated
from vidattn.evaluation import Interval
from vidattn.jobs import AttendedVideo, AttentionEvaluation, AttentionFigure, Comparison


def cells(text: str) -> list[list[str | None]]:
    tree = ElementTree.fromstring(f"<div>{text}</div>")
    return [[cell.text for cell in row] for row in tree.iter("tr")]


def test_an_evaluation() -> None:
    found = evaluated(8)
    assert len(found) == 8
    assert repr(found) == (
        "<Evaluation video_top1 100.0% (100.0% – 100.0%), chance 50.0%, majority 62.5%; "
        "8 videos, 2 classes>"
    )
    rows = cells(found._repr_html_())
    assert rows[0] == ["figure", "value", "95 % interval", "without a model"]
    assert ["clip top1", "100.0%", None, None] in rows
    assert ["video top1", "100.0%", "100.0% – 100.0%", "chance 50.0%, majority 62.5%"] in rows


def test_a_comparison() -> None:
    found = Comparison("video_top1", 0.75, 0.5, 0.25, (-0.125, 0.5), 8, ["a"] * 500, [], [], [], {})
    assert repr(found) == "<Comparison of video_top1: +25.0 points (-12.5 to +50.0), 8 videos>"
    assert cells(found._repr_html_())[1:] == [
        ["first", "75.0%", None],
        ["second", "50.0%", None],
        ["first − second, points", "+25.0", "-12.5 to +50.0"],
    ]


def test_an_evaluation_of_attention() -> None:
    figure = AttentionFigure(
        2, 2, {"attention": Interval(0.5, 0.25, 0.75), "random": Interval(0.25, 0.2, 0.3)}, {}
    )
    record = {"frames": 9, "share_with_action": 0.5, "keyframe_precision": {"attention": 1.0}}
    videos = [AttendedVideo.from_record(name, "g", record) for name in "ab"]
    found = AttentionEvaluation("keyframes", {"keyframe_precision": figure}, videos, {}, {})
    assert (len(found), found[1].name) == (2, "b")
    assert repr(found) == "<AttentionEvaluation of keyframes: keyframe_precision 50.0%; 2 videos>"
    assert cells(found._repr_html_())[1:] == [
        ["attention", "50.0%", "25.0% – 75.0%"],
        ["random", "25.0%", "20.0% – 30.0%"],
    ]
    assert found.to_json()["videos"][0] == {"video": "a", "group": "g", **record}
