"""Defaults are part of the contract: checkpoints and configurations name only what differs.

`default_settings.json` holds them. A change there changes every network that was built without
naming the setting, so it must be deliberate.
"""

from __future__ import annotations

import json
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest

from vidattn.attention import catalogue

KNOWN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "default_settings.json").read_text(encoding="utf-8")
)


def defaults(of: Any) -> dict[str, Any]:
    """Setting -> default as JSON has it; "required" where there is none."""
    found = {}
    for name, parameter in list(signature(of).parameters.items())[1:]:
        value = parameter.default
        found[name] = "required" if value is Parameter.empty else json.loads(json.dumps(value))
    return found


def test_every_mechanism_is_known() -> None:
    assert sorted(KNOWN) == sorted(catalogue())


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_defaults_are_those_that_checkpoints_rely_on(name: str) -> None:
    assert defaults(catalogue()[name].type) == KNOWN[name]
