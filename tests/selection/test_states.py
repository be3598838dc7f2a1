"""Text and small subjects in films whose pictures are drawn by Pillow: what is shown is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import vidattn
from tests.inference.test_key_frame_options import write
from vidattn.selection.states import lasting_states

HEIGHT, WIDTH = 240, 320
LENGTH = 30  # frames for which a text is shown
WORDS = ("rain", "fell", "over", "old", "town", "houses", "while", "the", "cat", "slept", "nobody")


def scene(seed: int) -> np.ndarray:
    """Smooth colours."""
    colours = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(colours).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def with_text(picture: np.ndarray, text: str, *, size: int, y: float, fill: str) -> np.ndarray:
    image = Image.fromarray(picture)
    font = ImageFont.load_default(size)
    outline = "black" if fill == "white" else None
    ImageDraw.Draw(image).text(
        (WIDTH / 2, HEIGHT * y), text, fill, font, "ma", stroke_width=1 if outline else 0,
        stroke_fill=outline,
    )  # fmt: skip
    return np.asarray(image)


def film(pictures: list[np.ndarray], seed: int) -> np.ndarray:
    """Each for `LENGTH` frames, with noise."""
    generator = np.random.default_rng(seed)
    frames = np.repeat(np.stack(pictures), LENGTH, axis=0).astype(np.int16)
    noise = generator.integers(-2, 3, frames.shape, np.int16)
    return (frames + noise).clip(0, 255).astype(np.uint8)


def subtitles(seed: int, size: int, ground: str) -> list[np.ndarray]:
    """A scene with one text after the other."""
    random = np.random.default_rng(seed)
    still = scene(seed) if ground == "scene" else np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    texts = [" ".join(random.choice(WORDS, 5)) for _ in range(6)]
    return [with_text(still, text, size=size, y=0.85, fill="white") for text in texts]


def bullets(seed: int, size: int, ground: str) -> list[np.ndarray]:
    """A slide that gets one line after the other."""
    random = np.random.default_rng(seed)
    level, fill = (245, "black") if ground == "white" else (15, "white")
    found = [np.full((HEIGHT, WIDTH, 3), level, np.uint8)]
    for number in range(6):
        text = " ".join(random.choice(WORDS, 4))
        found.append(with_text(found[-1], text, size=size, y=0.05 + 0.14 * number, fill=fill))
    return found[1:]


def chosen(path: Path, **settings: object) -> list[int]:
    found = vidattn.extract_keyframes(path, **settings)  # type: ignore[arg-type]
    return [frame.frame_index for frame in found.frames]


@pytest.mark.parametrize(
    ("make", "size", "ground"),
    [(subtitles, 14, "scene"), (subtitles, 11, "black"), (bullets, 13, "white"),
     (bullets, 10, "black")],
)  # fmt: skip
def test_text_that_is_shown_for_a_while_is_not_averaged_away(
    make: Callable[[int, int, str], list[np.ndarray]], size: int, ground: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "text.mp4", film(make(3, size, ground), 3))
    for settings in ({"count": "auto"}, {"count": 20, "distinct": True}, {"count": 6}):
        places = chosen(path, **settings)
        assert {place // LENGTH for place in places} == set(range(6))
        assert len(places) == 6


@pytest.mark.parametrize("radius", [5, 7, 11])
def test_a_small_subject_that_passes_is_not_averaged_away(radius: int, tmp_path: Path) -> None:
    """It fills 0.1 to 0.5 % of the picture, for a tenth of the film."""
    frames = film([scene(2)] * 7, 2)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(100, 125):
        place = 60 + 5 * (number - 100)
        frames[number][(rows - 120) ** 2 + (columns - place) ** 2 < radius**2] = (250, 240, 60)
    path = write(tmp_path / "disc.mp4", frames)
    for settings in ({"count": "auto"}, {"count": 10, "distinct": True}):
        places = chosen(path, **settings)
        assert any(100 <= place < 125 for place in places)
        assert any(not 100 <= place < 125 for place in places)
        assert len(places) <= 5


def test_slow_motion_in_a_short_film_makes_no_states(tmp_path: Path) -> None:
    """A subject that always moves is at no place for long."""
    frames = film([scene(2)] * 3, 2)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number, frame in enumerate(frames):
        frame[(rows - 120) ** 2 + (columns - 60 - 0.3 * number) ** 2 < 400] = (250, 240, 60)
    path = write(tmp_path / "slow.mp4", frames)
    assert 1 <= len(chosen(path, count="auto")) <= 4


def test_noise_and_light_tell_nothing_apart(tmp_path: Path) -> None:
    frames = film([scene(2) // 2 + 60] * 7, 2).astype(np.int16)
    light = 4 * np.sin(np.arange(len(frames)) / 15)
    frames += light.round().astype(np.int16)[:, None, None, None]
    path = write(tmp_path / "still.mp4", frames.astype(np.uint8))
    assert len(chosen(path, count="auto")) == 1


def test_states_of_known_cells() -> None:
    """A state, then a text, what passes in front of it, and a shot of nothing but motion."""
    cells = np.full((40, 12), 100, np.uint8)
    cells[10:28, 3] = 130
    cells[range(20, 24), range(5, 9)] = 200
    cells[28:31] = 90  # darker as a whole, and without the text
    cells[34:, :] = np.random.default_rng(0).integers(0, 255, (6, 12))
    shots = np.repeat([0, 1], [34, 6])
    found = lasting_states(cells, shots, np.ones(40), 4)
    assert found.numbers[:10].tolist() == [0] * 10
    assert found.numbers[10:20].tolist() == [1] * 10
    assert found.numbers[28:34].tolist() == [3] * 6
    assert set(found.numbers[34:]) == {-1}
    passing = found.numbers[20]
    assert found.numbers[20:24].tolist() == [passing] * 4
    assert passing not in (-1, 0, 1)
    np.testing.assert_allclose(found.differences[0, 1], 30 / 255, atol=1e-6)
    np.testing.assert_allclose(found.differences, found.differences.T)
    assert found.between()[0, 39] == 0
    cut = lasting_states(cells, shots - (np.arange(40) < 5), np.ones(40), 4)
    assert cut.numbers[4] != cut.numbers[5]
