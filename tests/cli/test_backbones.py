from __future__ import annotations

import json

import pytest

from vidattn import backbones
from vidattn.cli.entry import main


def test_list_has_every_backbone_with_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "list", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(found) == backbones.names()
    # torchvision's own count less its classifier's 400 · 512 + 400, and the published 3.37 M.
    assert found["r3d_18"]["parameters"] == 33_371_472 - 205_200
    assert found["efficientnet_lite0"]["parameters"] == 4_652_008 - 1_281_000
    assert found["r3d_18"]["weights"] == ["KINETICS400_V1", "DEFAULT"]


def test_list_is_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(backbones.names()) + 2
    assert any(line.split()[:4] == ["r3d_18", "33.2", "M", "8"] for line in lines)


def test_show_says_where_the_stages_lie(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "show", "efficientnet_lite0"]) == 0
    shown = capsys.readouterr().out
    assert "IMAGENET1K, DEFAULT" in shown
    assert "1 × 32 × 32  0, 31, 31" in shown


def test_an_unknown_name_is_answered_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "show", "r3d18"]) == 1
    assert "did you mean r3d_18" in capsys.readouterr().err


@pytest.mark.oracle
def test_show_knows_timm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "show", "timm:resnet18", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [stage["stride"][1] for stage in found["stages"]] == [2, 4, 8, 16, 32]
    assert found["parameters"] == 11_176_512  # timm's resnet18 without its classifier
