from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from vidattn.attention import (
    AttentionMap,
    Observer,
    PerFrame,
    RecordingError,
    build,
    record_maps,
)
from vidattn.attention.observe import call_lifted


class Network(nn.Module):
    def __init__(self, *, checkpointed: bool = False) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), build("se", 8))
        self.second = build("self_attention", 8, heads=2)
        self.pool = build("joint_attention_pooling", 8)
        self.checkpointed = checkpointed

    def forward(self, x):
        if self.checkpointed:
            x = checkpoint(self.first, x, use_reentrant=False)
            x = checkpoint(self.second, x, use_reentrant=True)
        else:
            x = self.second(self.first(x))
        return self.pool(x).features


@pytest.fixture
def clip():
    return torch.randn(2, 3, 4, 5, 6)


def test_maps_are_named_and_in_order(clip):
    network = Network()
    with record_maps(network) as maps:
        network(clip)
    assert [found.name for found in maps] == ["first.1", "second", "pool"]
    assert [found.kind for found in maps] == ["gate", "affinity", "pooling"]
    assert maps.named("pool") is maps[2]
    assert maps[1].axes == ("N", "heads", "T", "H", "W")
    with pytest.raises(ValueError, match=r"expected one of .*first\.1.*, got 'first'"):
        maps.named("first")


def test_nothing_is_kept_outside(clip):
    network = Network()
    before = pickle.dumps(network)
    with record_maps(network) as maps:
        network(clip)
    network(clip)
    assert len(maps) == 3
    assert pickle.dumps(network) == before


def test_each_forward_pass_leaves_its_own_maps(clip):
    network = Network()
    with record_maps(network) as maps:
        network(clip)
        network(clip * 2)
    assert len(maps) == 6
    assert maps.named("pool") is maps[5]


def test_maps_survive_later_changes_in_place():
    pooler = build("joint_attention_pooling", 4)
    with record_maps(pooler) as maps:
        out = pooler(torch.randn(2, 4, 2, 3, 3))
        before = maps[0].values.clone()
        out.weights.detach().zero_()
    assert torch.equal(maps[0].values, before)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_checkpointing_leaves_one_map_each_the_same_as_without(clip):
    network = Network()
    with record_maps(network) as plain:
        network(clip)
    network.checkpointed = True
    with record_maps(network) as maps:
        network(clip.requires_grad_()).sum().backward()
    assert [found.name for found in maps] == ["first.1", "second", "pool"]
    for ours, theirs in zip(maps, plain, strict=True):
        assert torch.equal(ours.values, theirs.values)


def test_frozen_model_shows_the_same_maps(clip):
    network = Network()
    with record_maps(network) as plain:
        network(clip)
    network.requires_grad_(False)
    with torch.inference_mode(), record_maps(network) as maps:
        network(clip)
    for ours, theirs in zip(maps, plain, strict=True):
        assert torch.equal(ours.values, theirs.values)


# torch looks at `.grad` while it compiles; it hides its own warning, unless warnings are errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_partly_compiled_model_keeps_the_names(clip):
    network = Network()
    network.second = torch.compile(network.second, backend="eager")
    network(clip)
    with record_maps(network) as maps:
        network(clip)
    assert [found.name for found in maps] == ["first.1", "second", "pool"]


def test_only_the_named_model_is_recorded(clip):
    network, other = Network(), Network()
    with record_maps(network) as maps, record_maps(other) as others:
        network(clip)
        other(clip)
    assert len(maps) == len(others) == 3
    with record_maps(network) as outer, record_maps(network.first) as inner:
        network(clip)
    assert (len(outer), len(inner)) == (3, 1)
    assert inner[0].name == "1"


def test_forgetting_to_run_the_model_is_an_error():
    with (
        pytest.raises(RecordingError, match="nothing was recorded from the 3 mechanisms"),
        record_maps(Network()),
    ):
        pass


def test_an_error_inside_is_not_hidden():
    with pytest.raises(ZeroDivisionError), record_maps(Network()):
        raise ZeroDivisionError


def test_a_model_without_attention_is_refused():
    with (
        pytest.raises(ValueError, match="Linear holds no attention mechanism"),
        record_maps(nn.Linear(1, 1)),
    ):
        pass


@pytest.mark.parametrize("strict", [True, False])
def test_export_while_recording_is_refused(clip, strict):
    network = Network().eval()
    with pytest.raises(RecordingError), record_maps(network):
        torch.export.export(network, (clip,), strict=strict)


def test_export_is_refused_even_after_something_was_recorded(clip):
    network = Network().eval()
    with record_maps(network) as maps:
        network(clip)
        with pytest.raises(RecordingError, match="cannot be exported while"):
            torch.export.export(network, (clip,))
    assert len(maps) == 3


@pytest.mark.parametrize("strict", [True, False])
def test_recording_inside_an_exported_forward_is_refused(clip, strict):
    class Recording(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = Network()

        def forward(self, x):
            with record_maps(self.network) as maps:
                self.network(x)
            return maps[0].values

    with pytest.raises(Exception, match=r"record_maps|set_stance"):
        torch.export.export(Recording().eval(), (clip,), strict=strict)


def example(kind, values, grid):
    return AttentionMap("here", kind, values, grid)


def test_saliency_reduces_each_kind_in_its_way():
    values = torch.rand(2, 3, 4, 5, 6)
    for kind in ("gate", "affinity", "pooling"):
        found = example(kind, values, (4, 5, 6)).saliency()
        torch.testing.assert_close(found, values.sum(1) / 3)
    for kind in ("assignment", "branch", "selection"):
        found = example(kind, values, (4, 5, 6)).saliency()
        torch.testing.assert_close(found, values.max(1).values)


def test_values_stretch_over_the_grid():
    channel = torch.tensor([[1.0, 3.0], [2.0, 6.0]]).reshape(2, 2, 1, 1, 1)
    found = example("gate", channel, (4, 5, 6))
    assert found.saliency().shape == (2, 4, 5, 6)
    assert (found.saliency()[1] == 4).all()
    torch.testing.assert_close(found.frame_weights(), torch.full((2, 4), 0.25))


def test_frame_weights_sum_to_one_and_are_not_negative():
    values = torch.tensor([1.0, -2.0, 3.0]).reshape(1, 1, 3, 1, 1)
    found = example("gate", values, (3, 2, 2)).frame_weights()
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.0, 0.75]]))
    nothing = example("gate", values * 0, (3, 2, 2)).frame_weights()
    assert (nothing == 0).all()


def test_half_precision_maps_come_in_single_precision():
    gate = build("se", 8).bfloat16()
    with record_maps(gate) as maps:
        gate(torch.randn(1, 8, 2, 3, 3, dtype=torch.bfloat16))
    assert maps[0].values.dtype == torch.float32


def test_an_observer_holds_no_state():
    assert not Observer("gate").state_dict()
    assert not list(Observer("gate").parameters())


def test_the_innermost_lift_comes_first():
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = build("se", 4)

        def forward(self, x):
            return call_lifted(lambda seen: replace(seen, values=seen.values * 2), self.gate, x)

    outer, x = Doubled(), torch.randn(1, 4, 2, 3, 3)
    with record_maps(outer) as maps:
        outer(x)
        call_lifted(lambda seen: replace(seen, values=seen.values + 1), outer, x)
    torch.testing.assert_close(maps[1].values, maps[0].values + 1)


def test_per_frame_gate_weights_are_aligned_in_time():
    view = PerFrame(build("se", 8))
    clip = torch.randn(2, 8, 5, 3, 4)
    with record_maps(view) as maps:
        out = view(clip)
    assert maps[0].values.shape == (2, 8, 5, 1, 1)
    torch.testing.assert_close(out, clip * maps[0].values)
