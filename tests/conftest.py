from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real videos and truth that lie beside a development checkout, where there are any."""
    folder = Path(
        os.environ.get("VIDATTN_SHARED_DATA")
        or Path(__file__).resolve().parents[2] / "shared" / "data"
    )
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set VIDATTN_SHARED_DATA to its folder")
    return folder
