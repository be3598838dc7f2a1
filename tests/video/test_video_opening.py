from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vidattn
from vidattn.errors import DecoderUnavailableError, UnknownNameError
from vidattn.video import DECODERS, available_decoders, open_video


def test_unknown_decoder_lists_close_names(films: Callable[[str], Path]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean torchcodec"):
        open_video(films("b_frames"), "torchcodecs")
    with pytest.raises(UnknownNameError, match="known are decord, pyav, torchcodec"):
        open_video(films("b_frames"), "zzz")


@pytest.mark.parametrize("name", ["decord", "torchcodec"])
def test_decoder_that_is_not_installed(
    films: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DecoderUnavailableError, match=f"{name}.*pip install"):
        open_video(films("b_frames"), name)
    assert name not in available_decoders()
    assert available_decoders()[0] == "pyav"


def test_the_short_name() -> None:
    assert vidattn.open_video is open_video
    assert list(DECODERS) == ["pyav", "decord", "torchcodec"]


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, vidattn.video; heavy = {'torch', 'av', 'decord', 'torchcodec', 'PIL'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
