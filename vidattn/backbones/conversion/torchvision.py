from __future__ import annotations

from typing import Any

from vidattn.backbones.conversion.name_map import Conversion, Layout, NameMap

SAME = NameMap(((r"(.+)", r"\1"),))
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
KINETICS = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
HALVES = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}


def _at(frames: int, rate: float, short_side: int, crop_size: int, **norm: Any) -> dict[str, Any]:
    return {
        "frames": frames,
        "frames_per_second": rate,
        "short_side": short_side,
        "crop_size": crop_size,
        **norm,
    }


def _network(figure: str = "", *, protocol: str = "torchvision-5", **clip: Any) -> Conversion:
    return Conversion(SAME, clip=clip, figure=figure, protocol=protocol)


_SMALL = _at(16, 15, 128, 112, **KINETICS)
_SWIN = _at(32, 15, 256, 224, **IMAGENET) | {"protocol": "torchvision-swin-12"}
_MVIT = _at(16, 7.5, 256, 224, **HALVES) | {"protocol": "torchvision-mvit-5"}
_IMAGES = _at(8, 15, 256, 224, **IMAGENET) | {"protocol": "tsn-25x10"}

LAYOUT = Layout(
    "torchvision",
    "torchvision.models.video: names as they are",
    (
        r"^(stem\.|features\.|conv_proj\.|conv1\.weight$)",
        r"^(fc|classifier\.1|head(\.1)?)\.weight$",
    ),
    {
        "r3d_18": _network("63.2 top-1 per video", **_SMALL),
        "mc3_18": _network(**_SMALL),
        "r2plus1d_18": _network("57.5 top-1 per clip", **_SMALL),
        # Of no protocol of torchvision's: these have fewer frames, or other sizes.
        "s3d": _network(protocol="mvit-5x1", **_at(128, 15, 256, 224, **KINETICS)),
        "mvit_v1_b": _network(**_MVIT),
        "mvit_v2_s": _network("80.757 top-1 per video", **_MVIT),
        "swin3d_t": _network("77.715 top-1 per video", **_SWIN),
        "swin3d_s": _network(**_SWIN),
        "swin3d_b": _network(**_SWIN),
        "resnet18_2d": _network(**_IMAGES),
        "resnet34_2d": _network(**_IMAGES),
        "resnet50_2d": _network(**_IMAGES),
    },
)
