"""A server on this machine, and little patience with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.video.sources.serving import Server, served
from vidattn.video.sources import attempts, blocks
from vidattn.video.sources.blocks import BlockMemory

Films = Callable[[str], Path]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses, no proxy, and no blocks of an earlier test."""
    monkeypatch.setattr(attempts, "PAUSES_SECONDS", (0.01, 0.02, 0.03))
    monkeypatch.setattr(attempts, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(blocks, "_memory", BlockMemory())
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(films: Films, patience: None) -> Iterator[Server]:
    files = {
        "a.mp4": films("b_frames").read_bytes(),
        "b.ts": films("transport_stream").read_bytes(),
    }
    with served(files) as found:
        yield found
