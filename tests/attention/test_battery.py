"""What every mechanism of the catalogue must do; a new one is tested here by being in it."""

from __future__ import annotations

import copy
import inspect
import os
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.utils.checkpoint import checkpoint

from tests.attention.parameter_counts import COUNTS
from vidattn.attention import Mechanism, Pooled, Reduced, build, catalogue, record_maps

C = 16
FACTS = catalogue()
CASES = [(name, rank) for name, facts in FACTS.items() for rank in facts.ranks]
HIGHEST = [(name, max(facts.ranks)) for name, facts in FACTS.items()]
KEEPING = [(name, rank) for name, rank in CASES if FACTS[name].kind in ("gate", "mixer")]
REPLACING = [(name, rank) for name, rank in CASES if FACTS[name].kind == "replacement"]
FIXED = {name for name, facts in FACTS.items() if facts.type.fixed_size}
SEQUENTIAL = {name for name, facts in FACTS.items() if facts.type.sequential}
# Those without steps through time, which a graph would hold one by one.
STEPLESS = [case for case in HIGHEST if case[0] not in SEQUENTIAL]
# One of each family, for what takes long.
REPRESENTATIVES = (
    "convolutional_block_attention",
    "divided_space_time",
    "mean_field",
    "self_attention",
    "squeeze_excitation",
    "split_attention",
    "temporal_adaptive",
    "token_learner",
)
LARGE = {1: (40,), 2: (12, 12), 3: (8, 8, 8)}
GRIDS = {
    1: [(1,), (2,), (8,)],
    2: [(5, 7), (8, 3)],
    3: [(1, 5, 7), (2, 6, 3), (8, 4, 5)],
}


# Default reductions leave one hidden unit of so few channels, whose ReLU may be 0 for all inputs;
# default numbers of tokens keep all positions.
NARROW = {"reduction": 2, "tokens": 3}
# What its weights are is no question to the input.
INPUT_BLIND = {"temporal_shift"}
# Wide random layers send every look to a corner.
OF_ONE = {"recurrent_glimpse": {"hidden_channels": 4}}


def make(name: str, rank: int, **settings) -> nn.Module:
    """One whose weights depend on its input; those without a default size get the last grid."""
    known = FACTS[name].settings
    narrow = {one: value for one, value in NARROW.items() if one in known}
    settings = narrow | OF_ONE.get(name, {}) | settings
    if known.get("grid") is inspect.Parameter.empty:
        settings["grid"] = GRIDS[rank][-1]
    return build(name, C, spatial_dims=rank, **settings)


def variants() -> list[tuple[str, int, dict]]:
    """Every mechanism with each of its switches and choices set otherwise than by default."""
    found = []
    for name, facts in FACTS.items():
        hints = get_type_hints(facts.type.__init__)
        for setting, default in facts.settings.items():
            choices = get_args(hints.get(setting)) if is_choice(hints.get(setting)) else ()
            others = (not default,) if isinstance(default, bool) else choices
            rank = max(facts.ranks)
            found += [(name, rank, {setting: one}) for one in others if one != default]
    return found


def is_choice(hint) -> bool:
    return get_origin(hint) is Literal


class Case:
    """One mechanism with random weights, and inputs for it."""

    def __init__(self, name: str, rank: int, randomise, **settings) -> None:
        self.name, self.rank, self.facts = name, rank, FACTS[name]
        self.module = randomise(make(name, rank, **settings)).double().eval()
        self.hard = self.facts.map_kind == "selection"

    def inputs(self, grid=None, batch: int = 3, seed: int = 1, dtype=torch.float64, apart=True):
        generator = torch.Generator().manual_seed(seed)
        grid = grid or GRIDS[self.rank][-1]
        # Means of noise are all alike: samples differ in their channels' means too.
        means = (
            torch.randn(batch, C, *[1] * self.rank, generator=generator, dtype=dtype)
            if apart
            else 0
        )
        x = means + torch.randn(batch, C, *grid, generator=generator, dtype=dtype)
        # Reducers work without one, by parameters that are to be tested.
        if self.facts.context_meaning is None or self.facts.kind == "reducer":
            return x, {}
        # Coarse in space and the same at all times, so that clips can be cut short.
        coarse = (1,) * (self.rank % 2) + tuple((size + 1) // 2 for size in grid[self.rank % 2 :])
        if self.name == "cross_attention":  # of one position there is no choice
            coarse = (3,) * self.rank
        return x, {"context": torch.randn(batch, C, *coarse, generator=generator, dtype=dtype)}


@pytest.fixture
def case(request, randomise) -> Case:
    return Case(*request.param, randomise)


def over(cases):
    return pytest.mark.parametrize("case", cases, indirect=True, ids=lambda c: f"{c[0]}-{c[1]}d")


def with_the_rest_slow(cases):
    """For what takes long: `over` one of each family, and all others among the slow tests."""
    slow = pytest.mark.slow
    return over([pytest.param(c, marks=() if c[0] in REPRESENTATIVES else slow) for c in cases])


def tensors(out: Tensor | Pooled | Reduced) -> tuple[Tensor, ...]:
    return tuple(out) if isinstance(out, tuple) else (out,)


def assert_close(ours, theirs, tolerance: float = 1e-10) -> None:
    for one, other in zip(tensors(ours), tensors(theirs), strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@over(CASES)
def test_shapes(case):
    for grid in GRIDS[case.rank][-1:] if case.name in FIXED else GRIDS[case.rank]:
        x, extra = case.inputs(grid)
        out = case.module(x, **extra)
        if case.facts.kind in ("gate", "mixer", "replacement"):
            assert out.shape == x.shape
        elif case.facts.kind == "pooler":
            assert out.features.shape == (3, C)
            assert out.weights.shape == out.scores.shape == (3, *grid)
        elif case.facts.kind == "reducer":
            count = out.valid.shape[1]
            assert out.features.shape == (3, C, count)
            assert out.source.shape == (3, count, *grid)
            assert out.valid.dtype == torch.bool
            assert out.valid[:, 0].all()


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
        part.detach().zero_()
    assert torch.equal(x, before)


@over(CASES)
def test_weights_depend_on_the_input(case):
    """Without that, no other test here says anything of how the weights come about."""
    _, extra = case.inputs()
    recorded = []
    for seed in (1, 2):
        x, _ = case.inputs(seed=seed)
        with torch.no_grad(), record_maps(case.module) as maps:
            case.module(x, **extra)
        recorded.append(maps)
    for one, other in zip(*recorded, strict=True):
        change = (one.values - other.values).abs().flatten(1).amax(1) / one.values.abs().amax()
        if case.name in INPUT_BLIND:
            assert (change == 0).all()
        else:
            # Choices between the same few places may well be the same for one sample or two.
            chosen = case.hard or case.facts.learns_by_reward
            assert (change > 1e-4).sum() >= (1 if chosen else 2), change


FILLS = (1e4, float("inf"), float("-inf"), float("nan"))


def masks(case, count: int) -> dict[str, Tensor]:
    """Single positions, the end of all samples, and a sample as a whole."""
    grid = GRIDS[case.rank][-1]
    generator = torch.Generator().manual_seed(2)
    single = torch.rand(count, 1, *grid, generator=generator) < 0.6
    single[:, :, 0] = True
    whole = torch.ones(count, 1, *[1] * case.rank, dtype=torch.bool)
    whole[1] = False
    end = torch.arange(grid[0]).lt(5).reshape(1, 1, -1, *[1] * (case.rank - 1))
    return {"single": single, "end": end, "whole": whole}


@over(CASES)
def test_padding_influences_nothing(case):
    x, extra = case.inputs()
    for kind, mask in masks(case, len(x)).items():
        for training in (False, True) if kind == "single" else (False,):
            case.module.train(training)
            expected = masked_run(case, x.masked_fill(~mask, 0), mask, extra)
            check_padding(case, expected[0], x.masked_fill(~mask, 0), mask)
            for fill in FILLS if kind == "single" else FILLS[1::2]:
                filled = x.masked_fill(~mask, fill)
                found = masked_run(case, filled, mask, extra)
                check_padding(case, found[0], filled, mask)
                for part, other in zip(found, expected, strict=True):
                    assert_same_at_real(case, part, other, mask)


@pytest.mark.parametrize(
    ("name", "rank", "settings"),
    variants(),
    ids=lambda given: "-".join(map(str, *given.items())) if isinstance(given, dict) else str(given),
)
def test_padding_influences_nothing_whatever_the_settings(name, rank, settings, randomise):
    heads = {"heads": 2} if "rotary" in settings else {}  # which need wide heads
    case = Case(name, rank, randomise, **heads, **settings)
    x, extra = case.inputs()
    mask = masks(case, len(x))["single"]
    expected = masked_run(case, x.masked_fill(~mask, 0), mask, extra)
    found = masked_run(case, x.masked_fill(~mask, float("nan")), mask, extra)
    for part, other in zip(found, expected, strict=True):
        assert_same_at_real(case, part, other, mask)


def masked_run(case, x: Tensor, mask: Tensor, extra) -> tuple:
    """Outputs, gradients (of x and of all parameters) and the statistics afterwards."""
    x = x.clone().requires_grad_()
    torch.manual_seed(0)
    module = copy.deepcopy(case.module)
    out = module(x, mask=mask, **extra)
    total = 0
    for part in tensors(out):
        if part.requires_grad:
            # A mixer's result at padding is x, whatever that is.
            part = torch.where(mask, part, 0) if case.facts.kind == "mixer" else part
            part = part.clamp(min=-1e30)  # a score at padding is the lowest number
            weights = torch.linspace(0.5, 1.5, part.numel(), dtype=part.dtype)
            total = total + (part.flatten() * weights).sum()
    if isinstance(total, Tensor):
        total.backward()
    learned = {name: one.grad for name, one in module.named_parameters()}
    return out, x.grad, learned, dict(module.named_buffers())


def check_padding(case, out, x: Tensor, mask: Tensor) -> None:
    padding = ~mask.expand(len(x), 1, *x.shape[2:])
    if case.facts.kind in ("gate", "replacement"):
        assert (out[padding.expand_as(out)] == 0).all()
    elif case.facts.kind == "mixer":
        padding = padding.expand_as(x)
        torch.testing.assert_close(out[padding], x[padding], atol=0, rtol=0, equal_nan=True)
    elif case.facts.kind == "pooler":
        assert (out.weights[padding.squeeze(1)] == 0).all()
        assert (out.scores[padding.squeeze(1)] == torch.finfo(out.scores.dtype).min).all()
    elif case.facts.kind == "reducer":
        check_reduced(out, x.masked_fill(~mask, 0), mask)
    assert all(part.any() for part in tensors(out))


def assert_same_at_real(case, found, expected, mask: Tensor) -> None:
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert (value is None) == (expected[name] is None)
            if value is not None:
                assert_close(value, expected[name])
    elif found is not None:
        if case.facts.kind == "mixer" and isinstance(found, Tensor):
            found, expected = (torch.where(mask, one, 0) for one in (found, expected))
        assert_close(found, expected)


def check_reduced(out: Reduced, x: Tensor, mask: Tensor | None = None) -> None:
    """Tokens are sums of real positions by their sources."""
    mask = torch.ones(1, 1, *x.shape[2:], dtype=torch.bool) if mask is None else mask
    assert (out.source.detach().masked_fill(mask, 0) == 0).all()
    assert (out.source >= 0).all()
    assert (out.source[~out.valid] == 0).all()
    assert torch.equal(out.source.flatten(2).sum(2) > 0, out.valid)
    features = torch.einsum("ncl,nkl->nck", x.flatten(2), out.source.flatten(2))
    assert_close(out.features, features, 1e-12)


@over([(name, rank) for name, rank in CASES if FACTS[name].kind == "reducer"])
@pytest.mark.parametrize("training", [True, False])
def test_tokens_are_sums_of_their_sources(case, training):
    case.module.train(training)
    for grid in GRIDS[case.rank]:
        x, extra = case.inputs(grid)
        check_reduced(case.module(x, **extra), x)


@over([(name, rank) for name, rank in CASES if name in FIXED])
def test_other_size_is_refused(case):
    x, extra = case.inputs(tuple(size + 1 for size in GRIDS[case.rank][-1]))
    with pytest.raises(ValueError, match=f"{case.facts.type.__name__}: expected x with"):
        case.module(x, **extra)


# Where places or sizes along H are shares of H, a padded image is another than a smaller one.
RELATIVE_TO_SIZE = {
    "attention_gate",
    "attention_gated_crf",
    "deformable",
    "frequency_channel",
    "multi_scale_deformable",
    "residual_attention",
    "second_order_position",
    "space_time_selection",
    "spatial_transformer",
}
# As their authors' code has it, windows lie and distances count otherwise where there are more
# positions.
COMPATIBLE = [
    (name, {"compat": True}) for name in ("self_calibrated_convolution", "pooling_attention")
]
UNPADDED = [
    case
    for case in CASES
    if case[0] not in FIXED and (case[1] != 2 or case[0] not in RELATIVE_TO_SIZE)
]


@over(UNPADDED)
def test_padded_clip_equals_shorter_clip(case):
    check_padded_is_shorter(case)


@pytest.mark.parametrize(
    ("name", "rank", "settings"),
    [one for one in variants() if one[:2] in UNPADDED and one[::2] not in COMPATIBLE],
    ids=str,
)
def test_padded_clip_equals_shorter_clip_whatever_the_settings(name, rank, settings, randomise):
    heads = {"heads": 2} if "rotary" in settings else {}  # which need wide heads
    check_padded_is_shorter(Case(name, rank, randomise, **heads, **settings))


# Contexts are as large as the picture, and do not get narrower with it. Two mechanisms halve the
# picture and enlarge it again: an odd column is left out, which one it is depends on the width.
HALVED = {"long_term_difference", "short_term_difference"}
UNPADDED_WIDTHS = [
    case
    for case in UNPADDED
    if case[1] == 3
    and case[0] not in RELATIVE_TO_SIZE | HALVED
    and (catalogue()[case[0]].context_meaning is None or catalogue()[case[0]].kind == "reducer")
]


@over(UNPADDED_WIDTHS)
def test_padded_picture_equals_narrower_picture(case):
    """Padding within frames: the number of real positions of a frame is not that of a clip."""
    check_padded_is_shorter(case, axis=4)


@over([case for case in UNPADDED if case[1] == 1])
def test_few_real_positions_equal_a_short_sequence(case):
    """Counts that must not be 0 are not taken for more than they are."""
    for kept in (1, 2):
        check_padded_is_shorter(case, kept=kept)


# Along an axis of one position these do not attend at all.
PASS_OVER_ONE = {"axial", "criss_cross", "position_sensitive_axial"}


@over([case for case in UNPADDED if case[1] == 2 and case[0] not in PASS_OVER_ONE])
def test_one_real_position_equals_a_picture_of_one(case):
    """The rest is padding: nothing may be divided by more than there is."""
    x, extra = case.inputs()
    mask = torch.zeros(1, 1, *x.shape[2:], dtype=torch.bool)
    mask[..., 0, 0] = True
    if extra:
        pytest.skip("a context has its own size")
    padded, alone = case.module(x, mask=mask), case.module(x[..., :1, :1])
    if isinstance(alone, Reduced):
        for ours, theirs in zip(tokens(padded), tokens(alone), strict=True):
            assert_close(ours[0], theirs[0])
    else:
        assert_close(
            tensors(padded)[0].reshape(*x.shape[:2], -1)[..., :1].flatten(),
            tensors(alone)[0].flatten(),
        )


HIDDEN = [
    (name, setting)
    for name, facts in catalogue().items()
    for setting in ("hidden_channels", "hidden_units", "key_channels", "value_channels")
    if setting in facts.settings and name not in (*FIXED, "adaptive_scan_pooling")  # two widths
]


@pytest.mark.parametrize(("name", "setting"), HIDDEN)
def test_widths_that_are_asked_for_are_there(name, setting):
    module = build(name, 16, spatial_dims=max(catalogue()[name].ranks), **{setting: 40})
    sizes = {size for value in module.state_dict().values() for size in value.shape}
    assert any(size % 40 == 0 for size in sizes if size)


def check_padded_is_shorter(case, axis: int = 2, kept: int | None = None) -> None:
    """So are the gradients: a mask that is forgotten on one way back shows there only."""
    x, extra = case.inputs()
    kept = kept or {8: 5, 5: 3}[x.shape[axis]]
    shape = [-1 if dim == axis else 1 for dim in range(x.ndim)]
    mask = torch.arange(x.shape[axis]).lt(kept).reshape(shape)
    padded = x.clone().requires_grad_()
    shorter = x.narrow(axis, 0, kept).clone().requires_grad_()
    learned = []
    outs = (case.module(padded, mask=mask, **extra), case.module(shorter, **extra))
    outs = (cut(outs[0], axis, kept), outs[1])
    for out in outs:
        case.module.zero_grad()
        # All positions, and all tokens, of which there may be more, count alike.
        shares = torch.linspace(0.5, 1.5, C, dtype=x.dtype)
        features = tensors(out)[0]
        total = (features * shares.reshape(-1, *[1] * (features.ndim - 2))).square().sum()
        if total.requires_grad:
            total.backward()
        learned.append({name: one.grad for name, one in case.module.named_parameters()})
    if isinstance(outs[0], Reduced):
        for ours, theirs in zip(tokens(outs[0]), tokens(outs[1]), strict=True):
            assert_close(ours, theirs)
    else:
        assert_close(*outs)
    if shorter.grad is not None:
        assert_close(padded.grad.narrow(axis, 0, kept), shorter.grad)
        assert (padded.grad.narrow(axis, kept, x.shape[axis] - kept) == 0).all()
    for name, value in learned[0].items():
        other = learned[1][name]
        if value is None or other is None:  # of what one position alone does not need
            assert value is None or (value == 0).all(), name
            assert other is None or (other == 0).all(), name
        else:
            assert_close(value, other)


def cut(out, axis: int, kept: int):
    """Without what is behind so many positions of one of x's axes."""
    if isinstance(out, Pooled):
        weights, scores = (each.narrow(axis - 1, 0, kept) for each in (out.weights, out.scores))
        return Pooled(out.features, weights, scores)
    if isinstance(out, Reduced):
        return Reduced(out.features, out.source.narrow(axis, 0, kept), out.valid)
    return out.narrow(axis, 0, kept)


def tokens(out: Reduced) -> list[tuple[Tensor, Tensor]]:
    """What is valid of each sample: features (K', C) and source (K', *positions)."""
    return [
        (features.T[valid], source[valid]) for features, source, valid in zip(*out, strict=True)
    ]


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
    elif case.facts.kind == "reducer":
        assert (out.features[1] == 0).all()
        assert not out.valid[1].any()
    parts = tensors(out)[:2]
    sum(part.sum() for part in parts).backward()
    assert all(part.isfinite().all() for part in parts)
    for value in (x, *case.module.parameters()):
        # A choice has a gradient in training only; the test of copying asks for it there.
        excused = case.hard or case.facts.learns_by_reward
        assert value.grad.isfinite().all() if value.grad is not None else excused


@over(CASES)
def test_map_is_what_was_applied(case):
    x, extra = case.inputs()
    grid = {1: (8, 1, 1), 2: (1, 8, 3), 3: (8, 4, 5)}[case.rank]
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(3, 1, *x.shape[2:], generator=generator) < 0.7
    # One that is made of others shows their maps.
    kinds = {part.map_kind for part in case.module.modules() if isinstance(part, Mechanism)}
    for given in ({}, {"mask": mask}):
        plain = case.module(x, **extra, **given)
        with record_maps(case.module, affinities="full") as maps:
            out = case.module(x, **extra, **given)
        assert_close(out, plain, 0)
        for found in maps:
            assert found.kind in kinds
            assert found.grid == grid
            assert found.saliency().shape == (3, *grid)
            assert found.frame_weights().shape == (3, grid[0])
            assert not found.values.requires_grad
            assert (found.values.shape[2:] == torch.Size(grid)) or 1 in found.values.shape[2:]
            check_map(case.facts.type, found, x, out, padded=bool(given))


def check_map(mechanism, found, x, out, *, padded: bool) -> None:
    if found.kind == "gate" and mechanism.kind == "gate":
        weights = found.values.expand(-1, -1, *found.grid).reshape(3, -1, *x.shape[2:])
        assert_close(out, x * weights, 1e-12)
    elif found.kind == "pooling":
        if mechanism.weights_sum_to_one:
            sums = found.values.flatten(2).sum(2)
            assert_close(sums, torch.ones_like(sums))
            assert (found.values >= 0).all()
        if isinstance(out, Pooled):
            assert torch.equal(found.values.reshape(out.weights.shape), out.weights.detach())
        if isinstance(out, Pooled) and mechanism.weighs_input:
            features = (x * out.weights.unsqueeze(1)).flatten(2).sum(2)
            assert_close(out.features, features, 1e-12)
    elif found.kind == "branch":
        assert found.values.shape[1] >= 2
        assert ((found.values >= 0) & (found.values <= 1)).all()
    elif isinstance(out, Reduced):
        assert found.kind in ("selection", "assignment")
        assert torch.equal(found.values.reshape(out.source.shape), out.source.detach())
    elif found.kind == "channel_affinity":
        assert_close(found.affinity.sum(3), torch.ones_like(found.affinity[..., 0]))
        assert_close(found.values.flatten(1), found.affinity.mean(2).squeeze(1))
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


@over(
    [
        (name, 3)
        for name, facts in FACTS.items()
        if {2, 3} <= set(facts.ranks) and name not in FIXED and not facts.weighs_time
    ]
)
def test_clip_of_one_frame_is_an_image(case, randomise):
    image = make(case.name, 2).double().eval()
    clip = case.module
    with torch.no_grad():
        for name, theirs in image.state_dict().items():  # a clip may have more: those of time
            ours = clip.state_dict()[name]
            if ours.ndim == theirs.ndim + 1:  # a convolution: its middle moment
                ours = ours.select(-3, ours.shape[-3] // 2)
            elif ours.shape[1:] == (3,) and theirs.shape[1:] == (2,):  # of coordinates T, H, W
                ours = ours[:, 1:]
            assert ours.shape == theirs.shape, name
            theirs.copy_(ours)
    x, extra = case.inputs((1, 5, 7))
    flat = {name: value.squeeze(2) if value.ndim == 5 else value for name, value in extra.items()}
    ours, theirs = clip(x, **extra), image(x.squeeze(2), **flat)
    if isinstance(ours, Reduced):
        ours = ours._replace(source=ours.source.squeeze(2))
        for one, other in zip(tokens(ours), tokens(theirs), strict=True):
            assert_close(one, other)
        return
    if isinstance(ours, Pooled):
        ours = Pooled(ours.features, ours.weights.squeeze(1), ours.scores.squeeze(1))
    assert_close(ours if isinstance(ours, tuple) else ours.squeeze(2), theirs)


@over([case for case in REPLACING if {"out_channels", "stride"} <= set(FACTS[case[0]].settings)])
def test_replacement_changes_channels_and_strides_like_a_convolution(case, randomise):
    stride = (2, 3, 2)[: case.rank]
    module = make(case.name, case.rank, out_channels=8, stride=stride)
    randomise(module).double().eval()
    for grid in GRIDS[case.rank]:
        x, _ = case.inputs(grid)
        mask = torch.rand(3, 1, *grid, generator=torch.Generator().manual_seed(4)) < 0.6
        mask[:, :, 0] = True
        out = module(x, mask=mask)
        centres = tuple(slice(None, None, step) for step in stride)
        assert out.shape == (3, 8, *x[(..., *centres)].shape[2:])
        padding = ~mask[(..., *centres)].expand_as(out)
        assert (out[padding] == 0).all()
        assert (out[~padding] != 0).any()
        assert_close(module(x.masked_fill(~mask, 1e4), mask=mask), out)


@over([(name, rank) for name, rank in KEEPING + REPLACING if rank > 1])
def test_memory_format_is_kept(case):
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[case.rank]
    x, extra = case.inputs()
    contiguous = case.module(x, **extra)
    mask = torch.ones(1, 1, *[1] * case.rank, dtype=torch.bool)
    for given in ({}, {"mask": mask}):
        last = case.module(x.to(memory_format=layout), **extra, **given)
        assert last.is_contiguous(memory_format=layout)
        assert_close(last, contiguous)


@with_the_rest_slow(STEPLESS)
def test_compiles_to_one_graph_without_observers(case):
    x, extra = case.inputs()
    mask = torch.ones(1, 1, *[1] * case.rank, dtype=torch.bool)
    compiled, graphs = compile_to_one_graph(case.module)
    assert_close(compiled(x, **extra), case.module(x, **extra))
    assert_close(compiled(x, mask=mask, **extra), case.module(x, mask=mask, **extra))
    check_same_maps(compiled, case.module, x, extra)

    without = copy.deepcopy(case.module)
    for module in list(without.modules()):
        if hasattr(module, "observer"):
            module.observer = Blind()
    blind, blind_graphs = compile_to_one_graph(without)
    blind(x, **extra)
    assert len(graphs[0]) > 3
    assert graphs[0] == blind_graphs[0]


@with_the_rest_slow([case for case in STEPLESS if case[0] not in FIXED])
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


def check_same_maps(compiled, module, x, extra) -> None:
    """Recording a model that has been compiled and run shows what it shows uncompiled."""
    with record_maps(module) as eager:
        module(x, **extra)
    with record_maps(compiled) as maps:
        compiled(x, **extra)
    assert_same_maps(maps, eager)


def assert_same_maps(maps, eager) -> None:
    assert [found.name for found in maps] == [found.name for found in eager]
    for ours, theirs in zip(maps, eager, strict=True):
        # A kernel may be chosen by where its input lies and whether it needs a gradient.
        assert_close(ours.values, theirs.values, 1e-12)


class Checkpointed(nn.Module):
    """Runs its module again while going backward, instead of keeping what it made."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.runs = 0
        module.register_forward_pre_hook(self.count)

    def count(self, *_) -> None:
        self.runs += 1

    def forward(self, x, **given):
        return checkpoint(self.module, x, use_reentrant=False, **given)


@over(HIGHEST)
@pytest.mark.parametrize("affinities", ["received", "full"])
def test_checkpointed_model_shows_the_same_maps_once(case, affinities):
    x, extra = case.inputs()
    x.requires_grad_()
    mask = torch.rand(3, 1, *x.shape[2:], generator=torch.Generator().manual_seed(5)) < 0.7
    model = Checkpointed(case.module)
    for given in (extra, {"mask": mask, **extra}):
        with record_maps(nn.Sequential(OrderedDict(module=case.module))) as eager:
            case.module(x, **given)
        model.runs = 0
        with record_maps(model, affinities=affinities) as maps:
            out = tensors(model(x, **given))[0]
            # A choice has a gradient in training only. What is kept for going backward must not
            # depend on whether maps are recorded: the second run is not.
            if out.requires_grad:
                out.sum().backward()
                assert model.runs == 2
        assert_same_maps(maps, eager)


@over(HIGHEST)
def test_frozen_model_shows_the_same_maps(case):
    x, extra = case.inputs()
    with record_maps(case.module) as eager:
        case.module(x.clone().requires_grad_(), **extra)
    case.module.requires_grad_(False).eval()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), record_maps(case.module) as maps:
            case.module(x, **extra)
        assert_same_maps(maps, eager)


@pytest.mark.slow
@over([case for case in HIGHEST if case[0] in REPRESENTATIVES])
def test_real_compiler_gives_the_same_forward_and_backward(case):
    if not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("the compiler needs a C++ compiler")
    assert {FACTS[name].family for name in REPRESENTATIVES} == {
        facts.family for facts in FACTS.values()
    }
    x, extra = case.inputs()
    torch.compiler.reset()
    compiled = torch.compile(case.module, fullgraph=True)
    results = []
    for run in (case.module, compiled):
        given = x.clone().requires_grad_()
        out = tensors(run(given, **extra))
        out[0].square().sum().backward()
        results.append((*out, given.grad, *(one.grad for one in case.module.parameters())))
        case.module.zero_grad()
    assert_close(results[1], results[0])
    explained = torch._dynamo.explain(case.module)(x, **extra)
    assert explained.graph_count == 1
    assert explained.graph_break_count == 0


class Blind(nn.Module):
    """Stands for an observer that was never there."""

    recording = wants_affinity = False

    def forward(self, values, grid, *, affinity=None) -> None:
        return None


def compile_to_one_graph(module: nn.Module) -> tuple[nn.Module, list[list[str]]]:
    """The compiled module, and the operations of each graph that it comes to have."""
    graphs: list[list[str]] = []

    def keep(graph, example_inputs):
        graphs.append([f"{node.op} {node.target}" for node in graph.graph.nodes])
        return graph.forward

    # Mechanisms share forward methods: past eight classes the compiler would refuse another.
    torch.compiler.reset()
    return torch.compile(module, fullgraph=True, backend=keep), graphs


@over(HIGHEST)
def test_deterministic_mode_allows_it_and_gives_the_same_twice(case):
    x, extra = case.inputs()

    def run() -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        module = copy.deepcopy(case.module).train()
        given = x.clone().requires_grad_()
        out = tensors(module(given, **extra))
        out[0].pow(2).sum().backward()
        learned = [one.grad for one in module.parameters() if one.grad is not None]
        return (*out, given.grad, *learned)

    torch.use_deterministic_algorithms(True)
    try:
        once, again = run(), run()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))
    assert_close(once, run())


@over(HIGHEST)
def test_bfloat16_autocast_stays_near(case):
    case.module.float()
    # Unlike means would make the softmax of random layers a choice.
    x, extra = case.inputs(dtype=torch.float32, apart=False)
    exact = tensors(case.module(x, **extra))[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = case.module(x, **extra)
    if isinstance(out, Pooled):
        assert out.weights.dtype == out.scores.dtype == torch.float32
    if isinstance(out, Reduced):
        assert out.source.dtype == torch.float32
    if case.hard:  # a choice between near scores may fall the other way
        assert (chosen(out) == chosen(case.module(x, **extra))).float().mean() >= 0.8
        return
    error = (tensors(out)[0].float() - exact).abs().max()
    assert error <= 0.05 * exact.abs().max()


@over(CASES)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_holds_what_it_computes(case, kind):
    """Sums and products of many features, which half precision could not hold."""
    grid = None if case.name in FIXED else LARGE[case.rank]
    module = case.module.to(kind)
    exact = copy.deepcopy(module).float()
    for scale in (1, 100):
        x, extra = case.inputs(grid, dtype=torch.float32)
        x = (x.abs() * scale).to(kind)
        extra = {name: value.to(kind) for name, value in extra.items()}
        with torch.no_grad():
            expected = tensors(exact(x.float(), **{k: v.float() for k, v in extra.items()}))
            out = tensors(module(x, **extra))
            with torch.autocast("cpu", dtype=kind):
                casted = tensors(exact(x.float(), **{k: v.float() for k, v in extra.items()}))
        if expected[0].abs().max() > torch.finfo(kind).max:
            continue
        for found in (out, casted):
            assert all(part.isfinite().all() for part in found)
        assert out[0].dtype == kind
        # Ten bits or seven of a number, and choices that may fall the other way.
        choosing = case.hard or case.facts.learns_by_reward
        if scale == 1 and kind == torch.float16 and not choosing:
            error = (out[0].float() - expected[0]).abs().max()
            assert error <= 0.1 * expected[0].abs().max()


def chosen(out: Tensor | Reduced) -> Tensor:
    """Which positions were kept."""
    return out.source.flatten(2).sum(1) == 1 if isinstance(out, Reduced) else out != 0


# Where places learn by reward, they move what is read without a gradient.
@over([case for case in HIGHEST if not FACTS[case[0]].learns_by_reward])
def test_gradients(case):
    small = GRIDS[case.rank][-1] if case.name in FIXED else (2, 2, 3)[3 - case.rank :]
    x, extra = case.inputs(small, batch=2)
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
    x.requires_grad_()  # there may be no parameters
    case.module.train()
    tensors(case.module(x, **extra))[0].pow(2).sum().backward()
    learned = [parameter.grad is not None for parameter in case.module.parameters()]
    assert all(learned) or (case.facts.learns_by_reward and any(learned))
    case.module.eval()
    twin = copy.deepcopy(case.module)
    fresh = make(case.name, case.rank).double().eval()
    fresh.load_state_dict(case.module.state_dict())
    expected = case.module(x, **extra)
    assert_close(twin(x, **extra), expected, 0)
    assert_close(fresh(x, **extra), expected, 0)


@over(CASES)
def test_starts_as_identity_is_true(case):
    fresh = make(case.name, case.rank).double().eval()
    x, extra = case.inputs()
    out = tensors(fresh(x, **extra))[0]
    keeping = case.facts.kind not in ("pooler", "reducer")
    assert fresh.starts_as_identity == (keeping and out.shape == x.shape and torch.equal(out, x))


@over(HIGHEST)
def test_default_widths_are_those_of_the_formulas(case):
    """A layer of another width goes unseen where a reference takes its weights as they are."""
    grid = {1: (8,), 2: (14, 14), 3: (8, 14, 14)}[case.rank]
    required = case.facts.settings.get("grid") is inspect.Parameter.empty
    settings = {"grid": grid} if required else {}
    module = build(case.name, 64, spatial_dims=case.rank, **settings)
    assert sum(one.numel() for one in module.parameters()) == COUNTS[case.name]


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
