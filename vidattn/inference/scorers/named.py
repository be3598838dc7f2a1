"""Scorers by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidattn.inference.keyframe_settings import KeyFrameSettings
from vidattn.inference.scorers.scorer import Scorer
from vidattn.inference.scorers.untrained import (
    CoverageScorer,
    DifferenceScorer,
    PacketScorer,
    RandomScorer,
    UniformScorer,
)

if TYPE_CHECKING:
    from vidattn.models import LoadedRecogniser


def named_scorer(
    settings: KeyFrameSettings, loaded: LoadedRecogniser | None, device: str
) -> Scorer:
    """The scorer that settings name.

    Args:
        loaded: for "attention" and "class".
        device: for the network of a query.

    Raises:
        UnknownNameError: there is no such score, or the model has no such class.
        ArgumentError: something that it needs is not given.
        CheckpointError, MissingLibraryError: the model of a query cannot be loaded.
    """
    score = settings.score_of(with_model=loaded is not None)
    if score == "query" and settings.query is not None and settings.query_model is not None:
        from vidattn.inference.scorers.query import QueryScorer

        return QueryScorer.load(
            settings.query,
            settings.query_model,
            every_seconds=settings.query_seconds,
            intra_first=settings.fast,
            device=device,
        )
    if loaded is not None and score in ("attention", "class"):
        from vidattn.inference.scorers.by_model import AttentionScorer, ClassScorer

        if settings.class_name is None:
            return AttentionScorer(loaded, batch_size=settings.batch_size)
        return ClassScorer(loaded, settings.class_name, batch_size=settings.batch_size)
    untrained: dict[str, type[Scorer]] = {
        "coverage": CoverageScorer,
        "difference": DifferenceScorer,
        "packets": PacketScorer,
        "random": RandomScorer,
        "uniform": UniformScorer,
    }
    return untrained[score]()
