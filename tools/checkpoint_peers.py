"""Other projects' own networks, built from a checkout of each, for `compare_checkpoints.py`.

Their packages import much that recognition does not need; that is stood in for by empty modules.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

CLASSES = 5


@dataclass(frozen=True)
class Peer:
    """One network of another project.

    Attributes:
        backbone: our name of it.
        layout: ours, for its names.
        network: in evaluation mode.
        clip: shape (T, H, W) of what it is run on.
        run: network, clip (1, 3, T, H, W) -> logits or probabilities (1, classes).
        head: network, features -> likewise, with the windows it has at full size; or None.
        features: shapes (C, T', H', W') of what the head takes, one for each pathway.
        probabilities: whether it ends in a softmax.
        settings: of our backbone beyond those of the map, for clips smaller than in training.
    """

    backbone: str
    layout: str
    network: nn.Module
    clip: tuple[int, int, int]
    run: Callable[[Any, Tensor], Tensor]
    head: Callable[[Any, list[Tensor]], Tensor] | None = None
    features: tuple[tuple[int, ...], ...] = ()
    probabilities: bool = False
    settings: dict[str, Any] | None = None


class Empty(ModuleType):
    """A module that has every name, and nothing behind it."""

    __path__: ClassVar[list[str]] = []
    __all__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _stand_in(*names: str) -> None:
    for name in names:
        sys.modules.setdefault(name, Empty(name))


def pyslowfast(checkout: Path) -> Iterator[Peer]:
    """Networks of facebookresearch/SlowFast, by its configurations."""
    sys.path.insert(0, str(checkout))
    sys.modules.setdefault("simplejson", json)
    parts = ("contrastive", "losses", "ptv_model_builder", "masked")
    _stand_in(*(f"slowfast.models.{part}" for part in parts))
    _stand_in("detectron2", "detectron2.layers", "fairscale")
    import pytorchvideo.layers.distributed as distributed

    for name in ("cat_all_gather", "get_local_process_group", "get_local_rank", "get_local_size",
                 "get_world_size", "init_distributed_training"):  # fmt: skip
        if not hasattr(distributed, name):
            setattr(distributed, name, None)
    from slowfast.config.defaults import get_cfg
    from slowfast.models import MODEL_REGISTRY

    for file, backbone in (
        ("SLOW_8x8_R50", "slow_r50"), ("C2D_8x8_R50", "c2d_r50"), ("I3D_8x8_R50", "i3d_r50"),
        ("SLOWFAST_8x8_R50", "slowfast_r50"), ("X3D_XS", "x3d_xs"), ("X3D_S", "x3d_s"),
        ("X3D_M", "x3d_m"), ("MVIT_B_16x4_CONV", "mvit_v1_b"), ("MVITv2_S_16x4", "mvit_v2_s"),
    ):  # fmt: skip
        cfg = get_cfg()
        cfg.merge_from_file(str(checkout / "configs" / "Kinetics" / f"{file}.yaml"))
        cfg.NUM_GPUS, cfg.MODEL.NUM_CLASSES = 0, CLASSES
        small = file.startswith(("X3D", "S", "C", "I"))
        if small:  # the head's pooling window, and nothing that has weights
            cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = 64
        network = MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)(cfg).eval()
        yield _pyslowfast_peer(backbone, network, cfg.DATA.NUM_FRAMES)


def _pyslowfast_peer(backbone: str, network: Any, frames: int) -> Peer:
    if backbone.startswith("mvit"):
        network.T, network.H, network.W = 4, 16, 16  # it refuses clips of other sizes than these
        return Peer(backbone, "pyslowfast", network, (8, 64, 64), lambda net, clip: net([clip]),
                    probabilities=True)  # fmt: skip
    if backbone == "slowfast_r50":
        spread = torch.linspace(0, frames - 1, frames // 4).long()

        def run(net: Any, clip: Tensor) -> Tensor:
            return net([clip[:, :, spread], clip])

        features = ((2048, 8, 8, 8), (256, 32, 8, 8))
    else:

        def run(net: Any, clip: Tensor) -> Tensor:
            return net([clip])

        steps = frames // 2 if backbone in ("c2d_r50", "i3d_r50") else frames
        features = ((192 if "x3d" in backbone else 2048, steps, 8, 8),)

    def head(net: Any, pathways: list[Tensor]) -> Tensor:
        # As at full size: crops of 224 (X3D-XS and X3D-S 160) in training, 256 in testing.
        side = 5 if backbone in ("x3d_xs", "x3d_s") else 7
        for number, pathway in enumerate(pathways):
            pool = nn.AvgPool3d((pathway.shape[2], side, side), stride=1)
            name = "avg_pool" if "x3d" in backbone else f"pathway{number}_avgpool"
            setattr(net.head, name, pool)
        return net.head(pathways)

    return Peer(
        backbone, "pyslowfast", network, (frames, 64, 64), run, head, features, probabilities=True
    )


def mmaction2(checkout: Path) -> Iterator[Peer]:
    """Networks of open-mmlab/mmaction2, by its configurations."""
    sys.path.insert(0, str(checkout))
    sys.modules.setdefault("importlib_metadata", metadata)
    import mmcv

    mmcv.__version__ = "2.1.0"  # it asks for an older one, whose layers are the same
    parts = ("multimodal", "localizers", "task_modules", "roi_heads", "similarity")
    _stand_in(*(f"mmaction.models.{part}" for part in parts))
    import mmaction.models  # noqa: F401
    from mmaction.registry import MODELS
    from mmengine import Config
    from mmengine.registry import init_default_scope

    init_default_scope("mmaction")
    for file, backbone, clip in (
        ("slowonly/slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb", "slow_r50", (8, 64, 64)),
        ("slowfast/slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb", "slowfast_r50", (32, 64, 64)),
        ("r2plus1d/r2plus1d_r34_8xb8-32x2x1-180e_kinetics400-rgb", "r2plus1d_34", (16, 64, 64)),
        ("tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x8-100e_kinetics400-rgb", "resnet50_2d",
         (8, 64, 64)),
        ("tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb", "tsm_r50",
         (8, 64, 64)),
        ("x3d/x3d_s_13x6x1_facebook-kinetics400-rgb", "x3d_s", (13, 64, 64)),
        ("x3d/x3d_m_16x5x1_facebook-kinetics400-rgb", "x3d_m", (16, 64, 64)),
        ("swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb", "swin3d_t",
         (20, 64, 64)),
        ("mvit/mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb", "mvit_v2_s", (8, 64, 64)),
        ("videomae/vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400", "videomae_s",
         (8, 64, 64)),
    ):  # fmt: skip
        model = Config.fromfile(checkout / "configs" / "recognition" / f"{file}.py").model
        _strip(model, backbone)
        network = MODELS.build(model).eval()
        settings = {"frames": 8, "size": 64} if backbone == "videomae_s" else None
        yield _mmaction2_peer(backbone, network, clip, settings)


def _strip(model: Any, backbone: str) -> None:
    """No pretrained weights, few classes; and the small transformer, on small clips."""
    model.pop("init_cfg", None)
    model.data_preprocessor = {"type": "ActionDataPreprocessor", "format_shape": "NCTHW"}
    model.cls_head.num_classes = CLASSES
    for part in (model.backbone, *(model.backbone.get(f"{n}_pathway") for n in ("slow", "fast"))):
        if part is not None:
            part.pop("pretrained", None)
            if part.get("pretrained2d"):
                part.pretrained2d = False
            if part.get("norm_cfg", {}).get("type") == "SyncBN":  # the same, on many machines
                part.norm_cfg.type = "BN3d"
    if backbone == "videomae_s":
        model.backbone.update(embed_dims=384, num_heads=6, img_size=64, num_frames=8)
        model.cls_head.in_channels = 384


def _mmaction2_peer(
    backbone: str, network: Any, clip: tuple[int, int, int], settings: dict[str, Any] | None
) -> Peer:
    def run(net: Any, pixels: Tensor) -> Tensor:
        if backbone in ("resnet50_2d", "tsm_r50"):
            frames = pixels[0].transpose(0, 1)
            return net.cls_head(net.backbone(frames), num_segs=len(frames))
        return net.cls_head(net.backbone(pixels))

    def head(net: Any, pathways: list[Tensor]) -> Tensor:
        if backbone in ("x3d_s", "x3d_m"):
            return net.cls_head(net.backbone.conv5(pathways[0]))
        return net.cls_head(pathways[0] if len(pathways) == 1 else pathways)

    features: tuple[tuple[int, ...], ...] = {
        "slow_r50": ((2048, 8, 8, 8),),
        "slowfast_r50": ((2048, 8, 8, 8), (256, 32, 8, 8)),
        "x3d_s": ((192, 13, 8, 8),), "x3d_m": ((192, 16, 8, 8),),
    }.get(backbone, ())  # fmt: skip
    return Peer(backbone, "mmaction2", network, clip, run, head if features else None, features,
                settings=settings)  # fmt: skip


def videomae(checkout: Path) -> Iterator[Peer]:
    """The small network of MCG-NJU/VideoMAE, on small clips."""
    sys.path.insert(0, str(checkout))
    import timm.layers
    import timm.models

    sys.modules.setdefault("timm.models.layers", timm.layers)
    registry = Empty("timm.models.registry")
    registry.register_model = lambda function: function
    sys.modules["timm.models.registry"] = registry
    from modeling_finetune import vit_small_patch16_224

    network = vit_small_patch16_224(num_classes=CLASSES, img_size=64, all_frames=8).eval()
    yield Peer("videomae_s", "videomae", network, (8, 64, 64), lambda net, clip: net(clip),
               settings={"frames": 8, "size": 64})  # fmt: skip


def huggingface(checkout: Path) -> Iterator[Peer]:
    """VideoMAE of the installed transformers, small, on small clips; needs no checkout."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig(
        image_size=64, num_frames=8, hidden_size=384, num_attention_heads=6, num_hidden_layers=12,
        intermediate_size=1536, num_labels=CLASSES,
    )  # fmt: skip
    network = VideoMAEForVideoClassification(config).eval()
    yield Peer("videomae_s", "huggingface", network, (8, 64, 64),
               lambda net, clip: net(clip.transpose(1, 2)).logits,
               settings={"frames": 8, "size": 64})  # fmt: skip


def pytorchvideo(checkout: Path) -> Iterator[Peer]:
    """MViT of the installed pytorchvideo, whose names differ from ours; needs no checkout."""
    from pytorchvideo.models import hub

    network = hub.mvit_base_16x4(head_num_classes=CLASSES).eval()
    yield Peer("mvit_v1_b", "pytorchvideo", network, (16, 224, 224), lambda net, clip: net(clip))


PEERS = {
    "pytorchvideo": pytorchvideo,
    "pyslowfast": pyslowfast,
    "mmaction2": mmaction2,
    "videomae": videomae,
    "huggingface": huggingface,
}
