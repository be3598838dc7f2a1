from __future__ import annotations

from importlib import import_module
from inspect import signature
from os import PathLike
from typing import TYPE_CHECKING, Any

from vidattn.naming import choose

if TYPE_CHECKING:
    from vidattn.backbones.backbone import Backbone


# name -> module of this package, and class or function in it; "variant" first: it serves several.
BUILT_IN = {
    "slim": ("slim", "Slim"),
    "r3d_18": ("video_resnet", "VideoResNet"),
    "mc3_18": ("video_resnet", "VideoResNet"),
    "r2plus1d_18": ("video_resnet", "VideoResNet"),
    "s3d": ("video_resnet", "S3D"),
    "slow_r50": ("pytorchvideo_networks", "VideoBlocks"),
    "c2d_r50": ("pytorchvideo_networks", "VideoBlocks"),
    "i3d_r50": ("pytorchvideo_networks", "VideoBlocks"),
    "r2plus1d_r50": ("pytorchvideo_networks", "VideoBlocks"),
    "csn_r101": ("pytorchvideo_networks", "VideoBlocks"),
    "x3d_xs": ("pytorchvideo_networks", "VideoBlocks"),
    "x3d_s": ("pytorchvideo_networks", "VideoBlocks"),
    "x3d_m": ("pytorchvideo_networks", "VideoBlocks"),
    "slowfast_r50": ("slowfast", "SlowFast"),
    "resnet18_2d": ("image_resnet", "ImageResNet"),
    "resnet34_2d": ("image_resnet", "ImageResNet"),
    "resnet50_2d": ("image_resnet", "ImageResNet"),
    "tsm_r50": ("image_resnet", "ImageResNet"),
    "efficientnet_lite0": ("efficientnet_lite", "efficientnet_lite0"),
    "r2plus1d_34": ("r2plus1d", "R2Plus1D"),
    "mvit_v1_b": ("mvit", "MViT"),
    "mvit_v2_s": ("mvit", "MViT"),
    "swin3d_t": ("swin", "Swin3D"),
    "swin3d_s": ("swin", "Swin3D"),
    "swin3d_b": ("swin", "Swin3D"),
    "videomae_s": ("video_transformer", "VideoTransformer"),
    "videomae_b": ("video_transformer", "VideoTransformer"),
    "videomae_l": ("video_transformer", "VideoTransformer"),
    "videomae_h": ("video_transformer", "VideoTransformer"),
}


# A name that begins so is an image network of the timm library, run on each frame.
TIMM = "timm:"


def names() -> list[str]:
    """The built-in backbones, but for those of the timm library. Imports no torch."""
    return list(BUILT_IN)


def build(name: str, *, weights: str | PathLike[str] | None = None, **settings: Any) -> Backbone:
    """Build a backbone by name.

    Args:
        name: one of `names()`; or "timm:" and the name of an image network of the timm library.
        weights: None for a random initialisation; "DEFAULT" or another name in
            `published_weights(name)`; a URL; or a file. Loaded strictly: see `load_weights`.
            Of timm's networks "DEFAULT" means timm's own; another tag is part of the name
            ("timm:resnet50.a1_in1k").
        settings: the backbone's own, such as `classes` (None: no head; else the source's head
            of that size) and `temporal_stride`.

    Raises:
        UnknownNameError: no such backbone or weights.
        ArgumentError: no such setting, or a wrong value.
        CheckpointError: the weights cannot be read, or do not fit.
        MissingLibraryError: the backbone or its weights need a library that is not installed.
    """
    if name.startswith(TIMM):
        module, class_name = "timm_networks", "timm_network"
    else:
        module, class_name = BUILT_IN[choose("backbone", name, BUILT_IN)]
    made = getattr(import_module(f"vidattn.backbones.{module}"), class_name)
    parameters = signature(made).parameters
    known = [parameter for parameter in parameters if parameter not in ("variant", "pretrained")]
    for setting in settings:
        choose(f"setting of backbone {name}", setting, known)
    if "pretrained" in parameters and weights == "DEFAULT":
        settings["pretrained"], weights = True, None
    backbone: Backbone = made(*([name] if "variant" in parameters else []), **settings)
    if weights is not None:
        from vidattn.backbones.pretrained import load_weights

        load_weights(backbone, weights)
    return backbone
