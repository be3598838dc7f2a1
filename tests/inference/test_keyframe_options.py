from __future__ import annotations

import inspect
from dataclasses import fields

import vidattn
from vidattn.inference.keyframe_options import KeyFrameOptions
from vidattn.inference.keyframe_settings import KeyFrameSettings

# Of the video and the machine, which functions over many videos have themselves.
OWN = {"video", "checkpoint", "decoder", "salvage", "device", "allow_remote"}


def test_options_are_the_arguments() -> None:
    """Under the same names, with the same types; a score of many videos is given by its name."""
    arguments = inspect.signature(vidattn.extract_keyframes).parameters
    expected = {
        name: argument.annotation for name, argument in arguments.items() if name not in OWN
    }
    expected["scorer"] = "str | None"
    options = KeyFrameOptions.__annotations__
    assert {name: each.__forward_arg__ for name, each in options.items()} == expected


def test_settings_hold_every_option() -> None:
    assert {each.name for each in fields(KeyFrameSettings)} == set(KeyFrameOptions.__annotations__)
