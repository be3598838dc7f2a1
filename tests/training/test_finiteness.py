from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vidattn.data import ClipBatch, ClipSpec
from vidattn.errors import ArgumentError, NotFiniteError
from vidattn.models import Recognition
from vidattn.training import RecognitionTask

SLIM = {"widths": [4, 8], "spatial_strides": [2, 2], "temporal_strides": [1, 1]}
NAN, INF = float("nan"), float("inf")


def batch_of(count: int) -> ClipBatch:
    nothing = torch.zeros(count, 4)
    pixels = torch.randn(count, 3, 4, 16, 16)
    names = [f"video{number}.mp4" for number in range(count)]
    labels = torch.arange(count) % 2
    return ClipBatch(pixels, labels, nothing == 0, nothing, nothing.long(), [], names, [])


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> RecognitionTask:
    task = RecognitionTask(["a", "b"], clip=ClipSpec(), backbone_settings=SLIM)
    monkeypatch.setattr(task, "log", lambda *_, **__: None)
    trainer = SimpleNamespace(
        world_size=1,
        global_step=6,
        current_epoch=2,
        precision_plugin=SimpleNamespace(scaler=None),
        sanity_checking=False,
    )
    task._trainer = trainer
    return task


def answer(task: RecognitionTask, monkeypatch, logits: torch.Tensor) -> None:
    rest = torch.ones(len(logits), 1)
    monkeypatch.setattr(task, "forward", lambda *_, **__: Recognition(logits, rest, rest, rest))


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_loss_that_is_no_number_names_step_epoch_and_videos(task, monkeypatch, value) -> None:
    # With label smoothing off, only the class that is right can make the loss infinite.
    answer(task, monkeypatch, torch.tensor([[0.0, 1.0], [0.0, value]]))
    with pytest.raises(NotFiniteError) as caught:
        task.training_step(batch_of(2), 0)
    message = str(caught.value)
    assert message.startswith("training step 7, epoch 2: the loss is ")
    assert "video0.mp4, video1.mp4" in message
    assert "\n" not in message


def test_a_large_loss_is_no_fault(task, monkeypatch) -> None:
    answer(task, monkeypatch, torch.tensor([[-1e30, 1e30], [0.0, 1.0]]))
    assert task.training_step(batch_of(2), 0).item() == pytest.approx(1e30)


@pytest.mark.parametrize("value", [NAN, INF])
def test_scores_that_are_no_numbers_name_their_videos_only(task, monkeypatch, value) -> None:
    task.on_validation_epoch_start()
    # The largest of (NaN, NaN) is class 0: it would count as right for the first two.
    answer(task, monkeypatch, torch.tensor([[0.0, 1.0], [value, value], [1.0, 0.0]]))
    with pytest.raises(NotFiniteError, match=r"after step 6, epoch 2: .*batch: video1\.mp4;"):
        task.validation_step(batch_of(3), 0)


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_gradient_that_is_no_number_names_weights_and_all_gathered_videos(task, value) -> None:
    for parameter in task.parameters():
        parameter.grad = torch.zeros_like(parameter)
    task._since_step = ["one.mp4", "two.mp4"]
    # The squares of these overflow, and they are numbers all the same.
    task.recogniser.head.bias.grad = torch.tensor([1e30, 0.0])
    task.on_before_optimizer_step(None)
    assert task._since_step == []
    task._since_step = ["one.mp4", "two.mp4"]
    task.recogniser.head.bias.grad = torch.tensor([value, 0.0])
    with pytest.raises(NotFiniteError, match=r"\(recogniser\.head\.bias\).*one\.mp4, two\.mp4"):
        task.on_before_optimizer_step(None)


def test_a_scaler_may_leave_out_steps_until_its_scale_is_nothing(task) -> None:
    task.recogniser.head.bias.grad = torch.tensor([INF, 0.0])
    scale = [2.0**16]
    task._trainer.precision_plugin.scaler = SimpleNamespace(get_scale=lambda: scale[0])
    task.on_before_optimizer_step(None)
    scale[0] = 2.0**-30
    with pytest.raises(NotFiniteError, match="gradients"):
        task.on_before_optimizer_step(None)


def test_no_checkpoint_of_weights_that_are_no_numbers(task) -> None:
    good = {"head.weight": torch.ones(2), "steps": torch.tensor(3)}
    checkpoint = {"state_dict": dict(good)}
    task.on_save_checkpoint(checkpoint)
    assert "vidattn" in checkpoint
    for place in ("state_dict", "current_model_state"):
        bad = {"state_dict": dict(good), place: {"head.weight": torch.tensor([1.0, NAN])}}
        with pytest.raises(NotFiniteError, match=r"after step 6: 1 tensors .*head\.weight"):
            task.on_save_checkpoint(bad)


def test_one_clip_for_a_norm_over_clips_is_one_line(monkeypatch) -> None:
    insertion = {"mechanism": "selective_kernel", "stage": "stem"}
    from vidattn.models import InsertionSpec

    task = RecognitionTask(
        ["a", "b"],
        clip=ClipSpec(),
        backbone_settings={**SLIM, "widths": [16, 16]},
        attention=[InsertionSpec(**insertion)],
    )
    monkeypatch.setattr(task, "log", lambda *_, **__: None)
    assert task.training_step(batch_of(2), 0).isfinite()
    with pytest.raises(ArgumentError, match=r"batch_size: .* at least 2"):
        task.training_step(batch_of(1), 0)
