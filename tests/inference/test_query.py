"""Key frames by a sentence, with tiny CLIP and SigLIP models that are loaded as real ones are."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vidattn
from vidattn.cli.entry import main
from vidattn.errors import ArgumentError, CheckpointError
from vidattn.inference import ImageTextModel, QueryScorer
from vidattn.video import VideoWriter, open_video

transformers = pytest.importorskip("transformers")

from tests.inference.image_text_models import (  # noqa: E402 - needs transformers
    LONGEST,
    SIDE,
    write_image_text_model,
)

KINDS = ("clip", "siglip")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: write_image_text_model(folder / kind, kind) for kind in KINDS}


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Iterator[Path]:
    """A CLIP folder that a test may spoil."""
    import shutil

    return Path(shutil.copytree(folders["clip"], tmp_path / "model"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 frames at 10 a second, as large as what the networks see; an intra frame every 20."""
    import av

    path = tmp_path_factory.mktemp("films") / "film.mkv"
    generator = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        options = {"crf": "10", "preset": "ultrafast", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv444p"
        stream.gop_size = 20
        for _ in range(40):
            pixels = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            pixels = pixels.repeat(SIDE // 4, axis=0).repeat(SIDE // 4, axis=1)
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def logits_of_transformers(folder: Path, kind: str, query: str, pictures: np.ndarray) -> np.ndarray:
    """What the library's own processor and network say, one picture at a time."""
    import torch

    processor = transformers.AutoProcessor.from_pretrained(folder)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    filled = {"padding": "max_length", "max_length": LONGEST} if kind == "siglip" else {}
    found = []
    for picture in pictures:
        given = processor(
            text=[query], images=[Image.fromarray(picture)], return_tensors="pt", **filled
        )
        with torch.no_grad():
            found.append(network(**given).logits_per_image.item())
    return np.array(found)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("query", ["a dog", "Red Ball"])
def test_scores_are_the_logits_of_transformers(
    kind: str, query: str, folders: dict[str, Path], film: Path
) -> None:
    scorer = QueryScorer.load(
        query,
        folders[kind],
        every_seconds=0.3,
    )
    with open_video(film) as video:
        found = scorer(video)
        pictures = video.frames_at(found.indices.tolist()).array
    assert found.indices.tolist() == list(range(0, 120, 3))
    expected = logits_of_transformers(folders[kind], kind, query, pictures)
    assert expected.std() > 0.02
    np.testing.assert_allclose(found.values, expected, atol=1e-4)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
def test_large_frames_are_prepared_as_the_model_wants_it(
    kind: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And few of them are held at once."""
    from vidattn.inference.scorers import query

    generator = np.random.default_rng(0)
    path = tmp_path / "large.mp4"
    with VideoWriter(path, fps=2, size=(8 * SIDE, 12 * SIDE)) as writer:
        for _ in range(20):
            colours = generator.integers(0, 256, (4, 6, 3), dtype=np.uint8)
            writer.write(colours.repeat(2 * SIDE, axis=0).repeat(2 * SIDE, axis=1))
    scorer = QueryScorer.load("a dog", folders[kind])
    held: list[int] = []
    scores = scorer.model.scores
    monkeypatch.setattr(query, "_HELD_BYTES", 3 * 3 * 8 * 12 * SIDE**2)
    monkeypatch.setattr(
        scorer.model, "scores", lambda *given: held.append(len(given[0])) or scores(*given)
    )
    with open_video(path) as video:
        found = scorer(video)
        pictures = video[:].array
    expected = logits_of_transformers(folders[kind], kind, "a dog", pictures)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert max(held) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_frames_with_the_highest_scores_are_chosen(
    kind: str, folders: dict[str, Path], film: Path
) -> None:
    found = vidattn.extract_keyframes(
        film, count=3, query="red ball", query_model=folders[kind], minimum_gap_seconds=0
    )
    with open_video(film) as video:
        scored = QueryScorer.load("red ball", folders[kind])(video)
    best = np.sort(scored.indices[np.argsort(-scored.values, kind="stable")[:3]])
    assert [frame.frame_index for frame in found.frames] == best.tolist()
    assert scored.indices.tolist() == list(range(0, 120, 5))
    assert {frame.scored_by for frame in found.frames} == {"query"}
    assert "red ball" in found.method
    assert len(found.details["query_model_sha256"]) == 64


def test_a_score_does_not_depend_on_the_other_frames(folders: dict[str, Path], film: Path) -> None:
    model = ImageTextModel(folders["clip"])
    with open_video(film) as video:
        pictures = video[:20].array
    tokens = model.tokens("a dog")
    alone = np.concatenate([model.scores(each[None], tokens) for each in pictures])
    np.testing.assert_allclose(model.scores(pictures, tokens), alone, atol=1e-4)


def test_few_frames_are_held_at_once(
    folders: dict[str, Path], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ImageTextModel(folders["clip"])
    held: list[int] = []
    scores = model.scores

    def watched(pictures: np.ndarray, tokens: object) -> np.ndarray:
        held.append(len(pictures))
        return scores(pictures, tokens)

    monkeypatch.setattr(model, "scores", watched)
    with open_video(film) as video:
        QueryScorer("a dog", model, every_seconds=0.1, batch_size=7)(video)
    assert max(held) == 7
    assert sum(held) == 120


def test_intra_frames_first_then_what_follows_the_best(
    folders: dict[str, Path], film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidattn.inference.scorers import query

    monkeypatch.setattr(query, "_REFINED_STRETCHES", 2)
    model = ImageTextModel(folders["clip"])
    every = QueryScorer("a dog", model, every_seconds=0.5)
    fast = QueryScorer("a dog", model, every_seconds=0.5, intra_first=True)
    with open_video(film) as video:
        assert video.intra_frame_indices() == list(range(0, 120, 20))
        found, all_scores = fast(video), dict(zip(*vars(every(video)).values(), strict=True))
    intra = [all_scores[place] for place in range(0, 120, 20)]
    best = np.argsort(intra)[-2:] * 20
    expected = {*range(0, 120, 20), *(place + step for place in best for step in (5, 10, 15))}
    assert found.indices.tolist() == sorted(expected)
    np.testing.assert_allclose(found.values, [all_scores[i] for i in found.indices], atol=1e-5)
    result = vidattn.extract_keyframes(
        film, count=2, query="a dog", query_model=folders["clip"], fast=True
    )
    assert len(result.frames) == 2


def test_on_the_command_line(
    folders: dict[str, Path], film: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    given = ["--query", "a dog", "--query-model", str(folders["siglip"]), "--score-table"]
    given += ["--processes", "0", "--threads", "1", "--count", "4", "--minimum-gap-seconds", "0"]
    assert main(["keyframes", str(film), "--output", str(output), *given]) == 0
    assert "Loading" not in capfd.readouterr().err
    [video] = json.loads((output / "keyframes.json").read_text())["videos"]
    assert [frame["scored_by"] for frame in video["frames"]] == ["query"] * 4
    with open(output / video["scores"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame_index"]) for row in rows] == list(range(0, 120, 5))
    assert [float(row["seconds"]) for row in rows] == pytest.approx(np.arange(24) * 0.5)
    by_frame = {int(row["frame_index"]): float(row["score"]) for row in rows}
    for frame in video["frames"]:
        assert by_frame[frame["frame_index"]] == pytest.approx(frame["score"], abs=1e-6)
    best = sorted(by_frame.values())[-4:]
    assert sorted(frame["score"] for frame in video["frames"]) == pytest.approx(best, abs=1e-6)
    with open(output / "keyframes.csv", newline="") as file:
        assert {row["scored_by"] for row in csv.DictReader(file)} == {"query"}


def test_weights_are_the_same_for_every_child(
    folders: dict[str, Path], film: Path, write_flash: Callable[..., Path], tmp_path: Path
) -> None:
    """One process and two give the same record."""
    films = [film, write_flash("other.mp4")]
    found = [
        vidattn.write_keyframes(
            films,
            tmp_path / str(processes),
            processes=processes,
            threads=1,
            query="a dog",
            query_model=folders["clip"],
            count=2,
        )
        for processes in (0, 2)
    ]
    assert found[0].to_json() == found[1].to_json()


def drop(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def as_pickle(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def halve(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_vision(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = {name: each for name, each in load_file(path).items() if "vision" not in name}
    save_file(weights, path, metadata={"format": "pt"})


def configured(**settings: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop("config.json"), "no configuration"),
        (drop("model.safetensors"), r"no weights \(\*\.safetensors\)"),
        (as_pickle, r"no weights \(\*\.safetensors\)"),
        (drop("tokenizer.json", "tokenizer_config.json"), "no tokenizer"),
        (drop("preprocessor_config.json"), "no preparation of pictures"),
        (halve, "file not fully covered"),
        (without_vision, "weights of the network are not in"),
        (configured(model_type="bert"), "expected a CLIP or SigLIP model, got 'bert'"),
        (lambda folder: (folder / "config.json").write_text("{"), "valid JSON"),
        (configured(model_type="own", auto_map={"AutoModel": "own.Own"}), "own"),
    ],
)
def test_a_folder_that_cannot_be_used(
    spoil: Callable[[Path], object], message: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(CheckpointError, match=rf"query_model: {folder}: .*{message}"):
        ImageTextModel(folder)


def test_no_code_beside_the_weights_is_run(folder: Path) -> None:
    marker = folder / "was_run"
    (folder / "own.py").write_text(f"open({str(marker)!r}, 'w')\nclass Own: ...\n")
    configured(auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"})(folder)
    assert ImageTextModel(folder).kind == "clip"
    assert not marker.exists()


def test_wrong_names_and_queries(folder: Path, film: Path, tmp_path: Path) -> None:
    for name in (tmp_path / "absent", "./absent", ""):
        with pytest.raises(CheckpointError, match="no such folder"):
            ImageTextModel(name)
    model = ImageTextModel(folder)
    for query in ("", "  \n"):
        with pytest.raises(ArgumentError, match="query: expected words"):
            QueryScorer(query, model)
    with pytest.raises(ArgumentError, match=f"at most {LONGEST} tokens"):
        QueryScorer("a person falls over a red ball", model)
    for seconds in (0, -1, float("nan")):
        with pytest.raises(ArgumentError, match="query_seconds"):
            QueryScorer("a dog", model, every_seconds=seconds)
    with pytest.raises(ArgumentError, match="device: 'nothing'"):
        ImageTextModel(folder, device="nothing")


def test_a_query_that_cannot_be_used_is_one_line_and_nothing_is_written(
    folder: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in (
        ["--query", "a dog", "--query-model", str(tmp_path / "absent")],
        ["--query", "", "--query-model", str(folder)],
        ["--query", "a dog"],
    ):
        output = tmp_path / "out"
        assert main(["keyframes", str(film), "--output", str(output), *given]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(("vidattn: query", "vidattn: --query"))
        assert not output.exists()


def test_a_missing_library_is_named_with_its_extra(folder: Path, film: Path) -> None:
    code = f"""
import sys
sys.modules["transformers"] = None
from vidattn.cli.entry import main
given = ["--query", "a dog", "--query-model", {str(folder)!r}, "--output", "out"]
sys.exit(main(["keyframes", {str(film)!r}, "--processes", "0", *given]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "pip install 'vidattn[query]'" in line
