"""How many parameters each mechanism has for 64 channels, by default, with most axes that it takes.

`BY_FORMULA` counts the layers of each paper's formula by hand. `AS_FOUND` are those whose layers
are too many for that: their numbers were right when the mechanisms equalled their references, and
change with a layer's width only. `make docs` writes neither: who changes one does so knowingly.
"""

from __future__ import annotations

C = 64


def linear(inputs: int, outputs: int, *, bias: bool = True, taps: int = 1) -> int:
    """A linear map at each position, or a convolution of so many taps."""
    return inputs * outputs * taps + outputs * bias


NORM = 2 * C  # one scale and one shift a channel
ATTENTION = NORM + 4 * linear(C, C)  # LayerNorm, q, k, v and the output
SCORE = linear(C, 128) + 128  # w · tanh(V x + b), Ilse et al.

BY_FORMULA = {
    "adaptive_token": linear(C, 1),
    "attentive_temporal_pooling": C * C,
    "axial": 3 * ATTENTION,
    "bottleneck": (
        linear(C, 4) + 2 * 4 + linear(4, C)  # the channels' branch
        + linear(C, 4) + 2 * linear(4, 4, taps=27) + 3 * 2 * 4 + linear(4, 1)
    ),
    "bottom_up_attention_pooling": C,
    "channel_affinity": 1,
    "conditional_convolution": 4 * C * C * 27 + linear(C, 4),
    "convolutional_block_attention": linear(C, 4) + linear(4, C) + 2 * 343 + 2,
    "criss_cross": 2 * linear(C, C // 8) + linear(C, C) + 1,
    "dense_implicit": 2 * (linear(C, C // 4) + linear(C // 4, 4 * C)),
    "divided_space_time": 2 * ATTENTION,
    "effective_squeeze_excitation": linear(C, C),
    "efficient_attention": 4 * linear(C, C),
    "efficient_channel": 3,
    "external_attention": linear(C, C) + 2 * C * 64 + C * C + NORM,
    "factorised_attention_pooling": 2 * SCORE,
    "factorised_dot_product": ATTENTION,
    "factorised_self_attention": 2 * ATTENTION,
    "frequency_channel": 2 * C * (C // 16),
    "gated_channel": 3 * C,
    "gated_self_attention": ATTENTION + linear(C, C),
    "gaussian_context": 0,
    "global_attention": (
        linear(C, C // 4) + linear(C // 4, C)
        + linear(C, C // 4, taps=343) + 2 * C // 4 + linear(C // 4, C, taps=343) + NORM
    ),
    "global_context": C + linear(C, 4) + 2 * 4 + linear(4, C),
    "gumbel_top_k": SCORE,
    "highway": 2 * linear(C, C, taps=27),
    "joint_attention_pooling": SCORE,
    "linear_attention": ATTENTION,
    "linear_context": 2 * C,
    "neighbourhood": ATTENTION,
    "non_local": 3 * linear(C, C // 2) + linear(C // 2, C),
    "normalisation_based": NORM,
    "performer": ATTENTION,
    "perturbed_top_k": SCORE,
    "position_attention": 2 * linear(C, C // 8) + linear(C, C) + 1,
    "register_self_attention": ATTENTION + 4 * C,
    "rotary_self_attention": ATTENTION,
    "selective_kernel": 2 * (C * C * 27 + NORM) + C * 32 + 2 * 32 + 32 * 2 * C,
    "self_attention": ATTENTION,
    "self_calibrated_convolution": 4 * (32 * 32 * 27 + 2 * 32),
    "self_gating": linear(C, C),
    "shuffle": 6 * C // (2 * 32),
    "simple_attention": 0,
    "space_time_mixing": ATTENTION,
    "spatial_attention_pooling": SCORE,
    "spatial_channel_squeeze": linear(C, C // 2) + linear(C // 2, C) + linear(C, 1),
    "spatial_group_enhance": 2 * 64,
    "sinkhorn_attention": ATTENTION,
    "split_attention": (
        2 * C * (C // 2) * 27 + 2 * NORM + linear(C, 32) + 2 * 32 + linear(32, 2 * C)
    ),
    "squeeze_excitation": linear(C, 4) + linear(4, C),
    "straight_through_top_k": SCORE,
    "style_recalibration": 2 * C + NORM,
    "temporal_attention_pooling": SCORE,
    "temporal_shift": 3 * C,
    "temporal_transformer": ATTENTION + NORM + linear(C, 4 * C) + linear(4 * C, C),
    "token_learner": NORM + linear(C, 64) + linear(64, 8),
    "token_merging": 0,
    "adaptive_scan_pooling": linear(C, 32) + linear(32, 8) + linear(8, 1),
    "attention_gated_crf": linear(2 * C, C, taps=27) + linear(C, C, taps=27) + 5 * 2 * C,
    "coordinate": linear(C, 8) + 2 * 8 + 3 * linear(8, C),
    "dynamic_sparsification": (
        NORM + linear(C, C) + linear(C, 32) + linear(32, 16) + linear(16, 2)
    ),
    "linear_chain": SCORE + 2 * 2,
    "mean_field": SCORE + 8 * C + 2 + 2 + 2 * 2,
    "motion_excitation": C * 4 + 2 * 4 + 4 * 9 + 4 * C + NORM,
    "spatial_transformer": linear(C, 32) + linear(3 * 32, 3),
    "token_fusion": (
        NORM + linear(C, 64) + linear(64, 8)  # the learner
        + 3 * NORM + linear(8, 8) + linear(C, 64) + linear(64, 8)
    ),
    "token_reorganisation": NORM + linear(C, 2 * C) + C,
    "uniformer_global": C * 27 + C + ATTENTION,
    "triplet": 2 * 343 + 3 * 2 * 49 + 4 * 2,
}  # fmt: skip

AS_FOUND = {
    "action_excitation": 1_335,
    "attention_gate": 10_305,
    "attentive_probe": 45_888,
    "bottleneck_transformer": 16_848,
    "class_attention": 100_032,
    "context_encoding": 10_528,
    "convolutional_temporal_pooling": 17_409,
    "convolutional_token_learner": 19_136,
    "cross_attention": 16_896,
    "deformable": 23_080,
    "deformable_convolution": 52_507,
    "differential": 16_624,
    "double_attention": 4_208,
    "dual_attention": 111_254,
    "dynamic_convolution": 443_732,
    "efficient_local": 1_728,
    "enhancement_interaction": 1_808,
    "expectation_maximisation": 8_384,
    "factorised_encoder": 100_352,
    "gated_recurrent_pooling": 115_841,
    "gather_excite": 6_148,
    "global_local_temporal": 11_872,
    "interpretable_space_time_pooling": 318_513,
    "large_kernel": 34_240,
    "linformer": 117_120,
    "local_self_attention": 12_368,
    "long_term_difference": 988,
    "multi_scale_deformable": 20_800,
    "multi_view_fusion": 352,
    "net_vlad": 135_200,
    "nystrom": 16_768,
    "pointwise_spatial": 35_616,
    "polarized": 8_384,
    "pooling_attention": 40_576,
    "position_sensitive_axial": 32_352,
    "recurrent_glimpse": 476_612,
    "recurrent_space_time_pooling": 66_304,
    "relation_aware": 1_545_648,
    "residual_attention": 54_272,
    "second_order_channel": 37_504,
    "second_order_position": 37_504,
    "shifted_window": 37_048,
    "shifted_window_v2": 22_856,
    "short_term_difference": 147_584,
    "space_time_selection": 34_050,
    "strip_pooling": 41_408,
    "stripe_attention_pooling": 8_256,
    "temporal_adaptive": 4_336,
    "temporal_squeeze_excitation": 29,
    "trajectory": 29_248,
}

COUNTS = {**BY_FORMULA, **AS_FOUND}
