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
    "bottleneck": ("channel_spatial.bottleneck", "BottleneckAttention"),
    "channel_affinity": ("channel_spatial.channel_affinity", "ChannelAffinity"),
    "convolutional_block_attention": ("channel_spatial.cbam", "ConvolutionalBlockAttention"),
    "coordinate": ("channel_spatial.coordinate", "CoordinateAttention"),
    "divided_space_time": ("spatiotemporal.divided", "DividedSpaceTime"),
    "dual_attention": ("channel_spatial.dual_attention", "DualAttention"),
    "efficient_channel": ("channel.efficient_channel", "EfficientChannelAttention"),
    "efficient_local": ("channel_spatial.efficient_local", "EfficientLocalAttention"),
    "factorised_attention_pooling": (
        "spatiotemporal.factorised_pooling",
        "FactorisedAttentionPooling",
    ),
    "global_attention": ("channel_spatial.global_attention", "GlobalAttention"),
    "joint_attention_pooling": ("spatiotemporal.joint_pooling", "JointAttentionPooling"),
    "non_local": ("spatial.non_local", "NonLocal"),
    "normalisation_based": ("channel_spatial.normalisation_based", "NormalisationBasedAttention"),
    "position_attention": ("channel_spatial.position_attention", "PositionAttention"),
    "relation_aware": ("channel_spatial.relation_aware", "RelationAwareAttention"),
    "self_attention": ("spatial.self_attention", "SelfAttention"),
    "self_calibrated_convolution": ("channel_spatial.self_calibrated", "SelfCalibratedConvolution"),
    "shuffle": ("channel_spatial.shuffle", "ShuffleAttention"),
    "simple_attention": ("channel_spatial.simam", "SimpleAttention"),
    "spatial_attention_pooling": ("spatial.attention_pooling", "SpatialAttentionPooling"),
    "spatial_channel_squeeze": ("channel_spatial.spatial_channel_squeeze", "SpatialChannelSqueeze"),
    "spatial_group_enhance": ("channel_spatial.group_enhance", "SpatialGroupEnhance"),
    "squeeze_excitation": ("channel.squeeze_excitation", "SqueezeExcitation"),
    "strip_pooling": ("channel_spatial.strip_pooling", "StripPooling"),
    "temporal_attention_pooling": ("temporal.attention_pooling", "TemporalAttentionPooling"),
    "triplet": ("channel_spatial.triplet", "TripletAttention"),
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
