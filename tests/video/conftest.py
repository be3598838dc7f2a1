from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.video.numbered_films import FILMS


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Small numbered videos by name, each written once."""
    folder = tmp_path_factory.mktemp("films")
    made: dict[str, Path] = {}

    def film(name: str) -> Path:
        if name not in made:
            made[name] = FILMS[name](folder)
        return made[name]

    return film
