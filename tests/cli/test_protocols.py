from __future__ import annotations

import json

import pytest

from vidattn.cli.entry import main
from vidattn.sampling import protocol, protocol_names


def test_lists_all(capsys):
    assert main(["protocols", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines[1 : 1 + len(protocol_names())]]
    assert listed == protocol_names()
    assert main(["protocols", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps([protocol(name).to_json() for name in protocol_names()]))


def test_shows_words_and_numbers(capsys):
    assert main(["protocols", "show", "tsm-1x1", "--frames", "80"]) == 0
    shown = capsys.readouterr().out
    assert "middle frames of equal parts" in shown
    assert "test_models.py" in shown
    assert "view  0:   5 15 25 35 45 55 65 75\n" in shown


def test_shows_the_clip_that_is_given(capsys):
    arguments = ["protocols", "show", "mmaction2-10x3", "--frames", "100", "--fps", "25"]
    assert main([*arguments, "--clip", "4x8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["video"] == {"frames": 100, "fps": 25.0}
    assert found["clip"] == {"frames": 4, "stride": 8}
    assert found["indices"][0] == [0, 8, 16, 24]
    assert found["indices"][-1] == [75, 83, 91, 99]
    assert found["frames"] is None  # the protocol's own: left to the checkpoint


def test_says_in_one_line_what_is_wrong(capsys):
    assert main(["protocols", "show", "mmaction-10x3"]) == 1
    assert "did you mean mmaction2-10x3" in capsys.readouterr().err
    assert main(["protocols", "show", "torchvision-5", "--frames", "20"]) == 1
    assert "at least 16 frames at 15 fps, got 10" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["protocols", "show", "mmaction2-10x3", "--clip", "16"])
    assert end.value.code == 2
    assert "16x4" in capsys.readouterr().err
