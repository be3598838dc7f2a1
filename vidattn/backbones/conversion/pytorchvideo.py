from __future__ import annotations

from typing import Any

import torch

from vidattn.backbones.conversion.name_map import Conversion, Layout, NameMap, State

SAME = NameMap(((r"(.+)", r"\1"),))
CLIP = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225), "frames_per_second": 30.0}

# Shared with PySlowFast, whose transformers these are; the attention's parts are named alike.
MVIT_BLOCKS = (
    (r"(blocks\.\d+)\.(norm[12]\.\w+)", r"\1.\2"),
    (r"(blocks\.\d+\.attn)\.(qkv\.\w+|rel_pos_[thw])", r"\1.\2"),
    (r"(blocks\.\d+\.attn)\.proj\.(\w+)", r"\1.project.0.\2"),
    (r"(blocks\.\d+\.attn)\.pool_([qkv])\.weight", r"\1.pool_\2.pool.weight"),
    (r"(blocks\.\d+\.attn)\.norm_([qkv])\.(\w+)", r"\1.pool_\2.norm_act.0.\3"),
    (r"(blocks\.\d+\.mlp)\.fc1\.(\w+)", r"\1.0.\2"),
    (r"(blocks\.\d+\.mlp)\.fc2\.(\w+)", r"\1.3.\2"),
    (r"(blocks\.\d+)\.proj\.(\w+)", r"\1.project.\2"),
)
MVIT = NameMap(
    (
        *MVIT_BLOCKS,
        (r"patch_embed\.patch_model\.(\w+)", r"conv_proj.\1"),
        (r"cls_positional_encoding\.cls_token", "pos_encoding.class_token"),
        (r"cls_positional_encoding\.pos_embed_(spatial|temporal|class)", r"pos_encoding.\1_pos"),
        (r"norm_embed\.(\w+)", r"norm.\1"),
        (r"head\.proj\.(\w+)", r"head.1.\1"),
    )
)


def join_attention(state: State) -> State:
    """Queries, keys and values in one matrix, and tokens without axes of length 1 in front."""
    found: State = {}
    for name, value in state.items():
        if ".attn.q." in name:
            parts = [state.get(name.replace(".attn.q.", f".attn.{part}.")) for part in "qkv"]
            if all(part is not None for part in parts):
                joined = torch.cat([part for part in parts if part is not None])
                found[name.replace(".attn.q.", ".attn.qkv.")] = joined
                continue
        elif (".attn.k." in name or ".attn.v." in name) and _whole(state, name):
            continue
        found[name] = value
    return flatten_tokens(found)


def _whole(state: State, name: str) -> bool:
    stem, kind = name.rsplit(".", 2)[0], name.rsplit(".", 1)[1]
    return all(f"{stem}.{part}.{kind}" in state for part in "qkv")


def flatten_tokens(state: State) -> State:
    """The class token and positions of MViT without their axes of length 1 in front."""
    found = dict(state)
    for name, value in state.items():
        last = name.rsplit(".", 1)[-1]
        if last in ("cls_token", "pos_embed_class") and value.shape[:2] == (1, 1):
            found[name] = value[0, 0]
        elif last in ("pos_embed_spatial", "pos_embed_temporal") and value.shape[0] == 1:
            found[name] = value[0]
    return found


def _network(figure: str = "", **clip: Any) -> Conversion:
    return Conversion(SAME, clip={**CLIP, **clip}, figure=figure, protocol="pyslowfast-10x3")


def _clip(frames: int, stride: int, short_side: int, crop_size: int) -> dict[str, Any]:
    return {
        "frames": frames,
        "frame_stride": stride,
        "short_side": short_side,
        "crop_size": crop_size,
    }


_SPREAD = {"slow_frames": "spread"}

LAYOUT = Layout(
    "pytorchvideo",
    "pytorchvideo.models.hub: names as they are, but for MViT",
    (r"^(blocks\.\d+\.(res_blocks|multipathway_blocks)\.|cls_positional_encoding\.)",),
    {
        "slow_r50": _network(**_clip(8, 8, 256, 256)),
        "c2d_r50": _network(**_clip(8, 8, 256, 256)),
        "i3d_r50": _network(**_clip(8, 8, 256, 256)),
        "r2plus1d_r50": _network("76.01 top-1 (16×4)", **_clip(16, 4, 256, 256)),
        "csn_r101": _network(**_clip(32, 2, 256, 256)),
        "x3d_xs": _network(**_clip(4, 12, 182, 182)),
        "x3d_s": _network(**_clip(13, 6, 182, 182)),
        "x3d_m": _network("76.2 top-1", **_clip(16, 5, 256, 256)),
        "slowfast_r50": Conversion(
            SAME,
            settings=_SPREAD,
            clip={**CLIP, **_clip(32, 2, 256, 256)},
            protocol="pyslowfast-10x3",
        ),
        "mvit_v1_b": Conversion(
            MVIT,
            clip={**CLIP, **_clip(16, 4, 256, 224)},
            protocol="mvit-5x1",
            prepare=join_attention,
        ),
    },
)
