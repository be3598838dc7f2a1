"""Which mechanisms there are, and how to make one by name."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any, Literal

from torch import nn

from vidattn.attention.aliases import find
from vidattn.attention.facts import Facts, describe, settings_of
from vidattn.attention.mechanism import Mechanism
from vidattn.attention.views import OverTime, PerFrame
from vidattn.errors import ArgumentError
from vidattn.naming import choose

Scope = Literal["clip", "frame", "time"]

# Name -> module inside this package, and class.
_BUILT_INS = {
    "action_excitation": ("temporal.action", "ActionExcitation"),
    "adaptive_scan_pooling": ("temporal.adaptive_scan", "AdaptiveScanPooling"),
    "adaptive_token": ("token.adaptive_token", "AdaptiveToken"),
    "attention_gate": ("spatial.attention_gate", "AttentionGate"),
    "attention_gated_crf": ("structured.attention_gated_crf", "AttentionGatedCrf"),
    "attentive_probe": ("spatiotemporal.attentive_probe", "AttentiveProbe"),
    "attentive_temporal_pooling": ("temporal.attentive_pooling", "AttentiveTemporalPooling"),
    "axial": ("spatial.axial", "AxialAttention"),
    "bottleneck": ("channel_spatial.bottleneck", "BottleneckAttention"),
    "bottleneck_transformer": ("spatial.bottleneck_transformer", "BottleneckTransformer"),
    "bottom_up_attention_pooling": ("spatiotemporal.bottom_up_pooling", "BottomUpAttentionPooling"),
    "channel_affinity": ("channel_spatial.channel_affinity", "ChannelAffinity"),
    "class_attention": ("spatial.class_attention", "ClassAttention"),
    "conditional_convolution": ("branch.conditional_convolution", "ConditionalConvolution"),
    "context_encoding": ("channel.context_encoding", "ContextEncoding"),
    "convolutional_block_attention": ("channel_spatial.cbam", "ConvolutionalBlockAttention"),
    "convolutional_temporal_pooling": (
        "temporal.convolutional_pooling",
        "ConvolutionalTemporalPooling",
    ),
    "convolutional_token_learner": (
        "token.convolutional_token_learner",
        "ConvolutionalTokenLearner",
    ),
    "coordinate": ("channel_spatial.coordinate", "CoordinateAttention"),
    "criss_cross": ("spatial.criss_cross", "CrissCross"),
    "cross_attention": ("spatial.cross_attention", "CrossAttention"),
    "deformable": ("spatial.deformable", "DeformableAttention"),
    "deformable_convolution": ("spatial.deformable_convolution", "DeformableConvolution"),
    "dense_implicit": ("channel.dense_implicit", "DenseImplicitAttention"),
    "differential": ("spatiotemporal.differential", "DifferentialAttention"),
    "divided_space_time": ("spatiotemporal.divided", "DividedSpaceTime"),
    "double_attention": ("spatial.double_attention", "DoubleAttention"),
    "dual_attention": ("channel_spatial.dual_attention", "DualAttention"),
    "dynamic_convolution": ("branch.dynamic_convolution", "DynamicConvolution"),
    "dynamic_sparsification": ("token.dynamic_sparsification", "DynamicSparsification"),
    "effective_squeeze_excitation": (
        "channel.effective_squeeze_excitation",
        "EffectiveSqueezeExcitation",
    ),
    "efficient_attention": ("spatial.efficient", "EfficientAttention"),
    "efficient_channel": ("channel.efficient_channel", "EfficientChannelAttention"),
    "efficient_local": ("channel_spatial.efficient_local", "EfficientLocalAttention"),
    "enhancement_interaction": ("temporal.enhancement_interaction", "EnhancementInteraction"),
    "expectation_maximisation": (
        "spatial.expectation_maximisation",
        "ExpectationMaximisationAttention",
    ),
    "external_attention": ("spatial.external_attention", "ExternalAttention"),
    "factorised_attention_pooling": (
        "spatiotemporal.factorised_pooling",
        "FactorisedAttentionPooling",
    ),
    "factorised_dot_product": ("spatiotemporal.factorised_dot_product", "FactorisedDotProduct"),
    "factorised_encoder": ("spatiotemporal.factorised_encoder", "FactorisedEncoder"),
    "factorised_self_attention": (
        "spatiotemporal.factorised_self_attention",
        "FactorisedSelfAttention",
    ),
    "frequency_channel": ("channel.frequency_channel", "FrequencyChannelAttention"),
    "gated_channel": ("channel.gated_channel", "GatedChannelTransformation"),
    "gated_recurrent_pooling": ("spatiotemporal.sta_lstm", "GatedRecurrentPooling"),
    "gated_self_attention": ("spatiotemporal.gated_self_attention", "GatedSelfAttention"),
    "gather_excite": ("spatial.gather_excite", "GatherExcite"),
    "gaussian_context": ("channel.gaussian_context", "GaussianContextTransformer"),
    "global_attention": ("channel_spatial.global_attention", "GlobalAttention"),
    "global_context": ("spatial.global_context", "GlobalContext"),
    "global_local_temporal": ("temporal.global_local", "GlobalLocalTemporal"),
    "gumbel_top_k": ("token.gumbel_top_k", "GumbelTopK"),
    "highway": ("branch.highway", "Highway"),
    "interpretable_space_time_pooling": (
        "spatiotemporal.interpretable",
        "InterpretableSpaceTimePooling",
    ),
    "joint_attention_pooling": ("spatiotemporal.joint_pooling", "JointAttentionPooling"),
    "large_kernel": ("spatial.large_kernel", "LargeKernelAttention"),
    "linear_attention": ("spatial.linear_attention", "LinearAttention"),
    "linear_chain": ("structured.linear_chain", "LinearChainAttention"),
    "linear_context": ("channel.linear_context", "LinearContextTransform"),
    "linformer": ("spatial.linformer", "Linformer"),
    "local_self_attention": ("spatial.local_self_attention", "LocalSelfAttention"),
    "long_term_difference": ("temporal.long_term_difference", "LongTermDifference"),
    "mean_field": ("structured.mean_field", "MeanFieldAttention"),
    "motion_excitation": ("temporal.motion_excitation", "MotionExcitation"),
    "multi_scale_deformable": (
        "spatial.multi_scale_deformable",
        "MultiScaleDeformableAttention",
    ),
    "multi_view_fusion": ("temporal.multi_view_fusion", "MultiViewFusion"),
    "neighbourhood": ("spatial.neighbourhood", "NeighbourhoodAttention"),
    "net_vlad": ("spatial.net_vlad", "NetVlad"),
    "non_local": ("spatial.non_local", "NonLocal"),
    "normalisation_based": ("channel_spatial.normalisation_based", "NormalisationBasedAttention"),
    "nystrom": ("spatial.nystrom", "NystromAttention"),
    "performer": ("spatial.performer", "Performer"),
    "perturbed_top_k": ("token.perturbed_top_k", "PerturbedTopK"),
    "pointwise_spatial": ("spatial.pointwise_spatial", "PointwiseSpatialAttention"),
    "polarized": ("channel_spatial.polarized", "PolarizedAttention"),
    "pooling_attention": ("spatiotemporal.pooling_attention", "PoolingAttention"),
    "position_attention": ("channel_spatial.position_attention", "PositionAttention"),
    "position_sensitive_axial": (
        "spatial.position_sensitive_axial",
        "PositionSensitiveAxialAttention",
    ),
    "recurrent_glimpse": ("spatial.recurrent_glimpse", "RecurrentGlimpse"),
    "recurrent_space_time_pooling": (
        "spatiotemporal.recurrent_attention",
        "RecurrentSpaceTimePooling",
    ),
    "register_self_attention": ("spatiotemporal.register_self_attention", "RegisterSelfAttention"),
    "relation_aware": ("channel_spatial.relation_aware", "RelationAwareAttention"),
    "residual_attention": ("channel_spatial.residual_attention", "ResidualAttention"),
    "rotary_self_attention": ("spatiotemporal.rotary_self_attention", "RotarySelfAttention"),
    "second_order_channel": ("channel.second_order_channel", "SecondOrderChannelAttention"),
    "second_order_position": ("channel.second_order_position", "SecondOrderPositionAttention"),
    "selective_kernel": ("branch.selective_kernel", "SelectiveKernel"),
    "self_attention": ("spatial.self_attention", "SelfAttention"),
    "self_calibrated_convolution": ("channel_spatial.self_calibrated", "SelfCalibratedConvolution"),
    "self_gating": ("channel.self_gating", "SelfGating"),
    "shifted_window": ("spatial.shifted_window", "ShiftedWindowAttention"),
    "shifted_window_v2": ("spatial.shifted_window_v2", "ShiftedWindowAttentionV2"),
    "short_term_difference": ("temporal.short_term_difference", "ShortTermDifference"),
    "shuffle": ("channel_spatial.shuffle", "ShuffleAttention"),
    "simple_attention": ("channel_spatial.simam", "SimpleAttention"),
    "sinkhorn_attention": ("structured.sinkhorn_attention", "SinkhornAttention"),
    "space_time_mixing": ("spatiotemporal.space_time_mixing", "SpaceTimeMixing"),
    "space_time_selection": ("token.space_time_selection", "SpaceTimeSelection"),
    "spatial_attention_pooling": ("spatial.attention_pooling", "SpatialAttentionPooling"),
    "spatial_channel_squeeze": ("channel_spatial.spatial_channel_squeeze", "SpatialChannelSqueeze"),
    "spatial_group_enhance": ("channel_spatial.group_enhance", "SpatialGroupEnhance"),
    "spatial_transformer": ("spatial.spatial_transformer", "SpatialTransformer"),
    "split_attention": ("branch.split_attention", "SplitAttention"),
    "squeeze_excitation": ("channel.squeeze_excitation", "SqueezeExcitation"),
    "straight_through_top_k": ("token.straight_through_top_k", "StraightThroughTopK"),
    "strip_pooling": ("channel_spatial.strip_pooling", "StripPooling"),
    "stripe_attention_pooling": ("spatiotemporal.stripe_pooling", "StripeAttentionPooling"),
    "style_recalibration": ("channel.style_recalibration", "StyleRecalibration"),
    "temporal_adaptive": ("temporal.adaptive", "TemporalAdaptive"),
    "temporal_attention_pooling": ("temporal.attention_pooling", "TemporalAttentionPooling"),
    "temporal_shift": ("temporal.shift", "TemporalShift"),
    "temporal_squeeze_excitation": (
        "temporal.squeeze_excitation",
        "TemporalSqueezeExcitation",
    ),
    "temporal_transformer": ("temporal.transformer", "TemporalTransformer"),
    "token_fusion": ("token.token_fusion", "TokenFusion"),
    "token_learner": ("token.token_learner", "TokenLearner"),
    "token_merging": ("token.token_merging", "TokenMerging"),
    "token_reorganisation": ("token.token_reorganisation", "TokenReorganisation"),
    "trajectory": ("spatiotemporal.trajectory", "TrajectoryAttention"),
    "triplet": ("channel_spatial.triplet", "TripletAttention"),
    "uniformer_global": ("spatiotemporal.uniformer", "UniformerGlobal"),
}


def catalogue() -> dict[str, Facts]:
    """Name -> facts of every mechanism that comes with the package."""
    return {name: describe(name, _load(name)) for name in sorted(_BUILT_INS)}


def facts(name: str) -> Facts:
    """The facts of one mechanism, by its name or an alias.

    Raises:
        UnknownNameError: there is no such name; the message has close matches.
    """
    chosen = find(name, _BUILT_INS)
    return describe(chosen, _load(chosen))


def build(
    mechanism: str | type[nn.Module],
    channels: int,
    *,
    spatial_dims: int = 3,
    scope: Scope = "clip",
    epsilon: float | None = None,
    **settings: Any,
) -> nn.Module:
    """Make a mechanism.

        build("squeeze_excitation", 64, reduction=8)
        build("cbam", 64, scope="frame")

    Args:
        mechanism: a name or alias from `catalogue`, or a class of your own whose constructor
            takes the channels first.
        channels: C.
        spatial_dims: number of position axes of x: 1 (T,), 2 (H, W) or 3 (T, H, W).
        scope: with three axes, "clip" lets the mechanism see them all; "frame" puts its 2-D
            form into `PerFrame`, "time" its 1-D form into `OverTime`.
        epsilon: what every LayerNorm in it adds to the variance, for weights whose authors have
            another number than its default (1e-6 in most vision transformers).
        settings: the mechanism's own.

    Raises:
        UnknownNameError: there is no such name or setting; the message has close matches.
        ArgumentError: it does not exist for this number of axes, a setting is out of range, or
            there is an epsilon and no LayerNorm.
    """
    if scope not in ("clip", "frame", "time"):
        raise ArgumentError(f"scope: expected 'clip', 'frame' or 'time', got {scope!r}")
    if scope != "clip" and spatial_dims != 3:
        raise ArgumentError(f"scope: {scope!r} needs spatial_dims=3, got {spatial_dims}")
    made_for = {"clip": spatial_dims, "frame": 2, "time": 1}[scope]
    made = _construct(_resolve(mechanism), channels, made_for, settings)
    if epsilon is not None:
        _set_epsilon(made, epsilon)
    if scope == "frame":
        return PerFrame(made)
    return OverTime(made) if scope == "time" else made


def _set_epsilon(made: nn.Module, epsilon: float) -> None:
    norms = [module for module in made.modules() if isinstance(module, nn.LayerNorm)]
    if not epsilon > 0:
        raise ArgumentError(f"epsilon: expected a number above 0, got {epsilon}")
    if not norms:
        raise ArgumentError(f"epsilon: {type(made).__name__} has no LayerNorm")
    for norm in norms:
        norm.eps = epsilon


def _construct(
    found: type[nn.Module], channels: int, spatial_dims: int, settings: dict[str, Any]
) -> nn.Module:
    ranks = getattr(found, "ranks", (1, 2, 3))
    if spatial_dims not in ranks:
        allowed = " or ".join(str(rank) for rank in ranks)
        raise ArgumentError(
            f"{found.__name__}: expected spatial_dims (or those of its scope) to be {allowed}, "
            f"got {spatial_dims}"
        )
    known = settings_of(found)
    for setting in settings:
        choose(f"setting of {found.__name__}", setting, known)
    # Where there is no convolution the same mechanism serves every number of axes.
    if "spatial_dims" in inspect.signature(found).parameters:
        settings = {"spatial_dims": spatial_dims, **settings}
    return found(channels, **settings)


def _resolve(mechanism: str | type[nn.Module]) -> type[nn.Module]:
    if not isinstance(mechanism, str):
        return mechanism
    return _load(find(mechanism, _BUILT_INS))


def _load(name: str) -> type[Mechanism]:
    module, class_name = _BUILT_INS[name]
    found: type[Mechanism] = getattr(import_module(f"vidattn.attention.{module}"), class_name)
    return found
