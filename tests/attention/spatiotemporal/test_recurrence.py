from __future__ import annotations

import torch
from torch import nn

from vidattn.attention.spatiotemporal.recurrence import lstm_step, unless_padding


def test_step_equals_torch():
    cell = nn.LSTMCell(6, 5).double()
    x, h, c = (torch.randn(size, dtype=torch.float64) for size in ((7, 6), (7, 5), (7, 5)))
    gates = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    expected = cell(x, (h, c))
    for ours, theirs in zip(lstm_step(gates, c), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_padding_keeps_the_old_state():
    new, old = torch.ones(2, 3, 4), torch.zeros(2, 3, 4)
    state = unless_padding(new, old, torch.tensor([True, False]))
    assert state[0].eq(1).all()
    assert state[1].eq(0).all()
    assert unless_padding(new, old, None) is new
