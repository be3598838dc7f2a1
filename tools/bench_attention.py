"""What attention costs here, beside the least that it could cost.

Three measurements, each skipping mechanisms that the catalogue lacks:
  gates   forward and backward, per frame, against timm's twin on the same tensor, each in its
          better memory format, interleaved; and the floor: the least that any gate moves
          through memory, three passes forward and three backward
  joint   self-attention over all of a clip: time against the bare fused kernel on tensors that
          are packed for it; peak extra memory against a non-local block that holds its matrix
  scopes  neighbourhood, window, axial and divided attention against joint attention, over T × H × W

Times are of one thread unless --threads says otherwise. Ratios are medians over rounds, with the
quartiles; memory is the high-water mark of a process of its own, above what it held before.

Example:
  python tools/bench_attention.py gates joint scopes --output runs/bench.json
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidattn.attention import build
from vidattn.attention.built_in import facts
from vidattn.attention.views import fold_frames, unfold_frames
from vidattn.errors import UnknownNameError
from vidattn.files import write_json

GATES = {
    "squeeze_excitation": ("timm.layers", "SEModule"),
    "efficient_channel": ("timm.layers", "EcaModule"),
    "convolutional_block_attention": ("timm.layers.cbam", "CbamModule"),
    "simam": (None, "the formula as it is written"),
    "coordinate": ("timm.layers.coord_attn", "CoordAttn"),
}
SCOPES = ("self_attention", "neighbourhood", "shifted_window", "axial", "divided_space_time")
SIZES = {
    "full": {
        "gates": (8, 64, 8, 56, 56),
        "joint": (1, 64, 16, 28, 28),
        "scopes": [(4, 14, 14), (8, 14, 14), (16, 14, 14), (8, 28, 28), (16, 28, 28)],
    },
    "small": {
        "gates": (2, 16, 2, 8, 8),
        "joint": (1, 16, 4, 8, 8),
        "scopes": [(2, 8, 8), (4, 8, 8)],
    },
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last_3d": torch.channels_last_3d}

Run = Callable[[], Any]


class PlainSimAM(nn.Module):
    """SimAM per frame, from its formula, an operation a term: timm has none."""

    def forward(self, x: Tensor) -> Tensor:
        squared = (x - x.mean((2, 3), keepdim=True)).pow(2)
        variance = squared.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
        return x * (squared / (4 * (variance + 1e-4)) + 0.5).sigmoid()


class ClassicNonLocal(nn.Module):
    """A non-local block as it is usually written: three 1×1×1 convolutions, and the matrix."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Conv3d(channels, channels // 2, 1) for _ in range(3))
        self.output = nn.Conv3d(channels // 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (one(x).flatten(2) for one in self.maps)
        weights = (query.transpose(1, 2) @ key).softmax(2)
        mixed = (weights @ value.transpose(1, 2)).transpose(1, 2)
        return x + self.output(mixed.unflatten(2, x.shape[2:]))


def known(name: str) -> str | None:
    """The catalogue's name of a mechanism; None where it has none."""
    try:
        return facts(name).name
    except UnknownNameError:
        return None


def interleaved(runs: Mapping[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turn, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if index:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Median of the ratios within rounds, and their quartiles."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {"median": statistics.median(ratios), "lower": low, "upper": high}


# Gates


def gates(shape: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Each gate against its twin and against the floor."""
    rows = []
    for name, (module, twin) in GATES.items():
        found = known(name)
        if found is None:
            continue
        torch.manual_seed(0)
        ours = build(found, shape[1], scope="frame")
        theirs = _twin(module, twin, shape[1])
        runs = {"floor": floor(shape)}
        for label, memory_format in FORMATS.items():
            runs[f"ours {label}"] = step(ours, draw(shape, memory_format))
            runs[f"twin {label}"] = step(_per_frame(theirs), draw(shape, memory_format))
        seconds = interleaved(runs, rounds)
        best = {
            side: min(
                (f"{side} {label}" for label in FORMATS), key=lambda one: _median(seconds, one)
            )
            for side in ("ours", "twin")
        }
        rows.append(
            {
                "mechanism": found,
                "twin": f"{module}.{twin}" if module else twin,
                "ours_format": best["ours"].partition(" ")[2],
                "twin_format": best["twin"].partition(" ")[2],
                "ours_seconds": _median(seconds, best["ours"]),
                "twin_seconds": _median(seconds, best["twin"]),
                "floor_seconds": _median(seconds, "floor"),
                "to_twin": ratio(seconds[best["ours"]], seconds[best["twin"]]),
                "to_floor": ratio(seconds[best["ours"]], seconds["floor"]),
            }
        )
    return rows


def _median(seconds: Mapping[str, Sequence[float]], name: str) -> float:
    return statistics.median(seconds[name])


def _twin(module: str | None, name: str, channels: int) -> nn.Module:
    if module is None:
        return PlainSimAM()
    found = getattr(__import__(module, fromlist=[name]), name)
    # The same width inside, where there is one: timm rounds up to a multiple of 8.
    same = {"SEModule": {"rd_channels": max(1, channels // 16)}}
    return found(channels, **same.get(name, {}))


def _per_frame(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The module on the frames, which cost it no copy where the memory format allows."""
    return lambda x: unfold_frames(module(fold_frames(x)), x.shape[2])


def draw(shape: Sequence[int], memory_format: torch.memory_format) -> Tensor:
    x = torch.randn(*shape).contiguous(memory_format=memory_format)
    return x.requires_grad_()


def step(module: Callable[[Tensor], Tensor], x: Tensor) -> Run:
    """Forward and backward."""
    with torch.no_grad():
        grad = torch.randn_like(module(x))

    def run() -> None:
        x.grad = None
        module(x).backward(grad)

    return run


def floor(shape: Sequence[int]) -> Run:
    """Forward x is read for its sum, read again and written; backward two are read, one written."""
    x, y, grad = (torch.randn(*shape) for _ in range(3))

    def run() -> None:
        x.sum()
        torch.mul(x, 2.0, out=y)
        torch.add(x, grad, out=y)

    return run


# Joint self-attention


@torch.no_grad()
def joint(shape: Sequence[int], rounds: int, size: str) -> dict[str, Any]:
    """Time against the bare kernel; memory against a classic block."""
    batch, channels, *grid = shape
    heads, length = 8, torch.Size(grid).numel()
    module = build("self_attention", channels, heads=heads).eval()
    x = torch.randn(*shape).contiguous(memory_format=torch.channels_last_3d)
    packed = [torch.randn(batch, heads, length, channels // heads) for _ in range(3)]
    runs = {
        "ours": lambda: module(x),
        "bare": lambda: F.scaled_dot_product_attention(*packed),
    }
    seconds = interleaved(runs, rounds)
    ours, classic = (extra_memory(one, size) for one in ("ours", "classic"))
    return {
        "ours_seconds": _median(seconds, "ours"),
        "bare_seconds": _median(seconds, "bare"),
        "to_bare": ratio(seconds["ours"], seconds["bare"]),
        "ours_extra_bytes": ours,
        "classic_extra_bytes": classic,
        "memory_ratio": ours / classic,
    }


def extra_memory(what: str, size: str) -> int:
    """Peak bytes above those before the call, in a process of its own."""
    asked = [sys.executable, __file__, "--measure-memory", what, "--size", size]
    return int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


@torch.no_grad()
def measure_memory(what: str, size: str) -> int:
    """For that process."""
    shape = SIZES[size]["joint"]
    if what == "ours":
        module = build("self_attention", shape[1], heads=8).eval()
    elif what == "classic":
        module = ClassicNonLocal(shape[1]).eval()
    else:
        name, *grid = what.split(",")
        shape = (1, 64, *(int(one) for one in grid))
        module = build(name, shape[1]).eval()
    x = torch.randn(*shape).contiguous(memory_format=torch.channels_last_3d)
    module(x[..., : min(8, x.shape[3]), : min(8, x.shape[4])])  # whatever is set up once
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    module(x)
    return max(0, _status("VmHWM") - before)


def _status(field: str) -> int:
    """A line of /proc/self/status in bytes (Linux)."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise SystemExit(f"/proc/self/status has no {field}")
    return 1024 * int(found[1])


# Scopes


@torch.no_grad()
def scopes(grids: Sequence[Sequence[int]], rounds: int, size: str) -> list[dict[str, Any]]:
    """Time and memory of each kind of attention over growing clips."""
    names = [found for found in map(known, SCOPES) if found is not None]
    rows = []
    for grid in grids:
        x = torch.randn(1, 64, *grid).contiguous(memory_format=torch.channels_last_3d)
        runs = {}
        for name in names:
            module = build(name, 64).eval()
            runs[name] = lambda module=module, x=x: module(x)
        seconds = interleaved(runs, rounds)
        for name in names:
            rows.append(
                {
                    "grid": list(grid),
                    "mechanism": name,
                    "seconds": _median(seconds, name),
                    "to_joint": ratio(seconds[name], seconds["self_attention"]),
                    "extra_bytes": extra_memory(",".join([name, *map(str, grid)]), size),
                }
            )
    return rows


def show(found: Mapping[str, Any]) -> None:
    """The tables."""
    if "gates" in found:
        print(
            f"{'gate':32} {'ms':>8} {'twin ms':>8} {'floor ms':>8}  of twin (quartiles)  of floor"
        )
        for row in found["gates"]:
            print(
                f"{row['mechanism']:32} {1e3 * row['ours_seconds']:8.2f} "
                f"{1e3 * row['twin_seconds']:8.2f} {1e3 * row['floor_seconds']:8.2f}  "
                f"{_spread(row['to_twin']):20} {_spread(row['to_floor'])}"
            )
    if "joint" in found:
        row = found["joint"]
        ours, classic = row["ours_extra_bytes"] / 1e6, row["classic_extra_bytes"] / 1e6
        print(
            f"joint self-attention: {row['ours_seconds']:.3f} s, "
            f"{_spread(row['to_bare'])} of the bare kernel; extra memory {ours:.1f} MB, "
            f"classic {classic:.1f} MB, ratio {row['memory_ratio']:.3f}"
        )
    if "scopes" in found:
        print(f"{'T × H × W':12} {'mechanism':24} {'ms':>9} {'extra MB':>9}  of joint (quartiles)")
        for row in found["scopes"]:
            print(
                f"{' × '.join(map(str, row['grid'])):12} {row['mechanism']:24} "
                f"{1e3 * row['seconds']:9.2f} {row['extra_bytes'] / 1e6:9.1f}  "
                f"{_spread(row['to_joint'])}"
            )


def _spread(of: Mapping[str, float]) -> str:
    return f"{of['median']:.2f} ({of['lower']:.2f}–{of['upper']:.2f})"


def measure(what: Sequence[str], size: str, rounds: int) -> dict[str, Any]:
    """What is asked for, and on what machine."""
    sizes = SIZES[size]
    found: dict[str, Any] = {
        "size": sizes,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.platform(),
    }
    if "gates" in what:
        found["gates"] = gates(sizes["gates"], rounds)
    if "joint" in what:
        found["joint"] = joint(sizes["joint"], rounds, size)
    if "scopes" in what:
        found["scopes"] = scopes(sizes["scopes"], rounds, size)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", metavar="gates|joint|scopes", help="default: all")
    parser.add_argument("--size", choices=tuple(SIZES), default="full", help="default: full")
    parser.add_argument("--rounds", type=int, default=11, help="that count (default: 11)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument("--output", type=Path, default=Path("runs/bench.json"), metavar="JSON")
    parser.add_argument("--measure-memory", metavar="NAME", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.what) - {"gates", "joint", "scopes"}
    if unknown:
        parser.error(f"expected gates, joint or scopes, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(given.threads)
    if given.measure_memory:
        print(measure_memory(given.measure_memory, given.size))
        return
    found = measure(given.what or ("gates", "joint", "scopes"), given.size, given.rounds)
    write_json(given.output, found)
    show(found)
    print(f"written: {given.output}")


if __name__ == "__main__":
    main()
