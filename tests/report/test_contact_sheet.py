from __future__ import annotations

import numpy as np
import pytest

from vidattn.errors import ArgumentError
from vidattn.report.contact_sheet import SheetFrame, draw_contact_sheet

YELLOW = (255, 241, 47)
BAR = (207, 52, 82)


def frame(score: float = 1.0, boxes: object = (), shade: int = 90) -> SheetFrame:
    pixels = np.full((240, 320, 3), shade, np.uint8)
    kept = np.array(boxes, dtype=float).reshape(-1, 4)
    return SheetFrame(pixels, index=7, seconds=0.28, score=score, boxes=kept)


def extent(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 16, 50])
def test_every_frame_is_on_the_sheet_once(count: int) -> None:
    shades = [100 + number for number in range(count)]
    frames = [frame(shade=shade) for shade in shades]
    sheet = draw_contact_sheet(frames, title="video.mp4", tile_width=160)
    assert 0.3 < sheet.shape[1] / sheet.shape[0] < 4
    grey = (sheet == sheet[..., :1]).all(axis=2)
    areas = np.bincount(sheet[grey, 0], minlength=256)[shades] / (160 * 120)
    assert areas.min() >= 1
    assert areas.max() < 1.1  # letters may share a grey


def test_a_region_is_outlined_where_it_is() -> None:
    sheet = draw_contact_sheet([frame(boxes=[40, 60, 200, 180])])
    x, y, _, _ = extent(sheet, (90, 90, 90))
    assert extent(sheet, YELLOW) == (x + 40, y + 60, x + 200, y + 180)
    for corner in ((60, 40), (60, 199), (179, 40), (179, 199)):
        assert tuple(sheet[y + corner[0], x + corner[1]]) == YELLOW
    assert tuple(sheet[y + 120, x + 120]) == (90, 90, 90)


def test_regions_scale_with_the_picture_and_stay_inside() -> None:
    sheet = draw_contact_sheet([frame(boxes=[-20, 120, 900, 999])], tile_width=160)
    x, y, x2, y2 = extent(sheet, YELLOW)
    assert (x2 - x, y2 - y) == (160, 60)


def test_bars_are_scores_between_0_and_the_highest() -> None:
    scores = [4.0, 1.0, 0.0]
    sheet = draw_contact_sheet([frame(score) for score in scores])
    row = np.flatnonzero((sheet == BAR).all(axis=2).any(axis=1))[0]
    lengths = (sheet[row] == BAR).all(axis=1)
    tile = 320 + 18
    widths = [int(lengths[24 + n * tile : 24 + n * tile + 320].sum()) for n in range(3)]
    assert widths == [320, 80, 0]


def test_negative_scores_and_one_score_have_bars() -> None:
    sheet = draw_contact_sheet([frame(-1.0), frame(-3.0)])
    assert (sheet == BAR).all(axis=2).any()
    sheet = draw_contact_sheet([frame(0.0)])
    assert (sheet == BAR).all(axis=2).any()


def test_odd_sizes_names_and_columns() -> None:
    tiny = SheetFrame(np.zeros((1, 1, 3), np.uint8), 0, 3725.5, 1e-9, [[0, 0, 1, 1]])
    tall = SheetFrame(np.zeros((640, 90, 3), np.uint8), 10**7, -0.5, -1e9)
    sheet = draw_contact_sheet([tiny, tall], title="\udce9 <b>" * 40, columns=1)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 2 * 24 + 320
    assert sheet.shape[0] < 1100


def test_nonsense_is_refused() -> None:
    with pytest.raises(ArgumentError, match="frames"):
        draw_contact_sheet([])
    with pytest.raises(ArgumentError, match="score"):
        draw_contact_sheet([frame(float("nan"))])
    with pytest.raises(ArgumentError, match="pixels"):
        draw_contact_sheet([SheetFrame(np.zeros((4, 4, 3)), 0, 0, 0)])  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="columns"):
        draw_contact_sheet([frame()], columns=-1)
