"""The files that examples name, as small as can be: made when an example names them.

One maker a name. A name that ends with a slash is a folder. Examples of all documents share these
names, so that a reader meets the same film everywhere; a new example should use them too.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from tests.examples import scored_files
from tests.examples.helping import run
from tests.examples.reading import PROJECT
from vidattn.data import ClipSpec
from vidattn.models import Recogniser, RecogniserSpec, save
from vidattn.video import VideoWriter

CLASSES = ("down", "up")
SIZE = (48, 64)
FRAMES = 40
# Numbers of the configurations that make a training long, and what they are here.
SMALLER: dict[str, Any] = {
    "max_epochs": 1,
    "batch_size": 2,
    "workers": 0,
    "accumulate_grad_batches": 1,
    "short_side": 32,
    "crop_size": 32,
    "precision": "32-true",
}


def needed(text: str) -> list[str]:
    """The names in `MAKERS` that an example mentions."""
    ends = {name: "" if name.endswith("/") else r"(?!\w)" for name in MAKERS}
    found = (
        name for name, end in ends.items() if re.search(rf"(?<![\w.-]){re.escape(name)}{end}", text)
    )
    return list(_with_required(found))


def _with_required(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from _with_required(REQUIRED.get(name, []))
        yield name


def make(names: list[str], folder: Path) -> None:
    """Make what is not there yet."""
    for name in names:
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            MAKERS[name](path)
            assert path.exists(), name


def write_film(
    path: Path, *, frame_count: int = FRAMES, fps: float = 25, label: str = "up", number: int = 0
) -> None:
    """A bright box on a dark ground, which moves up or down in the middle of the film."""
    height, width = SIZE
    with VideoWriter(path, fps=fps, size=SIZE, preset="ultrafast") as writer:
        for index in range(frame_count):
            frame = np.full((height, width, 3), 20 * number + index % 7, dtype=np.uint8)
            share = min(max(index / frame_count - 0.25, 0) * 2, 1)
            top = round((share if label == "down" else 1 - share) * (height - 16))
            frame[top : top + 16, 24:40] = (220, 120, 40)
            writer.write(frame)


def write_long_film(path: Path) -> None:
    """A film of 80 s: examples look at its second minute."""
    write_film(path, frame_count=320, fps=4)


def write_damaged_film(path: Path) -> None:
    """A film with a hole in the last of its pictures."""
    write_film(path)
    content = bytearray(path.read_bytes())
    start = content.find(b"mdat") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big") - 8
    hole = start + length * 9 // 10
    content[hole : hole + 30] = bytes(30)
    path.write_bytes(content)


def write_films(folder: Path) -> None:
    """Three films of each class in one folder."""
    folder.mkdir()
    for number in range(3):
        for label in CLASSES:
            write_film(folder / f"{label}{number}.mp4", label=label, number=number)


def write_class_folders(folder: Path) -> None:
    """Two films of each class, in the folder of the class."""
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        for number in range(2):
            write_film(folder / label / f"{number}.mp4", label=label, number=number)


def write_table(path: Path) -> None:
    """A list of the films in `videos/` with their classes."""
    films = sorted((path.parent / "videos").iterdir())
    rows = [f"videos/{film.name},{film.stem[:-1]}" for film in films]
    path.write_text("\n".join(["path,label", *rows]) + "\n")


def write_list(path: Path) -> None:
    """A list of films without classes."""
    path.write_text("another.mp4\n")


def write_shard(path: Path, films: str = "videos") -> None:
    """A tar file of the films in `videos/`, with their classes as WebDataset has them."""
    with tarfile.open(path, "w") as archive:
        for film in sorted((path.parent / films).iterdir()):
            label = f"{film.stem[:-1]}\n".encode()
            archive.add(film, film.name)
            member = tarfile.TarInfo(f"{film.stem}.cls")
            member.size = len(label)
            archive.addfile(member, io.BytesIO(label))


def write_shards(folder: Path) -> None:
    """A folder with one such tar file."""
    folder.mkdir()
    write_shard(folder / "000.tar", "../videos")


def write_actions(path: Path) -> None:
    """When and where the box moves in the films beside the file, or below it."""
    films = sorted(film for film in path.parent.rglob("*.mp4") if film.parent != path.parent)
    tube = {"start_frame": 10, "end_frame": 30, "boxes": [[24, 8, 40, 40]] * 20}
    names = [film.relative_to(path.parent).as_posix() for film in films]
    path.write_text(json.dumps({"videos": [{"file": name, "tubes": [tube]} for name in names]}))


def write_checkpoint(path: Path, clip: ClipSpec | None = None) -> None:
    """A network of three small layers with random weights."""
    torch.manual_seed(0)
    settings = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}
    spec = RecogniserSpec(classes=CLASSES, backbone_settings=settings)
    save(path, Recogniser(spec), clip or ClipSpec(frames=8, short_side=32, crop_size=32))


def write_demo_checkpoint(path: Path) -> None:
    """The same network, on clips that span whole videos, as the demo trains it."""
    write_checkpoint(path, ClipSpec(frames=8, sampling="even", short_side=32, crop_size=32))


def write_picture(path: Path) -> None:
    """A grey picture."""
    Image.fromarray(np.full((*SIZE, 3), 120, np.uint8)).save(path)


def write_checkpoint_to_fine_tune(path: Path) -> None:
    """The network of the configuration for fine-tuning, with random weights."""
    torch.manual_seed(0)
    spec = RecogniserSpec(
        classes=CLASSES, backbone="r2plus1d_18", backbone_settings={"temporal_stride": 2}
    )
    save(path, Recogniser(spec), ClipSpec(frames=16, short_side=32, crop_size=32))


def write_other_projects_checkpoint(path: Path) -> None:
    """PySlowFast's names and shapes, with weights that follow from them."""
    from tests.backbones.conversion.test_convert import read
    from tools.seeded_weights import seeded_state, unpack

    fixtures = PROJECT / "tests" / "backbones" / "conversion" / "fixtures"
    names = read(fixtures / "pyslowfast-slowfast_r50.json")["names"]
    torch.save({"model_state": seeded_state(unpack(names))}, path)


def write_class_names(path: Path) -> None:
    """As many as the stand-in for the other project's checkpoint has."""
    path.write_text("".join(f"class {number}\n" for number in range(5)))


def write_configuration(path: Path) -> None:
    """The project's own configuration of this name, with smaller numbers."""
    original = yaml.safe_load((PROJECT / "configs" / path.name).read_text(encoding="utf-8"))
    reduced: set[str] = set()
    path.write_text(yaml.safe_dump(_smaller(original, reduced), sort_keys=False))
    missing = {"max_epochs", "batch_size", "crop_size"} - reduced
    assert not missing, f"{path.name} has no {sorted(missing)} any more: SMALLER wants other names"


def _smaller(value: Any, reduced: set[str]) -> Any:
    if isinstance(value, list):
        return [_smaller(item, reduced) for item in value]
    if not isinstance(value, dict):
        return value
    reduced |= SMALLER.keys() & value.keys()
    return {key: SMALLER.get(key, _smaller(item, reduced)) for key, item in value.items()}


def write_training(path: Path) -> None:
    """What a training leaves in the folder that its configuration names."""
    _run_in(path.parents[1], ["train", "--config", "configs/finetune.yaml"])


def write_evaluation(path: Path) -> None:
    """The record of an evaluation."""
    data = ["--data", "videos.csv", "--output", path.parent.name]
    _run_in(path.parents[1], ["evaluate", "model.ckpt", *data])


def write_clip_scores(path: Path) -> None:
    """The scores of the single clips of an evaluation."""
    data = ["--data", "videos.csv", "--clip-scores", "npz", "--output", path.parent.name]
    _run_in(path.parents[1], ["evaluate", "model.ckpt", *data])


def write_features(path: Path) -> None:
    """The features of a film."""
    data = ["--data", "match.mp4", "--hop", "8", "--output", path.parent.name]
    _run_in(path.parents[1], ["features", "model.ckpt", *data])


def write_predictions(path: Path) -> None:
    """What a model sees in the films of a folder."""
    checkpoint = ["--checkpoint", "model.ckpt", "--output", path.parent.name]
    _run_in(path.parents[1], ["predict", "videos/", *checkpoint])


def write_keyframes(path: Path) -> None:
    """The key frames of a film."""
    _run_in(path.parent, ["keyframes", "match.mp4", "--output", path.name, "--count", "2"])


def write_parquet_keyframes(path: Path) -> None:
    """The key frames of a folder, as long lists have them."""
    output = ["--output", path.name, "--results", "parquet", "--pictures", "rows"]
    _run_in(path.parent, ["keyframes", "videos/", *output, "--count", "2", "--processes", "0"])


def _run_in(folder: Path, arguments: list[str]) -> None:
    import contextlib

    with contextlib.chdir(folder):
        code, _, errors = run(arguments)
    assert code == 0, errors


MAKERS: dict[str, Callable[[Path], None]] = {
    "match.mp4": write_long_film,
    "another.mp4": write_film,
    "damaged.mp4": write_damaged_film,
    "videos/": write_films,
    "more.txt": write_list,
    "shard.tar": write_shard,
    "shards/": write_shards,
    "picture.jpg": write_picture,
    "videos.csv": write_table,
    "validation.csv": write_table,
    "actions.json": write_actions,
    "model.ckpt": write_checkpoint,
    "slowfast.ckpt": write_checkpoint,
    "r2plus1d.ckpt": write_checkpoint_to_fine_tune,
    "runs/demo/model.ckpt": write_demo_checkpoint,
    "runs/demo/actions/test": write_class_folders,
    "runs/demo/actions/truth.json": write_actions,
    "SLOWFAST_8x8_R50.pyth": write_other_projects_checkpoint,
    "kinetics.txt": write_class_names,
    "configs/finetune.yaml": write_configuration,
    "runs/finetune/": write_training,
    "with_attention/evaluation.json": write_evaluation,
    "average_pooling/evaluation.json": write_evaluation,
    "result/clip_scores.npz": write_clip_scores,
    "features/match.npz": write_features,
    "predictions/predictions.json": write_predictions,
    "keyframes/": write_keyframes,
    "previews/": write_parquet_keyframes,
    **scored_files.MAKERS,
}
REQUIRED: dict[str, list[str]] = {
    "videos.csv": ["videos/"],
    "shard.tar": ["videos/"],
    "shards/": ["videos/"],
    "validation.csv": ["videos/"],
    "actions.json": ["videos/"],
    "runs/demo/actions/truth.json": ["runs/demo/actions/test"],
    "configs/finetune.yaml": ["videos.csv"],
    "more.txt": ["another.mp4"],
    "runs/finetune/": ["configs/finetune.yaml"],
    "with_attention/evaluation.json": ["model.ckpt", "videos.csv"],
    "average_pooling/evaluation.json": ["model.ckpt", "videos.csv"],
    "result/clip_scores.npz": ["model.ckpt", "videos.csv"],
    "features/match.npz": ["model.ckpt", "match.mp4"],
    "predictions/predictions.json": ["model.ckpt", "videos/"],
    "keyframes/": ["match.mp4"],
    "previews/": ["videos/"],
}
