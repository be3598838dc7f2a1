from __future__ import annotations

from typing import Any

import torch

from vidattn.backbones.conversion.name_map import Conversion, Layout, NameMap, State
from vidattn.backbones.conversion.pytorchvideo import MVIT_BLOCKS, flatten_tokens
from vidattn.backbones.conversion.videomae import join_biases

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALVES = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
FAST_CHANNELS = 256


def _bottleneck(source: str, target: str, *, norm_b: str = "norm_b") -> list[tuple[str, str]]:
    r"""Rules of a bottleneck's parts; `target` may use \1 and \2 of `source`, no more."""
    rules = []
    for number, part in enumerate("abc", start=1):
        norm = norm_b if part == "b" else f"norm_{part}"
        rules += [
            (rf"{source}conv{number}\.conv\.weight", rf"{target}branch2.conv_{part}.weight"),
            (rf"{source}conv{number}\.bn\.(?P<kind>\w+)", rf"{target}branch2.{norm}.\g<kind>"),
        ]
    return [
        *rules,
        (rf"{source}downsample\.conv\.weight", rf"{target}branch1_conv.weight"),
        (rf"{source}downsample\.bn\.(?P<kind>\w+)", rf"{target}branch1_norm.\g<kind>"),
    ]


def _resnet3d() -> NameMap:
    """A network of one pathway."""
    rules = [
        (r"backbone\.conv1\.conv\.weight", "blocks.0.conv.weight"),
        (r"backbone\.conv1\.bn\.(\w+)", r"blocks.0.norm.\1"),
        (r"cls_head\.fc_cls\.(\w+)", r"blocks.5.proj.\1"),
        *_bottleneck(r"backbone\.layer(\d)\.(\d+)\.", r"blocks.\1.res_blocks.\2."),
    ]
    return NameMap(tuple(rules))


def _two_pathways() -> NameMap:
    rules = [
        (r"backbone\.slow_path\.conv1_lateral\.conv\.weight", _fusion(0)),
        (r"cls_head\.fc_cls\.(\w+)", r"blocks.6.proj.\1"),
    ]
    for number, path in enumerate(("slow_path", "fast_path")):
        stem = f"blocks.0.multipathway_blocks.{number}"
        rules += [
            (rf"backbone\.{path}\.conv1\.conv\.weight", f"{stem}.conv.weight"),
            (rf"backbone\.{path}\.conv1\.bn\.(\w+)", rf"{stem}.norm.\1"),
            *_bottleneck(
                rf"backbone\.{path}\.layer(\d)\.(\d+)\.",
                rf"blocks.\1.multipathway_blocks.{number}.res_blocks.\2.",
            ),
        ]
    rules += [
        (rf"backbone\.slow_path\.layer{layer}_lateral\.conv\.weight", _fusion(layer))
        for layer in (1, 2, 3)
    ]
    return NameMap(tuple(rules))


def _fusion(block: int) -> str:
    return f"blocks.{block}.multipathway_fusion.conv_fast_to_slow.weight"


def _image_resnet(convolution: str) -> NameMap:
    """torchvision's ResNet; `convolution` is the path of a block's first one's weight."""
    rules = [
        (r"backbone\.conv1\.conv\.weight", "conv1.weight"),
        (r"backbone\.conv1\.bn\.(\w+)", r"bn1.\1"),
        (r"cls_head\.fc_cls\.(\w+)", r"fc.\1"),
        (r"backbone\.(layer\d\.\d+)\.downsample\.conv\.weight", r"\1.downsample.0.weight"),
        (r"backbone\.(layer\d\.\d+)\.downsample\.bn\.(\w+)", r"\1.downsample.1.\2"),
        (rf"backbone\.(layer\d\.\d+)\.conv1\.{convolution}", r"\1.conv1.weight"),
        (r"backbone\.(layer\d\.\d+)\.conv([23])\.conv\.weight", r"\1.conv\2.weight"),
        (r"backbone\.(layer\d\.\d+)\.conv([123])\.bn\.(\w+)", r"\1.bn\2.\3"),
    ]
    return NameMap(tuple(rules))


def _split(source: str, target: str) -> list[tuple[str, str]]:
    """Rules of a split convolution and its norm."""
    return [
        (rf"{source}\.conv\.conv_s\.weight", rf"{target}.0.space.weight"),
        (rf"{source}\.conv\.bn_s\.(?P<kind>\w+)", rf"{target}.0.norm.\g<kind>"),
        (rf"{source}\.conv\.conv_t\.weight", rf"{target}.0.time.weight"),
        (rf"{source}\.bn\.(?P<kind>\w+)", rf"{target}.1.\g<kind>"),
    ]


def _r2plus1d() -> NameMap:
    block = r"backbone\.(layer\d\.\d+)\."
    rules = [
        *_split(r"backbone\.conv1", "stem"),
        *_split(rf"{block}conv1", r"\1.first"),
        *_split(rf"{block}conv2", r"\1.second"),
        *_split(rf"{block}downsample", r"\1.shortcut"),
        (r"cls_head\.fc_cls\.(\w+)", r"head.\1"),
    ]
    return NameMap(tuple(rules))


def _x3d() -> NameMap:
    target = r"blocks.\1.res_blocks.\2."
    source = r"backbone\.layer(\d)\.(\d+)\."
    rules = [
        (r"backbone\.conv1_s\.conv\.weight", "blocks.0.conv.conv_t.weight"),
        (r"backbone\.conv1_t\.conv\.weight", "blocks.0.conv.conv_xy.weight"),
        (r"backbone\.conv1_t\.bn\.(\w+)", r"blocks.0.norm.\1"),
        (rf"{source}se_module\.fc1\.(\w+)", rf"{target}branch2.norm_b.1.block.0.\3"),
        (rf"{source}se_module\.fc2\.(\w+)", rf"{target}branch2.norm_b.1.block.2.\3"),
        *_bottleneck(source, target, norm_b="norm_b.0"),
        (r"backbone\.conv5\.conv\.weight", "blocks.5.pool.pre_conv.weight"),
        (r"backbone\.conv5\.bn\.(\w+)", r"blocks.5.pool.pre_norm.\1"),
        (r"cls_head\.fc1\.weight", "blocks.5.pool.post_conv.weight"),
        (r"cls_head\.fc2\.(\w+)", r"blocks.5.proj.\1"),
    ]
    return NameMap(tuple(rules))


def _swin() -> NameMap:
    rules = [
        (r"backbone\.patch_embed\.(proj|norm)\.(\w+)", r"patch_embed.\1.\2"),
        (r"backbone\.norm3\.(\w+)", r"norm.\1"),
        (r"cls_head\.fc_cls\.(\w+)", r"head.\1"),
    ]
    for layer in range(4):
        block = rf"backbone\.layers\.{layer}\.blocks\.(\d+)\."
        target = rf"features.{2 * layer}.\1."
        rules += [
            (block + r"mlp\.fc1\.(\w+)", target + r"mlp.0.\2"),
            (block + r"mlp\.fc2\.(\w+)", target + r"mlp.3.\2"),
            (block + r"((?:norm[12]|attn)\..+)", target + r"\2"),
            (rf"backbone\.layers\.{layer}\.downsample\.(.+)", rf"features.{2 * layer + 1}.\1"),
        ]
    return NameMap(tuple(rules))


MVIT = NameMap(
    (
        *((rf"backbone\.{pattern}", target) for pattern, target in MVIT_BLOCKS),
        (r"backbone\.patch_embed\.projection\.(\w+)", r"conv_proj.\1"),
        (r"backbone\.cls_token", "pos_encoding.class_token"),
        (r"backbone\.norm3\.(\w+)", r"norm.\1"),
        (r"cls_head\.fc_cls\.(\w+)", r"head.1.\1"),
    )
)
VIT = NameMap(
    (
        (r"backbone\.patch_embed\.projection\.(\w+)", r"embedding.\1"),
        (r"backbone\.(blocks\.\d+\.norm[12]\.\w+)", r"\1"),
        (r"backbone\.(blocks\.\d+)\.attn\.qkv\.(\w+)", r"\1.attention.joint.\2"),
        (r"backbone\.(blocks\.\d+)\.attn\.proj\.(\w+)", r"\1.attention.project.\2"),
        (r"backbone\.(blocks\.\d+)\.mlp\.layers\.0\.0\.(\w+)", r"\1.perceptron.0.\2"),
        (r"backbone\.(blocks\.\d+)\.mlp\.layers\.1\.(\w+)", r"\1.perceptron.2.\2"),
        (r"backbone\.fc_norm\.(\w+)", r"norm.\1"),
        (r"cls_head\.fc_cls\.(\w+)", r"head.\1"),
    )
)


def slow_channels_first(state: State) -> State:
    """The head reads the fast pathway's channels first; here they come last."""
    found = dict(state)
    weight = found.get("cls_head.fc_cls.weight")
    if weight is not None and weight.ndim == 2:
        fast, slow = weight[:, :FAST_CHANNELS], weight[:, FAST_CHANNELS:]
        found["cls_head.fc_cls.weight"] = torch.cat([slow, fast], 1)
    return found


def widen_head(state: State) -> State:
    """X3D's first linear layer of the head as the 1×1×1 convolution that it is here."""
    found = dict(state)
    weight = found.get("cls_head.fc1.weight")
    if weight is not None and weight.ndim == 2:
        found["cls_head.fc1.weight"] = weight[:, :, None, None, None]
    return found


def _dense(frames: int, stride: int, short_side: int, crop_size: int) -> dict[str, Any]:
    clip = {"frames": frames, "frame_stride": stride}
    return {**IMAGENET, **clip, "short_side": short_side, "crop_size": crop_size}


_SEGMENTS = {**IMAGENET, "frames": 8, "sampling": "segments", "short_side": 256, "crop_size": 224}
_VIT_CLIP = _dense(16, 4, 224, 224)
_WHOLE = {"head_pooling": "whole"}


def _x3d_conversion(frames: int, stride: int, size: int) -> Conversion:
    return Conversion(
        _x3d(),
        settings={**_WHOLE, "shortcut_norm": True},
        clip={**_dense(frames, stride, size, size), **HALVES},
        protocol="mmaction2-10x3",
        prepare=widen_head,
    )


def _swin_conversion(figure: str = "") -> Conversion:
    return Conversion(
        _swin(), clip=_dense(32, 2, 224, 224), figure=figure, protocol="mmaction2-swin-4x3"
    )


def _vit(figure: str = "") -> Conversion:
    return Conversion(
        VIT, clip=_VIT_CLIP, figure=figure, protocol="mmaction2-videomae-5x3", prepare=join_biases
    )


LAYOUT = Layout(
    "mmaction2",
    "open-mmlab/mmaction2, version 1",
    (r"^backbone\.", r"^cls_head\."),
    {
        "slow_r50": Conversion(
            _resnet3d(),
            settings=_WHOLE,
            clip=_dense(8, 8, 256, 256),
            protocol="mmaction2-10x3",
        ),
        "slowfast_r50": Conversion(
            _two_pathways(),
            settings={**_WHOLE, "slow_frames": "strided", "fusion_norm": False},
            clip=_dense(32, 2, 256, 256),
            figure="76.80 top-1 (8×8)",
            protocol="mmaction2-10x3",
            prepare=slow_channels_first,
        ),
        "r2plus1d_34": Conversion(
            _r2plus1d(),
            clip=_dense(32, 2, 256, 256),
            figure="75.46 top-1 (32×2)",
            protocol="mmaction2-10x3",
        ),
        "resnet50_2d": Conversion(
            _image_resnet(r"conv\.weight"), clip=_SEGMENTS, protocol="tsn-25x10"
        ),
        "tsm_r50": Conversion(
            _image_resnet(r"conv\.net\.weight"), clip=_SEGMENTS, protocol="mmaction2-tsm-1x10"
        ),
        "x3d_s": _x3d_conversion(13, 6, 182),
        "x3d_m": _x3d_conversion(16, 5, 256),
        "swin3d_t": _swin_conversion("78.90 top-1"),
        "swin3d_s": _swin_conversion(),
        "swin3d_b": _swin_conversion("80.57 top-1"),
        "mvit_v2_s": Conversion(
            MVIT,
            clip=_dense(16, 4, 224, 224),
            figure="81.1 top-1",
            protocol="mmaction2-mvit-5x1",
            prepare=flatten_tokens,
        ),
        "videomae_s": _vit(),
        "videomae_b": _vit("81.3 top-1"),
        "videomae_l": _vit(),
    },
    refused={
        "c2d_r50": "the pool of its stem is not padded: it sees other places",
        "i3d_r50": "its stem and pool take every fourth frame and its 3×1×1 kernels lie elsewhere",
        "r2plus1d_18": "its network has 34 layers: convert it to r2plus1d_34",
        "r2plus1d_r50": "its network has 34 layers: convert it to r2plus1d_34",
        "csn_r101": "its networks have 50 or 152 layers",
    },
)
