"""Random problems for scorers, written as files in the formats of their authors."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

LABELS = range(1, 9)


def ava_case(seed: int, folder: Path, protocol: str) -> dict[str, Path]:
    """Truth, predictions, class list and excluded frames, small enough for any scorer.

    There are classes without truth or without predictions, frames and videos without either,
    boxes and scores that occur twice, boxes without area, more than 50 boxes in a frame, and
    actions that are not on the list.
    """
    draw = random.Random(f"{protocol} {seed}")
    official = protocol == "official"
    coarse, tied = draw.random() < 0.4, draw.random() < 0.5
    listed = sorted(draw.sample(LABELS, draw.randint(2, 6)))
    frames = [
        (f"video{video}", f"{902 + draw.randint(0, 5):04d}" + (".5" * (official and video == 1)))
        for video in range(draw.randint(1, 4))
        for _ in range(draw.randint(1, 3))
    ]
    truth: list[list[str]] = []
    found: list[list[str]] = []
    for video, stamp in frames:
        own = [[video, stamp, *_box(draw, coarse)] for _ in range(draw.choice([0, 1, 2, 3, 5, 8]))]
        for person, box in enumerate(own):
            truth.append([*box, str(draw.choice(LABELS)), str(person)])
            if draw.random() < 0.1:
                truth.append(truth[-1])
        many = 160 if official and draw.random() < 0.15 else draw.choice([0, 0, 3, 10, 20])
        for _ in range(many):
            box = draw.choice(own) if own and draw.random() < 0.6 else [video, stamp]
            corners = _moved(draw, box[2:], coarse) if len(box) > 2 else _box(draw, coarse)
            score = draw.randint(1, 9) / 10 if tied else round(draw.random(), 5)
            found.append([video, stamp, *corners, str(draw.choice(LABELS)), str(score)])
            if draw.random() < 0.1:
                found.append(found[-1])
        if official and draw.random() < 0.2:
            truth.append([video, stamp])
    # At least one box that counts, and one prediction elsewhere.
    video, stamp = frames[0]
    truth.append([video, stamp, "0.1", "0.1", "0.5", "0.5", str(listed[0]), "77"])
    found.append([video, stamp, "0.1", "0.1", "0.5", "0.6", str(listed[0]), "0.35"])
    found.append(["elsewhere", "0902", "0.1", "0.1", "0.5", "0.6", str(listed[0]), "0.4"])
    if protocol != "mmaction2" and draw.random() < 0.3:
        found.append([video, stamp, "0.2", "0.2", "0.2", "0.6", str(listed[0]), "0.9"])
    draw.shuffle(truth)
    draw.shuffle(found)
    excluded = draw.sample(frames, draw.randint(0, len(frames) - 1))
    excluded.append(("nowhere", "0902"))
    classes = "".join(f'item {{\n  name: "action {own}"\n  id: {own}\n}}\n' for own in listed)
    return {
        "truth": _write(folder / "truth.csv", truth),
        "predictions": _write(folder / "predictions.csv", found),
        "labels": _text(folder / "labels.pbtxt", classes),
        "excluded": _write(folder / "excluded.csv", [list(one) for one in excluded]),
    }


def segment_case(seed: int, folder: Path, protocol: str) -> dict[str, Path]:
    """Truth and predictions of segments.

    There are videos without truth, without predictions and in another subset, classes without
    predictions, segments that occur twice or nearly so, empty ones, and, for a scorer that takes
    them, labels that the truth does not have.
    """
    draw = random.Random(f"segments {protocol} {seed}")
    coarse, tied = draw.random() < 0.5, draw.random() < 0.5
    labels = [f"label {own}" for own in range(draw.randint(1, 5))]
    names = [f"video{own}" for own in range(draw.randint(1, 8))]
    database: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for place, name in enumerate(names):
        count = draw.choice([0, 1, 2, 3, 6, 12]) if place else 3
        own = [_annotation(draw, labels, coarse) for _ in range(count)]
        for one in list(own):
            if draw.random() < 0.15:
                moved = [one["segment"][0] + draw.choice([0, 5e-4, 2e-3]), one["segment"][1]]
                if moved[0] <= moved[1]:
                    own.append({"label": one["label"], "segment": moved})
        subset = "training" if place and draw.random() < 0.2 else "validation"
        database[name] = {"subset": subset, "duration": 100.0, "annotations": own}
        if draw.random() < 0.85:
            known = {one["label"] for entry in database.values() for one in entry["annotations"]}
            results[name] = _detections(draw, own, sorted(known), coarse, tied)
    counted = {
        one["label"]
        for entry in database.values()
        for one in entry["annotations"]
        if entry["subset"] == "validation" and one["segment"][1] > one["segment"][0]
    }
    unknown = protocol == "opentad"
    for own in results.values():
        own[:] = [one for one in own if unknown or one["label"] in counted]
    if draw.random() < 0.5:
        database["silent"] = {"subset": "validation", "duration": 9.0, "annotations": []}
        results["elsewhere"] = _detections(draw, [], sorted(counted), coarse, tied)
    sure = next(one for one in database["video0"]["annotations"] if one["label"] in counted)
    results.setdefault("video0", []).append({**sure, "score": 0.55})
    truth = {"version": "1.3", "taxonomy": [], "database": database}
    found = {"version": "1.3", "external_data": {}, "results": results}
    return {
        "truth": _text(folder / "truth.json", json.dumps(truth, indent=1)),
        "predictions": _text(folder / "predictions.json", json.dumps(found, indent=1)),
    }


def box_case(seed: int, folder: Path, protocol: str) -> dict[str, Path]:
    """Truth and predictions of boxes in frames: folders of text files, or COCO's JSON.

    There are frames without truth or without predictions, classes without either, boxes and
    scores that occur twice, and for COCO crowds and boxes of all ranges of area.
    """
    draw = random.Random(f"boxes {protocol} {seed}")
    tied, scale = draw.random() < 0.5, draw.choice([1, 1, 12])
    labels = [f"c{own}" for own in range(draw.randint(1, 4))]
    frames = [f"{own:05d}" for own in range(draw.randint(1, 6))]
    truth: dict[str, list[Any]] = {}
    found: dict[str, list[Any]] = {}
    for place, frame in enumerate(frames):
        count = draw.choice([0, 1, 2, 5, 9]) if place else 3
        own = [(draw.choice(labels), _sized(draw, scale)) for _ in range(count)]
        own += [one for one in own if draw.random() < 0.1]
        truth[frame] = own
        if draw.random() < 0.85 or not place:
            found[frame] = []
        for _ in range(draw.choice([1, 3, 8, 20]) if frame in found else 0):
            label, box = draw.choice(labels), _sized(draw, scale)
            if own and draw.random() < 0.6:
                label, near = draw.choice(own)
                box = [max(1, side + draw.choice([0, 0, -2, 1, 3]) * scale) for side in near]
            score = draw.randint(1, 9) / 10 if tied else round(draw.random(), 4)
            found[frame] += [(label, box, score)] * draw.choice([1, 1, 1, 1, 2])
    if draw.random() < 0.3 and protocol != "coco":
        found["elsewhere"] = [(truth[frames[0]][0][0], _sized(draw, scale), 0.95)]
    if protocol == "coco":
        return _coco_files(draw, folder, truth, found, labels)
    for frame, own in truth.items():
        lines = [f"{label} {_spaced(box)}" for label, box in own]
        _text(folder / "truth" / f"{frame}.txt", "".join(f"{line}\n" for line in lines))
    for frame, rows in found.items():
        lines = [f"{label} {score} {_spaced(box)}" for label, box, score in rows]
        _text(folder / "predictions" / f"{frame}.txt", "".join(f"{line}\n" for line in lines))
    return {"truth": folder / "truth", "predictions": folder / "predictions"}


def _sized(draw: random.Random, scale: int) -> list[float]:
    left, top = draw.randint(0, 40) * scale, draw.randint(0, 40) * scale
    return [left, top, draw.randint(4, 30) * scale, draw.randint(4, 30) * scale]


def _spaced(box: list[float]) -> str:
    return " ".join(f"{side:g}" for side in box)


def _coco_files(
    draw: random.Random,
    folder: Path,
    truth: dict[str, list[Any]],
    found: dict[str, list[Any]],
    labels: list[str],
) -> dict[str, Path]:
    numbers = {label: 10 * place + 1 for place, label in enumerate(labels)}
    images = {frame: place for place, frame in enumerate(truth, start=3)}
    annotations = []
    for frame, own in truth.items():
        for label, box in own:
            one = {"id": len(annotations) + 1, "image_id": images[frame], "bbox": box}
            area = box[2] * box[3] * draw.choice([1, 1, 0.7])
            one |= {"category_id": numbers[label], "area": area}
            annotations.append({**one, "iscrowd": int(draw.random() < 0.1)})
    results = [
        {"image_id": images[frame], "category_id": numbers[label], "bbox": box, "score": score}
        for frame, rows in found.items()
        for label, box, score in rows
    ]
    draw.shuffle(results)
    categories = [{"id": number, "name": label} for label, number in numbers.items()]
    whole = {
        "images": [{"id": number} for number in images.values()],
        "annotations": annotations,
        "categories": [*categories, {"id": 99, "name": "never seen"}],
    }
    return {
        "truth": _text(folder / "truth.json", json.dumps(whole)),
        "predictions": _text(folder / "predictions.json", json.dumps(results)),
    }


def _annotation(draw: random.Random, labels: list[str], coarse: bool) -> dict[str, Any]:
    if coarse:
        start = draw.randint(0, 12)
        return {"label": draw.choice(labels), "segment": [start, start + draw.randint(0, 5)]}
    start = round(draw.uniform(0, 60), 3)
    return {
        "label": draw.choice(labels),
        "segment": [start, round(start + draw.uniform(0.1, 30), 3)],
    }


def _detections(
    draw: random.Random,
    truth: list[dict[str, Any]],
    labels: list[str],
    coarse: bool,
    tied: bool,
) -> list[dict[str, Any]]:
    found = []
    for _ in range(draw.choice([0, 1, 4, 10, 25])):
        one = _annotation(draw, labels, coarse)
        if truth and draw.random() < 0.7:
            near = draw.choice(truth)
            shift = 0 if coarse and draw.random() < 0.5 else draw.uniform(-1, 1)
            start, end = near["segment"][0] + shift, near["segment"][1] + draw.uniform(0, 1) * shift
            one = {"label": near["label"], "segment": [start, max(start, end)]}
        one["score"] = draw.randint(1, 9) / 10 if tied else round(draw.random(), 6)
        found.extend([one, dict(one)] if draw.random() < 0.1 else [one])
    return found


def _box(draw: random.Random, coarse: bool) -> list[str]:
    if coarse:
        x1, y1 = draw.randint(0, 4), draw.randint(0, 4)
        x2, y2 = x1 + draw.randint(1, 4), y1 + draw.randint(1, 4)
        return [f"{value / 8:.3f}" for value in (x1, y1, x2, y2)]
    x1, y1 = draw.uniform(0, 0.6), draw.uniform(0, 0.6)
    x2, y2 = x1 + draw.uniform(0.05, 0.4), y1 + draw.uniform(0.05, 0.4)
    return [f"{value:.3f}" for value in (x1, y1, x2, y2)]


def _moved(draw: random.Random, box: list[str], coarse: bool) -> list[str]:
    if coarse and draw.random() < 0.5:
        return box
    x1, y1, x2, y2 = (float(value) + draw.uniform(-0.04, 0.04) for value in box)
    return [f"{value:.3f}" for value in (x1, y1, max(x1 + 0.01, x2), max(y1 + 0.01, y2))]


def _write(path: Path, rows: list[list[str]]) -> Path:
    return _text(path, "".join(",".join(row) + "\n" for row in rows))


def _text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
