from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import seeded_weights

    yield seeded_weights
    sys.modules.pop("seeded_weights")


def test_names_and_shapes_survive_packing(weights) -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv3d(3, 4, 1, bias=False), torch.nn.BatchNorm3d(4), torch.nn.Linear(4, 2),
        torch.nn.LayerNorm(2),
    )  # fmt: skip
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    shapes["cls_token"] = (1, 1, 4)
    shapes["odd.bias"] = (7,)
    packed = weights.pack(shapes)
    assert len(packed) == 6
    assert weights.unpack(packed) == shapes


def test_weights_follow_from_the_name_alone(weights) -> None:
    first = weights.seeded_tensor("a.weight", (2, 3))
    assert torch.equal(first, weights.seeded_tensor("a.weight", (2, 3)))
    assert not torch.equal(first, weights.seeded_tensor("b.weight", (2, 3)))
    # Written down, so that a change of the stream is seen here and not as wrong networks.
    torch.testing.assert_close(
        first.flatten()[:3], torch.tensor([-0.3141, -0.9484, 0.8135]), atol=1e-4, rtol=0
    )
    assert float(weights.seeded_tensor("n.running_var", (50,)).min()) >= 0.5
    assert weights.seeded_tensor("n.num_batches_tracked", ()).dtype == torch.int64
