from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from vidattn.data import ClipBatch, ClipSpec
from vidattn.errors import ArgumentError
from vidattn.models import Recognition
from vidattn.training import Optimisation, RecognitionTask
from vidattn.training.recognition import strongest_mean, warmup_cosine

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}


def test_the_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    factors = [warmup_cosine(step, steps=100, warmup=0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert warmup_cosine(100, steps=100, warmup=0.1) == 0.0


def test_the_strongest_mean_by_hand() -> None:
    lowest = torch.finfo(torch.float32).min
    first = [[5.0, 1.0, 4.0, 0.0, -2.0], [0.0, 0.0, 7.0, -1.0, 3.0]]
    # Padding is no evidence: of the two strongest here only one is real.
    second = [[lowest, lowest, lowest, -6.0, lowest], [lowest, lowest, lowest, 2.0, lowest]]
    found = strongest_mean(torch.tensor([first, second]), 0.4)
    torch.testing.assert_close(found, torch.tensor([[4.5, 5.0], [-6.0, 2.0]]))
    every = strongest_mean(torch.tensor([first]), 1.0)
    torch.testing.assert_close(every, torch.tensor([[1.6, 1.8]]))


def test_the_position_loss_is_added_with_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    task = RecognitionTask(
        ["a", "b"],
        clip=ClipSpec(),
        backbone_settings=SLIM,
        optimisation=Optimisation(position_loss=0.5, position_share=0.1),
    )
    monkeypatch.setattr(task, "log", lambda *_, **__: None)
    torch.manual_seed(0)
    task.eval()
    labels = torch.tensor([1, 0])
    pixels, valid = torch.randn(2, 3, 4, 16, 16), torch.ones(2, 4, dtype=torch.bool)
    batch = batch_of(labels, pixels=pixels, valid=valid)
    loss = task.training_step(batch, 0).item()
    found = task.recogniser(pixels, valid, position_logits=True)
    highest = found.position_logits.double().flatten(2).sort(dim=2, descending=True).values
    count = math.ceil(0.1 * highest.shape[2])
    expected = torch.nn.functional.cross_entropy(found.logits.double(), labels)
    expected += 0.5 * torch.nn.functional.cross_entropy(highest[..., :count].mean(2), labels)
    assert loss == pytest.approx(expected.item(), abs=1e-6)


def test_frozen_norms_stay_in_evaluation_mode() -> None:
    task = RecognitionTask(
        ["a", "b"],
        clip=ClipSpec(),
        backbone_settings=SLIM,
        optimisation=Optimisation(frozen_stages=["stem"]),
    )
    task.train()
    stem = task.recogniser.backbone.get_submodule("stem")
    norms = [m for m in stem.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert task.recogniser.backbone.get_submodule("layer1.first.1").training


def test_the_loss_is_the_cross_entropy_by_hand() -> None:
    task = RecognitionTask(
        ["a", "b"],
        clip=ClipSpec(),
        backbone_settings=SLIM,
        optimisation=Optimisation(label_smoothing=0.2),
    )
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.0]])
    logs = logits.double().log_softmax(1)
    plain = -(logs[0, 1] + logs[1, 0]) / 2
    smooth = 0.8 * plain - 0.2 * logs.mean(1).mean()
    labels = torch.tensor([1, 0])
    loss = task._classification_loss(logits, labels, training=False)
    assert loss.item() == pytest.approx(plain.item(), abs=1e-6)
    loss = task._classification_loss(logits, labels, training=True)
    assert loss.item() == pytest.approx(smooth.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -0.1),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("layer_decay", -0.5),
        ("position_loss", -1.0),
        ("label_smoothing", 2.0),
        ("label_smoothing", -0.1),
    ],
)
def test_rates_and_shares_that_are_none_are_refused(name: str, value: float) -> None:
    with pytest.raises(
        ArgumentError, match=f"^{name}: expected a number from 0 .*, got {value:g}$"
    ):
        Optimisation(**{name: value})


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ArgumentError, match="warmup_fraction"):
        Optimisation(warmup_fraction=1.0)
    with pytest.raises(ArgumentError, match="position_share"):
        Optimisation(position_share=0.0)
    with pytest.raises(ArgumentError, match="optimiser: expected one of"):
        Optimisation(optimiser="adam")
    with pytest.raises(ArgumentError, match="classes: expected at least 2"):
        RecognitionTask(["a"], clip=ClipSpec(), backbone_settings=SLIM)


def batch_of(
    labels: torch.Tensor, *, pixels: torch.Tensor | None = None, valid: torch.Tensor | None = None
) -> ClipBatch:
    """A batch; without pixels, one that nobody looks at."""
    count = len(labels)
    nothing = torch.zeros(count, 1)
    pixels = torch.zeros(count, 3, 1, 1, 1) if pixels is None else pixels
    valid = nothing.bool() if valid is None else valid
    return ClipBatch(pixels, labels, valid, nothing, nothing.long(), [], [], [])


def test_average_precision_ranks_all_batches_by_one_scale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = RecognitionTask(["a", "b"], clip=ClipSpec(), backbone_settings=SLIM, multi_label=True)
    monkeypatch.setattr(task, "log", lambda *_, **__: None)
    # All logits of the first batch lie in [0, 1]: taken for probabilities, its 0.1 would rank
    # below the second batch's sigmoid of -1, which is 0.27.
    for logits, labels in (([0.1, 0.9], [1.0, 1.0]), ([-1.0, -2.0], [0.0, 0.0])):
        answer = torch.tensor(logits)[:, None].repeat(1, 2)
        weights = torch.ones(2, 1)
        found = Recognition(answer, weights, weights, weights)
        monkeypatch.setattr(task, "forward", lambda *_, found=found: found)
        task.validation_step(batch_of(torch.tensor(labels)[:, None].repeat(1, 2)), 0)
    assert task.metric.compute().item() == pytest.approx(1.0)


def test_training_without_an_end_is_refused() -> None:
    task = RecognitionTask(["a", "b"], clip=ClipSpec(), backbone_settings=SLIM)
    task._trainer = SimpleNamespace(estimated_stepping_batches=math.inf)
    with pytest.raises(ArgumentError, match="max_epochs"):
        task.configure_optimizers()
