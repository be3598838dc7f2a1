"""Checkpoints say what they hold; older ones are read, and later ones are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vidattn import __version__
from vidattn.data import ClipSpec
from vidattn.errors import CheckpointError
from vidattn.models import Recogniser, RecogniserSpec, load, save

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}
# As the first format had it, field by field: what `vidattn` 0.1.0 wrote before kinds were known.
FIRST_FORMAT = {
    "version": 1,
    "recogniser": {
        "classes": ["a", "b"],
        "backbone": "slim",
        "backbone_settings": SLIM,
        "attention": [],
        "pooling": "joint",
        "pooling_settings": {},
        "stage": None,
        "dropout": 0.0,
        "multi_label": True,
    },
    "clip": {
        "frames": 8,
        "sampling": "dense",
        "frame_stride": 2,
        "short_side": 40,
        "crop_size": 32,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.5, 0.25],
        "frames_per_second": 12.5,
        "aspect": "keep",
    },
}


@pytest.fixture
def recogniser() -> Recogniser:
    spec = RecogniserSpec(classes=("a", "b"), backbone_settings=SLIM, multi_label=True)
    return Recogniser(spec).eval()


def _write(path: Path, recogniser: Recogniser, description: object) -> Path:
    state = {f"recogniser.{name}": value for name, value in recogniser.state_dict().items()}
    torch.save({"vidattn": json.dumps(description), "state_dict": state}, path)
    return path


def test_the_first_format_is_still_read(recogniser: Recogniser, tmp_path: Path) -> None:
    found = load(_write(tmp_path / "old.ckpt", recogniser, FIRST_FORMAT))
    assert found.classes == ("a", "b")
    assert found.multi_label
    assert (found.clip.frames, found.clip.frame_stride, found.clip.crop_size) == (8, 2, 32)
    assert (found.clip.mean, found.clip.frames_per_second) == ((0.1, 0.2, 0.3), 12.5)
    clips = torch.randn(2, 3, 8, 32, 32)
    assert torch.equal(found.recogniser(clips).logits, recogniser(clips).logits)


def test_a_checkpoint_says_its_kind_and_who_wrote_it(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    save(tmp_path / "model.ckpt", recogniser, ClipSpec(frames=8))
    content = torch.load(tmp_path / "model.ckpt", weights_only=True)
    description = json.loads(content["vidattn"])
    assert {name: description[name] for name in ("kind", "version", "vidattn")} == {
        "kind": "recogniser",
        "version": 2,
        "vidattn": __version__,
    }
    assert description["spec"]["classes"] == ["a", "b"]
    assert description["clip"]["frames"] == 8


SECOND_FORMAT = {
    "kind": "recogniser",
    "version": 2,
    "vidattn": "7.8.9",
    "spec": FIRST_FORMAT["recogniser"],
    "clip": FIRST_FORMAT["clip"],
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "detector"}, ["'detector'", "only recogniser", "7.8.9", __version__]),
        ({"kind": "segmenter", "vidattn": None}, ["'segmenter'", "a later version of vidattn"]),
        ({"kind": ""}, ["kind ''"]),
        ({"kind": "detector", "spec": {"anchors": 9}}, ["'detector'", "7.8.9"]),
        ({"version": 3}, ["format 3", "formats 1 to 2", "7.8.9"]),
        ({"version": 0}, ["format 0"]),
        ({"version": "two"}, ["format 'two'"]),
    ],
)
def test_what_is_not_known_is_refused_in_a_sentence(
    changes: dict[str, object], words: list[str], recogniser: Recogniser, tmp_path: Path
) -> None:
    path = _write(tmp_path / "new.ckpt", recogniser, {**SECOND_FORMAT, **changes})
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("lost", ["kind", "version", "spec", "clip"])
def test_a_description_without_a_part_is_refused(
    lost: str, recogniser: Recogniser, tmp_path: Path
) -> None:
    description = {name: value for name, value in SECOND_FORMAT.items() if name != lost}
    with pytest.raises(CheckpointError, match="not a vidattn checkpoint"):
        load(_write(tmp_path / "part.ckpt", recogniser, description))


def test_a_loaded_model_is_shown_in_short(recogniser: Recogniser, tmp_path: Path) -> None:
    found = load(_write(tmp_path / "old.ckpt", recogniser, FIRST_FORMAT))
    assert len(found) == 2
    assert len(repr(found)) < 200 + len(str(tmp_path))
    for words in ("slim", "2 classes (a, b)", "8 × 32 × 32", "old.ckpt"):
        assert words in repr(found)
    html = found._repr_html_()
    for words in ("recogniser", "several at once", "12.5 frames a second", "32 × 32 pixels"):
        assert words in html


def test_names_of_classes_are_no_markup(tmp_path: Path) -> None:
    names = tuple(f"<b>{number}" for number in range(30))
    spec = RecogniserSpec(classes=names, backbone_settings=SLIM)
    save(tmp_path / "model.ckpt", Recogniser(spec), ClipSpec())
    html = load(tmp_path / "model.ckpt")._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;19" in html
    assert "&lt;b&gt;20" not in html
