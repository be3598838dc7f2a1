from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vidattn.inference.keyframe_settings import KeyFrameSettings
from vidattn.inference.scorers.named import named_scorer
from vidattn.inference.scorers.scorer import Scorer
from vidattn.runs.run_network import device_kind, loaded_here, loaded_in
from vidattn.runs.shards import Shard


@dataclass(frozen=True)
class ScoreChoice:
    """A score as a person asks for it; each process of a run loads its network.

    Attributes:
        scorer, query, query_model, query_seconds, class_name: see `vidattn.extract_keyframes`.
        checkpoint: a file.
        device: of a network.

    Raises:
        UnknownNameError: there is no score of this name.
        ArgumentError: it needs what is not given, or does not go together with what is.
    """

    scorer: str | None = None
    checkpoint: str | None = None
    query: str | None = None
    query_model: str | None = None
    query_seconds: float = 0.5
    class_name: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        self._settings().score_of(with_model=self.checkpoint is not None)

    @property
    def is_given(self) -> bool:
        """Whether there is a score at all."""
        return any((self.scorer, self.checkpoint, self.query, self.class_name))

    @property
    def needs_network(self) -> bool:
        """Whether a network makes it."""
        return self.checkpoint is not None or self.query is not None

    def facts(self, processes: int) -> dict[str, Any]:
        """What results depend on, after a look at the networks that the score needs.

        Args:
            processes: as `vidattn.runs.run_network.processes_for` returns.

        Raises:
            CheckpointError, MissingLibraryError: a network cannot be loaded.
            UnknownNameError: the model has no such class.
            ArgumentError: there is no such device.
        """
        if not self.is_given:
            return {}
        checkpoint, device = self.checkpoint, self.device
        loaded = None if checkpoint is None else loaded_here(checkpoint, device, processes)
        scorer = named_scorer(self._settings(), loaded, device if processes == 0 else "cpu")
        return asdict(self) | {
            "checkpoint_sha256": loaded and loaded.digest,
            "query_model_sha256": getattr(scorer, "weights_sha256", None),
            "device": device_kind(checkpoint, device),
        }

    def loaded(self, shard: Shard) -> Scorer | None:
        """The scorer of one process; None where no score was asked for."""
        if not self.is_given:
            return None
        loaded = None
        if self.checkpoint is not None:
            loaded = loaded_in(shard, self.checkpoint, self.device)
        return named_scorer(self._settings(), loaded, shard.device(self.device))

    def _settings(self) -> KeyFrameSettings:
        return KeyFrameSettings(
            scorer=self.scorer,
            query=self.query,
            query_model=self.query_model,
            query_seconds=self.query_seconds,
            class_name=self.class_name,
        )
