from __future__ import annotations

import re
from typing import Any

from vidattn.backbones.conversion.name_map import Conversion, Layout, NameMap
from vidattn.backbones.conversion.pytorchvideo import MVIT_BLOCKS, flatten_tokens

HALVES = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225), "frames_per_second": 30.0}

_BLOCK_PARTS = (
    (r"branch1\.(\w+)", r"branch1_conv.\1"),
    (r"branch1_bn\.(\w+)", r"branch1_norm.\1"),
    (r"branch2\.([abc])\.weight", r"branch2.conv_\1.weight"),
    (r"branch2\.([abc])_bn\.(\w+)", r"branch2.norm_\1.\2"),
)


def number_stages(name: str) -> str:
    """s2 … s5 -> stage1 … stage4, and s2_fuse … -> fuse1 …: as blocks are counted here."""

    def counted(found: re.Match[str]) -> str:
        return f"{'fuse' if found[2] else 'stage'}{int(found[1]) - 1}."

    return re.sub(r"^s([2-5])(_fuse)?\.", counted, name)


def _after(prefix: str, replacement: str, parts: tuple[tuple[str, str], ...]) -> Any:
    """The rules of `parts`, whose groups count on after those of `prefix`."""
    groups = re.compile(prefix).groups
    for pattern, target in parts:
        shifted = re.sub(r"\\(\d)", lambda found: f"\\{int(found[1]) + groups}", target)
        yield prefix + pattern, replacement + shifted


_ONE_PATHWAY = (
    (r"s1\.pathway0_stem\.conv\.weight", "blocks.0.conv.weight"),
    (r"s1\.pathway0_stem\.bn\.(\w+)", r"blocks.0.norm.\1"),
    *_after(r"stage(\d)\.pathway0_res(\d+)\.", r"blocks.\1.res_blocks.\2.", _BLOCK_PARTS),
    (r"head\.projection\.(\w+)", r"blocks.5.proj.\1"),
)
SINGLE = NameMap(_ONE_PATHWAY, number_stages)
# The pool between the first two stages has no weights but counts as a block.
POOLED = NameMap(
    (
        *_after(r"stage1\.pathway0_res(\d+)\.", r"blocks.1.res_blocks.\1.", _BLOCK_PARTS),
        *_after(r"stage2\.pathway0_res(\d+)\.", r"blocks.3.res_blocks.\1.", _BLOCK_PARTS),
        *_after(r"stage3\.pathway0_res(\d+)\.", r"blocks.4.res_blocks.\1.", _BLOCK_PARTS),
        *_after(r"stage4\.pathway0_res(\d+)\.", r"blocks.5.res_blocks.\1.", _BLOCK_PARTS),
        (r"head\.projection\.(\w+)", r"blocks.6.proj.\1"),
        *_ONE_PATHWAY[:2],
    ),
    number_stages,
)
_PATHWAY_BLOCKS = r"blocks.\1.multipathway_blocks.\2.res_blocks.\3."
TWO_PATHWAYS = NameMap(
    (
        (r"s1\.pathway(\d)_stem\.conv\.(\w+)", r"blocks.0.multipathway_blocks.\1.conv.\2"),
        (r"s1\.pathway(\d)_stem\.bn\.(\w+)", r"blocks.0.multipathway_blocks.\1.norm.\2"),
        (r"s1_fuse\.conv_f2s\.(\w+)", r"blocks.0.multipathway_fusion.conv_fast_to_slow.\1"),
        (r"s1_fuse\.bn\.(\w+)", r"blocks.0.multipathway_fusion.norm.\1"),
        (r"fuse(\d)\.conv_f2s\.(\w+)", r"blocks.\1.multipathway_fusion.conv_fast_to_slow.\2"),
        (r"fuse(\d)\.bn\.(\w+)", r"blocks.\1.multipathway_fusion.norm.\2"),
        *_after(r"stage(\d)\.pathway(\d)_res(\d+)\.", _PATHWAY_BLOCKS, _BLOCK_PARTS),
        (r"head\.projection\.(\w+)", r"blocks.6.proj.\1"),
    ),
    number_stages,
)
# pytorchvideo calls the stem's convolution over space conv_t, and the one over time conv_xy.
_X3D_PARTS = (
    (r"branch2\.se\.fc1\.(\w+)", r"branch2.norm_b.1.block.0.\1"),
    (r"branch2\.se\.fc2\.(\w+)", r"branch2.norm_b.1.block.2.\1"),
    (r"branch2\.b_bn\.(\w+)", r"branch2.norm_b.0.\1"),
    *_BLOCK_PARTS,
)
X3D = NameMap(
    (
        (r"s1\.pathway0_stem\.conv_xy\.weight", "blocks.0.conv.conv_t.weight"),
        (r"s1\.pathway0_stem\.conv\.weight", "blocks.0.conv.conv_xy.weight"),
        (r"s1\.pathway0_stem\.bn\.(\w+)", r"blocks.0.norm.\1"),
        *_after(r"stage(\d)\.pathway0_res(\d+)\.", r"blocks.\1.res_blocks.\2.", _X3D_PARTS),
        (r"head\.conv_5\.weight", "blocks.5.pool.pre_conv.weight"),
        (r"head\.conv_5_bn\.(\w+)", r"blocks.5.pool.pre_norm.\1"),
        (r"head\.lin_5\.weight", "blocks.5.pool.post_conv.weight"),
        (r"head\.projection\.(\w+)", r"blocks.5.proj.\1"),
    ),
    number_stages,
)
MVIT = NameMap(
    (
        *MVIT_BLOCKS,
        (r"patch_embed\.proj\.(\w+)", r"conv_proj.\1"),
        (r"cls_token", "pos_encoding.class_token"),
        (r"pos_embed_(spatial|temporal|class)", r"pos_encoding.\1_pos"),
        (r"norm\.(\w+)", r"norm.\1"),
        (r"head\.projection\.(\w+)", r"head.1.\1"),
    )
)


# Which clips the weights were trained on stands in the configuration only.
_CONFIGURED = {"frames": "DATA.NUM_FRAMES", "frame_stride": "DATA.SAMPLING_RATE"}


def _clip(frames: int, stride: int, short_side: int, crop_size: int) -> dict[str, Any]:
    sizes = {"short_side": short_side, "crop_size": crop_size}
    return {**HALVES, "frames": frames, "frame_stride": stride, **sizes}


def _resnet(names: NameMap, arch: str, figure: str = "", **settings: Any) -> Conversion:
    two = names is TWO_PATHWAYS
    return Conversion(
        names,
        settings={"head_pooling": "probabilities", **settings},
        clip=_clip(32, 2, 256, 256) if two else _clip(8, 8, 256, 256),
        figure=figure,
        protocol="pyslowfast-10x3",
        configuration={
            "MODEL.ARCH": arch,
            "RESNET.STRIDE_1X1": False,
            "RESNET.DEPTH": 50,
            **({"SLOWFAST.ALPHA": 4} if two else {}),
        },
        configured_clip=_CONFIGURED,
    )


def _x3d(frames: int, stride: int, size: int, figure: str = "") -> Conversion:
    return Conversion(
        X3D,
        settings={"shortcut_norm": True},
        clip=_clip(frames, stride, size, size),
        figure=figure,
        protocol="pyslowfast-10x3",
        configuration={"MODEL.ARCH": "x3d", "X3D.BN_LIN5": False},
        configured_clip=_CONFIGURED,
    )


def _mvit(figure: str = "") -> Conversion:
    return Conversion(
        MVIT,
        clip=_clip(16, 4, 256, 224),
        figure=figure,
        protocol="mvit-5x1",
        prepare=flatten_tokens,
        configuration={
            "MVIT.MODE": "conv",
            "MVIT.POOL_FIRST": False,
            "MVIT.USE_MEAN_POOLING": False,
            "MVIT.PATCH_STRIDE": [2, 4, 4],
        },
        configured_clip=_CONFIGURED,
    )


LAYOUT = Layout(
    "pyslowfast",
    "facebookresearch/SlowFast",
    (r"^(s1\.pathway0_stem\.|patch_embed\.proj\.)", r"^(head\.projection)\."),
    {
        "slow_r50": _resnet(SINGLE, "slow"),
        "c2d_r50": _resnet(POOLED, "c2d"),
        "i3d_r50": _resnet(POOLED, "i3d"),
        "slowfast_r50": _resnet(TWO_PATHWAYS, "slowfast", "77.0 top-1 (8×8)", slow_frames="spread"),
        "x3d_xs": _x3d(4, 12, 182),
        "x3d_s": _x3d(13, 6, 182),
        "x3d_m": _x3d(16, 5, 256, "76.2 top-1"),
        "mvit_v1_b": _mvit(),
        "mvit_v2_s": _mvit(),
    },
)
