from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import threadpoolctl
import torch
from hypothesis import settings
from torch import Tensor, nn

from vidattn.backbones import Backbone, Stage
from vidattn.data import ClipSpec
from vidattn.models import LoadedRecogniser, Recogniser, RecogniserSpec, save
from vidattn.video import VideoWriter

# A busy machine takes longer than 200 ms for an example, and that is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Where tests run in several processes at once, each has one core: more threads would only wait.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # also of the processes that tests start
    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1, "blas")  # of NumPy, which is loaded by now

# Tests in files that start processes or threads, or look at the clock or at memory.
DISTURBED_BY_OTHERS = re.compile(
    r"\b(subprocess|multiprocessing|workers=|threads=|signal\.|socket|os\.fork|monotonic|"
    r"perf_counter|process_time|tracemalloc|/proc/)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="other random numbers for every test")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, those that disturb one another share one of them."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    texts = {path: path.read_text(encoding="utf-8") for path in {item.path for item in items}}
    disturbed = {path for path, text in texts.items() if DISTURBED_BY_OTHERS.search(text)}
    for item in items:
        if item.path in disturbed:
            item.add_marker(pytest.mark.xdist_group("processes"))


@pytest.fixture(autouse=True)
def _seed(request: pytest.FixtureRequest) -> None:
    """A test draws the same numbers alone as among others, and not those of its neighbours."""
    name = request.node.nodeid.removesuffix("@processes")
    torch.manual_seed(crc32(name.encode()) + request.config.getoption("--seed"))


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept between runs lies where no other run and no person sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDATTN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real videos and truth that lie beside a development checkout, where there are any."""
    folder = Path(
        os.environ.get("VIDATTN_SHARED_DATA")
        or Path(__file__).resolve().parents[2] / "shared" / "data"
    )
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set VIDATTN_SHARED_DATA to its folder")
    return folder


class Brightness(Backbone):
    """Features are local mean brightness: where it is bright, everybody can see.

    Stride 2 over time and 4 over space, by kernels as wide as odd numbers allow (3 and 5), padded
    so that the first field is centred on pixel 0: as in most video networks.
    """

    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)
    stages = (Stage("only", 1, (2, 4, 4), (0.0, 0.0, 0.0), "pool"),)

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d((3, 5, 5), stride=(2, 4, 4), padding=(1, 2, 2))

    def features(self, clip: Tensor, stages: Iterable[str] | None = None) -> dict[str, Tensor]:
        return {"only": self.pool(clip.mean(1, keepdim=True))}

    def logits(self, clip: Tensor) -> Tensor:
        return self(clip).mean((2, 3, 4))


def brightness_recogniser(pooling: str = "joint") -> Recogniser:
    """A recogniser whose attention is larger where it is brighter, and nothing else."""
    spec = RecogniserSpec(
        classes=("dark", "bright"),
        backbone=f"{Brightness.__module__}.{Brightness.__qualname__}",
        pooling=pooling,
        pooling_settings={"hidden_channels": 1, "gated": False},
    )
    sys.modules.setdefault(Brightness.__module__, sys.modules[__name__])
    recogniser = Recogniser(spec, allow=spec.class_paths).eval()
    with torch.no_grad():
        for name, parameter in recogniser.pooling.named_parameters():
            parameter.fill_(8.0 if name.endswith("score.weight") else 1.0)
            if name.endswith("bias"):
                parameter.zero_()
        recogniser.head.weight.copy_(torch.tensor([[-10.0], [10.0]]))
        recogniser.head.bias.zero_()
    return recogniser


@pytest.fixture
def loaded_brightness() -> LoadedRecogniser:
    """The brightness recogniser as if loaded from a file, on clips of 8 frames."""
    clip = ClipSpec(frames=8, short_side=64, crop_size=64, mean=(0, 0, 0), std=(1, 1, 1))
    return LoadedRecogniser(brightness_recogniser(), clip, "brightness.ckpt", "0" * 64)


@pytest.fixture
def write_flash(tmp_path: Path) -> Callable[..., Path]:
    """Writes a dark, noisy video with a bright box for a while."""

    def write(
        name: str = "flash.mp4",
        *,
        frame_count: int = 48,
        size: tuple[int, int] = (64, 96),
        span: tuple[int, int] = (20, 30),
        box: tuple[int, int, int, int] = (60, 16, 84, 40),
        fps: float = 25.0,
    ) -> Path:
        generator = np.random.default_rng(0)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        x1, y1, x2, y2 = box
        with VideoWriter(path, fps=fps, size=size, preset="ultrafast") as writer:
            for index in range(frame_count):
                frame = generator.integers(20, 40, (*size, 3), dtype=np.uint8)
                if span[0] <= index < span[1]:
                    frame[y1:y2, x1:x2] = 240
                writer.write(frame)
        return path

    return write


SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A checkpoint of random weights that tells "bright" from "dark" by chance only."""
    torch.manual_seed(0)
    spec = RecogniserSpec(classes=("dark", "bright"), backbone_settings=SLIM)
    clip = ClipSpec(frames=8, short_side=32, crop_size=32)
    save(tmp_path / "untrained.ckpt", Recogniser(spec), clip)
    return tmp_path / "untrained.ckpt"


@pytest.fixture
def class_folders(write_flash: Callable[..., Path], tmp_path: Path) -> Path:
    """Seven videos of different lengths, one of them broken, in two class folders."""
    for number in range(3):
        write_flash(f"videos/bright/{number}.mp4", frame_count=12 + 5 * number, span=(0, 40))
        write_flash(f"videos/dark/{number}.mp4", frame_count=30 - 4 * number, span=(0, 0))
    (tmp_path / "videos" / "bright" / "broken.mp4").write_bytes(b"no video")
    return tmp_path / "videos"
