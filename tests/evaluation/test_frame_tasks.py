"""Tasks from files: the figures of small files that can be checked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidattn.errors import ArgumentError, MalformedFileError, MissingLibraryError
from vidattn.evaluation.files import array_files
from vidattn.evaluation.scoring import score

KINETICS = """label,youtube_id,time_start,time_end,split
abseiling,-a,1,11,val
air drumming,b,2,12,val
abseiling,c,3,13,test
"""


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "p.csv",
            "video,air drumming,abseiling\n-a,.4,.6\nb_000002_000012.mp4,.1,.9\nval/c.mp4,.3,.7\n",
        ),
        ("p.csv", "video,label\n-a,abseiling\nb,abseiling\nb,air drumming\nc,abseiling\n"),
        (
            "p.csv",
            "video,label,score\n-a,abseiling,1\nb,air drumming,0.1\nb,abseiling,0.2\n"
            "c,abseiling,1\n",
        ),
        ("p.json", {"-a": ["abseiling"], "b": ["abseiling", "air drumming"], "c": ["abseiling"]}),
        (
            "p.json",
            {
                "results": {
                    "-a": {"abseiling": 0.7, "air drumming": 0.3},
                    "b": {"air drumming": 0.1, "abseiling": 0.9},
                    "c": {"abseiling": 1, "air drumming": 0},
                }
            },
        ),
    ],
)
def test_recognition_reads_every_format(tmp_path: Path, name: str, content: Any) -> None:
    given, truth = write(tmp_path, name, content), write(tmp_path, "t.csv", KINETICS)
    found = score("recognition", given, truth)
    assert found.figures["top1"] == pytest.approx(2 / 3)
    assert found.figures["top5"] == 1.0
    assert found.figures["mean_class_accuracy"] == 0.5
    assert found.classes["abseiling"]["precision"] == pytest.approx(2 / 3)


def test_recognition_by_numbers_and_a_list_of_names(tmp_path: Path) -> None:
    names = write(tmp_path, "names.txt", "abseiling\nair drumming\njuggling\n")
    truth = write(tmp_path, "t.txt", "val/a.mp4 0\nval/b.mp4 air drumming\n")
    given = write(tmp_path, "p.json", {"a": [0.2, 0.1, 0.7], "b": [0.1, 0.8, 0.1]})
    matrix = tmp_path / "confusion.csv"
    found = score("recognition", given, truth, labels=names, confusion=matrix)
    assert found.figures["top1"] == 0.5
    assert found.figures["calibration_error"] == pytest.approx((0.7 + 0.2) / 2)
    assert matrix.read_text().splitlines()[1] == "abseiling,0,0,1"
    other = score("recognition", given, truth, labels=names, protocol="mmaction2")
    assert found.figures["mean_class_accuracy"] == 0.5
    assert other.figures["mean_class_accuracy"] == pytest.approx(1 / 3)


def test_recognition_of_several_labels(tmp_path: Path) -> None:
    truth = write(tmp_path, "t.txt", "a.mp4 0 1\nb.mp4 1\nc.mp4 0\n")
    given = write(tmp_path, "p.json", {"a": [0.9, 0.8], "b": [0.5, 0.1], "c": [0.4, 0.2]})
    found = score("recognition", given, truth, protocol="multi-label")
    assert found.classes["0"]["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found.classes["1"]["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found.figures["mAP"] == pytest.approx(5 / 6)


def test_missing_videos_are_an_error_wrong_or_left_out(tmp_path: Path) -> None:
    truth = write(tmp_path, "t.csv", KINETICS)
    given = write(tmp_path, "p.json", {"-a": ["abseiling"], "zz": ["abseiling"]})
    with pytest.raises(MalformedFileError, match="none for 2 of 3: b_000002_000012"):
        score("recognition", given, truth)
    wrong = score("recognition", given, truth, missing="wrong")
    assert wrong.figures["top1"] == pytest.approx(1 / 3)
    assert wrong.figures["mean_class_accuracy"] == pytest.approx(1 / 4)
    left = score("recognition", given, truth, missing="leave-out")
    assert left.figures["top1"] == 1.0
    assert left.counts["videos_expected"] == 3
    assert left.counts["videos_evaluated"] == 1
    assert left.counts["videos_missing"] == 2
    assert left.counts["videos_not_in_truth"] == 1
    assert "left out" in left.notes[0]
    with pytest.raises(MalformedFileError, match="videos of the truth"):
        score("recognition", write(tmp_path, "q.json", {"zz": ["abseiling"]}), truth)
    assert (
        score("recognition", given, truth, split="val", missing="leave-out").counts[
            "videos_expected"
        ]
        == 2
    )


def salads(folder: Path) -> tuple[Path, Path]:
    write(folder, "truth/one.txt", "background\ncut\ncut\npeel\n")
    write(folder, "truth/two.txt", "cut\npeel\npeel\npeel\n")
    write(folder, "given/one", "### Frame level recognition: ###\nbackground cut peel peel peel")
    write(folder, "given/two", "### Frame level recognition: ###\ncut cut peel peel")
    return folder / "given", folder / "truth"


def test_frame_labels_by_ms_tcn(tmp_path: Path) -> None:
    given, truth = salads(tmp_path)
    found = score("frame_labels", given, truth, protocol="ms-tcn")
    assert found.figures["accuracy"] == 6 / 8
    assert found.figures["edit"] == 1.0
    # Overlaps: cut 1/2, peel 1/3; cut 1/2, peel 2/3.
    assert [found.figures[f"F1@{k}"] for k in (10, 25, 50)] == [1.0, 1.0, 0.75]
    assert "more predicted than true frames" in found.notes[0]
    with pytest.raises(MalformedFileError, match="4 labels for one"):
        score("frame_labels", given, truth, protocol="tcn")


def test_frame_labels_of_listed_videos_with_an_unlisted_label(tmp_path: Path) -> None:
    given, truth = salads(tmp_path)
    listing = write(tmp_path, "test.bundle", "two.txt\n")
    write(tmp_path, "given/two", "cut\nstir\npeel\npeel\n")
    with pytest.raises(MalformedFileError, match=r"two:2: expected labels of the truth .*'stir'"):
        score("frame_labels", given, truth, videos=listing, background="none")
    names = write(tmp_path, "mapping.txt", "0 stir\n1 cut\n")
    for settings in ({"unlisted": "wrong"}, {"labels": names}):
        found = score("frame_labels", given, truth, videos=listing, background="none", **settings)
        assert found.figures["accuracy"] == 0.75
        assert found.counts["videos_expected"] == 1


def test_shots_in_every_format(tmp_path: Path) -> None:
    truth = write(
        tmp_path, "t.json", {"v": {"transitions": [[9, 10], [19, 24]], "frame_num": 50.0}}
    )
    cuts = write(tmp_path, "cuts.json", {"v": [10, 22, 23, 40]})
    found = score("shots", cuts, truth, protocol="pyscenedetect")
    assert (found.counts["matched"], found.counts["false_positives"]) == (1, 1)
    assert (found.counts["gradual_matched"], found.counts["gradual_false_positives"]) == (1, 1)
    kinds = {"videos": {"v": {"hard_cuts": [9], "gradual": [[20, 23]]}}}
    pairs = write(tmp_path, "pairs.json", {"v": [[9, 10], [19, 24]]})
    scenes = write(tmp_path, "scenes/v.txt", "0 9\n10 19\n24 49\n").parent
    flags = np.zeros(50)
    flags[19:24] = 1
    flags[9] = 0.9
    lines = "".join(f"{value} 0.0\n" for value in flags)
    frames = write(tmp_path, "frames/v.mp4.predictions.txt", lines).parent
    np.savez(tmp_path / "scores.npz", **{"scores/v": flags})
    truths = [truth, write(tmp_path, "kinds.json", kinds), scenes]
    for given in (pairs, scenes, frames, tmp_path / "scores.npz"):
        for true in truths:
            figures = score("shots", given, true, threshold=0.5).figures
            assert figures == {"precision": 1.0, "recall": 1.0, "F1": 1.0}


def test_shots_with_the_end_of_the_video_as_a_cut(tmp_path: Path) -> None:
    scenes = write(tmp_path, "scenes/v.txt", "0\t9\n10\t49\n").parent
    cuts = write(tmp_path, "cuts.json", {"v": [10, 50]})
    found = score("shots", cuts, scenes, protocol="pyscenedetect", include_end=True)
    assert found.figures["F1"] == 1.0
    found = score("shots", cuts, scenes, protocol="pyscenedetect")
    assert found.figures["precision"] == 0.5


def video(people: int = 3, frames: int = 60) -> dict[str, Any]:
    chosen = np.zeros((people, frames), dtype=int)
    chosen[:, 15:21] = 1
    return {
        "user_summary": chosen.tolist(),
        "change_points": [[0, 14], [15, 20], [21, 26], [27, 59]],
        "n_frames": frames,
        "n_frame_per_seg": [15, 6, 6, 33],
        "picks": [0, 15, 21, 27],
        "user_anno": (chosen * 2 + 1 + np.arange(frames) % 2).tolist(),
    }


@pytest.mark.parametrize("protocol", ["pgl-sum", "ca-sum", "dsnet", "vsumm-reinforce"])
def test_summaries_from_json(tmp_path: Path, protocol: str) -> None:
    truth = write(tmp_path, "tvsum.json", {"video_1": video(), "video_2": video()})
    given = write(
        tmp_path, "p.json", {"video_1": [0.1, 0.9, 0.2, 0.3], "video_2": [0.9, 0.1, 0.2, 0.3]}
    )
    splits = write(tmp_path, "splits.json", [{"test_keys": ["x/video_1"]}] * 3)
    found = score("summaries", given, truth, protocol=protocol)
    assert found.settings["users"] == "mean"
    assert found.classes["video_1"]["F1"] == pytest.approx(1.0, abs=1e-8)
    assert found.classes["video_2"]["F1"] < 1
    assert found.figures["F1_human"] == 1.0
    assert 0 <= found.figures["F1_uniform"] < 1
    assert found.figures["kendall_human"] == pytest.approx(1.0)
    assert found.classes["video_1"]["kendall"] > found.classes["video_2"]["kendall"]
    given = write(tmp_path, "p.json", {"video_1": [0.1, 0.9, 0.2, 0.3]})
    only = score("summaries", given, truth, protocol=protocol, splits=splits)
    assert only.counts["videos_expected"] == 1
    assert only.figures["F1"] == pytest.approx(1.0, abs=1e-8)


def test_summaries_from_hdf5_with_annotations_of_a_table(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    fields = video()
    people = fields.pop("user_anno")
    with h5py.File(tmp_path / "eccv16_dataset_tvsum.h5", "w") as stream:
        for key, value in fields.items():
            stream[f"video_1/{key}"] = np.array(value, dtype=np.float32)
    rows = "".join(f"abc\tVT\t{','.join(map(str, row))}\n" for row in people)
    table = write(tmp_path, "ydata-anno.tsv", rows)
    given = write(tmp_path, "p.json", {"video_1": [0.1, 0.9, 0.2, 0.3]})
    path = tmp_path / "eccv16_dataset_tvsum.h5"
    found = score("summaries", given, path, annotations=table)
    assert found.figures["F1"] == 1.0
    assert found.figures["kendall"] > 0
    assert "kendall" not in score("summaries", given, path).figures


def test_random_figures_have_a_seed(tmp_path: Path) -> None:
    truth = write(tmp_path, "summe.json", {"v": video()})
    given = write(tmp_path, "p.json", {"v": [0.1, 0.9, 0.2, 0.3]})
    first, again = (score("summaries", given, truth, seed=1).figures for _ in range(2))
    assert first == again
    other = score("summaries", given, truth, seed=2).figures
    assert first["kendall_random"] != other["kendall_random"]


def test_the_reduction_over_people_must_be_known(tmp_path: Path) -> None:
    truth = write(tmp_path, "truth.json", {"v": video()})
    given = write(tmp_path, "p.json", {"v": [0.1, 0.9, 0.2, 0.3]})
    with pytest.raises(ArgumentError, match="users"):
        score("summaries", given, truth)


def test_keyframes_beside_uniform_and_random(tmp_path: Path) -> None:
    truth = write(
        tmp_path, "t.csv", "video,start,end,frames\na,10,20,100\na,50,60,100\nb,0,50,100\n"
    )
    given = write(tmp_path, "p.csv", "video,frame\na,10\na,30\nb,0\nb,49\n")
    found = score("keyframes", given, truth)
    assert found.figures["precision"] == 0.75
    assert found.figures["recall"] == 0.75
    assert found.figures["precision_random"] == pytest.approx((0.2 + 0.5) / 2)
    assert found.figures["recall_uniform"] == pytest.approx((0 + 1) / 2)
    own = {"videos": [{"video": "/x/a", "frames": [{"frame_index": 10}, {"frame_index": 30}]}]}
    own["videos"].append({"video": "/x/b", "frames": [{"frame_index": 0}, {"frame_index": 49}]})
    again = score("keyframes", write(tmp_path, "p.json", own), truth)
    assert again.figures == found.figures
    bare = write(
        tmp_path, "t.json", {"a": {"spans": [[10, 20], [50, 60]]}, "b": {"spans": [[0, 50]]}}
    )
    assert list(score("keyframes", given, bare).figures) == ["precision", "recall"]


def test_regions_of_maps_and_points(tmp_path: Path) -> None:
    boxes = {"v": {"width": 40, "height": 20, "boxes": {"3": [[0, 0, 20, 20]], "5": []}}}
    truth = write(tmp_path, "t.json", boxes)
    np.savez(tmp_path / "maps.npz", **{"v/3": [[3, 1], [0, 0]], "v/5": [[1, 1], [1, 1]]})
    found = score("regions", tmp_path / "maps.npz", truth)
    assert found.figures["pointing"] == 1.0
    assert found.figures["energy_inside"] == 0.75
    assert found.figures["energy_inside_even"] == 0.5
    assert found.figures["IoU"] == 0.5
    assert found.counts["frames_without_boxes"] == 1
    points = write(tmp_path, "p.json", {"v": {"3": {"point": [30, 5]}}})
    assert score("regions", points, truth).figures["pointing"] == 0.0
    maps = write(tmp_path, "m.json", {"v": {"3": {"map": [[3, 1], [0, 0]]}}})
    assert score("regions", maps, truth).figures == found.figures


def test_real_boxes_of_tubes_can_be_scored(shared_data: Path, tmp_path: Path) -> None:
    truth = shared_data / "localisation/boxes.json"
    videos = json.loads(truth.read_text())["videos"]
    points = {}
    for entry in videos:
        tube = entry["tubes"][0]
        x1, y1, x2, y2 = tube["boxes"][0]
        points[entry["file"]] = {
            str(tube["start_frame"]): {"point": [(x1 + x2) / 2, (y1 + y2) / 2]}
        }
    found = score("regions", write(tmp_path, "p.json", points), truth)
    assert found.figures["pointing"] == 1.0
    assert found.counts["videos_evaluated"] == len(videos)
    frames = {entry["file"]: [entry["tubes"][0]["start_frame"]] for entry in videos}
    found = score("keyframes", write(tmp_path, "f.json", frames), truth)
    assert found.figures["precision"] == 1.0


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(array_files, "import_module", missing)
    path = write(tmp_path, "v.mat", "MATLAB 5.0 MAT-file")
    with pytest.raises(MissingLibraryError, match=r"needs scipy.*vidattn\[summaries\]"):
        score("frame_labels", path, path)
