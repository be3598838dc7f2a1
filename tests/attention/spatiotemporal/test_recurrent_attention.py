from __future__ import annotations

import pytest
import torch
from torch import nn

from vidattn.attention import build


def score(item, state, w, name, slow):
    hidden = torch.tanh(slow.linear(item, w, f"{name}.item") + w[f"{name}.state.weight"] @ state)
    return (w[f"{name}.score.weight"][0] * hidden).sum()


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
    module = build("recurrent_space_time_pooling", 6, hidden_channels=5)
    module = randomise(module).double().train(training)
    w, cell = module.state_dict(), memory_of(module.memory)
    x = torch.randn(2, 6, 3, 2, 4, dtype=torch.float64)
    out = module(x)
    for n, clip in enumerate(x):
        frames = [frame.flatten(1).T for frame in clip.unbind(1)]
        state = (torch.zeros(1, 6, dtype=torch.float64),) * 2
        seen, joint = [], torch.zeros(3, 8, dtype=torch.float64)
        for _ in range(3):
            h = state[0][0]
            regions = [
                slow.softmax(torch.stack([score(item, h, w, "region", slow) for item in frame]))
                for frame in frames
            ]
            means = [
                (weights[:, None] * frame).sum(0)
                for weights, frame in zip(regions, frames, strict=True)
            ]
            moments = slow.softmax(
                torch.stack([score(mean, h, w, "moment", slow) for mean in means])
            )
            read = sum(weight * mean for weight, mean in zip(moments, means, strict=True))
            state = cell(read[None], state)
            seen.append(state[0][0])
            joint += moments[:, None] * torch.stack(regions) / 3
        close(out.features[n], torch.stack(seen).mean(0))
        close(out.weights[n].flatten(1), joint)


def test_padded_frames_are_no_steps(randomise, close):
    module = randomise(build("recurrent_space_time_pooling", 6, hidden_channels=5)).double()
    x = torch.randn(2, 6, 5, 2, 4, dtype=torch.float64)
    mask = torch.tensor([False, True, True, False, True]).reshape(1, 1, 5, 1, 1)
    padded, shorter = module(x, mask=mask), module(x[:, :, [1, 2, 4]])
    close(padded.features, shorter.features)
    close(padded.weights[:, [1, 2, 4]], shorter.weights)
