from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from vidattn.errors import ArgumentError
from vidattn.evaluation.metrics.intervals import Interval
from vidattn.report import (
    Bar,
    Bars,
    Confusion,
    Figure,
    Figures,
    Gallery,
    Line,
    Lines,
    Picture,
    Table,
    Text,
    encode_image,
    render_page,
)

EVIL = "\"><script>alert(1)</script>{{ 7*7 }}<img src=x onerror=y>&'.mp4"
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Reader(HTMLParser):
    """Collects elements and text, and checks that every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key) == value for key, value in wanted.items())
        ]


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


@pytest.fixture
def page(pixels: np.ndarray) -> str:
    return render_page(
        EVIL,
        [
            Text(EVIL, [EVIL]),
            Figures(EVIL, [Figure(EVIL, EVIL, EVIL)]),
            Table(EVIL, [EVIL, "x"], [[EVIL, 0.5], [None, Interval(0.5, 0.25, 0.75)]], note=EVIL),
            Bars(EVIL, [Bar(EVIL, 0.5, Interval(0.5, 0.4, 0.6), True)], note=EVIL),
            Lines(EVIL, [Line(EVIL, [0, 1], [0, 1])], EVIL, note=EVIL),
            Confusion(EVIL, [[1, 2], [0, 0]], [EVIL, "b"], note=EVIL),
            Gallery(EVIL, [Picture(pixels, EVIL, encoding="png")], note=EVIL),
            Gallery(EVIL, [Picture(encode_image(pixels, "jpeg"), EVIL, EVIL)], wide=True),
        ],
        summary=EVIL,
        facts={EVIL: EVIL},
    )


def test_whatever_a_name_holds_stays_text(page: str) -> None:
    reader = Reader(page)
    assert reader.all("script") == []
    assert reader.text.count(EVIL) >= 25
    assert not any("onerror" in attributes for _, attributes in reader.elements)
    assert "49" not in reader.text


def test_the_page_needs_nothing_beside_itself(page: str) -> None:
    reader = Reader(page)
    assert "http:" not in page
    assert "https:" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert reader.all("link") == []
    addresses = [
        value
        for _, attributes in reader.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action")
    ]
    assert len(addresses) == 2
    assert all((address or "").startswith("data:image/") for address in addresses)


def test_images_are_inside_and_decode(page: str, pixels: np.ndarray) -> None:
    images = Reader(page).all("img")
    kinds = []
    for image in images:
        head, _, content = (image["src"] or "").partition(";base64,")
        decoded = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
        kinds.append((head, decoded.format))
        assert decoded.size == (16, 12)
        assert image["alt"] == EVIL
        if decoded.format == "PNG":
            np.testing.assert_array_equal(decoded, pixels)
    assert kinds == [("data:image/png", "PNG"), ("data:image/jpeg", "JPEG")]


def test_bars_are_as_long_as_their_values() -> None:
    bars = [Bar("a", 0.2, Interval(0.2, 0.1, 0.4)), Bar("b", 0.5)]
    reader = Reader(render_page("t", [Bars("h", bars, maximum=1, percent=True)]))
    lengths = [bar["width"] for bar in reader.all("rect") if "fill" in (bar["class"] or "")]
    assert lengths == ["20.0%", "50.0%"]
    whisker = reader.all("line", **{"class": "error"})[0]
    assert (whisker["x1"], whisker["x2"]) == ("10.0%", "40.0%")
    assert "20.0 %" in reader.text
    assert "10.0 – 40.0" in reader.text
    assert Bars("h", [Bar("a", 0.0)]).placed()[0]["length"] == 0
    with pytest.raises(ArgumentError, match="bar 'a'"):
        Bars("h", [Bar("a", -0.1)]).placed()


def test_curves_pass_through_their_points() -> None:
    lines = Lines("loss", [Line("a", [0, 5, 10], [2.0, 1.0, 0.0]), Line("b", [0, 10], [0, 2])], "x")
    chart = lines.placed()
    assert chart["y_ticks"][0] == (100.0, "0")  # type: ignore[index]
    assert chart["y_ticks"][-1] == (0.0, "2")  # type: ignore[index]
    reader = Reader(render_page("t", [lines]))
    first, second = reader.all("polyline")
    assert first["points"] == "0.00,0.00 50.00,50.00 100.00,100.00"
    assert second["points"] == "0.00,100.00 100.00,0.00"


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, 1e-12, 1e9])
def test_a_flat_curve_and_a_single_point_are_drawn(value: float) -> None:
    for x in ([1], [1, 2]):
        chart = Lines("h", [Line("a", x, [value] * len(x))], "epoch").placed()
        ticks = [place for place, _ in chart["y_ticks"]]  # type: ignore[attr-defined]
        assert ticks[0] == 100
        assert ticks[-1] == 0


def test_bad_curves_are_refused() -> None:
    for line in (
        Line("a", [0, 0], [1, 1]),
        Line("a", [0, 1], [1, float("nan")]),
        Line("a", [0], [1, 2]),
        Line("a", [], []),
    ):
        with pytest.raises(ArgumentError, match="'a'"):
            Lines("h", [line], "x")
    with pytest.raises(ArgumentError, match="lines"):
        Lines("h", [], "x")


def test_the_matrix_shows_counts_and_shares() -> None:
    section = Confusion("h", [[3, 1], [0, 0]], ["walk", "run"])
    rows = section.placed()
    assert rows[0] == {"name": "walk", "accuracy": "75 %", "cells": [(3, 75), (1, 25)]}
    assert rows[1]["accuracy"] == "–"
    cells = [a for a in Reader(render_page("t", [section])).all("td") if a.get("style")]
    assert [cell["style"] for cell in cells] == [f"--share:{n}%" for n in (75, 25, 0, 0)]
    with pytest.raises(ArgumentError, match="counts"):
        Confusion("h", [[1]], ["a", "b"])


def test_tables_format_numbers_and_refuse_ragged_rows() -> None:
    table = Table("h", ["a", "b", "c"], [[12345, 0.12345, Interval(0.5, 0.4, 0.6)]], percent=True)
    (row,) = table.formatted()
    assert [text for text, _, _ in row] == ["12\u202f345", "12.3 %", "50.0 %"]
    assert row[2][1] == "40.0 – 60.0"
    plain = Table("h", ["a", "b"], [[0.123456, float("nan")]]).formatted()
    assert [text for text, _, _ in plain[0]] == ["0.123", "–"]
    with pytest.raises(ArgumentError, match=r"rows\[0\]"):
        Table("h", ["a"], [[1, 2]])


def test_undecodable_names_and_foreign_bytes() -> None:
    render_page("caf\udce9.mp4", []).encode("utf-8")
    with pytest.raises(ArgumentError, match="PNG or JPEG"):
        Picture(b"<svg onload=alert(1)>", "x").data_uri()
