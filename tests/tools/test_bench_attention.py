from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from vidattn.attention import build

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import bench_attention

    yield bench_attention
    sys.modules.pop("bench_attention", None)


def test_ratios_are_taken_within_rounds(tool):
    found = tool.ratio([1.0, 20.0, 3.0], [2.0, 40.0, 6.0])  # a machine that slows for a round
    assert found == {"median": 0.5, "lower": 0.5, "upper": 0.5}


def test_runs_take_turns_and_the_first_round_does_not_count(tool):
    order = []
    seconds = tool.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3
    assert [len(one) for one in seconds.values()] == [2, 2]


def test_classic_block_is_the_same_attention_as_ours(tool):
    classic = tool.ClassicNonLocal(8).double()
    ours = build("non_local", 8, scale=1.0).double()
    with torch.no_grad():
        for layer, other in zip(
            (ours.query, ours.key, ours.value, ours.output),
            (*classic.maps, classic.output),
            strict=True,
        ):
            layer.weight.copy_(other.weight.flatten(1))
            layer.bias.copy_(other.bias)
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(classic(x), ours(x), atol=1e-12, rtol=1e-12)


def test_a_step_leaves_the_gradient_of_one_backward(tool):
    x = tool.draw((1, 4, 2, 3, 3), torch.channels_last_3d)
    run = tool.step(lambda x: 2 * x, x)
    run()
    once = x.grad.clone()
    run()
    assert torch.equal(x.grad, once)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_matrix_is_seen(tool):
    """The classic block's matrix at the full size is 12,544² numbers of four bytes."""
    matrix = 4 * (16 * 28 * 28) ** 2
    assert tool.extra_memory("classic", "full") >= matrix
    assert tool.extra_memory("ours", "full") < matrix / 8
