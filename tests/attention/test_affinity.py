from __future__ import annotations

import pytest
import torch

from vidattn.attention import RecordingError, affinity, build, record_maps
from vidattn.attention.observe import Observer


@pytest.mark.parametrize("padded", [True, False])
def test_attend_and_received_equal_the_formula(padded, monkeypatch):
    q, k, v = torch.randn(3, 2, 4, 30, 5, dtype=torch.float64)
    mask = torch.rand(2, 30) < 0.6 if padded else torch.ones(2, 30, dtype=torch.bool)
    rows = (q @ k.transpose(2, 3) / 3).exp() * mask[:, None, None]
    rows = rows / rows.sum(3, keepdim=True)
    given = mask if padded else None
    out = affinity.attend(
        q, k, v, scale=1 / 3, mask=given, grid=(5, 6), observer=Observer("affinity")
    )
    real = mask[:, None, :, None]
    torch.testing.assert_close(out, (rows @ v) * real, atol=1e-12, rtol=1e-12)

    expected = (rows * real).sum(2) / mask.sum(1)[:, None, None]
    for chunk in (2**22, 2 * 4 * 30 * 7, 1):
        monkeypatch.setattr(affinity, "CHUNK", chunk)
        found = affinity.received(q / 3, k, given)
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_received_holds_one_piece_at_a_time(monkeypatch):
    sizes = []
    whole = affinity.affinities

    def watched(*arguments, **settings):
        rows = whole(*arguments, **settings)
        sizes.append(rows.numel())
        return rows

    monkeypatch.setattr(affinity, "affinities", watched)
    monkeypatch.setattr(affinity, "CHUNK", 4096)
    q = torch.randn(1, 2, 512, 4)
    affinity.received(q, q, None)
    assert max(sizes) <= 4096
    assert sum(sizes) == 2 * 512 * 512


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("chunk", [1, 16, 2**22])
def test_causal_rows_stop_at_their_query(padded, chunk, monkeypatch):
    q, k = torch.randn(2, 2, 3, 7, 4, dtype=torch.float64)
    mask = torch.rand(2, 7) < 0.7 if padded else torch.ones(2, 7, dtype=torch.bool)
    allowed = torch.ones(7, 7, dtype=torch.bool).tril() & mask[:, None, None]
    powers = torch.einsum("nhqc,nhkc->nhqk", q, k).exp() * allowed
    rows = powers / powers.sum(3, keepdim=True).clamp(min=1e-300)
    expected = (rows * mask[:, None, :, None]).sum(2) / mask.sum(1).clamp(min=1)[:, None, None]
    given = mask if padded else None
    monkeypatch.setattr(affinity, "CHUNK", chunk)
    found = affinity.received(q, k, given, causal=True)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    whole = affinity.affinities(q, k, given, causal=True)
    torch.testing.assert_close(whole, rows, atol=1e-12, rtol=1e-12)


def test_registers_take_their_share_and_are_not_shown():
    q = torch.randn(2, 4, 30, 5, dtype=torch.float64)
    k, v = torch.randn(2, 2, 4, 33, 5, dtype=torch.float64)
    mask = torch.rand(2, 30) < 0.6
    seen = torch.cat((mask, torch.ones(2, 3, dtype=torch.bool)), 1)
    rows = (q @ k.transpose(2, 3) / 3).exp() * seen[:, None, None]
    rows = rows / rows.sum(3, keepdim=True)
    out = affinity.attend(
        q,
        k,
        v,
        scale=1 / 3,
        mask=mask,
        grid=(5, 6),
        observer=Observer("affinity"),
        registers=3,
    )
    real = mask[:, None, :, None]
    torch.testing.assert_close(out, (rows @ v) * real, atol=1e-12, rtol=1e-12)
    found = affinity.received(q / 3, k, mask, registers=3)
    expected = (rows * real).sum(2)[..., :30] / mask.sum(1)[:, None, None]
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_a_matrix_that_cannot_fit_is_refused_before_it_is_made(monkeypatch):
    module = build("self_attention", 8, heads=4)
    x = torch.randn(2, 8, 3, 4, 5)
    needed = 2 * 2 * 4 * 60 * 60 * 4  # scores and weights, samples, heads, queries, keys, bytes
    monkeypatch.setattr(affinity, "free_bytes", lambda device: needed - 1)
    with (
        pytest.raises(RecordingError, match=r"needs 0.00023 GB .* 60 x 60 .*'divided_space_time'"),
        record_maps(module, affinities="full"),
    ):
        module(x)
    with record_maps(module) as maps:
        module(x)
    assert maps[0].affinity is None
    monkeypatch.setattr(affinity, "free_bytes", lambda device: needed)
    with record_maps(module, affinities="full") as maps:
        module(x)
    assert maps[0].affinity.shape == (2, 4, 60, 60)


@pytest.mark.parametrize("name", ["cross_attention", "differential", "trajectory"])
def test_matrices_of_other_formulas_are_refused_too(name, monkeypatch):
    module = build(name, 16)
    x = torch.randn(2, 16, 3, 4, 5)
    monkeypatch.setattr(affinity, "free_bytes", lambda device: 1)
    given = {"context": x} if name == "cross_attention" else {}
    with (
        pytest.raises(RecordingError, match="affinities='full' needs"),
        record_maps(module, affinities="full"),
    ):
        module(x, **given)


def test_an_hour_of_joint_attention_does_not_fit_anywhere():
    endless = torch.empty(1, 1, 1).expand(10**9, 4, 1).unflatten(0, (10, 10**8)).permute(0, 2, 1, 3)
    with pytest.raises(RecordingError, match="GB are free"):
        affinity.refuse_what_cannot_fit(endless, endless)
    assert 2**20 < affinity.free_bytes(torch.device("cpu")) < 2**50


@pytest.mark.parametrize("padded", [True, False])
def test_causal_queries_see_all_registers(padded):
    q = torch.randn(2, 3, 7, 4, dtype=torch.float64)
    k, v = torch.randn(2, 2, 3, 9, 4, dtype=torch.float64)
    mask = torch.rand(2, 7) < 0.7 if padded else torch.ones(2, 7, dtype=torch.bool)
    allowed = torch.ones(2, 7, 9, dtype=torch.bool)
    for n in range(2):
        for query in range(7):
            for key in range(7):
                allowed[n, query, key] = key <= query and bool(mask[n, key])
    powers = torch.einsum("nhqc,nhkc->nhqk", q, k).exp() * allowed[:, None]
    rows = powers / powers.sum(3, keepdim=True)
    given = mask if padded else None
    out = affinity.attend(
        q,
        k,
        v,
        scale=1.0,
        mask=given,
        grid=(7,),
        observer=Observer("affinity"),
        registers=2,
        causal=True,
    )
    real = mask[:, None, :, None]
    torch.testing.assert_close(out, torch.einsum("nhqk,nhkc->nhqc", rows, v) * real)
    expected = (rows * real).sum(2)[:, :, :7] / mask.sum(1).clamp(min=1)[:, None, None]
    found = affinity.received(q, k, given, causal=True, registers=2)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
