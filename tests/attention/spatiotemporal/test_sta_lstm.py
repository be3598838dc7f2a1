from __future__ import annotations

import pytest
import torch
from torch import nn

from vidattn.attention import build


def score(item, state, w, slow):
    hidden = torch.tanh(slow.linear(item, w, "region.item") + w["region.state.weight"] @ state)
    return (w["region.score.weight"][0] * hidden).sum()


def memory_of(module) -> nn.LSTMCell:
    """Torch's memory with the weights of one matrix for what is read and what is remembered."""
    channels = module.in_features // 2
    cell = nn.LSTMCell(channels, channels).double()
    with torch.no_grad():
        cell.weight_ih.copy_(module.weight[:, :channels])
        cell.weight_hh.copy_(module.weight[:, channels:])
        cell.bias_ih.copy_(module.bias)
        cell.bias_hh.zero_()
    return cell


@pytest.mark.parametrize("training", [True, False])
def test_equals_formula(training, randomise, slow, close):
    module = build("gated_recurrent_pooling", 6, hidden_channels=5)
    module = randomise(module).double().train(training)
    w = module.state_dict()
    cells = [memory_of(getattr(module, f"{name}_memory")) for name in ("region", "moment", "main")]
    x = torch.randn(3, 6, 4, 2, 3, dtype=torch.float64)
    out = module(x)
    openings = torch.zeros(3, 4, dtype=torch.float64)
    for n, clip in enumerate(x):
        states = [(torch.zeros(1, 6, dtype=torch.float64),) * 2 for _ in cells]
        features = torch.zeros(6, dtype=torch.float64)
        for t, frame in enumerate(clip.unbind(1)):
            items = frame.flatten(1).T
            mean = items.mean(0)
            shares = torch.stack([score(item, states[0][0][0], w, slow) for item in items])
            shares = slow.softmax(shares)
            joint = torch.cat((mean, states[1][0][0]))
            openings[n, t] = slow.linear(joint, w, "moment")[0]
            gate = openings[n, t].clamp(min=0)
            reads = [mean, mean, (shares[:, None] * items).sum(0)]
            states = [
                cell(read[None], state)
                for cell, read, state in zip(cells, reads, states, strict=True)
            ]
            features = features + gate * states[2][0][0]
            close(out.weights[n, t].flatten(), gate * shares)
            close(out.region_weights[n, t].flatten(), shares)
        close(out.features[n], features)
    close(out.frame_scores, openings)
    assert (openings < 0).any(), "some gate is shut"
    assert (openings > 0).any(), "some gate is open"


def test_padded_frames_are_no_steps(randomise, close):
    module = randomise(build("gated_recurrent_pooling", 6, hidden_channels=5)).double()
    x = torch.randn(2, 6, 5, 2, 4, dtype=torch.float64)
    mask = torch.tensor([False, True, True, False, True]).reshape(1, 1, 5, 1, 1)
    padded, shorter = module(x, mask=mask), module(x[:, :, [1, 2, 4]])
    close(padded.features, shorter.features)
    close(padded.weights[:, [1, 2, 4]], shorter.weights)
