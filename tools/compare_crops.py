"""Whether our test crops lie where other projects' own code cuts them."""

from __future__ import annotations

import argparse
import json
import random
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from compare_sampling import CASES, SEED, digest

from vidattn.sampling import crops as ours
from vidattn.sampling.crops import CropPosition

FIXTURE = Path(__file__).parents[1] / "tests/sampling/fixtures/peer_crops.json"
LARGEST = 180

Case = tuple[tuple[int, int], int]


@dataclass(frozen=True)
class Rule:
    """One crop function, whose code it is held against, and whether crops fill the short side."""

    peer: str
    function: Callable[[tuple[int, int], int], list[CropPosition]]
    peers: str
    fills: bool = False


RULES = {
    "pyslowfast-three": Rule("pyslowfast", ours.pyslowfast_three_crops, "pyslowfast_crops"),
    "pyslowfast-centre": Rule("pyslowfast", ours.ceil_centre, "pyslowfast_centre"),
    "mmaction2-three": Rule("mmaction2", ours.mmaction2_three_crops, "mmaction2_three", True),
    "mmaction2-ten": Rule("mmaction2", ours.quarter_ten_crops, "mmaction2_ten"),
    "mmaction2-centre": Rule("mmaction2", ours.floor_centre, "mmaction2_centre"),
    "tsm-three": Rule("tsm", ours.tsm_three_crops, "tsm_three"),
    "tsm-ten": Rule("tsm", ours.quarter_ten_crops, "tsm_ten"),
    "videomae-three": Rule("videomae", ours.videomae_three_crops, "videomae_three", True),
    "timesformer-three": Rule("timesformer", ours.pyslowfast_three_crops, "timesformer_crops"),
}


def cases(name: str, seed: int, count: int) -> Iterator[Case]:
    """Random frame sizes and crop sizes, at least 2 pixels, so that a mirror image shows."""
    generator = random.Random(f"{seed} {name}")

    def between(least: int, greatest: int) -> int:
        return least + int(generator.random() * (greatest - least + 1))

    for _ in range(count):
        size = between(2, LARGEST), between(2, LARGEST)
        short = min(size)
        yield size, short if RULES[name].fills else between(2, short)


def positions(name: str, case: Case) -> np.ndarray:
    """Ours: (crops, 3), top, left and whether it is mirrored."""
    return np.array(RULES[name].function(*case), dtype=np.int64)


class _Peers:
    """Their crops of a frame in which every pixel is its own number."""

    def __init__(self, checkout: Path) -> None:
        import sampling_peers

        self.take = sampling_peers.taken_from
        self.checkout = checkout
        self.commit = sampling_peers.commit_of(checkout)

    def pyslowfast_crops(self, file: str = "slowfast/datasets/transform.py") -> Any:
        import torch

        peer = self.take(self.checkout / file, ("uniform_crop",))
        return lambda frame, side: [
            peer.uniform_crop(torch.from_numpy(frame)[None, None], side, number)[0][0, 0].numpy()
            for number in (0, 1, 2)
        ]

    def pyslowfast_centre(self) -> Any:
        crops = self.pyslowfast_crops()
        return lambda frame, side: [crops(frame, side)[1]]

    def timesformer_crops(self) -> Any:
        return self.pyslowfast_crops("timesformer/datasets/transform.py")

    def _mmaction2(self, name: str, **settings: Any) -> Any:
        peer = self.take(
            self.checkout / "mmaction/datasets/transforms/processing.py",
            (name, "RandomCrop"),
            TRANSFORMS=types.SimpleNamespace(register_module=lambda: lambda kind: kind),
            BaseTransform=object,
            mmengine=types.SimpleNamespace(is_tuple_of=lambda *_: True),
            _pair=lambda side: (side, side),
            _init_lazy_if_proper=lambda *_: None,
        )

        def crops(frame: np.ndarray, side: int) -> list[np.ndarray]:
            results = {"imgs": [frame], "img_shape": frame.shape}
            return getattr(peer, name)(side, **settings).transform(results)["imgs"]

        return crops

    def mmaction2_three(self) -> Any:
        return self._mmaction2("ThreeCrop")

    def mmaction2_ten(self) -> Any:
        return self._mmaction2("TenCrop")

    def mmaction2_centre(self) -> Any:
        return self._mmaction2("CenterCrop")

    def _tsm(self, name: str, **settings: Any) -> Any:
        from PIL import Image

        names = (name, "GroupMultiScaleCrop")
        peer = self.take(self.checkout / "ops/transforms.py", names, Image=Image)
        return lambda frame, side: [
            np.asarray(crop)
            for crop in getattr(peer, name)(side, **settings)([Image.fromarray(frame)])
        ]

    def tsm_three(self) -> Any:
        return self._tsm("GroupFullResSample", flip=False)

    def tsm_ten(self) -> Any:
        return self._tsm("GroupOverSample")

    def videomae_three(self) -> Any:
        peer = self.take(
            self.checkout / "kinetics.py", ("VideoClsDataset",), Dataset=object, cpu=None
        )

        def crops(frame: np.ndarray, side: int) -> list[np.ndarray]:
            data = peer.VideoClsDataset.__new__(peer.VideoClsDataset)
            data.mode, data.clip_len, data.short_side_size = "test", 1, side
            data.test_num_segment, data.test_num_crop = 5, 3
            data.loadvideo_decord = lambda _: frame[None, :, :, None]
            data.data_resize = data.data_transform = lambda buffer: buffer
            data.test_seg = [(0, number) for number in range(3)]
            data.test_dataset, data.test_label_array = ["a"] * 3, [0] * 3
            return [data[number][0][0, :, :, 0] for number in range(3)]

        return crops


def located(crop: np.ndarray, width: int, side: int) -> tuple[int, int, bool]:
    """Where a crop of numbered pixels was cut."""
    assert crop.shape == (side, side)
    flipped = bool(crop[0, 0] > crop[0, -1])
    top, left = divmod(int(crop[0, -1] if flipped else crop[0, 0]), width)
    return top, left, flipped


def compare(name: str, checkout: Path, count: int) -> dict[str, Any]:
    """Run the peer beside ours; the first differences are printed."""
    peers = _Peers(checkout)
    cut = getattr(peers, RULES[name].peers)()
    differences, results = 0, []
    for size, side in cases(name, SEED, count):
        frame = np.arange(size[0] * size[1], dtype=np.int32).reshape(size)
        found = [located(crop, size[1], side) for crop in cut(frame, side)]
        results.append(np.array(found, dtype=np.int64))
        if not np.array_equal(results[-1], positions(name, (size, side))):
            differences += 1
            if differences <= 3:
                print(f"{name}: {size} {side}\n  {found}\n  {positions(name, (size, side))}")
    return {
        "peer": RULES[name].peer,
        "commit": peers.commit,
        "seed": SEED,
        "cases": count,
        "differences": differences,
        "sha256": digest(results),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/compare_crops.py --peer mmaction2 --checkout ../mmaction2",
    )
    peers = sorted({rule.peer for rule in RULES.values()})
    parser.add_argument("--peer", required=True, choices=peers)
    parser.add_argument("--checkout", type=Path, required=True, help="the peer's repository")
    parser.add_argument("--cases", type=int, default=CASES, help="(default: %(default)s)")
    parser.add_argument(
        "--write", action="store_true", help="keep the digests of the peer's output for the tests"
    )
    arguments = parser.parse_args()
    found = json.loads(FIXTURE.read_text()) if FIXTURE.exists() else {}
    names = [name for name, rule in RULES.items() if rule.peer == arguments.peer]
    for name in names:
        found[name] = compare(name, arguments.checkout, arguments.cases)
        print(f"{name}: {found[name]['differences']} differences in {arguments.cases} cases")
    if arguments.write:
        FIXTURE.parent.mkdir(exist_ok=True)
        FIXTURE.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    return min(sum(found[name]["differences"] for name in names), 1)


if __name__ == "__main__":
    raise SystemExit(main())
