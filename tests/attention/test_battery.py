"""What every mechanism of the catalogue must do; a new one is tested here by being in it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from vidattn.attention import Pooled, build, catalogue, record_maps

C = 16
FACTS = catalogue()
CASES = [(name, rank) for name, facts in FACTS.items() for rank in facts.ranks]
HIGHEST = [(name, max(facts.ranks)) for name, facts in FACTS.items()]
SEQUENTIAL = {name for name, facts in FACTS.items() if facts.type.sequential}
# Those without steps through time, which a graph would hold one by one.
STEPLESS = [case for case in HIGHEST if case[0] not in SEQUENTIAL]
KEEPING = [(name, rank) for name, rank in CASES if FACTS[name].kind in ("gate", "mixer")]
GRIDS = {
    1: [(1,), (2,), (8,)],
    2: [(5, 7), (8, 3)],
    3: [(1, 5, 7), (2, 6, 3), (8, 4, 5)],
}


class Case:
    """One mechanism with random weights, and inputs for it."""

    def __init__(self, name: str, rank: int, randomise) -> None:
        self.name, self.rank, self.facts = name, rank, FACTS[name]
        self.module = randomise(build(name, C, spatial_dims=rank)).double().eval()

    def inputs(self, grid=None, batch: int = 3, seed: int = 1, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        grid = grid or GRIDS[self.rank][-1]
        x = torch.randn(batch, C, *grid, generator=generator, dtype=dtype)
        if self.facts.context_meaning is None:
            return x, {}
        # Coarse in space and the same at all times, so that clips can be cut short.
        coarse = (1,) * (self.rank % 2) + tuple((size + 1) // 2 for size in grid[self.rank % 2 :])
        return x, {"context": torch.randn(batch, C, *coarse, generator=generator, dtype=dtype)}


@pytest.fixture
def case(request, randomise) -> Case:
    return Case(*request.param, randomise)


def over(cases):
    return pytest.mark.parametrize("case", cases, indirect=True, ids=lambda c: f"{c[0]}-{c[1]}d")


def tensors(out: Tensor | Pooled) -> tuple[Tensor, ...]:
    return tuple(out) if isinstance(out, tuple) else (out,)


def assert_close(ours, theirs, tolerance: float = 1e-10) -> None:
    for one, other in zip(tensors(ours), tensors(theirs), strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@over(CASES)
def test_shapes(case):
    for grid in GRIDS[case.rank]:
        x, extra = case.inputs(grid)
        out = case.module(x, **extra)
        if case.facts.kind in ("gate", "mixer"):
            assert out.shape == x.shape
        elif case.facts.kind == "pooler":
            assert out.features.shape == (3, C)
            assert out.weights.shape == out.scores.shape == (3, *grid)


@over(CASES)
def test_wrong_rank_is_refused(case):
    x = torch.zeros(2, C, *(3,) * 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"expected x of shape \(N, C, "):
        case.module(x)


@over(CASES)
def test_samples_do_not_see_each_other(case):
    x, extra = case.inputs()
    together = case.module(x, **extra)
    for index in range(len(x)):
        alone = {name: value[index : index + 1] for name, value in extra.items()}
        out = case.module(x[index : index + 1], **alone)
        assert_close(out, tuple(part[index : index + 1] for part in tensors(together)))


@over(CASES)
def test_input_is_left_alone_and_output_is_fresh(case):
    x, extra = case.inputs()
    before = x.clone()
    for part in tensors(case.module(x, **extra)):
        part.detach().add_(1)
    assert torch.equal(x, before)


@over(CASES)
def test_padding_influences_nothing(case):
    x, extra = case.inputs()
    grid = x.shape[2:]
    generator = torch.Generator().manual_seed(2)
    mask = torch.rand(len(x), 1, *grid, generator=generator) < 0.6
    mask[:, :, 0] = True
    other = torch.where(mask, x, torch.full_like(x, 1e4))
    for mode in (True, False):
        case.module.train(mode)
        out, changed = (
            copy.deepcopy(case.module)(value, mask=mask, **extra) for value in (x, other)
        )
        padding = ~mask.expand_as(x)
        if case.facts.kind == "gate":
            assert (out[padding] == 0).all()
        elif case.facts.kind == "mixer":
            assert torch.equal(out[padding], x[padding])
            out, changed = (value.masked_fill(~mask, 0) for value in (out, changed))
        elif case.facts.kind == "pooler":
            assert (out.weights[~mask.squeeze(1)] == 0).all()
        assert_close(out, changed)
        assert all(part.abs().sum() > 0 for part in tensors(out))


@over([(name, rank) for name, rank in CASES if rank != 2])
def test_padded_clip_equals_shorter_clip(case):
    x, extra = case.inputs()
    mask = torch.arange(x.shape[2]).lt(5).reshape(1, 1, -1, *[1] * (case.rank - 1))
    padded = case.module(x, mask=mask, **extra)
    shorter = case.module(x[:, :, :5], **extra)
    if isinstance(padded, Pooled):
        padded = Pooled(padded.features, padded.weights[:, :5], padded.scores[:, :5])
        assert_close(padded, shorter)
    else:
        assert_close(padded[:, :, :5], shorter)


@over(CASES)
def test_mask_of_all_true_is_no_mask(case):
    x, extra = case.inputs()
    mask = torch.ones(1, 1, *[1] * case.rank, dtype=torch.bool)
    assert_close(case.module(x, mask=mask, **extra), case.module(x, **extra))


@over(CASES)
def test_sample_of_padding_only_is_finite(case):
    x, extra = case.inputs()
    x.requires_grad_()
    mask = torch.ones(3, 1, *[1] * case.rank, dtype=torch.bool)
    mask[1] = False
    out = case.module(x, mask=mask, **extra)
    if case.facts.kind == "pooler":
        assert (out.features[1] == 0).all()
        assert (out.weights[1] == 0).all()
    parts = tensors(out)[:2]
    sum(part.sum() for part in parts).backward()
    assert all(part.isfinite().all() for part in parts)
    for value in (x, *case.module.parameters()):
        assert value.grad.isfinite().all()


@over(CASES)
def test_map_is_what_was_applied(case):
    x, extra = case.inputs()
    grid = {1: (8, 1, 1), 2: (1, 8, 3), 3: (8, 4, 5)}[case.rank]
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(3, 1, *x.shape[2:], generator=generator) < 0.7
    for given in ({}, {"mask": mask}):
        plain = case.module(x, **extra, **given)
        with record_maps(case.module, affinities="full") as maps:
            out = case.module(x, **extra, **given)
        assert_close(out, plain, 0)
        for found in maps:
            assert found.kind == case.facts.map_kind
            assert found.grid == grid
            assert found.saliency().shape == (3, *grid)
            assert found.frame_weights().shape == (3, grid[0])
            assert not found.values.requires_grad
            assert (found.values.shape[2:] == torch.Size(grid)) or 1 in found.values.shape[2:]
            check_map(case.facts.type, found, x, out, padded=bool(given))


def check_map(mechanism, found, x, out, *, padded: bool) -> None:
    if found.kind == "gate":
        weights = found.values.expand(-1, -1, *found.grid).reshape(3, -1, *x.shape[2:])
        assert_close(out, x * weights, 1e-12)
    elif found.kind == "pooling":
        if mechanism.weights_sum_to_one:
            assert_close(found.values.flatten(1).sum(1), torch.ones(3, dtype=x.dtype))
            assert (found.values >= 0).all()
        assert torch.equal(found.values.reshape(out.weights.shape), out.weights.detach())
        if mechanism.weighs_input:
            features = (x * out.weights.unsqueeze(1)).flatten(2).sum(2)
            assert_close(out.features, features, 1e-12)
    elif found.kind == "affinity":
        rows = found.affinity.sum(3)
        ones = torch.ones_like(rows)
        if mechanism.weights_sum_to_one:
            assert_close(torch.where(rows == 0, ones, rows) if padded else rows, ones)
        if not padded:
            # Columns beyond the positions are registers, which no position of the map shows.
            between = found.affinity[..., : found.affinity.shape[2]]
            assert_close(
                found.values.sum((2, 3, 4)),
                between.mean(2).sum(2).reshape(3, -1, found.values.shape[1]).sum(1),
            )


@over([(name, 3) for name, facts in FACTS.items() if {2, 3} <= set(facts.ranks)])
def test_clip_of_one_frame_is_an_image(case, randomise):
    image = build(case.name, C, spatial_dims=2).double().eval()
    clip = case.module
    with torch.no_grad():
        for (name, ours), theirs in zip(
            clip.state_dict().items(), image.state_dict().values(), strict=True
        ):
            if ours.ndim == theirs.ndim + 1:  # a convolution: its middle moment
                ours = ours[:, :, ours.shape[2] // 2]
            assert ours.shape == theirs.shape, name
            theirs.copy_(ours)
    x, extra = case.inputs((1, 5, 7))
    flat = {name: value.squeeze(2) for name, value in extra.items()}
    ours = clip(x, **extra)
    if isinstance(ours, Pooled):
        ours = Pooled(ours.features, ours.weights.squeeze(1), ours.scores.squeeze(1))
    else:
        ours = ours.squeeze(2)
    assert_close(ours, image(x.squeeze(2), **flat))


@over([(name, rank) for name, rank in KEEPING if rank > 1])
def test_memory_format_is_kept(case):
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[case.rank]
    x, extra = case.inputs()
    contiguous = case.module(x, **extra)
    mask = torch.ones(1, 1, *[1] * case.rank, dtype=torch.bool)
    for given in ({}, {"mask": mask}):
        last = case.module(x.to(memory_format=layout), **extra, **given)
        assert last.is_contiguous(memory_format=layout)
        assert_close(last, contiguous)


@over(STEPLESS)
def test_compiles_to_one_graph(case):
    compiled = torch.compile(case.module, fullgraph=True, backend="eager")
    x, extra = case.inputs()
    mask = torch.ones(1, 1, *[1] * case.rank, dtype=torch.bool)
    assert_close(compiled(x, **extra), case.module(x, **extra))
    assert_close(compiled(x, mask=mask, **extra), case.module(x, mask=mask, **extra))


@over(STEPLESS)
def test_exports_with_dynamic_batch_and_time(case):
    x, extra = case.inputs()
    # An image has no time: its height is as free.
    shapes = {"x": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC}}
    shapes |= {name: {0: Dim.DYNAMIC} for name in extra}
    exported = torch.export.export(case.module, (x,), extra, dynamic_shapes=shapes)
    grid = (5, *GRIDS[case.rank][-1][1:])
    x, extra = case.inputs(grid, batch=2)
    if case.rank == 2 and extra:
        pytest.skip("its context would change its height too")
    assert_close(exported.module()(x, **extra), case.module(x, **extra))


@over(HIGHEST)
def test_recorded_compiled_model_shows_the_same_maps(case):
    x, extra = case.inputs()
    with record_maps(case.module) as eager:
        case.module(x, **extra)
    compiled = torch.compile(case.module, backend="eager")
    compiled(x, **extra)
    with record_maps(compiled) as maps:
        compiled(x, **extra)
    assert [found.name for found in maps] == [found.name for found in eager]
    for ours, theirs in zip(maps, eager, strict=True):
        assert torch.equal(ours.values, theirs.values)


@over(STEPLESS)
def test_observers_cost_no_operation_when_compiled(case):
    x, extra = case.inputs()
    without = copy.deepcopy(case.module)
    for module in list(without.modules()):
        if hasattr(module, "observer"):
            module.observer = Blind()
    assert operations(case.module, x, extra) == operations(without, x, extra)


class Blind(nn.Module):
    """Stands for an observer that was never there."""

    recording = wants_affinity = False

    def forward(self, values, grid, *, affinity=None) -> None:
        return None


def operations(module: nn.Module, x: Tensor, extra: dict) -> list[str]:
    seen: list[str] = []

    def count(graph, example_inputs):
        seen.extend(f"{node.op} {node.target}" for node in graph.graph.nodes)
        return graph.forward

    torch.compiler.reset()
    torch.compile(module, fullgraph=True, backend=count)(x, **extra)
    assert len(seen) > 3
    return seen


@over(HIGHEST)
def test_bfloat16_autocast_stays_near(case):
    case.module.float()
    x, extra = case.inputs(dtype=torch.float32)
    exact = tensors(case.module(x, **extra))[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = case.module(x, **extra)
    if isinstance(out, Pooled):
        assert out.weights.dtype == out.scores.dtype == torch.float32
    error = (tensors(out)[0].float() - exact).abs().max()
    assert error <= 0.05 * exact.abs().max()


@over(HIGHEST)
def test_gradients(case):
    x, extra = case.inputs((2, 2, 3)[3 - case.rank :], batch=2)
    x.requires_grad_()
    mask = torch.ones(2, 1, *x.shape[2:], dtype=torch.bool)
    mask[0, ..., -1] = False
    for given in ({}, {"mask": mask}):
        parameters = list(case.module.parameters())

        def run(x, *parameters, given=given):
            return tensors(case.module(x, **extra, **given))[:2]

        assert torch.autograd.gradcheck(run, (x, *parameters), fast_mode=True)


@over(CASES)
def test_trained_module_can_be_copied_and_restored(case):
    x, extra = case.inputs()
    case.module.train()
    tensors(case.module(x, **extra))[0].pow(2).sum().backward()
    assert all(parameter.grad is not None for parameter in case.module.parameters())
    case.module.eval()
    twin = copy.deepcopy(case.module)
    fresh = build(case.name, C, spatial_dims=case.rank).double().eval()
    fresh.load_state_dict(case.module.state_dict())
    expected = case.module(x, **extra)
    assert_close(twin(x, **extra), expected, 0)
    assert_close(fresh(x, **extra), expected, 0)


@over(CASES)
def test_starts_as_identity_is_true(case):
    fresh = build(case.name, C, spatial_dims=case.rank).double().eval()
    x, extra = case.inputs()
    out = tensors(fresh(x, **extra))[0]
    assert fresh.starts_as_identity == (out.shape == x.shape and torch.equal(out, x))


@pytest.mark.parametrize("name", FACTS)
def test_facts_are_complete(name):
    facts = FACTS[name]
    parts = facts.type.__module__.split(".")
    assert facts.family == parts[2], "the family is the folder"
    assert "Source: " in (facts.type.__doc__ or "")
    assert facts.summary.endswith(".")
    assert facts.source
    assert facts.map_meaning
    test = Path(__file__).parent / parts[2] / f"test_{parts[3]}.py"
    assert test.is_file(), f"no test compares it with a reference: {test}"
