from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.test_page import EVIL, Reader
from vidattn.errors import ArgumentError
from vidattn.report import (
    Curve,
    Film,
    Player,
    Point,
    Points,
    Span,
    Spans,
    relative_address,
    render_page,
    thin_curve,
)

Track = Spans | Curve | Points


def film(*tracks: Track, name: str = "film.mp4", source: str = "./film.mp4") -> Film:
    return Film(name, source, 10.0, 20.0, 25.0, tracks)


def read(*films: Film) -> Reader:
    return Reader(render_page("p", [Player("Films", films)]))


def test_tracks_lie_on_one_axis() -> None:
    page = read(
        film(
            Spans("Shots", [Span("Shot 1", 10, 12.5), Span("Shot 2", 12.5, 20, "a cut", 0)]),
            Curve("Score", [10, 15, 20], [-1.0, 3.0, 1.0]),
            Points("Picks", [Point("Frame 3", 12.0, "sharp", "./a/3.jpg")]),
            Points("Dropped", [Point("Frame 9", 19.0, "blurred")], faint=True),
        )
    )
    spans = [(each["x"], each["width"], each["opacity"]) for each in page.all("rect", **SPAN)]
    assert spans == [("0.0%", "25.0%", "1.0"), ("25.0%", "75.0%", "0.25")]
    [line] = page.all("polyline")
    assert line["points"] == "0.000,100.0 50.000,0.0 100.000,50.0"
    points = page.all("line", **{"class": "point"})
    assert [(each["x1"], each["data-seconds"]) for each in points] == [
        ("20.0%", "12.000000"), ("90.0%", "19.000000"),
    ]  # fmt: skip
    buttons = page.all("button", **{"class": "goto"})
    assert sorted(float(each["data-seconds"] or 0) for each in buttons) == [10, 12, 12.5, 19]
    assert [each["src"] for each in page.all("img")] == ["./a/3.jpg"]
    assert "0:00:19.000 · Frame 9: blurred" in page.text
    assert "0:00:12.500 – 0:00:20.000 · Shot 2: a cut" in page.text
    assert [each["class"] for each in page.all("ol")] == ["pictures", "entries", "entries faint"]


def test_the_timeline_is_a_slider_with_a_name() -> None:
    page = read(film())
    [slider] = page.all("div", role="slider")
    assert slider["tabindex"] == "0"
    assert slider["aria-label"] == "Time in film.mp4"
    assert slider["aria-valuetext"] == "0:00:10.000"
    assert (slider["aria-valuemin"], slider["aria-valuemax"]) == ("10.0", "20.0")
    described = [each for _, each in page.elements if each.get("id") == slider["aria-describedby"]]
    assert len(described) == 1
    for button in page.all("button"):
        assert button["type"] == "button"


def test_several_films_can_be_chosen() -> None:
    page = read(film(name="a"), film(name="b", source=""))
    assert [each["value"] for each in page.all("option")] == ["film-1", "film-2"]
    assert [each["id"] for each in page.all("article")] == ["film-1", "film-2"]
    assert len(page.all("video")) == 1  # the other has nothing to play
    assert page.all("button", **{"class": "play"})[1]["disabled"] is None
    assert read(film()).all("select") == []


def test_names_are_no_markup_and_nothing_is_fetched() -> None:
    tracks: list[Track] = [
        Spans(EVIL, [Span(EVIL, 10, 12, EVIL)]),
        Curve(EVIL, [10, 11], [1, 2]),
        Points(EVIL, [Point(EVIL, 11, EVIL, EVIL)]),
        Points(EVIL, [Point(EVIL, 11, EVIL)], faint=True),
    ]
    text = render_page(EVIL, [Player(EVIL, [film(*tracks, name=EVIL, source=EVIL)], note=EVIL)])
    page = Reader(text)
    assert len(page.all("script")) == 1  # our own
    assert [each["src"] for each in page.all("img")] == [EVIL]
    assert [each["src"] for each in page.all("video")] == [EVIL]
    assert page.all("link") == []
    assert "http" not in text
    assert "import" not in text


def test_pages_without_films_have_no_script() -> None:
    assert "<script" not in render_page("p", [])


def test_addresses_of_hostile_names(tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    for name, address in (
        ("a b#1?.mp4", "../a%20b%231%3F.mp4"),
        ("50%.mp4", "../50%25.mp4"),
        ("é.mp4", "../%C3%A9.mp4"),
        ('"><script>.mp4', "../%22%3E%3Cscript%3E.mp4"),
        ("\udcff.mp4", "../%FF.mp4"),
    ):
        assert relative_address(tmp_path / name, page) == address
    # An address that begins like this would be a script.
    assert relative_address(page.with_name("javascript:a"), page) == "./javascript%3Aa"


def test_curves_keep_their_peaks() -> None:
    values = [0.0] * 10_000
    values[4321], values[8765] = 7.0, -7.0
    seconds, kept = thin_curve(range(10_000), values)
    assert len(kept) <= 1000
    assert dict(zip(seconds, kept, strict=True)).items() >= {4321.0: 7.0, 8765.0: -7.0}.items()
    assert seconds == sorted(seconds)
    assert thin_curve([1.5], [2.0]) == ([1.5], [2.0])
    assert thin_curve([], []) == ([], [])


def test_a_still_has_no_length() -> None:
    still = Film("a", "", 3.0, 3.0, 25.0, [Points("p", [Point("Frame 0", 3.0)])])
    assert "0:00:03.000" in read(still).text


@pytest.mark.parametrize(
    "track",
    [
        Spans("t", [Span("a", 9, 11)]),
        Spans("t", [Span("a", 12, 11)]),
        Spans("t", [Span("a", 11, 12, share=1.5)]),
        Spans("t", [Span("a", float("nan"), 12)]),
        Curve("t", [11, 11], [0, 0]),
        Curve("t", [], []),
        Curve("t", [11], [float("nan")]),
        Curve("t", [11, 12], [0]),
        Points("t", [Point("a", 20.5)]),
    ],
)
def test_what_does_not_fit_is_refused(track: Track) -> None:
    with pytest.raises(ArgumentError, match="t'"):
        film(track)


def test_films_have_a_length_and_a_rate() -> None:
    for start, end, fps in ((2.0, 1.0, 25.0), (0.0, 1.0, 0.0), (0.0, float("inf"), 25.0)):
        with pytest.raises(ArgumentError, match=r"film 'a\.mp4'"):
            Film("a.mp4", "", start, end, fps, [])
    with pytest.raises(ArgumentError, match="at least one"):
        Player("Films", [])


SPAN = {"class": "span"}
