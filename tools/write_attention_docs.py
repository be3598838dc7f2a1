"""Writes what is said of the attention mechanisms, from the code and its tests.

    python tools/write_attention_docs.py --pictures

vidattn/attention/verification.json says how each was compared with something independent;
docs/attention.md has all facts, above a line below which people write; with --pictures
docs/images/attention/ gets each mechanism's map on a clip made here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from verification_record import as_json, read_test_file

from vidattn.attention import AttentionMap, build, catalogue, record_maps
from vidattn.attention.cost import Cost, cost_or_reason, example_context, example_settings
from vidattn.attention.facts import Facts
from vidattn.attention.verification import RECORD, Verification, verifications
from vidattn.data.synthetic.scene import draw_scene
from vidattn.errors import ArgumentError
from vidattn.files import write_bytes, write_text
from vidattn.jobs.attention import FLAGS, positions, settings, verified_by
from vidattn.report.pictures import encode_image, heat_colours

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "attention.md"
PICTURES = ROOT / "docs" / "images" / "attention"
BY_HAND = "<!-- Above this line: written by tools/write_attention_docs.py. Below: by hand. -->"

CLIP_SIZE = (96, 96)
FRAMES = 8
CELLS = 12  # of features along height and width
CHANNELS = 16
CELL_PIXELS = 4
GAP = 2

INTRODUCTION = """\
# Attention mechanisms

All {count} mechanisms have the same interface. `build(name, channels, spatial_dims=3,
scope="clip")` makes a mechanism, `insert` puts it into a network, and `record_maps` collects the
weights that it applied. `vidattn attention list` and `vidattn attention show NAME` print the same
facts as this page.

There are five kinds. A *gate* multiplies features by weights. A *mixer* adds features from other
positions. Gates and mixers keep the shape. A *pooler* returns one vector. A *reducer* returns fewer
tokens. A *replacement* replaces a convolution.

The costs are for a forward pass of one clip with 64 channels and 8 × 14 × 14 positions. (Mechanisms
with fewer axes have 8 frames, or 14 × 14 positions.) The tables have the number of learned
parameters, the number of additions and multiplications in matrix products, convolutions and fused
attention, and the size of the largest tensor relative to the input x.

The pictures show the maps of untrained mechanisms with random weights, on eight frames of a
synthetic clip. The features are grey values, differences and edges. So the pictures show along
which axes a map varies, and not what a trained mechanism attends to. Bright means a large weight.
Each map has its own scale. Bars below a map are its channels, heads or clusters. The white box
contains an action.

![the clip](images/attention/clip.png)
"""


def verified() -> dict[str, Verification]:
    """Name -> what the mirror of the mechanism's file does in the tests."""
    found = {}
    for name, facts in catalogue().items():
        *_, family, module = facts.type.__module__.split(".")
        path = ROOT / "tests" / "attention" / family / f"test_{module}.py"
        if path.is_file():
            found[name] = read_test_file(path, ROOT)
    return found


def page(found: Sequence[Facts]) -> str:
    """The part of the page that comes from the facts."""
    parts = [INTRODUCTION.format(count=len(found)), _exceptions(found)]
    for family in sorted({facts.family for facts in found}):
        inside = [facts for facts in found if facts.family == family]
        parts += [f"## {family.replace('_', ' and ').capitalize()}\n"]
        parts += [_table(inside), *(_section(facts) for facts in inside)]
    return "\n".join(parts)


def _exceptions(found: Sequence[Facts]) -> str:
    lines = ["## Limits of some mechanisms\n"]
    for flag, words in FLAGS.items():
        names = [facts.name for facts in found if getattr(facts, flag)]
        lines.append(f"- {words}: {_listed(names)}.")
    flat = [facts.name for facts in found if 3 not in facts.ranks]
    lines.append(f"- works per frame or over time, not on (T, H, W): {_listed(flat)}.")
    return "\n".join(lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _table(found: Sequence[Facts]) -> str:
    lines = [
        "| name | kind | positions | parameters | cost | map |",
        "|---|---|---|---|---|---|",
    ]
    for facts in found:
        counted = cost_or_reason(facts)
        parameters, spent = ("", "")
        if isinstance(counted, Cost):
            parameters = f"{counted.parameters:,}"
            spent = f"{counted.flops / 1e6:.3g} MFLOP, {counted.largest_tensor:.2g} × x"
        lines.append(
            f"| [`{facts.name}`](#{facts.name}) | {facts.kind} | {positions(list(facts.ranks))} "
            f"| {parameters} | {spent} | {facts.map_kind} |"
        )
    return "\n".join(lines) + "\n"


def _section(facts: Facts) -> str:
    chosen = ", ".join(f"{name}={value!r}" for name, value in settings(facts).items())
    rows = {
        "Source": facts.source,
        "Settings": f"`{chosen}`" if chosen else "",
        "Also called": _listed(facts.aliases) if facts.aliases else "",
        "Context": facts.context_meaning or "",
        "Map": facts.map_meaning,
        "Limits": "; ".join(words for flag, words in FLAGS.items() if getattr(facts, flag)),
        "Verified": verified_by(verifications().get(facts.name)),
    }
    lines = [f"### {facts.name}\n", f"{facts.summary}\n"]
    lines += ["```text", facts.formula, "```\n"] if facts.formula else []
    lines += [f"- {label}: {text}" for label, text in rows.items() if text]
    return "\n".join([*lines, "", f"![its map](images/attention/{facts.name}.png)\n"])


def write_page() -> None:
    """The page anew, with what people wrote below the line."""
    before = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    _, _, by_hand = before.partition(BY_HAND)
    text = page(list(catalogue().values()))
    write_text(PAGE, f"{text}\n{BY_HAND}{by_hand or chr(10)}")


def write_pictures() -> None:
    """One strip for each mechanism, and the clip."""
    scene = draw_scene(
        "right", size=CLIP_SIZE, frame_count=3 * FRAMES, generator=np.random.default_rng(4)
    )
    # Frames around the action, so that it begins and ends inside.
    middle = (scene.start_frame + scene.end_frame) // 2
    first = min(max(0, middle - FRAMES), 3 * FRAMES - 2 * FRAMES)
    chosen = range(first, first + 2 * FRAMES, 2)
    boxes = [
        scene.boxes[index - scene.start_frame]
        if scene.start_frame <= index < scene.end_frame
        else None
        for index in chosen
    ]
    pixels = scene.pixels[list(chosen)]
    side = CELLS * CELL_PIXELS
    small = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    small = F.interpolate(small, size=(side, side), mode="area").permute(0, 2, 3, 1)
    _write(PICTURES / "clip.png", _strip(small.numpy().astype(np.uint8), boxes))
    x = features(torch.from_numpy(pixels))
    for facts in catalogue().values():
        try:
            maps = recorded(facts, x)
        except ArgumentError as error:
            print(f"{facts.name}: no picture: {error}", file=sys.stderr)
            continue
        _write(PICTURES / f"{facts.name}.png", picture(maps, boxes))


def features(pixels: Tensor) -> Tensor:
    """uint8 (T, H, W, 3) -> (1, 16, T, 12, 12): grey values, differences, edges; two of each."""
    grey = pixels.float().mean(3)[None, None] / 255
    grey = grey - grey.mean()
    change = grey.diff(dim=2, prepend=grey[:, :, :1])
    down = grey.diff(dim=3, prepend=grey[:, :, :, :1])
    right = grey.diff(dim=4, prepend=grey[..., :1])
    kinds = torch.cat([grey, change, down, right], 1)
    kinds = torch.cat([kinds.relu(), (-kinds).relu()], 1)
    pooled = [
        F.adaptive_avg_pool3d(kinds, (FRAMES, CELLS, CELLS)),
        F.adaptive_max_pool3d(kinds, (FRAMES, CELLS, CELLS)),
    ]
    x = torch.cat(pooled, 1)
    return x / x.std((2, 3, 4), keepdim=True)


@torch.no_grad()
def recorded(facts: Facts, x: Tensor) -> list[AttentionMap]:
    """The maps of a new mechanism with random weights."""
    torch.manual_seed(0)
    rank = max(facts.ranks)
    if rank == 1:
        x = x.mean((3, 4))
    module = build(
        facts.name,
        CHANNELS,
        spatial_dims=1 if rank == 1 else 3,
        scope="frame" if rank == 2 else "clip",
        **example_settings(facts, tuple(x.shape[3:] if rank == 2 else x.shape[2:])),
    ).eval()
    for parameter in module.parameters():
        if parameter.min() == parameter.max():  # a start at 0 or 1 shows nothing
            parameter.add_(torch.randn_like(parameter) * 0.5)
    given = {"context": example_context(facts, x)} if facts.context_meaning else {}
    with record_maps(module) as maps:
        module(x, **given)
    return maps


def picture(maps: Sequence[AttentionMap], boxes: Sequence[np.ndarray | None]) -> np.ndarray:
    """A strip of frames for each map, and its members as bars below."""
    rows: list[np.ndarray] = []
    for found in maps[:3]:
        heat = found.saliency()[0]
        heat = heat.expand(FRAMES, *heat.shape[1:])
        heat = F.interpolate(heat[:, None], size=(CELLS, CELLS))[:, 0]
        frames = np.stack([heat_colours(frame) for frame in _scaled(heat).numpy()])
        frames = frames.repeat(CELL_PIXELS, 1).repeat(CELL_PIXELS, 2)
        rows.append(_strip(frames, boxes))
        members = found.values[0].flatten(1).mean(1)
        if members.max() - members.min() > 1e-6 * members.abs().max():
            rows.append(_bars(members))
    return np.concatenate(rows)


def _scaled(values: Tensor) -> Tensor:
    """To [0, 1]; what is the same everywhere is a half."""
    low, high = values.min(), values.max()
    if high - low <= 1e-6 * high.abs().clamp(min=1e-12):
        return torch.full_like(values, 0.5)
    return (values - low) / (high - low)


def _bars(members: Tensor, height: int = 10) -> np.ndarray:
    """One column for each channel, head or cluster, as coloured as its mean is large."""
    width = FRAMES * (CELLS * CELL_PIXELS + GAP) - GAP
    columns = torch.arange(width) * len(members) // width
    colours = heat_colours(_scaled(members)[columns][None].numpy())
    return np.concatenate([colours.repeat(height, 0), np.full((GAP, width, 3), 255, np.uint8)])


def _strip(frames: np.ndarray, boxes: Sequence[np.ndarray | None]) -> np.ndarray:
    """uint8 (T, S, S, 3) side by side, the boxes outlined in white."""
    side = frames.shape[1]
    parts: list[np.ndarray] = []
    for frame, box in zip(frames, boxes, strict=True):
        outlined = frame.copy()
        if box is not None:
            x1, y1, x2, y2 = (int(v) for v in np.clip(box * side / CLIP_SIZE[0], 0, side - 1))
            outlined[[y1, y2], x1 : x2 + 1] = 255
            outlined[y1 : y2 + 1, [x1, x2]] = 255
        parts += [outlined, np.full((side, GAP, 3), 255, np.uint8)]
    strip = np.concatenate(parts[:-1], 1)
    return np.concatenate([strip, np.full((GAP, strip.shape[1], 3), 255, np.uint8)])


def _write(path: Path, pixels: np.ndarray) -> None:
    write_bytes(path, encode_image(pixels))


def written_pictures() -> Iterator[str]:
    """Names of the pictures there are."""
    yield from (path.stem for path in PICTURES.glob("*.png"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", action="store_true", help="draw the maps too")
    given = parser.parse_args()
    RECORD.write_text(as_json(verified()), encoding="utf-8")
    verifications.cache_clear()
    write_page()
    if given.pictures:
        write_pictures()


if __name__ == "__main__":
    main()
