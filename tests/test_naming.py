from __future__ import annotations

import re
from importlib import import_module

import pytest

from vidattn.errors import ArgumentError, UnknownNameError
from vidattn.naming import choose


def test_a_known_name_is_itself() -> None:
    assert choose("fruit", "pear", ["apple", "pear"]) == "pear"


def test_an_unknown_name_answers_with_close_matches_or_with_all() -> None:
    with pytest.raises(UnknownNameError, match=r"fruit: unknown name 'pera'; did you mean pear\?"):
        choose("fruit", "pera", ["apple", "pear"])
    with pytest.raises(ArgumentError, match=r"known are apple, pear$"):
        choose("fruit", "xyz", ["pear", "apple"])
    with pytest.raises(ArgumentError, match=r"…$"):
        choose("number", "xyz", [str(number) for number in range(100)])


def test_an_old_name_answers_with_the_new_one() -> None:
    renamed = {"peer": "pear"}
    with pytest.raises(UnknownNameError, match=r"^fruit: 'peer' is now called 'pear'$"):
        choose("fruit", "peer", ["apple", "pear"], renamed=renamed)
    # A name that there is again is itself.
    assert choose("fruit", "peer", ["peer", "pear"], renamed=renamed) == "peer"
    with pytest.raises(UnknownNameError, match="unknown name 'aple'; did you mean apple"):
        choose("fruit", "aple", ["apple"], renamed=renamed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vidattn.jobs.evaluate_localisation", "vidattn.jobs.evaluate_attention"),
        ("vidattn.jobs.print_localisation", "vidattn.cli.evaluation_figures.print_attention"),
        ("vidattn.jobs.print_figures", "vidattn.cli.evaluation_figures.print_evaluation"),
        ("vidattn.jobs.extract_keyframes", "vidattn.inference.extract_keyframes"),
        ("vidattn.jobs.KeyFrames", "vidattn.inference.KeyFrames"),
        ("vidattn.data.VideoDataModule", "vidattn.training.VideoDataModule"),
        ("vidattn.report.KeyFrame", "vidattn.report.SheetFrame"),
    ],
)
def test_public_names_of_earlier_versions_answer_with_the_new_ones(old: str, new: str) -> None:
    package, _, name = old.rpartition(".")
    sentence = rf"^{re.escape(old)} is now called {re.escape(new)}$"
    module = import_module(package)
    with pytest.raises(AttributeError, match=sentence):
        getattr(module, name)
    assert not hasattr(module, name)
    assert name not in dir(module)
    with pytest.raises(ImportError, match=sentence):
        exec(f"from {package} import {name}")
    where, _, called = new.rpartition(".")
    assert getattr(import_module(where), called)
