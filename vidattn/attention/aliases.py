"""Other names of the mechanisms: papers, abbreviations, spellings; and names that are refused.

How a name is spelt does not matter: upper case, `_`, `-`, spaces, British or American, and an
ending that says nothing (`_attention`, `_block`, …) are all the same; see `find`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vidattn.errors import UnknownNameError
from vidattn.naming import choose

# Name for `build` -> what else people call it.
ALIASES: dict[str, tuple[str, ...]] = {
    "action_excitation": ("action", "action_net"),
    "adaptive_scan_pooling": ("adascan",),
    "adaptive_token": ("adaptive_tokens",),
    "attention_gate": ("ag", "attention_u_net"),
    "attention_gated_crf": ("ag_crf",),
    "attentive_probe": (
        "attentive_pooler",
        "multi_head_attention_pooling",
        "attention_pool_latent",
        "map_head",
    ),
    "attentive_temporal_pooling": ("atp",),
    "axial": ("axial_transformer",),
    "bottleneck": ("bam",),
    "bottom_up_attention_pooling": ("attentional_pooling", "rank_one_bilinear_pooling"),
    "channel_affinity": ("cam", "channel_attention_module", "danet_channel"),
    "conditional_convolution": ("condconv",),
    "context_encoding": ("encnet",),
    "convolutional_block_attention": ("cbam",),
    "convolutional_temporal_pooling": ("gao_nevatia",),
    "convolutional_token_learner": ("token_learner_v1",),
    "coordinate": ("ca", "coord"),
    "criss_cross": ("ccnet", "cca"),
    "deformable": ("dat",),
    "deformable_convolution": ("dcn", "dcn_v2", "deform_conv", "deformable_conv"),
    "dense_implicit": ("dia", "dianet"),
    "differential": ("differential_transformer", "diff_transformer", "diff"),
    "divided_space_time": ("timesformer", "divided"),
    "double_attention": ("a2", "a2_net", "a_square_net"),
    "dual_attention": ("danet", "dual"),
    "dynamic_convolution": ("dynamic_conv", "dyconv"),
    "dynamic_sparsification": ("dynamic_vit",),
    "effective_squeeze_excitation": ("ese", "effective_se", "vovnet_v2"),
    "efficient_attention": ("efficient",),
    "efficient_channel": ("eca", "ecanet"),
    "efficient_local": ("ela",),
    "expectation_maximisation": ("ema", "emanet", "em"),
    "external_attention": ("ea", "eanet", "external"),
    "factorised_dot_product": ("vivit_factorised_dot_product", "vivit_model_4"),
    "factorised_encoder": ("vivit", "vivit_factorised_encoder", "vivit_model_2"),
    "factorised_self_attention": ("vivit_factorised_self_attention", "vivit_model_3"),
    "frequency_channel": ("fca", "fcanet"),
    "gated_channel": ("gct", "gated_channel_transformation"),
    "gated_recurrent_pooling": ("sta_lstm",),
    "gated_self_attention": ("gated_attention",),
    "gather_excite": ("ge", "genet"),
    "gaussian_context": ("gaussian_gct", "gaussian_context_transformer"),
    "global_attention": ("gam",),
    "global_context": ("gc", "gcnet"),
    "global_local_temporal": ("gltr",),
    "gumbel_top_k": ("relaxed_top_k",),
    "interpretable_space_time_pooling": ("ista", "interpretable_spatiotemporal_attention"),
    "joint_attention_pooling": ("attention_pooling", "attention_pool"),
    "large_kernel": ("lka", "van"),
    "linear_attention": ("linear", "linear_transformer"),
    "linear_chain": ("linear_chain_crf", "segmentation_attention"),
    "linear_context": ("lct", "linear_context_transform"),
    "local_self_attention": ("sasa", "stand_alone_self_attention", "local"),
    "long_term_difference": ("ltdm",),
    "mean_field": ("crf", "crf_as_rnn", "crf_rnn", "mean_field_crf"),
    "motion_excitation": ("me",),
    "multi_scale_deformable": ("msda", "deformable_detr", "ms_deform_attn", "deform_attn"),
    "multi_view_fusion": ("mvf", "mvfnet"),
    "neighbourhood": ("na", "natten", "nat"),
    "non_local": ("nl", "nln", "non_local_network"),
    "normalisation_based": ("nam", "normalisation_based_attention_module"),
    "performer": ("favor",),
    "perturbed_top_k": ("differentiable_patch_selection", "differentiable_top_k"),
    "pointwise_spatial": ("psanet",),
    "pooling_attention": ("mvit", "mvit_v2", "multiscale"),
    "position_attention": ("pam", "position", "danet_position"),
    "position_sensitive_axial": ("axial_deeplab",),
    "recurrent_glimpse": ("ram", "glimpse", "recurrent_attention_model"),
    "recurrent_space_time_pooling": ("rstan",),
    "register_self_attention": ("register_tokens", "registers"),
    "relation_aware": ("rga", "relation_aware_global_attention"),
    "rotary_self_attention": ("rope", "rope_3d", "rotary"),
    "second_order_channel": ("gsop", "gsop_net", "gsop_channel"),
    "second_order_position": ("gsop_position",),
    "selective_kernel": ("sk", "sknet"),
    "self_attention": (
        "mha",
        "mhsa",
        "msa",
        "multi_head",
        "multi_head_self_attention",
        "joint_space_time",
        "vivit_model_1",
        "scaled_dot_product",
        "sdpa",
    ),
    "self_calibrated_convolution": ("scnet", "scconv", "self_calibrated"),
    "self_gating": ("feature_gating", "context_gating", "s3dg_gating"),
    "shifted_window": ("swin", "swin_3d", "video_swin", "swin_transformer", "window"),
    "shifted_window_v2": ("swin_v2", "cosine_window"),
    "short_term_difference": ("stdm",),
    "shuffle": ("sa_net",),
    "simple_attention": ("simam",),
    "sinkhorn_attention": ("sinkhorn", "sinkformer", "sinkhorn_transformer"),
    "space_time_mixing": ("x_vit",),
    "space_time_selection": ("stts",),
    "spatial_attention_pooling": ("region_attention_pooling",),
    "spatial_channel_squeeze": ("scse", "concurrent_squeeze_excitation"),
    "spatial_group_enhance": ("sge",),
    "spatial_transformer": ("stn", "spatial_transformer_network"),
    "split_attention": ("split", "resnest", "splat"),
    "squeeze_excitation": ("se", "senet", "squeeze_and_excitation", "squeeze_excite"),
    "straight_through_top_k": ("top_k",),
    "strip_pooling": ("spm",),
    "stripe_attention_pooling": ("sta", "sta_re_identification"),
    "style_recalibration": ("srm", "style_based_recalibration"),
    "temporal_adaptive": ("tam", "tanet"),
    "temporal_attention_pooling": ("abmil", "attention_mil"),
    "temporal_shift": ("tsm",),
    "temporal_squeeze_excitation": ("temporal_se",),
    "temporal_transformer": ("temporal_self_attention", "temporal_attention", "time_attention"),
    "token_fusion": ("token_fuser",),
    "token_learner": ("token_learner_v11",),
    "token_merging": ("tome",),
    "token_reorganisation": ("evit",),
    "trajectory": ("motionformer",),
    "uniformer_global": ("global_relation_aggregator", "mhra"),
}

# Names of more than one mechanism, or of more than there is -> what there is.
REFUSED = {
    "adavit": "of AdaViT there is its choice of tokens, 'adaptive_token', not of heads and blocks",
    "astpn": "of ASTPN there is its temporal pooling, 'attentive_temporal_pooling'",
    "ceca": "it is 'efficient_channel' with circular=True",
    "channel_attention": "many weigh channels; the most used are 'squeeze_excitation', "
    "'efficient_channel' and, with positions too, 'convolutional_block_attention'",
    "cse": "it is half of 'spatial_channel_squeeze', and as 'squeeze_excitation' with reduction=2",
    "sa": "it may be 'self_attention', or 'shuffle' (SA-Net)",
    "spatial_attention": "many weigh positions; the most used are 'convolutional_block_attention', "
    "with channels too, 'non_local', and 'self_attention' with scope='frame'",
    "spnet": "of SPNet there is its strip pooling module, 'strip_pooling'; not mixed pooling",
    "tdn": "of TDN there are both its modules, 'short_term_difference' and 'long_term_difference'",
    "tea": "of TEA there is its motion excitation, 'motion_excitation'; not its multiple "
    "temporal aggregation",
    "uniformer": "of UniFormer there is its global relation aggregator, 'uniformer_global'; its "
    "local one has no weights that depend on x",
}

_BRITISH = (("isation", "ization"), ("ised", "ized"), ("bour", "bor"))
_ENDINGS = re.compile(r"(attention|attn|att|module|block|layer)$")


def find(name: str, mechanisms: Iterable[str]) -> str:
    """The mechanism that a person means.

    Args:
        name: one of the mechanisms, one of their `ALIASES`, or either in another spelling.
        mechanisms: the names that there are.

    Raises:
        UnknownNameError: there is none; the message has close matches, or says what there is
            in its place.
    """
    mechanisms = list(mechanisms)
    if name in mechanisms:
        return name
    names = {alias: known for known in mechanisms for alias in (known, *ALIASES.get(known, ()))}
    if (found := _spelt_otherwise(name, names)) is not None:
        return names[found]
    if (found := _spelt_otherwise(name, REFUSED)) is not None:
        raise UnknownNameError(
            f"attention mechanism: {name!r} names no single one: {REFUSED[found]}"
        )
    return names[choose("attention mechanism", name, names)]


def spelling(name: str) -> str:
    """What all spellings of a name have in common."""
    key = re.sub(r"[\W_]", "", name.lower())
    for british, american in _BRITISH:
        key = key.replace(british, american)
    return key


def _spelt_otherwise(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is `name` in another spelling, with as few endings off as can be."""
    spelt = {spelling(known): known for known in names}
    key = spelling(name)
    while key and key not in spelt:
        shorter = _ENDINGS.sub("", key)
        if shorter == key:
            return None
        key = shorter
    return spelt.get(key)
