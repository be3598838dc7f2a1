"""How key frames are chosen, for functions that hand it on to `vidattn.extract_keyframes`."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict


class KeyFrameOptions(TypedDict, total=False):
    """Arguments of `vidattn.extract_keyframes`; what is left out has the default there."""

    count: int | str | None
    scorer: str | None
    uniformity: float | None
    query: str | None
    query_model: str | Path | None
    query_seconds: float
    class_name: str | None
    minimum_gap_seconds: float
    per_shot: int | None
    margin_seconds: float
    every_seconds: float | None
    start_seconds: float | None
    end_seconds: float | None
    distinct: bool
    fast: bool
    regions: int
    region_threshold: float
    batch_size: int
