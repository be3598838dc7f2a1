"""Names of results: safe on every file system, and the same whatever is added to the list."""

from __future__ import annotations

import unicodedata
from hashlib import sha256
from pathlib import Path

import pytest

from vidattn.runs.result_names import result_names

DEVICES = ["CON", "prn", "aux", "NUL", "com1", "LPT9", "con.tar", "COM¹"]


@pytest.mark.parametrize(
    "stems",
    [
        DEVICES,
        ["a.", "a ", "a. .", "a"],
        ["n" * 246, "n" * 245 + "m", "é" * 125, "漢" * 82],
        ["A", "a", "Ab", "aB"],
        ["caf\u00e9", "cafe\u0301", "CAF\u00c9"],
        ["a:b", "a?b", "a*b", 'a"b', "a|b", "a<b", "a\\b", "a\nb"],
        ["caf\udce9", "caf\udce8"],
        [".hidden", "._a", "...", ".vidattn-run", ".partial-0123"],
        ["keyframes.json", "contact_sheet.jpg", "contact_sheet.png", "frame_000001.png", "x.npz"],
        ["unfinished", "evaluation.json", "-rf", "~", "ß", "SS"],
    ],
)
def test_result_names_are_safe_everywhere_and_all_different(
    stems: list[str], tmp_path: Path
) -> None:
    folder = str(tmp_path)
    videos = [f"{folder}/{stem}.mp4" for stem in stems]
    videos += [f"{folder}/{stem}/x.mp4" for stem in stems]
    found = result_names(videos, [folder])
    folded = [unicodedata.normalize("NFD", name.casefold()) for name in found]
    assert len(set(folded)) == len(videos)
    for name in found:
        for part in name.split("/"):
            assert part not in ("", ".", "..")
            assert part == part.rstrip(". ")
            assert not part.startswith((".", " "))
            assert not set(part) & set('<>:"\\|?*\n')
            assert part.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
            assert part.lower() not in ("keyframes.json", "contact_sheet.jpg", "contact_sheet.png")
            assert not part.lower().startswith("frame_") or not part.lower().endswith(".png")
            assert len(f"{part}.npz".encode()) <= 255 - len(".partial-0123456789abcdef")
    assert not {f"{name}.npz" for name in found} & {name.split("/")[0] for name in found}


def test_a_name_is_the_path_below_the_folder_or_list_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films" / "b").mkdir(parents=True)
    (tmp_path / "list.txt").touch()
    assert result_names(["films/a.mp4", "films/b/c.1.mp4"], ["films"]) == ["a", "b/c.1"]
    assert result_names(["films/a.mp4", "/v/d/é ü.mov"], ["list.txt"]) == ["films/a", "é ü"]
    assert result_names(["films/a.mp4"], ["films/a.mp4"]) == ["a"]


def test_names_of_videos_on_servers_and_in_tar_files(tmp_path: Path) -> None:
    listed = {
        "https://example.org/a%20b/c.mp4?signature=x/y": "example.org/a b/c",
        "https://example.org/a%20b/c.mp4?signature=z": "example.org/a b/c~{digest}",
        "https://example.org:8080/c.mp4": "example.org_8080/c",
        "https://example.org/../../etc//x.mp4": "example.org/_/_/etc/x",
        "https://example.org/": "example",
        "s3://films/season/1/c?d.mp4": "films/season/1/c_d",
        "s3://films/all/1/c.mp4": "1/c",
        "/shards/000.tar::below/c.mp4": "000/below/c",
        "s3://films/shards/000.tar::c.mp4": "films/shards/000/c",
        "https://example.org/alone.mp4": "alone",
    }
    digest = sha256(list(listed)[1].replace("//", "/", 1).encode()).hexdigest()[:8]
    expected = [name.format(digest=digest) for name in listed.values()]
    given = ["list.csv", "s3://films/all/", "https://example.org/alone.mp4"]
    assert result_names(list(listed), given) == expected
    for number in range(len(listed)):  # whatever follows in the list
        assert result_names(list(listed)[:number], given) == expected[:number]


def test_what_is_added_to_a_list_does_not_change_the_names_of_the_others() -> None:
    first = ["/v/match.mp4", "/v/clip.mp4"]
    more = ["/elsewhere/match.mp4", "/v/match.avi", "/MATCH.MP4", "/elsewhere/x/clip.mp4"]
    names = result_names(first)
    for count in range(1, len(more) + 1):
        longer = result_names([*first, *more[:count]])
        assert longer[: len(names)] == names
        names = longer
    digests = [sha256(path.encode()).hexdigest()[:8] for path in more]
    assert names == [
        "match",
        "clip",
        f"match~{digests[0]}",
        "match.avi",
        f"MATCH~{digests[2]}",
        f"clip~{digests[3]}",
    ]
