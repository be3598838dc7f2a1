from __future__ import annotations

import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest
from scipy import stats

from vidattn.data.synthetic import ACTIONS, read_truth, write_actions
from vidattn.data.synthetic.motion import Extent, action_path
from vidattn.data.synthetic.scene import Scene, draw_scene
from vidattn.errors import AnnotationError, ArgumentError

SIZE = (48, 64)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("actions")
    write_actions(target, clips_per_class={"train": 2, "test": 1}, seed=3, size=SIZE)
    return target


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Scene]]:
    """Forty scenes of every action."""
    return {
        action: [
            draw_scene(
                action,
                size=(64, 64),
                frame_count=32,
                generator=np.random.default_rng([number, index]),
            )
            for number in range(40)
        ]
        for index, action in enumerate(ACTIONS)
    }


def test_same_seed_same_bytes_whatever_the_number_of_workers(folder, tmp_path):
    write_actions(tmp_path, clips_per_class={"train": 2, "test": 1}, seed=3, size=SIZE, workers=2)
    assert digest(tmp_path) == digest(folder)


def test_another_seed_and_another_split_give_other_videos(folder, tmp_path):
    write_actions(tmp_path, clips_per_class={"train": 1}, seed=4, size=SIZE)
    ours, theirs = digest(folder), digest(tmp_path)
    assert all(ours[name] != theirs[name] for name in theirs)
    assert not {ours[name] for name in ours if name.startswith("test")} & {
        ours[name] for name in ours if name.startswith("train")
    }


def test_a_split_does_not_depend_on_the_others(folder, tmp_path):
    write_actions(tmp_path, clips_per_class={"test": 1}, seed=3, size=SIZE)
    ours, alone = digest(folder), digest(tmp_path)
    assert all(alone[name] == ours[name] for name in alone if name.endswith(".mp4"))


def test_files_are_h264_and_hold_what_the_truth_says(folder):
    truth = read_truth(folder)
    assert len(truth) == 3 * len(ACTIONS)
    for row in truth:
        split, action, _ = row.path.split("/")
        assert split in ("train", "test")
        assert action == row.label
        with av.open(str(folder / row.path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert float(stream.average_rate) == row.fps
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert len(frames) == row.frame_count
        assert frames[0].shape == (*row.size, 3) == (*SIZE, 3)
        assert len(row.boxes) == row.end_frame - row.start_frame
        boxes = np.array(row.boxes)
        assert (boxes >= 0).all()
        assert (boxes[:, 2] <= SIZE[1]).all()
        assert (boxes[:, 3] <= SIZE[0]).all()


def test_boxes_and_spans_have_the_promised_extent(scenes):
    for scene in (scene for group in scenes.values() for scene in group):
        width, height = (scene.boxes[:, 2:] - scene.boxes[:, :2]).T
        assert ((width * height >= 0.04 * 64 * 64) & (width * height <= 0.1 * 64 * 64)).all()
        assert 0.2 * 32 <= scene.end_frame - scene.start_frame <= 0.4 * 32
        assert 0 <= scene.start_frame < scene.end_frame <= 32


def test_start_and_centre_are_uniform_over_what_is_possible(scenes):
    every = [scene for group in scenes.values() for scene in group]
    rng = np.random.default_rng(0)  # a discrete start becomes continuous by a fraction of a step
    starts = [
        (scene.start_frame + rng.random()) / (33 - (scene.end_frame - scene.start_frame))
        for scene in every
    ]
    assert stats.kstest(starts, "uniform").pvalue > 0.01
    for axis in (0, 1):
        low = np.array([scene.feasible[axis] for scene in every])
        high = np.array([scene.feasible[axis + 2] for scene in every])
        centre = np.array([scene.centre[axis] for scene in every])
        assert stats.kstest((centre - low) / (high - low), "uniform").pvalue > 0.01


def test_the_box_holds_what_differs_from_the_scene_without_its_action():
    """Two actions from one stream of draws: all that differs lies in the two boxes."""
    one, two = (
        draw_scene(action, size=(64, 64), frame_count=32, generator=np.random.default_rng(5))
        for action in ("left", "up")
    )
    assert (one.start_frame, one.end_frame) == (two.start_frame, two.end_frame)
    differs = (one.pixels != two.pixels).any(-1)
    assert differs.any()
    for t, k in enumerate(range(one.start_frame, one.end_frame)):
        for scene in (one, two):
            x1, y1, x2, y2 = scene.boxes[t]
            differs[k, int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = False
    assert not differs.any()


def test_motions_go_where_their_names_say():
    extent = Extent(travel=10.0, turn=3.0, small=0.5, large=1.0)
    paths = {
        action: action_path(
            action,
            frame_count=9,
            centre=(30.0, 20.0),
            extent=extent,
            generator=np.random.default_rng(0),
        )
        for action in ACTIONS
    }

    def change(values: np.ndarray) -> float:
        return float(values[-1] - values[0])

    for action, (x, y, angle, scale) in {
        "left": (-10, 0, 0, 0),
        "right": (10, 0, 0, 0),
        "up": (0, -10, 0, 0),
        "down": (0, 10, 0, 0),
        "clockwise": (0, 0, 3, 0),
        "anticlockwise": (0, 0, -3, 0),
        "grow": (0, 0, 0, 0.5),
        "shrink": (0, 0, 0, -0.5),
        "swing": (0, 0, 0, 0),
        "hop": (0, 0, 0, 0),
    }.items():
        path = paths[action]
        found = [change(path.x), change(path.y), change(path.angle), change(path.scale)]
        np.testing.assert_allclose(found, [x, y, angle, scale], atol=1e-9)
        assert (path.x.max() + path.x.min()) / 2 == pytest.approx(30)
        assert (path.y.max() + path.y.min()) / 2 == pytest.approx(20)
    assert np.ptp(paths["swing"].x) == pytest.approx(10)
    assert np.ptp(paths["hop"].y) == pytest.approx(10)


@pytest.mark.parametrize("which", ["first", "middle", "last", "any"])
def test_one_frame_does_not_tell_the_class(scenes, which):
    """Nearest class mean on single frames: small grey pictures and colour histograms."""
    rng = np.random.default_rng(1)
    features, labels, fold = [], [], []
    for label, action in enumerate(ACTIONS):
        for number, scene in enumerate(scenes[action]):
            span = np.arange(scene.start_frame, scene.end_frame)
            choices = {"first": span[0], "middle": span[len(span) // 2], "last": span[-1]}
            k = int(choices.get(which, rng.integers(32)))
            frame = scene.pixels[k].astype(float)
            small = frame.mean(-1).reshape(8, 8, 8, 8).mean((1, 3)).ravel()
            histogram = np.concatenate(
                [np.histogram(frame[..., c], 8, (0, 256))[0] for c in range(3)]
            )
            features.append(np.concatenate([small, histogram]))
            labels.append(label)
            fold.append(number % 2)
    x, y, fold = np.array(features), np.array(labels), np.array(fold)
    x = (x - x.mean(0)) / x.std(0)
    right = 0
    for test in (0, 1):
        means = np.stack([x[(fold != test) & (y == c)].mean(0) for c in range(len(ACTIONS))])
        distance = ((x[fold == test][:, None] - means) ** 2).sum(-1)
        right += int((distance.argmin(1) == y[fold == test]).sum())
    # Chance is 10 %; 400 clips, binomial, one in a thousand.
    assert right < stats.binom.ppf(0.999, len(y), 1 / len(ACTIONS))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", (63, 64)),
        ("size", (16, 64)),
        ("frame_count", 8),
        ("fps", 0.0),
        ("workers", 0),
        ("seed", -1),
        ("clips_per_class", {}),
        ("clips_per_class", {"train": -1}),
    ],
)
def test_bad_arguments_are_named(tmp_path, name, value):
    settings = {"clips_per_class": {"train": 1}, name: value}
    with pytest.raises(ArgumentError, match=f"^{name}: "):
        write_actions(tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_missing_or_broken_truth_is_an_annotation_error(tmp_path):
    with pytest.raises(AnnotationError, match=r"truth\.json"):
        read_truth(tmp_path)
    (tmp_path / "truth.json").write_text(json.dumps({"videos": [{"path": "a"}]}))
    with pytest.raises(AnnotationError, match=r"truth\.json"):
        read_truth(tmp_path)
