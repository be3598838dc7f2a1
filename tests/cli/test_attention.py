from __future__ import annotations

import json

import pytest

from vidattn.attention import catalogue
from vidattn.cli.entry import main


def test_list_has_every_mechanism(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attention", "list"]) == 0
    shown = capsys.readouterr().out
    for name, facts in catalogue().items():
        assert f"  {name} " in shown
        assert facts.summary in shown


def test_list_of_one_family_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attention", "list", "--family", "channel", "--kind", "gate", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [
        name for name, one in catalogue().items() if (one.family, one.kind) == ("channel", "gate")
    ]
    assert [one["name"] for one in found] == names


def test_show_says_all_about_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attention", "show", "cbam"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "convolutional_block_attention: First one weight per channel",
        "c = σ(M(mean x) + M(max x))",
        "Woo et al., CBAM, ECCV 2018",
        "(T,), (H, W), (T, H, W)",
        "reduction=16, spatial_kernel=7",
        "cbam",
        "parameters",
        "gate: channel weight times position weight",
        "tests/attention/channel_spatial/test_cbam.py",
    ):
        assert part in shown, part


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_show_as_json_knows_every_mechanism(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attention", "show", name, "--json", "--channels", "32"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"] == name
    assert found["formula"]
    assert found["verified"]["tests"]
    if not found["fixed_size"]:
        assert found["cost"]["input_shape"][:2] == [1, 32]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["show", "squeeze_exitation"], "did you mean squeeze_excitation"),
        (["show", "se", "--channels", "0"], "channels"),
        (["list", "--family", "chanel"], "did you mean channel"),
        (["list", "--kind", "gates"], "did you mean gate"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attention", *arguments]) == 1
    error = capsys.readouterr().err
    assert answer in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("form", ["list", "show"])
def test_both_forms_help_with_an_example(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["attention", form, "--help"])
    assert end.value.code == 0
    assert f"  vidattn attention {form}" in capsys.readouterr().out
