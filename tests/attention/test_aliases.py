from __future__ import annotations

import pytest

from vidattn.attention import build, catalogue
from vidattn.attention.aliases import ALIASES, REFUSED, find, spelling
from vidattn.attention.built_in import facts
from vidattn.errors import UnknownNameError

# What a person of the field types -> what is meant.
TYPED = {
    # papers and networks
    "SENet": "squeeze_excitation",
    "SKNet": "selective_kernel",
    "ECA-Net": "efficient_channel",
    "ecanet": "efficient_channel",
    "tanet": "temporal_adaptive",
    "swin3d": "shifted_window",
    "Swin Transformer": "shifted_window",
    "video_swin": "shifted_window",
    "SwinV2": "shifted_window_v2",
    "dynamic_vit": "dynamic_sparsification",
    "DynamicViT": "dynamic_sparsification",
    "vivit": "factorised_encoder",
    "vivit_factorized_encoder": "factorised_encoder",
    "GENet": "gather_excite",
    "gsop_net": "second_order_channel",
    "CCNet": "criss_cross",
    "A2-Net": "double_attention",
    "EANet": "external_attention",
    "MVFNet": "multi_view_fusion",
    "action_net": "action_excitation",
    "MViTv2": "pooling_attention",
    "ResNeSt": "split_attention",
    "X-ViT": "space_time_mixing",
    "attention_u_net": "attention_gate",
    "deformable_detr": "multi_scale_deformable",
    "spatial_transformer_network": "spatial_transformer",
    "TimeSformer": "divided_space_time",
    "sinkhorn_transformer": "sinkhorn_attention",
    # abbreviations
    "SE": "squeeze_excitation",
    "ca": "coordinate",
    "nl": "non_local",
    "mha": "self_attention",
    "msa": "self_attention",
    "MHSA": "self_attention",
    "sdpa": "self_attention",
    "dcn": "deformable_convolution",
    "DCNv2": "deformable_convolution",
    "ea": "external_attention",
    "crf": "mean_field",
    "van": "large_kernel",
    "me": "motion_excitation",
    "ltdm": "long_term_difference",
    "l-tdm": "long_term_difference",
    # the thing in words
    "window_attention": "shifted_window",
    "shifted_window_attention": "shifted_window",
    "axial_attention": "axial",
    "multihead_attention": "self_attention",
    "multi-head self-attention": "self_attention",
    "MultiheadAttention": "self_attention",
    "neighborhood_attention": "neighbourhood",
    "neighbourhood_attention": "neighbourhood",
    "deform_conv": "deformable_convolution",
    "deformable_attention": "deformable",
    "temporal_attention": "temporal_transformer",
    "linear": "linear_attention",
    "efficient": "efficient_attention",
    "trajectory_attention": "trajectory",
    "criss_cross_attention": "criss_cross",
    "squeeze_and_excitation": "squeeze_excitation",
    "split_attn": "split_attention",
    "large_kernel_attention": "large_kernel",
    "attention_pooling": "joint_attention_pooling",
    "triplet_attention": "triplet",
    "expectation_maximization": "expectation_maximisation",
    "token_reorganization": "token_reorganisation",
    "normalization_based": "normalisation_based",
    "factorized_self_attention": "factorised_self_attention",
    "divided_space_time_attention": "divided_space_time",
    "joint_space_time_attention": "self_attention",
    # how code spells classes
    "SELayer": "squeeze_excitation",
    "CBAMBlock": "convolutional_block_attention",
    "NonLocalBlock": "non_local",
    "coord_att": "coordinate",
    "simam_module": "simple_attention",
    "TokenLearner": "token_learner",
}


@pytest.mark.parametrize(("typed", "meant"), TYPED.items())
def test_a_name_of_the_field_finds_its_mechanism(typed, meant):
    assert facts(typed).name == meant


def test_any_spelling_builds_the_same():
    for name in ("neighbourhood", "Neighborhood-Attention", "NEIGHBORHOOD attn block"):
        assert type(build(name, 8)) is catalogue()["neighbourhood"].type


def test_all_names_differ_in_more_than_spelling():
    mechanisms = catalogue()
    names = [*mechanisms, *(alias for found in ALIASES.values() for alias in found), *REFUSED]
    assert len(names) == len({spelling(name) for name in names})
    assert set(ALIASES) <= set(mechanisms)


def test_a_name_wins_over_what_is_left_of_it_without_its_ending():
    assert find("global_attention", ["global", "global_attention"]) == "global_attention"
    assert find("Global Attention", ["global", "global_attention"]) == "global_attention"
    assert find("global_attention_block", ["global", "global_attention"]) == "global_attention"
    assert find("global_block", ["global", "global_attention"]) == "global"


@pytest.mark.parametrize(
    ("name", "there_is"),
    [
        ("tea", ["motion_excitation"]),
        ("TDN", ["short_term_difference", "long_term_difference"]),
        ("uniformer", ["uniformer_global"]),
        ("AdaViT", ["adaptive_token"]),
        ("astpn", ["attentive_temporal_pooling"]),
        ("spnet", ["strip_pooling"]),
        ("channel_attention", ["squeeze_excitation", "efficient_channel"]),
        ("Spatial-Attention", ["convolutional_block_attention", "non_local", "self_attention"]),
        ("sa", ["self_attention", "shuffle"]),
    ],
)
def test_a_name_of_more_than_there_is_says_what_there_is(name, there_is):
    with pytest.raises(UnknownNameError) as refusal:
        build(name, 16)
    message = str(refusal.value)
    assert message.startswith(f"attention mechanism: {name!r} names no single one: ")
    assert all(f"'{mechanism}'" in message for mechanism in there_is)
    assert set(there_is) <= set(catalogue())
    with pytest.raises(UnknownNameError):
        facts(name)


@pytest.mark.parametrize("name", ["attention", "_", "", "block", "non-lokal", "net"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UnknownNameError, match="unknown name"):
        facts(name)
