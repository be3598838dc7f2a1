from __future__ import annotations

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
