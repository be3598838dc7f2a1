from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from inspect import Parameter
from pathlib import Path

import pytest
from torch import nn

import vidattn.attention
from vidattn.attention import OverTime, PerFrame, build, catalogue
from vidattn.attention.channel.squeeze_excitation import SqueezeExcitation
from vidattn.attention.mechanism import Mechanism
from vidattn.errors import ArgumentError, UnknownNameError


def test_every_mechanism_of_a_family_is_in_the_catalogue():
    found = set()
    for path in Path(vidattn.attention.__path__[0]).glob("*/*.py"):
        module = import_module(f"vidattn.attention.{path.parent.name}.{path.stem}")
        found |= {
            defined
            for defined in vars(module).values()
            if isinstance(defined, type)
            and issubclass(defined, Mechanism)
            and defined.__module__ == module.__name__
            and hasattr(defined, "source")  # what families share has none
        }
    assert found == {facts.type for facts in catalogue().values()}


def test_names_and_aliases_are_unique_and_build_the_same():
    found = catalogue()
    names = [*found, *(alias for facts in found.values() for alias in facts.aliases)]
    assert len(names) == len(set(names))
    for name, facts in found.items():
        for alias in (name, *facts.aliases):
            sized = facts.settings.get("grid") is Parameter.empty  # what it cannot do without
            settings = {"grid": (8, 4, 5)} if sized else {}
            made = build(alias, 16, spatial_dims=facts.ranks[-1], **settings)
            assert type(made) is facts.type


def test_facts_say_what_can_be_set():
    assert catalogue()["squeeze_excitation"].settings == {"reduction": 16}
    assert build("se", 32, reduction=4).squeeze.out_features == 8


def test_scopes():
    assert isinstance(build("se", 8), SqueezeExcitation)
    frame, time = build("cbam", 8, scope="frame"), build("cbam", 8, scope="time")
    assert isinstance(frame, PerFrame)
    assert isinstance(frame.module.convolution, nn.Conv2d)
    assert isinstance(time, OverTime)
    assert isinstance(time.module.convolution, nn.Conv1d)


def test_a_class_of_ones_own():
    class Mine(nn.Module):
        def __init__(self, channels, *, power=1) -> None:
            super().__init__()
            self.made_with = channels, power

    assert build(Mine, 8, power=2).made_with == (8, 2)
    with pytest.raises(
        UnknownNameError, match="setting of Mine: unknown name 'pover'; did you mean power"
    ):
        build(Mine, 8, pover=2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mechanism": "squeeze_exitation"}, UnknownNameError, "did you mean squeeze_excitation"),
        ({"mechanism": "qqq"}, UnknownNameError, "known are .*attention_gate"),
        ({"mechanism": "se", "reducton": 4}, UnknownNameError, "did you mean reduction"),
        ({"mechanism": "se", "scope": "clop"}, ArgumentError, "expected 'clip', 'frame' or 'time'"),
        ({"mechanism": "se", "scope": "frame", "spatial_dims": 2}, ArgumentError, "spatial_dims=3"),
        ({"mechanism": "divided_space_time", "spatial_dims": 2}, ArgumentError, "to be 3, got 2"),
        ({"mechanism": "cbam", "spatial_dims": 4}, ArgumentError, "to be 1 or 2 or 3, got 4"),
    ],
)
def test_mistakes_are_answered(arguments, error, message):
    with pytest.raises(error, match=message):
        build(channels=16, **arguments)


def test_importing_the_package_imports_no_torch():
    code = "import sys, vidattn.attention; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
