"""Files that cannot be scored: an error that names file and line, never a number."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from vidattn.errors import ArgumentError, MalformedFileError, UnknownNameError
from vidattn.evaluation import score
from vidattn.evaluation.files.documents import Document
from vidattn.evaluation.files.tables import read_table

TRUTH = "v,0902,0.1,0.1,0.5,0.5,1,0\nv,0902,0.2,0.2,0.6,0.6,2,1\n"
FOUND = "v,0902,0.1,0.1,0.5,0.5,1,0.9\nv,0903,0.2,0.2,0.6,0.6,2,0.8\n"
LABELS = 'item {\n  name: "sit"\n  id: 1\n}\nitem {\n  name: "stand"\n  label_id: 2\n}\n'
BAD_ROWS = {
    "v,0902,0.1,0.1,0.5,0.5": "cells",
    "v,0902,0.1,0.1,0.5,0.5,1,0.9,7": "cells",
    "v,0902,0.5,0.1,0.1,0.5,1,0.9": "x1 ≤ x2",
    "v,0902,0.1,0.5,0.5,0.1,1,0.9": "x1 ≤ x2",
    "v,0902,nan,0.1,0.5,0.5,1,0.9": "x1: a finite number, got 'nan'",
    "v,0902,0.1,0.1,inf,0.5,1,0.9": "x2: a finite number, got 'inf'",
    "v,0902,0.1,0.1,0.5,0.5,1,nan": "score: a finite number, got 'nan'",
    "v,0902,0.1,0.1,0.5,0.5,1,high": "score: a number, got 'high'",
    "v,0902,0.1,0.1,0.5,0.5,1,": "score: a number, got ''",
    "v,0902,0.1,0.1,0.5,0.5,1.5,0.9": "action: a whole number, got '1.5'",
    "v,0902,0.1,0.1,0.5,0.5,0,0.9": "action: a whole number ≥ 1, got '0'",
    "v,0902,0.1,0.1,0.5,0.5,sit,0.9": "action: a whole number, got 'sit'",
    "v,0902,0.1,0.1,0.5,0.5,3,0.9": "an action of the 2 listed ones",
    "v,soon,0.1,0.1,0.5,0.5,1,0.9": "timestamp: a finite number of seconds, got 'soon'",
    "v,nan,0.1,0.1,0.5,0.5,1,0.9": "timestamp: a finite number of seconds, got 'nan'",
    ",0902,0.1,0.1,0.5,0.5,1,0.9": "video, got an empty cell",
    '"v,0902,0.1,0.1,0.5,0.5,1,0.9': "separated cells",
}
ENCODINGS = [
    (b"\xff\xfev\x00,\x00", "UTF-16", ":1: "),
    ("v,1\n".encode("utf-16-be"), "a NUL character", ":1: "),
    (b"v,1\nv\xe9,2\n", "the byte 0xe9", ":2: "),
    (b"\x1f\x8b\x08", "gzip", ":1: "),
    (b"", "an empty file", ": "),
    (b" \n\n", "an empty file", ": "),
]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    contents = {"truth.csv": TRUTH, "found.csv": FOUND, "labels.pbtxt": LABELS}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    return {name.split(".")[0]: tmp_path / name for name in contents}


def _detect(files: dict[str, Path], **settings: Any) -> Any:
    settings = {"labels": files["labels"], **settings}
    return score("detection", files["found"], files["truth"], **settings)


@pytest.mark.parametrize("protocol", ["official", "pyslowfast", "mmaction2"])
@pytest.mark.parametrize("kind", ["truth", "found"])
@pytest.mark.parametrize("row", BAD_ROWS)
def test_rows_of_boxes(files: dict[str, Path], protocol: str, kind: str, row: str) -> None:
    lines = files[kind].read_text().splitlines()
    files[kind].write_text("\n".join([lines[0], "", row, lines[1]]) + "\n")
    with pytest.raises(MalformedFileError) as error:
        _detect(files, protocol=protocol)
    expected = BAD_ROWS[row]
    if protocol != "official":
        expected = expected.replace("a finite number of", "a whole number of")
    assert str(error.value).startswith(f"{files[kind]}:3: expected ")
    assert expected in str(error.value)


@pytest.mark.parametrize("kind", ["truth", "found", "labels"])
@pytest.mark.parametrize(("content", "got", "place"), ENCODINGS)
def test_encodings_and_empty_files(
    files: dict[str, Path], kind: str, content: bytes, got: str, place: str
) -> None:
    files[kind].write_bytes(content)
    with pytest.raises(MalformedFileError, match=re.escape(got)) as error:
        _detect(files)
    assert str(error.value).startswith(f"{files[kind]}{place}expected ")


def test_a_byte_order_mark_and_windows_line_ends_are_fine(files: dict[str, Path]) -> None:
    expected = _detect(files).figures
    for kind in ("truth", "found", "labels"):
        text = files[kind].read_text().replace("\n", "\r\n")
        files[kind].write_bytes(text.encode("utf-8-sig"))
    assert _detect(files).figures == expected


@pytest.mark.parametrize("kind", ["truth", "found", "labels"])
def test_no_file_and_a_folder(files: dict[str, Path], kind: str, tmp_path: Path) -> None:
    files[kind] = tmp_path / "absent"
    with pytest.raises(MalformedFileError, match="a file that can be read, got nothing there"):
        _detect(files)
    files[kind] = tmp_path
    with pytest.raises(MalformedFileError, match="Is a directory"):
        _detect(files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "entries"),
        ('item {\n  name: "sit"\n}\n', r":1: expected an entry"),
        (LABELS + LABELS, r":9: expected every id once, got 1 again"),
        (LABELS.replace("id: 1", "id: 0"), ":1: expected an entry"),
    ],
)
def test_class_lists(files: dict[str, Path], text: str, message: str) -> None:
    files["labels"].write_text(text)
    with pytest.raises(MalformedFileError, match=message):
        _detect(files)


def test_actions_that_are_not_listed(files: dict[str, Path]) -> None:
    files["found"].write_text(FOUND + "v,0902,0.1,0.1,0.5,0.5,7,0.9\n")
    skipped = _detect(files, unlisted="skip")
    assert skipped.counts["unlisted_predictions"] == 1
    assert "not on the list" in skipped.notes[0]


def test_rows_of_two_cells_only_where_the_protocol_knows_them(files: dict[str, Path]) -> None:
    files["truth"].write_text(TRUTH + "v,0903\n")
    assert _detect(files).counts["frames"] == 2
    with pytest.raises(MalformedFileError, match=r":3: expected 7, 8 cells"):
        _detect(files, protocol="mmaction2")


def _truth(**changes: Any) -> dict[str, Any]:
    one = {"label": "run", "segment": [1.0, 2.0], **changes}
    return {"database": {"v": {"subset": "validation", "annotations": [one]}}}


def _found(**changes: Any) -> dict[str, Any]:
    one = {"label": "run", "segment": [1.0, 2.0], "score": 0.5, **changes}
    return {"results": {"v": [{"label": "run", "segment": [0, 1], "score": 0.1}, one]}}


SEGMENTS = {
    "reversed": ({"segment": [2.0, 1.0]}, "start ≤ end, got [2.0, 1.0]"),
    "text": ({"segment": ["1", 2.0]}, "a finite number, got '1'"),
    "true": ({"segment": [True, 2.0]}, "a finite number, got True"),
    "one": ({"segment": [1.0]}, "[start, end], got [1.0]"),
    "three": ({"segment": [1.0, 2.0, 3.0]}, "[start, end]"),
    "null": ({"segment": None}, "[start, end], got None"),
    "object": ({"segment": {"0": 1, "1": 2}}, "[start, end]"),
    "huge": ({"segment": [1, 10**400]}, "a finite number"),
    "label": ({"label": 3}, "text, got 3"),
    "empty label": ({"label": ""}, "text, got ''"),
}
SCORES = {
    "text": ({"score": "0.5"}, "a finite number, got '0.5'"),
    "null": ({"score": None}, "a finite number, got None"),
    "unknown": ({"label": "fly"}, "a label of the truth, got 'fly'"),
}


def _localise(folder: Path, found: Any, truth: Any, **settings: Any) -> Any:
    paths = (folder / "found.json", folder / "truth.json")
    for path, value in zip(paths, (found, truth), strict=True):
        if not isinstance(value, bytes):
            value = (value if isinstance(value, str) else json.dumps(value, indent=1)).encode()
        path.write_bytes(value)
    return score("localisation", *paths, **settings)


@pytest.mark.parametrize("protocol", ["official", "opentad"])
@pytest.mark.parametrize("case", SEGMENTS)
def test_segments(tmp_path: Path, protocol: str, case: str) -> None:
    changes, message = SEGMENTS[case]
    with pytest.raises(MalformedFileError, match=re.escape(message)) as error:
        _localise(tmp_path, _found(), _truth(**changes), protocol=protocol)
    assert error.value.line >= 6
    with pytest.raises(MalformedFileError, match=re.escape(message)) as error:
        _localise(tmp_path, _found(**changes), _truth(), protocol=protocol)
    assert error.value.line >= 12


@pytest.mark.parametrize("case", SCORES)
def test_scores_of_segments(tmp_path: Path, case: str) -> None:
    changes, message = SCORES[case]
    with pytest.raises(MalformedFileError, match=re.escape(message)) as error:
        _localise(tmp_path, _found(**changes), _truth())
    text = (tmp_path / "found.json").read_text().splitlines()
    (key,) = changes
    assert f'"{key}": {json.dumps(changes[key])}' in text[error.value.line - 1]


def test_an_unknown_label_is_counted_by_opentad(tmp_path: Path) -> None:
    found = _localise(tmp_path, _found(label="fly"), _truth(), protocol="opentad")
    assert found.counts["predictions_of_unknown_labels"] == 1
    assert "fly" in found.notes[0]


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        ("", _truth(), "found.json: expected some content"),
        (b"\xff\xfe{\x00}\x00", _truth(), "found.json:1: expected UTF-8 text, got UTF-16"),
        (b'{"results":\n {"\xe9": []}}', _truth(), "found.json:2: expected UTF-8"),
        ('{"results": {\n"v": [}}', _truth(), "found.json:2: expected JSON"),
        ('{"results": {"v": []}}', _truth(), "at least one prediction"),
        ('{"results": {"v": 3}}', _truth(), "a list of segments"),
        ('{"results": []}', _truth(), "an object of videos"),
        ("[]", _truth(), "an object with 'results'"),
        ('{"version": 1}', _truth(), "an object with 'results', got the keys"),
        ('{"results": {\n"v": [],\n"v": []}}', _truth(), "found.json:3: expected every key once"),
        ('{"a": 1,\n"results": {"v": [\n{"score": NaN}]}}', _truth(), "found.json:3: expected fin"),
        ('{"results": {"v": [\n{"segment": [1, 1e999]}]}}', _truth(), "found.json:2: expected"),
        ("[" * 200_000, _truth(), "found.json: expected JSON, got values nested too deep"),
        (_found(), {"database": {}}, "truth.json:2: expected ['database']: at least one video"),
        (_found(), {"v_a": {"subset": "x"}}, "truth.json:2: expected ['v_a']: an object with 'ann"),
        (_found(), {"database": {"v": {"annotations": []}}}, "an object with 'subset'"),
        (
            _found(),
            {"database": {"v": {"subset": "validation", "annotations": []}}},
            "at least one annotation of the subset 'validation'",
        ),
    ],
)
def test_documents(tmp_path: Path, found: Any, truth: Any, message: str) -> None:
    with pytest.raises(MalformedFileError, match=re.escape(message)):
        _localise(tmp_path, found, truth)


def test_subsets(tmp_path: Path) -> None:
    truth = _truth()
    truth["database"]["w"] = {**truth["database"]["v"], "subset": "training"}
    assert _localise(tmp_path, _found(), truth).counts["videos"] == 1
    with pytest.raises(ArgumentError, match="validation, training, not 'test'"):
        _localise(tmp_path, _found(), truth, subset="test")
    del truth["database"]["v"]
    assert _localise(tmp_path, _found(), truth).settings["subset"] == "training"


def test_a_video_with_and_without_its_prefix(tmp_path: Path) -> None:
    own = _truth()["database"]["v"]
    with pytest.raises(MalformedFileError, match="with and without"):
        _localise(tmp_path, _found(), {"v": own, "v_v": own})


BOXES = {
    "person 0.5 1 1 5": "6 cells (class, score, left, top, width, height)",
    "person 0.5 1 1 -5 5": "width: a finite number ≥ 0, got '-5'",
    "person nan 1 1 5 5": "score: a finite number, got 'nan'",
    "person 0.5 x 1 5 5": "left: a number, got 'x'",
    "dog 0.5 1 1 5 5": "a class of the truth",
}


@pytest.mark.parametrize("protocol", ["voc", "voc-11-point", "coco"])
@pytest.mark.parametrize("line", BOXES)
def test_boxes_in_text(tmp_path: Path, protocol: str, line: str) -> None:
    for folder, text in (("truth", "person 1 1 5 5\n"), ("found", f"person 0.5 1 1 5 5\n{line}\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(text)
    with pytest.raises(MalformedFileError, match=re.escape(BOXES[line])) as error:
        score("boxes", tmp_path / "found", tmp_path / "truth", protocol=protocol)
    assert (error.value.path, error.value.line) == (str(tmp_path / "found" / "a.txt"), 2)


def test_corners_must_not_be_reversed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("person 5 1 1 5\n")
    with pytest.raises(MalformedFileError, match=r"a.txt:1: .*left ≤ right"):
        score("boxes", tmp_path, tmp_path, sides="corners")


def test_a_folder_without_boxes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(MalformedFileError, match=r"boxes in \.txt files"):
        score("boxes", tmp_path, tmp_path)


COCO = {
    "bbox": ([1, 2, 3], "[left, top, width, height]"),
    "score": ("0.5", "a finite number, got '0.5'"),
    "image_id": (7, "the id of an image of the truth, got 7"),
    "category_id": (9, "a class of the truth"),
}


@pytest.mark.parametrize("key", COCO)
def test_boxes_of_coco(tmp_path: Path, key: str) -> None:
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
    truth = {"images": [{"id": 1}], "annotations": [entry], "categories": [{"id": 1, "name": "x"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth, indent=1))
    result = {**entry, "score": 0.5}
    value, message = COCO[key]
    found = [result, {**result, key: value}]
    (tmp_path / "found.json").write_text(json.dumps(found, indent=1))
    with pytest.raises(MalformedFileError, match=re.escape(message)) as error:
        score("boxes", tmp_path / "found.json", tmp_path / "truth.json", protocol="coco")
    assert error.value.line > 11
    for part, change in (("annotations", {"bbox": [1, 1, -5, 5]}), ("images", {"id": None})):
        broken = {**truth, part: [{**truth[part][0], **change}]}
        (tmp_path / "truth.json").write_text(json.dumps(broken))
        with pytest.raises(MalformedFileError, match=r"truth\.json:1"):
            score("boxes", tmp_path / "found.json", tmp_path / "truth.json", protocol="coco")


def test_names_of_tasks_protocols_and_settings(files: dict[str, Path]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean detection"):
        score("detecton", files["found"], files["truth"])
    with pytest.raises(UnknownNameError, match="did you mean official"):
        _detect(files, protocol="offical")
    with pytest.raises(UnknownNameError, match="did you mean overlap"):
        _detect(files, overlp=0.5)
    with pytest.raises(ArgumentError, match="overlap"):
        _detect(files, overlap=1.5)
    with pytest.raises(ArgumentError, match="cap"):
        _detect(files, cap=-1)
    with pytest.raises(ArgumentError, match="thresholds"):
        score("localisation", files["found"], files["truth"], thresholds="0.5,2")


def test_headers(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\n b , a ,a2\n1,2,3\n")
    table = read_table(path, columns=("a", "b"), header=True)
    assert (table.columns, list(table.lines)) == ({"a": ["2"], "b": ["1"]}, [3])
    with pytest.raises(MalformedFileError, match=r":2: expected a header with c, got 'c' 0 times"):
        read_table(path, columns=("c",), header=True)
    path.write_text("a\nx\nx\n")
    table = read_table(path, columns=("a",), header=True)
    with pytest.raises(MalformedFileError, match=r":3: expected one row for each a"):
        table.unique("a", table.names("a"))


def test_lines_of_a_document(tmp_path: Path) -> None:
    path = tmp_path / "any.json"
    path.write_text('{"a": "}]",\n "b": [1,\n {"c\\n": [2,\n 3]}\n]}')
    document = Document(path)
    assert document.line(("b",)) == 2
    assert document.line(("b", 1)) == 3
    assert document.line(("b", 1, "c\n", 1)) == 4
    assert document.line(("b", 1, "missing")) == 3


def test_the_error_goes_through_a_process() -> None:
    error = MalformedFileError("a.csv", 3, "a number", "'x'")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "a.csv:3: expected a number, got 'x'"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"label": "fly", "score": 0.5}], "a label of the truth, got 'fly'"),
        ([{"label": "run"}], "an object with 'score'"),
        ([{"score": 0.5}], "an object with 'label'"),
        ([{"label": "run", "score": "high"}], "a finite number, got 'high'"),
        (["run"], "an object, got 'run'"),
        ([], "at least one prediction"),
    ],
)
def test_labels_of_untrimmed_videos(tmp_path: Path, rows: list[Any], message: str) -> None:
    found, truth = tmp_path / "found.json", tmp_path / "truth.json"
    truth.write_text(json.dumps(_truth()))
    found.write_text(json.dumps({"results": {"v": rows}}, indent=1))
    with pytest.raises(MalformedFileError, match=re.escape(message)) as error:
        score("untrimmed", found, truth)
    assert (error.value.line >= 4) == bool(rows)


def test_a_row_of_empty_cells_is_not_a_blank_line(files: dict[str, Path]) -> None:
    files["found"].write_text(FOUND + "\n,,,,,,,\n")
    with pytest.raises(MalformedFileError, match=r":4: "):
        _detect(files)
