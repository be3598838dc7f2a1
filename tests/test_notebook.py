from __future__ import annotations

from xml.etree import ElementTree

from vidattn.evaluation import Interval, Score
from vidattn.notebook import html_table


def test_a_table_is_well_formed_whatever_the_names_are() -> None:
    text = html_table("a < b & c", ("<class>", "n"), [("run & jump", "3"), ('"quoted"', "<4>")])
    tree = ElementTree.fromstring(text)
    assert tree.find("b").text == "a < b & c"  # type: ignore[union-attr]
    cells = [[cell.text for cell in row] for row in tree.iter("tr")]
    assert cells == [["<class>", "n"], ["run & jump", "3"], ['"quoted"', "<4>"]]


def test_a_score_is_short_and_a_table() -> None:
    figures = {"mAP": 0.25, "empty": float("nan"), "c": 1.0, "d": 0.5, "e": 0.125}
    found = Score(
        "boxes",
        "voc",
        figures,
        classes={str(number): {"ap": 0.5} for number in range(1000)},
        counts={"truth_boxes": 7},
        intervals={"mAP": (0.125, 0.375)},
    )
    assert (
        repr(found)
        == "<Score boxes, protocol voc: mAP 0.250000, empty –, c 1.000000, d 0.500000, …>"
    )
    tree = ElementTree.fromstring(found._repr_html_())
    rows = [[cell.text for cell in row] for row in tree.iter("tr")]
    assert rows[1] == ["mAP", "0.250000", "0.1250 – 0.3750"]
    assert rows[2] == ["empty", "–", None]
    assert rows[-1] == ["truth boxes", "7", None]


def test_an_interval_is_a_mean_with_its_bounds() -> None:
    found = Interval(0.5, 0.25, 0.75)
    assert found._repr_html_() == "<b>0.5</b> (0.25 – 0.75)"
    assert repr(found) == "Interval(mean=0.5, low=0.25, high=0.75)"
