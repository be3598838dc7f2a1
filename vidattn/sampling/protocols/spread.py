"""Protocols whose frames are spread over the video: per-frame networks, Something-Something."""

from __future__ import annotations

from dataclasses import replace

from vidattn.sampling import crops, views
from vidattn.sampling.protocols.evaluation_protocol import Protocol

_TSN = Protocol(
    name="tsn-25x10",
    summary=(
        "25 single frames, the middles of 25 equal parts of the video; four corners and centre of "
        "224 with their mirror images; logits averaged over all 250"
    ),
    source=(
        "MMAction2: SampleFrames with clip_len=1, TenCrop, models/heads/tsn_head.py, configs/"
        "recognition/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.py"
    ),
    frames=1,
    stride=1,
    usual_clip=(1, 1),
    views=25,
    crops=10,
    short_side=256,
    crop_size=224,
    aggregation="logits",
    sampler=views.mmaction2_views,
    cropping=crops.quarter_ten_crops,
)

_TSN_CAFFE = replace(
    _TSN,
    name="tsn-caffe-25x10",
    summary=(
        "25 single frames, ⌊(N − 1) / 24⌋ apart from the first one on; frames resized to "
        "256 × 340 whatever their shape; four corners and centre of 224 with their mirror "
        "images; logits averaged over all 250"
    ),
    source="TSN, first version: tools/eval_net.py, pyActionRecog; Caffe: python/caffe/io.py",
    resize_to=(256, 340),
    sampler=views.tsn_views,
    cropping=crops.caffe_ten_crops,
)

_TSM = replace(
    _TSN,
    name="tsm-1x1",
    summary=(
        "one clip, the middle frames of equal parts of the video; shorter side 256, the centre of "
        "224; logits"
    ),
    source="TSM: ops/dataset.py, test_models.py with --test_crops=1",
    frames=None,
    usual_clip=(8, 1),
    views=1,
    crops=1,
    sampler=views.tsm_views,
    cropping=crops.even_centre,
)

_TSM_TWICE = replace(
    _TSM,
    name="tsm-twice-2x3",
    summary=(
        "two clips, the middle and the first frames of equal parts of the video; shorter side "
        "256, left, right and centre of 224; logits averaged"
    ),
    source="TSM: ops/dataset.py, test_models.py with --test_crops=3 --twice_sample",
    views=2,
    crops=3,
    cropping=crops.tsm_three_crops,
)

_TSM_DENSE = replace(
    _TSM_TWICE,
    name="tsm-dense-10",
    summary=(
        "10 windows of 64 frames from the video's start to its end, of each every (64 // T)-th "
        "frame; short videos loop; left, right and centre of 256; logits averaged"
    ),
    source="TSM: ops/dataset.py, test_models.py with --dense_sample --test_crops=3 --full_res",
    views=10,
    crop_size=256,
    sampler=views.tsm_dense_views,
)

_MMACTION2_DENSE = replace(
    _TSM_DENSE,
    name="mmaction2-dense",
    summary=(
        "the frames of tsm-dense-10, but four corners and centre of 224 with their mirror "
        "images, and softmax averaged"
    ),
    source=(
        "MMAction2: DenseSampleFrames, models/heads/tsm_head.py, configs/recognition/tsm/"
        "tsm_imagenet-pretrained-r50_8xb16-dense-1x1x8-50e_kinetics400-rgb.py"
    ),
    crops=10,
    crop_size=224,
    aggregation="probabilities",
    cropping=crops.quarter_ten_crops,
)

_MMACTION2_TSM = replace(
    _MMACTION2_DENSE,
    name="mmaction2-tsm-1x10",
    summary=(
        "the frames of tsm-1x1; four corners and centre of 224 with their mirror images; softmax "
        "averaged"
    ),
    source=(
        "MMAction2: configs/recognition/tsm/"
        "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py"
    ),
    views=1,
    sampler=views.tsm_views,
)

_MMACTION2_TSM_TWICE = replace(
    _MMACTION2_TSM,
    name="mmaction2-tsm-twice-2x3",
    summary="the frames of tsm-twice-2x3; 3 crops of 256 along the longer side; softmax averaged",
    source=(
        "MMAction2: configs/recognition/tsm/"
        "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py"
    ),
    views=2,
    crops=3,
    crop_size=256,
    cropping=crops.mmaction2_three_crops,
)

_SOMETHING = Protocol(
    name="ssv2-uniform-1x3",
    summary=(
        "one clip, the frame half-way between the rounded bounds of each of T equal parts of the "
        "video; 3 crops of 224 along the longer side; softmax averaged"
    ),
    source="PySlowFast: slowfast/datasets/ssv2.py, configs/SSv2/MVITv2_S_16x4.yaml",
    stride=1,
    usual_clip=(16, 1),
    views=1,
    crops=3,
    short_side=224,
    crop_size=224,
    aggregation="probabilities",
    sampler=views.something_views,
    cropping=crops.pyslowfast_three_crops,
)

_TIMESFORMER_SOMETHING = replace(
    _SOMETHING,
    name="timesformer-ssv2-1x3",
    summary="as ssv2-uniform-1x3, but logits averaged",
    source=(
        "TimeSformer: timesformer/datasets/ssv2.py, models/vit.py, "
        "configs/SSv2/TimeSformer_divST_8_224.yaml"
    ),
    usual_clip=(8, 1),
    aggregation="logits",
)

_MMACTION2_SOMETHING = replace(
    _SOMETHING,
    name="mmaction2-ssv2-1x3",
    summary=(
        "one clip, of each of T equal parts of the video the frame ⌊size / 2⌋ after its rounded "
        "start; 3 crops of 224 along the longer side; softmax averaged"
    ),
    source=(
        "MMAction2: UniformSample, "
        "configs/recognition/mvit/mvit-small-p244_k400-pre_16xb16-u16-100e_sthv2-rgb.py"
    ),
    sampler=views.mmaction2_spread_views,
    cropping=crops.mmaction2_three_crops,
)

_VIDEOMAE_SOMETHING = replace(
    _SOMETHING,
    name="videomae-ssv2-2x3",
    summary=(
        "the middle and the first frames of T equal parts of the video, in order, dealt out in "
        "turn to two clips; 3 crops of 224 along the longer side; softmax averaged"
    ),
    source="VideoMAE: ssv2.py::SSVideoClsDataset (mode test), engine_for_finetuning.py::merge",
    views=2,
    sampler=views.videomae_something_views,
    cropping=crops.videomae_three_crops,
)

SPREAD_PROTOCOLS = (
    _TSN,
    _TSN_CAFFE,
    _TSM,
    _TSM_TWICE,
    _TSM_DENSE,
    _MMACTION2_DENSE,
    _MMACTION2_TSM,
    _MMACTION2_TSM_TWICE,
    _SOMETHING,
    _TIMESFORMER_SOMETHING,
    _MMACTION2_SOMETHING,
    _VIDEOMAE_SOMETHING,
)
