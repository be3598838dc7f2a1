from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vidattn.attention import PerFrame, adapt, build, record_maps
from vidattn.attention.rollout import rollout, rollout_map
from vidattn.errors import ArgumentError


def stack(layers: int = 3, batch: int = 2, heads: int = 4, length: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (layers, batch, heads, length, length)
    return list(torch.randn(shape, generator=generator, dtype=torch.float64).softmax(-1))


def by_numpy(affinities, join, residual: float) -> np.ndarray:
    batch, _, length, _ = affinities[0].shape
    out = np.zeros((batch, length, length))
    for sample in range(batch):
        product = np.eye(length)
        for layer in affinities:
            mixed = residual * np.eye(length) + (1 - residual) * join(layer[sample].numpy(), axis=0)
            mixed = np.array([line / line.sum() for line in mixed])
            product = mixed @ product
        out[sample] = product
    return out


@pytest.mark.parametrize(("heads", "join"), [("mean", np.mean), ("max", np.max), ("min", np.min)])
@pytest.mark.parametrize("residual", [0.5, 0.0, 0.3])
def test_equals_the_product_in_numpy(heads, join, residual):
    ours = rollout(stack(), heads=heads, residual=residual)
    np.testing.assert_allclose(ours.numpy(), by_numpy(stack(), join, residual), atol=1e-12)
    np.testing.assert_allclose(ours.sum(2).numpy(), 1, atol=1e-12)


def test_layers_are_multiplied_from_the_left():
    """Layer 1 moves what is in token 0 to 1, layer 2 from 1 to 2: token 2 is made of token 0."""
    first, second = torch.zeros(2, 1, 1, 3, 3, dtype=torch.float64)
    first[..., 1, 0] = first[..., 0, 0] = first[..., 2, 2] = 1
    second[..., 2, 1] = second[..., 0, 0] = second[..., 1, 1] = 1
    rolled = rollout([first, second], residual=0)
    assert rolled[0, 2].tolist() == [1, 0, 0]


class Stack(nn.Module):
    def __init__(self, mechanisms) -> None:
        super().__init__()
        self.layers = nn.Sequential(*mechanisms)

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("per_frame", [False, True])
def test_map_of_recorded_layers(per_frame):
    dims = 2 if per_frame else 3
    network = Stack(build("mhsa", 8, spatial_dims=dims, heads=4) for _ in range(2))
    network = (PerFrame(network) if per_frame else network).double()
    clip = torch.randn(2, 8, 3, 2, 4, dtype=torch.float64)
    with record_maps(network, affinities="full") as maps:
        network(clip)
    expected = by_numpy([found.affinity for found in maps], np.mean, 0.5).mean(1)
    found = rollout_map(maps)
    assert found.shape == (2, 3, 2, 4)
    np.testing.assert_allclose(found.numpy(), expected.reshape(2, 3, 2, 4), atol=1e-12)


def test_map_of_a_class_token_in_front():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    network = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).double().eval()
    adapted = adapt(network, grid=(2, 1, 3), prefix_tokens=1)
    with record_maps(adapted, affinities="full") as maps:
        adapted(torch.randn(2, 7, 8, dtype=torch.float64))
    expected = by_numpy([found.affinity for found in maps], np.mean, 0.5)[:, 0, 1:]
    found = rollout_map(maps, query=0)
    np.testing.assert_allclose(found.numpy(), expected.reshape(2, 2, 1, 3), atol=1e-12)


def test_mistakes_are_answered():
    with pytest.raises(ArgumentError, match="at least one layer"):
        rollout([])
    with pytest.raises(ArgumentError, match="of one shape"):
        rollout([stack(length=4)[0], stack(length=5)[0]])
    with pytest.raises(ArgumentError, match=r"\(B, heads, L, L\)"):
        rollout([torch.ones(1, 2, 3, 4)])
    with pytest.raises(ArgumentError, match="residual"):
        rollout(stack(), residual=1)
    with pytest.raises(ArgumentError, match="heads"):
        rollout(stack(), heads="median")
    network = build("mhsa", 8, heads=2)
    with record_maps(network) as maps:
        network(torch.randn(1, 8, 2, 2, 2))
    with pytest.raises(ArgumentError, match="has no whole matrix"):
        rollout_map(maps)
