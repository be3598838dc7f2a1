from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidattn.attention import build


def convolved(image, weight):
    """(C, H, W) by a 3 × 3 kernel, as a product with shifted copies of the image."""
    height, width = image.shape[1:]
    padded = F.pad(image, (1, 1, 1, 1))
    out = 0
    for i in range(3):
        for j in range(3):
            shifted = padded[:, i : i + height, j : j + width]
            out = out + torch.einsum("oc,chw->ohw", weight[:, :, i, j], shifted)
    return out


def normalised(images, w, name, training):
    """A batch normalisation of (frames, C, H, W)."""
    mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    if training:
        mean = images.mean((0, 2, 3))
        variance = (images - mean[:, None, None]).pow(2).mean((0, 2, 3))
    scale = w[f"{name}.weight"] / (variance + 1e-5).sqrt()
    return (images - mean[:, None, None]) * scale[:, None, None] + w[f"{name}.bias"][:, None, None]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_equals_formula(training, padded, randomise, slow, close):
    module = randomise(build("interpretable_space_time_pooling", 8)).double().train(training)
    w = {name: value.clone() for name, value in module.state_dict().items()}
    x = torch.randn(2, 8, 4, 4, 5, dtype=torch.float64)
    real = torch.rand(2, 4, 4, 5) < (0.6 if padded else 2)
    real[1, 2] &= not padded
    images, inside = (x * real[:, None]).transpose(1, 2).flatten(0, 1), real.reshape(8, 1, 4, 5)
    for index in (0, 3):
        images = torch.stack([convolved(one, w[f"mask.{index}.weight"]) for one in images])
        images = normalised(images, w, f"mask.{index + 1}", training).clamp(min=0) * inside
    masks = torch.stack([convolved(one, w["mask.6.weight"])[0] for one in images])
    masks = (1 / (1 + (-masks).exp())).reshape(2, 4, 4, 5) * real
    out = module(x, mask=real[:, None] if padded else None)
    for n in range(2):
        hidden = cell = torch.zeros(8, 4, 5, dtype=torch.float64)
        states = []
        frames = [t for t in range(4) if real[n, t].any()]
        for t in frames:
            gates = convolved(torch.cat((x[n, :, t] * masks[n, t], hidden)), w["memory.weight"])
            i, f, g, o = (gates + w["memory.bias"][:, None, None]).chunk(4)
            cell = (torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)) * real[n, t]
            hidden = torch.sigmoid(o) * torch.tanh(cell)
            states.append(hidden[:, real[n, t]].mean(1))
        states = torch.stack(states)
        logits = slow.linear(states, w, "moment")[:, 0]
        moments = slow.softmax(logits)
        close(out.features[n], moments @ states)
        close(out.weights[n, frames], moments[:, None, None] * masks[n, frames])
        close(out.frame_scores[n, frames], logits)
    shares = masks / masks.sum((2, 3), keepdim=True).clamp(min=1e-30)
    close(out.region_weights, shares)


def test_memory_goes_forward_only(randomise, close):
    module = randomise(build("interpretable_space_time_pooling", 8)).double().eval()
    x = torch.randn(1, 8, 5, 4, 3, dtype=torch.float64)
    changed = x.clone()
    changed[:, :, 3] += torch.randn(8, 4, 3)
    before, after = module(x).frame_scores[0], module(changed).frame_scores[0]
    close(before[:3], after[:3])
    assert ((before[3:] - after[3:]).abs() > 1e-6).all()


def test_memory_passes_a_padded_frame_as_if_it_were_not_there(randomise, close):
    """Hidden state and cell state are those of the frame before, whatever the padded one holds."""
    module = randomise(build("interpretable_space_time_pooling", 8)).double().eval()
    x = torch.randn(2, 8, 5, 4, 3, dtype=torch.float64)
    kept = [0, 1, 3, 4]
    mask = torch.ones(1, 1, 5, 1, 1, dtype=torch.bool)
    mask[:, :, 2] = False
    ours, theirs = module(x, mask=mask), module(x[:, :, kept])
    close(ours.features, theirs.features)
    close(ours.weights[:, kept], theirs.weights)
    close(ours.scores[:, kept], theirs.scores)


def test_memory_at_a_padded_position_is_zero(randomise, close):
    """What lies beyond the border of a smaller image is 0 for the memory's convolution too."""
    module = randomise(build("interpretable_space_time_pooling", 8)).double().eval()
    x = torch.randn(2, 8, 4, 4, 5, dtype=torch.float64)
    mask = torch.arange(5).lt(3).reshape(1, 1, 1, 1, 5)
    states = module.remember(x.masked_fill(~mask, 0), mask.expand(2, 1, 4, 4, 5))
    close(states, module.remember(x[..., :3], None))
