"""Which mechanisms there are, and how to make one by name."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from torch import nn

from vidattn.attention.mechanism import Kind, Mechanism
from vidattn.attention.observe import MapKind
from vidattn.attention.views import OverTime, PerFrame
from vidattn.errors import ArgumentError
from vidattn.naming import choose

Scope = Literal["clip", "frame", "time"]

# Name -> module inside this package, and class.
_BUILT_INS = {
    "attention_gate": ("spatial.attention_gate", "AttentionGate"),
    "attentive_probe": ("spatiotemporal.attentive_probe", "AttentiveProbe"),
    "bottom_up_attention_pooling": ("spatiotemporal.bottom_up_pooling", "BottomUpAttentionPooling"),
    "convolutional_block_attention": ("channel_spatial.cbam", "ConvolutionalBlockAttention"),
    "differential": ("spatiotemporal.differential", "DifferentialAttention"),
    "divided_space_time": ("spatiotemporal.divided", "DividedSpaceTime"),
    "efficient_channel": ("channel.efficient_channel", "EfficientChannelAttention"),
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
    "gated_recurrent_pooling": ("spatiotemporal.sta_lstm", "GatedRecurrentPooling"),
    "gated_self_attention": ("spatiotemporal.gated_self_attention", "GatedSelfAttention"),
    "interpretable_space_time_pooling": (
        "spatiotemporal.interpretable",
        "InterpretableSpaceTimePooling",
    ),
    "joint_attention_pooling": ("spatiotemporal.joint_pooling", "JointAttentionPooling"),
    "non_local": ("spatial.non_local", "NonLocal"),
    "recurrent_space_time_pooling": (
        "spatiotemporal.recurrent_attention",
        "RecurrentSpaceTimePooling",
    ),
    "register_self_attention": ("spatiotemporal.register_self_attention", "RegisterSelfAttention"),
    "rotary_self_attention": ("spatiotemporal.rotary_self_attention", "RotarySelfAttention"),
    "self_attention": ("spatial.self_attention", "SelfAttention"),
    "space_time_mixing": ("spatiotemporal.space_time_mixing", "SpaceTimeMixing"),
    "spatial_attention_pooling": ("spatial.attention_pooling", "SpatialAttentionPooling"),
    "squeeze_excitation": ("channel.squeeze_excitation", "SqueezeExcitation"),
    "stripe_attention_pooling": ("spatiotemporal.stripe_pooling", "StripeAttentionPooling"),
    "temporal_attention_pooling": ("temporal.attention_pooling", "TemporalAttentionPooling"),
    "trajectory": ("spatiotemporal.trajectory", "TrajectoryAttention"),
    "uniformer_global": ("spatiotemporal.uniformer", "UniformerGlobal"),
}


@dataclass(frozen=True)
class Facts:
    """What is known of one mechanism without building it.

    Attributes:
        name: for `build`.
        type: its class.
        family, kind, source, aliases, ranks, map_kind, map_meaning, context_meaning: see
            `Mechanism`.
        summary: the first line of its documentation.
        settings: its constructor's settings -> default.
    """

    name: str
    type: type[Mechanism]
    family: str
    kind: Kind
    source: str
    aliases: tuple[str, ...]
    ranks: tuple[int, ...]
    map_kind: MapKind
    map_meaning: str
    context_meaning: str | None
    summary: str
    settings: dict[str, Any]


def catalogue() -> dict[str, Facts]:
    """Name -> facts of every mechanism that comes with the package."""
    return {name: _facts(name, _load(name)) for name in sorted(_BUILT_INS)}


def build(
    mechanism: str | type[nn.Module],
    channels: int,
    *,
    spatial_dims: int = 3,
    scope: Scope = "clip",
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
        settings: the mechanism's own.

    Raises:
        UnknownNameError: there is no such name or setting; the message has close matches.
        ArgumentError: it does not exist for this number of axes, or a setting is out of range.
    """
    if scope not in ("clip", "frame", "time"):
        raise ArgumentError(f"scope: expected 'clip', 'frame' or 'time', got {scope!r}")
    if scope != "clip" and spatial_dims != 3:
        raise ArgumentError(f"scope: {scope!r} needs spatial_dims=3, got {spatial_dims}")
    made_for = {"clip": spatial_dims, "frame": 2, "time": 1}[scope]
    made = _construct(_resolve(mechanism), channels, made_for, settings)
    if scope == "frame":
        return PerFrame(made)
    return OverTime(made) if scope == "time" else made


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
    known = _settings(found)
    for setting in settings:
        choose(f"setting of {found.__name__}", setting, known)
    # Where there is no convolution the same mechanism serves every number of axes.
    if "spatial_dims" in inspect.signature(found).parameters:
        settings = {"spatial_dims": spatial_dims, **settings}
    return found(channels, **settings)


def _resolve(mechanism: str | type[nn.Module]) -> type[nn.Module]:
    if not isinstance(mechanism, str):
        return mechanism
    if mechanism in _BUILT_INS:
        return _load(mechanism)
    names = {alias: name for name in _BUILT_INS for alias in _load(name).aliases}
    chosen = choose("attention mechanism", mechanism, [*_BUILT_INS, *names])
    return _load(names.get(chosen, chosen))


def _load(name: str) -> type[Mechanism]:
    module, class_name = _BUILT_INS[name]
    found: type[Mechanism] = getattr(import_module(f"vidattn.attention.{module}"), class_name)
    return found


def _facts(name: str, found: type[Mechanism]) -> Facts:
    return Facts(
        name=name,
        type=found,
        family=found.family,
        kind=found.kind,
        source=found.source,
        aliases=found.aliases,
        ranks=found.ranks,
        map_kind=found.map_kind,
        map_meaning=found.map_meaning,
        context_meaning=found.context_meaning,
        summary=(found.__doc__ or "").strip().partition("\n")[0],
        settings=_settings(found),
    )


def _settings(found: type[nn.Module]) -> dict[str, Any]:
    """Keyword arguments of the constructor, except the number of axes."""
    _, *parameters = inspect.signature(found).parameters.values()
    return {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.name != "spatial_dims"
    }
