from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from inspect import Parameter
from pathlib import Path

import pytest
import torch
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


WITH_LAYER_NORM = [
    name
    for name, facts in catalogue().items()
    if any(
        isinstance(part, nn.LayerNorm)
        for part in build(
            name, 16, spatial_dims=max(facts.ranks), **({"grid": (4, 2, 2)[: max(facts.ranks)]}
            if facts.settings.get("grid") is Parameter.empty else {}),
        ).modules()
    )
]  # fmt: skip


@pytest.mark.parametrize("name", WITH_LAYER_NORM)
def test_epsilon_is_that_of_every_layer_norm(name, randomise):
    facts = catalogue()[name]
    rank = max(facts.ranks)
    grid = (4, 6, 6)[3 - rank :]
    sized = {"grid": grid} if facts.settings.get("grid") is Parameter.empty else {}
    module = randomise(build(name, 16, spatial_dims=rank, epsilon=0.25, **sized)).double().eval()
    x = torch.randn(2, 16, *grid, dtype=torch.float64)
    given = {"context": x.flip(2)} if facts.context_meaning and facts.kind != "reducer" else {}
    out = module(x, **given)
    handles = []
    norms = [part for part in module.modules() if isinstance(part, nn.LayerNorm)]
    for norm in norms:
        norm.eps = 1e9  # what it returns is computed here
        handles.append(norm.register_forward_hook(normalised))
    expected = module(x, **given)
    assert len(norms) > 0
    first, other = (one[0] if isinstance(one, tuple) else one for one in (out, expected))
    torch.testing.assert_close(first, other, atol=1e-10, rtol=1e-10)


def normalised(norm, inputs, out):
    """(x − mean) / √(variance + ¼), scaled and shifted."""
    (x,) = inputs
    away = x - x.mean(-1, keepdim=True)
    return away / (away.square().mean(-1, keepdim=True) + 0.25).sqrt() * norm.weight + norm.bias


def test_epsilon_of_a_view_and_what_is_refused():
    view = build("self_attention", 16, scope="frame", epsilon=1e-6)
    assert view.module.norm.eps == 1e-6
    assert build("self_attention", 16).norm.eps == 1e-5
    with pytest.raises(ArgumentError, match="epsilon: SqueezeExcitation has no LayerNorm"):
        build("se", 16, epsilon=1e-6)
    for wrong in (0, -1e-6, float("nan")):
        with pytest.raises(ArgumentError, match="epsilon: expected a number above 0"):
            build("self_attention", 16, epsilon=wrong)


@pytest.mark.parametrize("name", catalogue())
def test_methods_of_modules_are_left_alone(name):
    """Such as `network.apply(initialise)`."""
    own = {
        method
        for parent in catalogue()[name].type.__mro__[
            : catalogue()[name].type.__mro__.index(nn.Module)
        ]
        for method in vars(parent)
        if not method.startswith("_")
    }
    assert own & set(dir(nn.Module)) <= {"forward"}
