from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MultilabelAveragePrecision

from vidattn.data import ClipBatch, ClipSpec, UnreadableVideosError
from vidattn.errors import ArgumentError
from vidattn.models import InsertionSpec, RecogniserSpec, Recognition
from vidattn.models.checkpoint import KEY, describe
from vidattn.models.starting_weights import start_recogniser
from vidattn.training.finiteness import check_gradients, check_loss, check_scores, check_weights
from vidattn.training.parameters import freeze, parameter_groups
from vidattn.training.settings import Optimisation


class RecognitionTask(lightning.LightningModule):
    """Trains a recogniser.

    Args:
        classes: names in the order of the logits; linked from the data.
        clip: how clips are made; linked from the data and stored in the checkpoint.
        backbone, backbone_settings: see `vidattn.backbones.build`.
        weights: published ones by name, a URL, or a file: of the backbone, or a checkpoint of ours,
            of which everything is taken over that fits; see `start_recogniser`.
        attention: what is inserted into the backbone.
        pooling, pooling_settings, stage, dropout: see `RecogniserSpec`.
        multi_label: sigmoids and binary cross-entropy; linked from the data.
        optimisation: how it learns.
        channels_last: lay weights out as `channels_last_3d`, as batches are: faster on CPUs.
        compiled: run the network through `torch.compile`.
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        clip: ClipSpec,
        backbone: str = "slim",
        backbone_settings: dict[str, Any] | None = None,
        weights: str | None = None,
        attention: Sequence[InsertionSpec] = (),
        pooling: str = "joint",
        pooling_settings: dict[str, Any] | None = None,
        stage: str | None = None,
        dropout: float = 0.0,
        multi_label: bool = False,
        optimisation: Optimisation = Optimisation(),  # noqa: B008 - frozen
        channels_last: bool = True,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        if len(classes) < 2:
            raise ArgumentError(f"classes: expected at least 2, got {list(classes)}")
        self.spec = RecogniserSpec(
            classes=tuple(classes),
            backbone=backbone,
            backbone_settings=backbone_settings or {},
            attention=tuple(attention),
            pooling=pooling,
            pooling_settings=pooling_settings or {},
            stage=stage,
            dropout=dropout,
            multi_label=multi_label,
        )
        self.clip = clip
        self.optimisation = optimisation
        # The configuration is the user's own, so a class path in it may be followed.
        self.recogniser, self.taken_over = start_recogniser(
            self.spec, weights=weights, allow=self.spec.class_paths
        )
        self.frozen_norms = freeze(self.recogniser, optimisation.frozen_stages)
        if channels_last:
            self.recogniser.to(memory_format=torch.channels_last_3d)
        if compiled:
            self.recogniser.compile()
        self._since_step: list[str] = []
        self._validated = 0
        self._unreadable: dict[str, str] = {}
        count = len(self.spec.classes)
        self.metric_name = "mean_average_precision" if multi_label else "top1"
        self.metric: Metric = (
            MultilabelAveragePrecision(num_labels=count)
            if multi_label
            else MulticlassAccuracy(num_classes=count, average="micro")
        )

    def forward(
        self, clip: Tensor, valid: Tensor | None = None, *, position_logits: bool = False
    ) -> Recognition:
        """See `Recogniser.forward`."""
        return self.recogniser(clip, valid, position_logits=position_logits)

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the norms of frozen stages: their statistics stay."""
        super().train(mode)
        for module in self.frozen_norms:
            module.eval()
        return self

    def on_train_start(self) -> None:
        """Go on at the batch that a checkpoint from the middle of an epoch says."""
        # The schedule asks for the number of steps, so the trainer makes the loader before it
        # restores its state, and does not come back to it. Nothing has been asked of it so far.
        self.trainer.fit_loop._load_combined_loader_states()

    def training_step(self, batch: ClipBatch, batch_index: int) -> Tensor:
        """The loss of one batch.

        Raises:
            NotFiniteError: it is NaN or infinite.
            ArgumentError: the network normalises over the clips of a batch, and there is one.
        """
        self._since_step.extend(batch.video_id)
        loss = self._loss(batch)
        check_loss(self, loss, batch.video_id)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the gradients before they are clipped and used."""
        check_gradients(self, self._since_step)
        self._since_step.clear()

    def on_validation_epoch_start(self) -> None:
        """Begin to count what can be read."""
        self._validated = 0
        self._unreadable = {}

    def validation_step(self, batch: ClipBatch, batch_index: int) -> None:
        """Loss and metric of one batch, clip by clip.

        Where no clip could be read there is none, but every process logs the same names.

        Raises:
            NotFiniteError: a class score is NaN or infinite.
        """
        self._validated += len(batch)
        self._unreadable |= {failure.path: failure.reason for failure in batch.failures}
        loss = torch.zeros((), device=self.device)
        logits = loss.new_zeros(0, len(self.spec.classes))
        if len(batch):
            logits = self(batch.pixels, batch.valid).logits.float()
        check_scores(self, logits, batch.video_id)
        if len(batch):
            loss = self._classification_loss(logits, batch.labels, training=False)
            # Sigmoids by hand: logits that all lie in [0, 1] would pass for probabilities.
            scores = logits.sigmoid() if self.spec.multi_label else logits
            self.metric.update(scores, batch.labels.long())
        self.log("validation/loss", loss, batch_size=len(batch))
        self.log(
            f"validation/{self.metric_name}", self.metric, prog_bar=True, batch_size=len(batch)
        )

    def on_validation_epoch_end(self) -> None:
        """Refuse a validation of nothing.

        Raises:
            UnreadableVideosError: not one video could be read, in any process.
        """
        if self.trainer.sanity_checking:
            return
        # Every process asks, also one that could read all of its own.
        count = torch.tensor(self._validated, device=self.device)
        if not int(self.trainer.strategy.reduce(count, reduce_op="sum")) and self._unreadable:
            raise UnreadableVideosError(self._unreadable, len(self._unreadable) - 1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Groups by depth, a linear warm-up, then a cosine to 0."""
        settings = self.optimisation
        groups = parameter_groups(
            self.recogniser,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            layer_decay=settings.layer_decay,
        )
        optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(groups)
            if settings.optimiser == "adamw"
            else torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
        )
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise ArgumentError(
                "trainer: expected max_epochs or max_steps: the learning rate falls until the end"
            )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, partial(warmup_cosine, steps=int(steps), warmup=settings.warmup_fraction)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make Lightning's own file one that `vidattn.models.load` reads.

        Raises:
            NotFiniteError: weights are NaN or infinite; nothing is written then.
        """
        for state in ("state_dict", "current_model_state"):
            check_weights(checkpoint.get(state, {}), f"weights after step {self.global_step}")
        checkpoint[KEY] = describe(self.spec, self.clip)

    def _loss(self, batch: ClipBatch) -> Tensor:
        everywhere = self.optimisation.position_loss > 0
        try:
            recognition = self(batch.pixels, batch.valid, position_logits=everywhere)
        except ValueError as error:
            if not str(error).startswith("Expected more than 1 value per channel"):
                raise
            raise ArgumentError(
                f"batch_size: the network normalises over the clips of a batch, and one of "
                f"{len(batch)} is too small for it; expected data.batch_size of at least 2"
            ) from error
        loss = self._classification_loss(recognition.logits, batch.labels, training=True)
        if recognition.position_logits is not None:
            settings = self.optimisation
            strongest = strongest_mean(recognition.position_logits, settings.position_share)
            second = self._classification_loss(strongest, batch.labels, training=True)
            loss = loss + settings.position_loss * second
        return loss

    def _classification_loss(self, logits: Tensor, labels: Tensor, *, training: bool) -> Tensor:
        logits = logits.float()
        if self.spec.multi_label:
            return F.binary_cross_entropy_with_logits(logits, labels.float())
        smoothing = self.optimisation.label_smoothing if training else 0.0
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def warmup_cosine(step: int, *, steps: int, warmup: float) -> float:
    """Factor on the rate at a step: linear up over `warmup · steps`, then a cosine to 0."""
    rising = max(round(steps * warmup), 1)
    if step < rising:
        return (step + 1) / rising
    progress = (step - rising) / max(steps - rising, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def strongest_mean(position_logits: Tensor, share: float) -> Tensor:
    """Mean of each class's highest logits over the positions of a clip: (N, classes).

    Source: Paul, Roy, Roy-Chowdhury, ECCV 2018 (W-TALC): the k-max multiple-instance loss.

    Args:
        position_logits: (N, classes, *positions), the lowest finite number at padding.
        share: of the positions, padding included; rounded up.
    """
    flat = position_logits.float().flatten(2)
    strongest = flat.topk(math.ceil(share * flat.shape[2]), dim=2).values
    kept = strongest > torch.finfo(position_logits.dtype).min
    return strongest.where(kept, 0).sum(2) / kept.sum(2).clamp(min=1)
