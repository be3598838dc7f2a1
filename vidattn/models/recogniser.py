from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from inspect import signature
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vidattn import attention, backbones
from vidattn.backbones import Backbone, Stage
from vidattn.errors import ArgumentError
from vidattn.models.locate import Locator
from vidattn.models.pooling import POOLINGS
from vidattn.models.source_head import source_evidence
from vidattn.models.spec import SOURCE, InsertionSpec, RecogniserSpec
from vidattn.naming import choose


class Recognition(NamedTuple):
    """What a recogniser says of a batch of clips.

    Attributes:
        logits: (N, classes).
        frame_scores: (N, T'), unnormalised: comparable between windows of a long video.
        frame_weights: (N, T'), summing to 1 over time.
        region_weights: (N, T', H', W'), summing to 1 within each frame.
        position_logits: (N, classes, T', H', W'), what the head says of each position by itself,
            the lowest finite number at padding; None unless asked for. Without dropout, the
            logits are their mean, weighted as the positions are.
    """

    logits: Tensor
    frame_scores: Tensor
    frame_weights: Tensor
    region_weights: Tensor
    position_logits: Tensor | None = None


class Recogniser(nn.Module):
    """Backbone, inserted attention, pooling attention and a linear head.

    With pooling "source" the backbone's own pooling and head stand for the last two, and the
    logits are the source network's; see `source_evidence` for what scores and weights are then.

    Args:
        spec: what to build.
        weights: pretrained weights of the backbone, loaded before attention is inserted; see
            `vidattn.backbones.build`.
        allow: dotted paths of classes that the spec may name; anything else that is not
            built in is refused, because importing it runs its code.
    """

    def __init__(
        self, spec: RecogniserSpec, *, weights: str | None = None, allow: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = _build_backbone(spec, weights, allow)
        self.inserted = [_insert(self.backbone, each) for each in spec.attention]
        names = {stage.name: stage for stage in self.backbone.stages}
        self.stage: Stage = (
            self.backbone.stages[-1]
            if spec.stage is None
            else names[choose("stage", spec.stage, names)]
        )
        if choose("pooling", spec.pooling, [*POOLINGS, SOURCE]) == SOURCE:
            self.head: nn.Linear | None = None
            return
        pooling = POOLINGS[spec.pooling]
        known = list(signature(pooling).parameters)[1:]
        for setting in spec.pooling_settings:
            if not known:
                raise ArgumentError(
                    f"pooling_settings: {spec.pooling} pooling has none, got {setting!r}"
                )
            choose(f"setting of {spec.pooling} pooling", setting, known)
        self.pooling = pooling(self.stage.channels, **spec.pooling_settings)
        self.dropout = nn.Dropout(spec.dropout)
        self.head = nn.Linear(self.stage.channels, len(spec.classes))

    @property
    def per_frame(self) -> bool:
        """Whether features of a frame depend on that frame alone; only pooling sees several."""
        scopes = {insertion.scope for insertion in self.spec.attention}
        return not self.backbone.mixes_frames and scopes <= {"frame"}

    def forward(
        self, clip: Tensor, valid: Tensor | None = None, *, position_logits: bool = False
    ) -> Recognition:
        """Recognise.

        Args:
            clip: float (N, 3, T, H, W), normalised; computed with in the precision of the weights.
            valid: bool (N, T), False where a frame is padding; all valid where None.
            position_logits: fill this field of the result too.
        """
        if valid is None:
            valid = clip.new_ones(clip.shape[0], clip.shape[2], dtype=torch.bool)
        if clip.is_floating_point():
            clip = clip.to(next(self.parameters(), clip).dtype)
        if self.head is None:
            return self._by_source_head(clip, valid, position_logits)
        x = self.backbone.features(clip, [self.stage.name])[self.stage.name]
        steps = self.valid_steps(valid, x.shape[2])
        evidence = self.pooling(x, steps)
        logits = self.head(self.dropout(evidence.features))
        everywhere = None
        if position_logits:
            everywhere = _masked(self.head(x.movedim(1, -1)).movedim(-1, 1), steps)
        return Recognition(
            logits,
            evidence.frame_scores,
            evidence.frame_weights,
            evidence.region_weights,
            everywhere,
        )

    def locator(self, clip: Tensor) -> Locator:
        """Maps weights for clips of this shape (…, T, H, W) back to frames and pixels."""
        frame_count, height, width = clip.shape[-3:]
        return Locator(self.stage, frame_count, (height, width))

    def _by_source_head(self, clip: Tensor, valid: Tensor, position_logits: bool) -> Recognition:
        logits, x = self.backbone.classify(clip)
        steps = self.valid_steps(valid, x.shape[2])
        shares = self.backbone.position_logits(x)
        if position_logits and shares is None:
            raise ArgumentError(
                f"position_logits: the head of {self.spec.backbone} has none; use another pooling"
            )
        scores, weights, regions = source_evidence(x, logits, shares, steps)
        everywhere = None if shares is None or not position_logits else _masked(shares, steps)
        return Recognition(logits, scores, weights, regions, everywhere)

    def valid_steps(self, valid: Tensor, steps: int, stage: Stage | None = None) -> Tensor:
        """(N, T) -> (N, T'): a step is valid where the frame at its centre is.

        Args:
            valid: bool (N, T).
            steps: T'.
            stage: whose steps are meant; the one that is pooled where None.
        """
        stage = self.stage if stage is None else stage
        stride, offset = stage.stride[0], stage.offset[0]
        centres = torch.arange(steps, device=valid.device) * stride + int(offset + 0.5)
        return valid[:, centres.clamp(max=valid.shape[1] - 1)]


def _masked(logits: Tensor, steps: Tensor) -> Tensor:
    padding = ~steps[:, None, :, None, None]
    return logits.masked_fill(padding, torch.finfo(logits.dtype).min)


def _build_backbone(spec: RecogniserSpec, weights: str | None, allow: Collection[str]) -> Backbone:
    settings = dict(spec.backbone_settings)
    if spec.pooling == SOURCE:
        settings["classes"] = len(spec.classes)
    if not spec.class_paths:
        return backbones.build(spec.backbone, weights=weights, **settings)
    if spec.backbone not in allow:
        raise ArgumentError(
            f"backbone: {spec.backbone!r} is a class outside vidattn; importing it runs its code, "
            "so it must be allowed by name (allow=...)"
        )
    module, _, name = spec.backbone.rpartition(".")
    found = getattr(import_module(module), name)(**settings)
    if not isinstance(found, Backbone):
        raise ArgumentError(f"backbone: {spec.backbone} is no vidattn.backbones.Backbone")
    if weights is not None:
        backbones.load_weights(found, weights)
    return found


def _insert(backbone: Backbone, insertion: InsertionSpec) -> nn.Module:
    """Put one mechanism behind one stage; returns what was added, for the optimiser's groups."""
    stages = {stage.name: stage for stage in backbone.stages}
    stage = stages[choose("stage", insertion.stage, stages)]
    mechanism = attention.build(
        insertion.mechanism, stage.channels, scope=insertion.scope, **insertion.settings
    )
    [added] = attention.insert(backbone, {stage.module: mechanism}, placement=insertion.placement)
    return added
