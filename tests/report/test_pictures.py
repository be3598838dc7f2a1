from __future__ import annotations

import doctest
import io

import numpy as np
import pytest
from PIL import Image

from vidattn.errors import ArgumentError
from vidattn.report import pictures
from vidattn.report.pictures import drawable, encode_image, font, heat_colours, shortened, shrink


def test_examples() -> None:
    assert doctest.testmod(pictures).failed == 0


def test_heat_gets_lighter_all_the_way_in_equal_steps() -> None:
    """CIE lightness, computed here from the definition, rises nearly linearly."""
    colours = heat_colours(np.linspace(0, 1, 65)) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    steps = np.diff(lightness)
    assert steps.min() > 0
    assert lightness[-1] - lightness[0] > 80
    assert np.corrcoef(lightness, np.arange(65))[0, 1] > 0.995
    with pytest.raises(ArgumentError, match="values"):
        heat_colours([1.01])


def test_images_decode_to_what_went_in() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Image.open(io.BytesIO(encode_image(pixels))), pixels)
    smooth = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(encode_image(smooth, "jpeg"))), dtype=int)
    assert np.abs(decoded - smooth).max() < 8
    with pytest.raises(ArgumentError, match="encoding"):
        encode_image(pixels, "gif")  # type: ignore[arg-type]


def test_text_is_cut_in_the_middle_and_never_breaks() -> None:
    name = "a_very_long_name_of_a_recording_from_somewhere.mp4"
    cut = shortened(name, 16, 200)
    assert font(16).getlength(cut) <= 200
    assert cut.startswith("a_very")
    assert cut.endswith(".mp4")
    assert shortened("short", 16, 200) == "short"
    assert drawable("a\nb\udce9") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


def test_shrinking_keeps_the_proportions_and_enlarges_nothing() -> None:
    picture = np.zeros((60, 200, 3), np.uint8)
    picture[:, 100:] = 200
    small = shrink(picture, 50)
    assert small.shape == (15, 50, 3)
    assert small[7, 5].tolist() == [0, 0, 0]
    assert small[7, 45].tolist() == [200, 200, 200]
    assert shrink(picture, 200) is picture


def test_pictures_cost_little_time_and_lose_nothing() -> None:
    rows, columns = np.mgrid[0:120, 0:160]
    noise = np.random.default_rng(0).integers(0, 12, (120, 160, 3))
    pixels = (np.stack([rows, columns, rows + columns], 2) % 240 + noise).astype(np.uint8)
    encoded = encode_image(pixels)
    with Image.open(io.BytesIO(encoded)) as image:
        assert np.array_equal(np.asarray(image), pixels)
    # The second byte of a zlib stream says how hard the encoder tried: 0 and 1 are quick.
    stream = encoded[encoded.index(b"IDAT") + 4 :]
    assert stream[1] >> 6 <= 1
    best = io.BytesIO()
    Image.fromarray(pixels).save(best, "PNG", optimize=True)
    assert len(encoded) < 1.25 * best.tell()
