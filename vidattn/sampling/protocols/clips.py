"""Protocols whose clips are short parts of the video: frames at one stride, clips over time."""

from __future__ import annotations

from dataclasses import replace

from vidattn.sampling import crops, views
from vidattn.sampling.protocols.evaluation_protocol import Protocol

_PYSLOWFAST = Protocol(
    name="pyslowfast-10x3",
    summary=(
        "10 clips that span frames · stride frames at 30 fps; clip i starts at room · i / 10, so "
        "none reaches the video's end; short videos repeat their last frame; 3 crops of 256 along "
        "the longer side; softmax averaged"
    ),
    source=(
        "PySlowFast: slowfast/datasets/decoder.py, datasets/kinetics.py, "
        "configs/Kinetics/SLOWFAST_8x8_R50.yaml (USE_OFFSET_SAMPLING is off by default)"
    ),
    figures=(
        "SlowFast-R50 8×8 (32 frames, stride 2): K400 top-1 77.0",
        "R(2+1)D-R50 16×4: K400 top-1 76.01",
        "X3D-M (16 frames, stride 5): K400 top-1 76.2",
    ),
    usual_clip=(32, 2),
    target_fps=30,
    views=10,
    crops=3,
    short_side=256,
    crop_size=256,
    aggregation="probabilities",
    sampler=views.pyslowfast_views,
    cropping=crops.pyslowfast_three_crops,
)

_PYSLOWFAST_OFFSET = replace(
    _PYSLOWFAST,
    name="pyslowfast-offset-10x3",
    summary=(
        "as pyslowfast-10x3, but clip i starts at i · ⌊room / 9⌋, a whole frame, so that the last "
        "one ends near the video's end; 3 crops of 224"
    ),
    source=(
        "PySlowFast: slowfast/datasets/decoder.py with DATA.USE_OFFSET_SAMPLING True, "
        "configs/masked_ssl/k400_VIT_B_16x4_FT.yaml"
    ),
    figures=(),
    usual_clip=(16, 4),
    short_side=224,
    crop_size=224,
    sampler=views.pyslowfast_offset_views,
)

_MVIT = replace(
    _PYSLOWFAST_OFFSET,
    name="mvit-5x1",
    summary=(
        "5 clips that span frames · stride frames at 30 fps, i · ⌊room / 4⌋ apart; shorter side "
        "256, the centre of 224; softmax averaged"
    ),
    source=(
        "PySlowFast: configs/Kinetics/MVITv2_S_16x4.yaml and MVIT_B_16x4_CONV.yaml "
        "(DATA.USE_OFFSET_SAMPLING True)"
    ),
    views=5,
    crops=1,
    short_side=256,
    cropping=crops.ceil_centre,
)

_MMACTION2 = replace(
    _PYSLOWFAST,
    name="mmaction2-10x3",
    summary=(
        "10 clips at the video's own frame rate, every stride-th frame, the first from the "
        "video's start, the last to its end, starts rounded, halves to even; short videos loop; "
        "3 crops of 256 along the longer side; softmax averaged"
    ),
    source=(
        "MMAction2: mmaction/datasets/transforms/loading.py::SampleFrames, "
        "configs/recognition/slowfast/slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb.py, "
        "average_clips='prob'"
    ),
    figures=(
        "R(2+1)D-34 32×2: K400 top-1 75.46",
        "SlowFast-R50 8×8 (32 frames, stride 2): K400 top-1 76.80",
    ),
    target_fps=None,
    sampler=views.mmaction2_views,
    cropping=crops.mmaction2_three_crops,
)

_MMACTION2_ALIGNED = replace(
    _MMACTION2,
    name="mmaction2-aligned-10x3",
    summary=(
        "as mmaction2-10x3, but clips span frames · stride frames at 30 fps and start "
        "i · ⌊room / 9⌋ apart: meant to be pyslowfast-offset-10x3, which it is but for rounding "
        "and for looping short videos"
    ),
    source=(
        "MMAction2: SampleFrames with target_fps=30, "
        "configs/recognition/x3d/x3d_m_16x5x1_facebook-kinetics400-rgb.py"
    ),
    figures=(),
    usual_clip=(16, 5),
    target_fps=30,
    sampler=views.mmaction2_aligned_views,
)

_MMACTION2_MVIT = replace(
    _MMACTION2,
    name="mmaction2-mvit-5x1",
    summary="as mmaction2-10x3, but 5 clips; shorter side 224, the centre of 224",
    source=(
        "MMAction2: configs/recognition/mvit/mvit-small-p244_32xb16-16x4x1-200e_kinetics400-rgb.py"
    ),
    figures=("MViTv2-S 16×4: K400 top-1 81.1",),
    usual_clip=(16, 4),
    views=5,
    crops=1,
    short_side=224,
    crop_size=224,
    cropping=crops.floor_centre,
)

_MMACTION2_SWIN = replace(
    _MMACTION2,
    name="mmaction2-swin-4x3",
    summary="as mmaction2-10x3, but 4 clips and crops of 224",
    source=(
        "MMAction2: configs/recognition/swin/"
        "swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb.py"
    ),
    figures=("Swin-T and Swin-B 32×2: K400 top-1 78.90 and 80.57",),
    views=4,
    short_side=224,
    crop_size=224,
)

_SWIN = replace(
    _MMACTION2_SWIN,
    name="swin-4x3",
    summary=(
        "4 clips at the video's own frame rate, every stride-th frame, starting in the middles of "
        "4 equal parts of what room there is; short videos loop; 3 crops of 224 along the longer "
        "side; softmax averaged"
    ),
    source=(
        "Video Swin Transformer: mmaction/datasets/pipelines/loading.py, "
        "configs/recognition/swin/swin_tiny_patch244_window877_kinetics400_1k.py"
    ),
    figures=(),
    sampler=views.swin_views,
)

_MMACTION2_VIDEOMAE = replace(
    _MMACTION2_SWIN,
    name="mmaction2-videomae-5x3",
    summary="as mmaction2-10x3, but 5 clips and crops of 224",
    source=(
        "MMAction2: configs/recognition/videomae/"
        "vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400.py"
    ),
    figures=("VideoMAE-B 16×4: K400 top-1 81.3",),
    usual_clip=(16, 4),
    views=5,
)

_VIDEOMAE = replace(
    _MMACTION2_VIDEOMAE,
    name="videomae-5x3",
    summary=(
        "every stride-th frame of the video, at its own rate; 5 clips from start to end of that "
        "list, starts rounded down; short lists repeat their last frame; 3 crops of 224 along the "
        "longer side; softmax averaged"
    ),
    source="VideoMAE: kinetics.py::VideoClsDataset (mode test), engine_for_finetuning.py::merge",
    figures=(),
    sampler=views.videomae_views,
    cropping=crops.videomae_three_crops,
)

_TIMESFORMER = replace(
    _PYSLOWFAST,
    name="timesformer-1x3",
    summary=(
        "one clip that spans frames · stride frames at 30 fps from the video's first frame on; "
        "short videos repeat their last frame; 3 crops of 224 along the longer side; logits "
        "averaged: the network has no softmax and the averaging adds none"
    ),
    source=(
        "TimeSformer: timesformer/datasets/decoder.py, models/vit.py, utils/meters.py, "
        "configs/Kinetics/TimeSformer_divST_8x32_224.yaml"
    ),
    figures=(),
    usual_clip=(8, 32),
    views=1,
    short_side=224,
    crop_size=224,
    aggregation="logits",
    sampler=views.timesformer_views,
)

_MMACTION2_TIMESFORMER = replace(
    _MMACTION2_SWIN,
    name="mmaction2-timesformer-1x3",
    summary=(
        "one clip at the video's own frame rate, every stride-th frame, in the video's middle; "
        "short videos loop; 3 crops of 224; softmax averaged"
    ),
    source=(
        "MMAction2: configs/recognition/timesformer/"
        "timesformer_spaceOnly_8xb8-8x32x1-15e_kinetics400-rgb.py, on which divST is based"
    ),
    figures=(),
    usual_clip=(8, 32),
    views=1,
)

_TORCHVISION = Protocol(
    name="torchvision-5",
    summary=(
        "the video resampled to 15 fps; 5 clips of 16 consecutive frames from its start to its "
        "end; videos that have fewer are left out; frames resized to 128 × 171 whatever their "
        "shape, the centre of 112; softmax averaged"
    ),
    source=(
        "torchvision: datasets/video_utils.py, datasets/samplers/clip_sampler.py, "
        "references/video_classification, models/video/resnet.py"
    ),
    figures=(
        "r3d_18: K400 top-1 63.2",
        "r2plus1d_18: K400 top-1 57.5 per clip, ten points less than averaged",
    ),
    frames=16,
    stride=1,
    usual_clip=(16, 1),
    target_fps=15,
    views=5,
    crops=1,
    short_side=128,
    resize_to=(128, 171),
    crop_size=112,
    aggregation="probabilities",
    sampler=views.torchvision_views,
    cropping=crops.even_centre,
)

_TORCHVISION_MVIT = replace(
    _TORCHVISION,
    name="torchvision-mvit-5",
    summary="as torchvision-5, but at 7.5 fps; shorter side 256, the centre of 224",
    source="torchvision: models/video/mvit.py",
    figures=("mvit_v2_s: K400 top-1 80.757",),
    target_fps=7.5,
    short_side=256,
    resize_to=None,
    crop_size=224,
)

_TORCHVISION_SWIN = replace(
    _TORCHVISION_MVIT,
    name="torchvision-swin-12",
    summary="as torchvision-5, but 12 clips of 32 frames; shorter side 256, the centre of 224",
    source="torchvision: models/video/swin_transformer.py",
    figures=("swin3d_t: K400 top-1 77.715",),
    frames=32,
    usual_clip=(32, 1),
    target_fps=15,
    views=12,
)

CLIP_PROTOCOLS = (
    _PYSLOWFAST,
    _PYSLOWFAST_OFFSET,
    _MMACTION2,
    _MMACTION2_ALIGNED,
    _MVIT,
    _MMACTION2_MVIT,
    _SWIN,
    _MMACTION2_SWIN,
    _VIDEOMAE,
    _MMACTION2_VIDEOMAE,
    _TIMESFORMER,
    _MMACTION2_TIMESFORMER,
    _TORCHVISION,
    _TORCHVISION_MVIT,
    _TORCHVISION_SWIN,
)
