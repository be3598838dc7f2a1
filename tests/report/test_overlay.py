from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from vidattn.errors import ArgumentError
from vidattn.report.overlay import draw_overlay, draw_overlay_sheet, paint_map
from vidattn.report.pictures import heat_colours
from vidattn.report.strip import draw_strip


def test_painting_is_scipys_bilinear_interpolation() -> None:
    generator = np.random.default_rng(0)
    weights = generator.random((4, 5))
    centres_y, centres_x = np.array([0, 8.5, 16, 30]), np.array([3, 9, 20, 31.5, 37])
    rows, columns = np.mgrid[0:32, 0:40]
    places = np.stack([rows.clip(0, 30), columns.clip(3, 37)], axis=-1)
    expected = RegularGridInterpolator((centres_y, centres_x), weights)(places)
    np.testing.assert_allclose(paint_map(weights, centres_y, centres_x, (32, 40)), expected)
    both = paint_map(np.stack([weights, 2 * weights]), centres_y, centres_x, (32, 40))
    np.testing.assert_allclose(both, np.stack([expected, 2 * expected]))


def test_the_peak_is_painted_at_the_centre_of_its_cell() -> None:
    weights = np.zeros((6, 8))
    weights[4, 2] = 1
    painted = paint_map(weights, 3 + 16 * np.arange(6), 16 * np.arange(8), (96, 128))
    assert np.unravel_index(painted.argmax(), painted.shape) == (3 + 64, 32)
    heat = draw_overlay(np.zeros((96, 128, 3), np.uint8), painted, opacity=1.0)
    brightest = heat.astype(int).sum(axis=2)
    assert np.unravel_index(brightest.argmax(), brightest.shape) == (3 + 64, 32)


def test_painting_refuses_what_does_not_fit() -> None:
    for weights, y, x, name in (
        (np.zeros((2, 2)), [0], [0, 1], "centres_y"),
        (np.zeros((2, 2)), [0, 1], [1, 1], "centres_x"),
        (np.full((1, 1), np.nan), [0], [0], "weights"),
        ([1.0], [0], [0], "weights"),
    ):
        with pytest.raises(ArgumentError, match=name):
            paint_map(weights, y, x, (4, 4))


def test_no_weight_leaves_the_frame_and_full_weight_blends_by_the_opacity() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(draw_overlay(frame, np.zeros((40, 60))), frame)
    heat = np.zeros((40, 60))
    heat[10:20, 30:40] = 5
    drawn = draw_overlay(frame, heat, opacity=0.6)
    expected = 0.4 * frame[10:20, 30:40] + 0.6 * heat_colours(1.0)
    np.testing.assert_allclose(drawn[10:20, 30:40], expected, atol=0.51)
    np.testing.assert_array_equal(drawn[20:], frame[20:])


def test_a_common_maximum_keeps_pictures_comparable() -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    weak = draw_overlay(frame, np.full((8, 8), 0.1), maximum=1.0)
    strong = draw_overlay(frame, np.full((8, 8), 1.0), maximum=1.0)
    over = draw_overlay(frame, np.full((8, 8), 7.0), maximum=1.0)
    assert weak.sum() < 0.2 * strong.sum()
    np.testing.assert_array_equal(over, strong)


def test_sides_are_even_for_video_encoders() -> None:
    frame = np.full((33, 47, 3), 128, np.uint8)
    drawn = draw_overlay(frame, np.zeros((33, 47)), frame_weights=[1, 2], position=1, label="x")
    assert drawn.shape[0] % 2 == 0
    assert drawn.shape[1:] == (48, 3)
    assert (drawn[20:33, 47] == 128).all()


def test_the_strip_shows_weights_and_place() -> None:
    strip = draw_strip([0.0, 1.0, 0.5, 0.0], position=3, width=400, height=40).astype(int)
    background = (20, 20, 24)
    heights = (strip != background).any(axis=2).sum(axis=0)
    assert heights[50] == 0
    assert heights[150] == 35
    assert heights[250] in (17, 18)
    assert (strip[:, 350] == 255).all()  # the middle of the last quarter
    assert (strip == 255).all(axis=(0, 2)).sum() == 1


def test_a_single_high_frame_of_many_is_seen() -> None:
    weights = np.zeros(5000)
    weights[2501] = 1
    strip = draw_strip(weights, position=0, width=200, height=24).astype(int)
    lit = np.flatnonzero((strip[4] != (20, 20, 24)).any(axis=1))
    assert 100 in lit


def test_boxes_and_bad_arguments() -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    drawn = draw_overlay(frame, np.zeros((60, 80)), boxes=[[10, 20, 50, 40]])
    assert tuple(drawn[20, 10]) == tuple(drawn[39, 49]) == (255, 241, 47)
    assert drawn[40:].max() == 0
    good = np.zeros((60, 80))
    for changes, name in (
        ({"heat": good[:-1]}, "heat"),
        ({"heat": good - 1}, "heat"),
        ({"opacity": 1.5}, "opacity"),
        ({"maximum": 0.0}, "maximum"),
        ({"maximum": float("nan")}, "maximum"),
        ({"frame_weights": [1.0, 1.0], "position": 2}, "position"),
        ({"frame_weights": [-1.0]}, "frame_weights"),
    ):
        with pytest.raises(ArgumentError, match=name):
            draw_overlay(frame, **{"heat": good, **changes})  # type: ignore[arg-type]


def test_panels_stand_side_by_side() -> None:
    panels = [np.full((30, 40, 3), 50 + 10 * number, np.uint8) for number in range(8)]
    sheet = draw_overlay_sheet(panels, [f"0:0{number}" for number in range(8)])
    for number, panel in enumerate(panels):
        rows, columns = np.nonzero((sheet == panel[0, 0]).all(axis=2))
        assert len(rows) >= 30 * 40
        assert columns.min() >= 8 + number % 6 * 48
    with pytest.raises(ArgumentError, match="panels"):
        draw_overlay_sheet([panels[0], panels[0][:-1]])
    with pytest.raises(ArgumentError, match="captions"):
        draw_overlay_sheet(panels, ["one"])
