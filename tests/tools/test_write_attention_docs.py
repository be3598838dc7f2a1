from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from vidattn.attention import catalogue

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SAY = "run `python tools/write_attention_docs.py --pictures`"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import write_attention_docs

    yield write_attention_docs
    sys.modules.pop("write_attention_docs")


def without_costs(text: str) -> str:
    """Which kernel a product becomes, and so its count, is for each version of torch to say."""
    return re.sub(r"\| [^|]*MFLOP[^|]*\|", "| |", text)


def test_the_page_says_what_the_code_says(tool):
    written, line, _ = tool.PAGE.read_text(encoding="utf-8").partition(tool.BY_HAND)
    assert line, "the line that parts facts from what people wrote is gone"
    expected = tool.page(list(catalogue().values())) + "\n"
    assert without_costs(written) == without_costs(expected), SAY


def test_every_mechanism_has_a_small_picture(tool):
    pictures = set(tool.written_pictures())
    assert pictures == {"clip", *catalogue()}, SAY
    for path in tool.PICTURES.glob("*.png"):
        assert path.stat().st_size < 40_000, path


def test_what_people_wrote_stays(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "PAGE", tmp_path / "attention.md")
    monkeypatch.setattr(tool, "page", lambda found: "facts\n")
    tool.PAGE.write_text(f"old facts\n{tool.BY_HAND}\n\n## Measured\n", encoding="utf-8")
    tool.write_page()
    assert tool.PAGE.read_text(encoding="utf-8") == f"facts\n\n{tool.BY_HAND}\n\n## Measured\n"
