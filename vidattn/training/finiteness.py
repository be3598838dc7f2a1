"""Training stops at the first number that is none, and says where: what follows would be nothing.

A class score that is NaN would count as a decision for the first class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from vidattn.backbones.checkpoint_file import not_finite
from vidattn.errors import NotFiniteError

_NAMES_SHOWN = 10
# A scaler halves this whenever it leaves out a step. Forty in a row are no search for a scale.
_LOWEST_SCALE = 2.0**-24


def check_loss(module: lightning.LightningModule, loss: Tensor, videos: Sequence[str]) -> None:
    """Stop if the loss of a training batch is NaN or infinite, here or in another process.

    Args:
        module: in training.
        loss: of one batch, ().
        videos: of the batch.

    Raises:
        NotFiniteError: it is.
    """
    finite = bool(torch.isfinite(loss))
    if _anywhere(module, not finite):
        value = f"{loss.item():g}" if not finite else "not finite in another process"
        raise NotFiniteError(f"{_place(module)}: the loss is {value}; {_batch(videos)}; {_ADVICE}")


def check_scores(module: lightning.LightningModule, logits: Tensor, videos: Sequence[str]) -> None:
    """Stop if class scores of a validation batch are NaN or infinite, here or elsewhere.

    Args:
        module: in validation.
        logits: (N, classes).
        videos: of the N clips.

    Raises:
        NotFiniteError: some are.
    """
    wrong = ~torch.isfinite(logits).all(1)
    if _anywhere(module, bool(wrong.any())):
        named = [video for video, bad in zip(videos, wrong.tolist(), strict=True) if bad]
        raise NotFiniteError(
            f"validation after step {module.global_step}, epoch {module.current_epoch}: class "
            f"scores are NaN or infinite; {_batch(named)}; {_ADVICE}"
        )


def check_gradients(module: lightning.LightningModule, videos: Sequence[str]) -> None:
    """Stop if a gradient is NaN or infinite: clipping would spread it over all weights.

    With a gradient scaler (precision 16-mixed) such a step is only left out, as is usual while it
    looks for its scale; it is an error once the scale has become nothing.

    Args:
        module: before an optimiser's step.
        videos: of the batches that the gradients are of.

    Raises:
        NotFiniteError: one is.
    """
    gradients = {
        name: parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    if not gradients or torch.isfinite(_largest(gradients.values())):
        return
    scaler = getattr(module.trainer.precision_plugin, "scaler", None)
    if scaler is not None and scaler.get_scale() > _LOWEST_SCALE:
        return
    named = not_finite(gradients)
    raise NotFiniteError(
        f"{_place(module)}: gradients are NaN or infinite ({_listed(named)}); {_batch(videos)}; "
        f"{_ADVICE}"
    )


def check_weights(state: Mapping[str, Any], what: str) -> None:
    """Refuse weights that are NaN or infinite.

    Args:
        state: a state dict.
        what: whose it is, for the message.

    Raises:
        NotFiniteError: some are.
    """
    if named := not_finite(state):
        raise NotFiniteError(
            f"{what}: {len(named)} tensors hold NaN or infinity ({_listed(named)}); {_ADVICE}"
        )


_ADVICE = "try a lower optimisation.learning_rate"


def _place(module: lightning.LightningModule) -> str:
    return f"training step {module.global_step + 1}, epoch {module.current_epoch}"


def _batch(videos: Sequence[str]) -> str:
    return f"videos of the batch: {_listed(list(dict.fromkeys(videos)))}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _largest(gradients: Iterable[Tensor]) -> Tensor:
    # The largest magnitude, not the length: squares of large numbers would overflow.
    return nn.utils.get_total_norm(list(gradients), norm_type=float("inf"))


def _anywhere(module: lightning.LightningModule, here: bool) -> bool:
    """Whether it is so in any process: all have to stop at the same step, or they would wait."""
    trainer = module._trainer
    if trainer is None or trainer.world_size < 2:
        return here
    return trainer.strategy.reduce_boolean_decision(here, all=False)
