from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from torchvision.models.video import r3d_18

from vidattn.attention import Insertion, PerFrame, build, insert, record_maps
from vidattn.errors import ArgumentError, UnknownNameError


class Network(nn.Module):
    """A sequence, a plain module and a block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8))
        self.body = nn.Conv3d(8, 8, 1)
        self.parts = nn.ModuleList([nn.Conv3d(8, 8, 1)])

    def forward(self, x):
        return self.parts[0](self.body(self.stem(x)))


@pytest.fixture
def network(randomise):
    return randomise(Network()).eval()


@pytest.fixture
def clip():
    return torch.randn(2, 3, 4, 5, 6)


def everywhere(placement="after"):
    return {
        "stem": build("cbam", 8) if placement == "after" else nn.Conv3d(3, 8, 1),
        "body": lambda: build("self_attention", 8, heads=2),
        "parts.0": build("non_local", 8),
    }


def test_network_computes_what_it_did_and_keeps_its_names(network, clip):
    before, names = network(clip), set(network.state_dict())
    insertions = insert(network, everywhere())
    assert len(insertions) == 3
    assert torch.equal(network(clip), before)
    added = set(network.state_dict()) - names
    assert names <= set(network.state_dict())
    assert all(".inserted." in name for name in added)
    assert {name.partition(".inserted")[0] for name in added} == {"stem", "body", "parts.0"}


def test_torchvision_network_loads_its_own_weights_after_insertion():
    source, network = r3d_18().eval(), r3d_18().eval()
    insert(network, {"layer2": build("se", 128), "layer3.0.conv1": build("eca", 256)})
    missing, unexpected = network.load_state_dict(source.state_dict(), strict=False)
    assert not unexpected
    assert all(".inserted." in name for name in missing)
    clip = torch.randn(1, 3, 4, 16, 16)
    assert torch.equal(network(clip), source(clip))


@pytest.mark.parametrize("gamma", [0.0, 0.7])
@pytest.mark.parametrize("placement", ["after", "branch", "replace"])
def test_blend_follows_its_formula(network, clip, placement, gamma, randomise):
    mechanism = randomise(build("cbam", 8)).eval()
    x = network.stem(clip)
    y = network.body(x)
    m = mechanism(y if placement == "after" else x)
    minus = x if placement == "branch" else y
    (insertion,) = insert(network, {"body": mechanism}, placement=placement)
    with torch.no_grad():
        insertion.gamma.fill_(gamma)
    expected = y + gamma * (m - minus)
    torch.testing.assert_close(network.body(x), expected)


def test_sequence_is_not_run_through_the_mechanism_twice(network, clip):
    y = network.stem(clip)
    gate = build("se", 8)
    (insertion,) = insert(network, {"stem": gate})
    with torch.no_grad():
        insertion.gamma.fill_(1)
    torch.testing.assert_close(network.stem(clip), gate(y))


def test_recorded_gate_is_the_effective_one(network, clip):
    y = network.body(network.stem(clip))
    (insertion,) = insert(network, {"body": build("se", 8)})
    for gamma in (0.0, 0.6, -0.5):
        with torch.no_grad():
            insertion.gamma.fill_(gamma)
        with record_maps(network) as maps:
            out = network.body(network.stem(clip))
        assert maps[0].name == "body.inserted.mechanism"
        torch.testing.assert_close(out, y * maps[0].values)


def test_effective_gate_inside_and_outside_a_view(clip):
    image = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Identity())
    (inside,) = insert(image, {"1": build("se", 8, spatial_dims=2)})
    network = nn.Sequential(PerFrame(image), nn.Identity())
    (outside,) = insert(network, {"1": build("se", 8, scope="frame")})
    with torch.no_grad():
        inside.gamma.fill_(0.6)
        outside.gamma.fill_(-0.4)
    y = PerFrame(image[0])(clip)
    with record_maps(network) as maps:
        out = network(clip)
    assert [found.name for found in maps] == [
        "0.module.1.inserted.mechanism",
        "1.inserted.mechanism.module",
    ]
    torch.testing.assert_close(out, y * maps[0].values * maps[1].values)


def test_everything_inserted_learns(network, clip):
    torch.manual_seed(0)  # a bottleneck of two may start with both units dead
    insertions = insert(network, everywhere())
    parameters = {
        name: parameter
        for insertion, prefix in zip(insertions, "abc", strict=True)
        for name, parameter in insertion.named_parameters(prefix)
    }
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    optimiser = torch.optim.SGD(parameters.values(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        network(clip).pow(2).mean().backward()
        optimiser.step()
    still = [name for name, value in parameters.items() if torch.equal(value, before[name])]
    # A softmax does not see what is added to every key alike.
    assert still in ([], ["c.mechanism.key.bias"])


def test_gamma_starts_at_one_where_the_mechanism_is_the_identity(network):
    after, zero = insert(network, {"stem": build("se", 8), "body": build("non_local", 8)})
    assert after.gamma.item() == 0
    assert zero.gamma.item() == 1


def changed(network) -> nn.Module:
    for insertion in insert(network, everywhere()):
        nn.init.constant_(insertion.gamma, 0.5)
        nn.init.normal_(next(insertion.mechanism.parameters()))
    return network.eval()


def test_copies_and_pickles_are_whole_and_independent(network, clip):
    changed(network)
    network(clip).sum().backward()
    expected = network(clip)
    stored = io.BytesIO()
    torch.save(network, stored)
    stored.seek(0)
    for twin in (copy.deepcopy(network), torch.load(stored, weights_only=False)):
        assert torch.equal(twin(clip), expected)
        with torch.no_grad():
            for module in twin.modules():
                if isinstance(module, Insertion):
                    module.gamma.fill_(3)
        assert not torch.allclose(twin(clip), expected)
        assert torch.equal(network(clip), expected)


def test_compiles_to_one_graph_and_exports(network, clip):
    changed(network)
    expected = network(clip)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(clip), expected)
    free = torch.export.Dim.DYNAMIC
    exported = torch.export.export(network, (clip,), dynamic_shapes=({0: free, 2: free},))
    longer = torch.randn(3, 3, 7, 5, 6)
    torch.testing.assert_close(exported.module()(longer), network(longer))
    with record_maps(compiled) as maps:
        compiled(clip)
    assert len(maps) == 3


def test_restores_from_its_state(network, clip, randomise):
    changed(network)
    other = Network().eval()
    insert(other, everywhere())
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(clip), network(clip))


def test_follows_mode_and_device_of_its_host(network):
    for training in (True, False):
        twin = copy.deepcopy(network).train(training).to("meta")
        (insertion,) = insert(twin, {"stem": build("cbam", 8)})
        assert insertion.mechanism.training == training
        assert insertion.gamma.device.type == "meta"


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        ({"bodi": nn.Identity()}, UnknownNameError, "unknown name 'bodi'; did you mean body"),
        ({"": nn.Identity()}, UnknownNameError, "unknown name ''"),
        ({"parts": nn.Identity()}, ArgumentError, "'parts' is a ModuleList"),
        ({"stem": lambda: 3}, ArgumentError, "expected a module for 'stem', got int"),
    ],
)
def test_a_wrong_point_leaves_the_network_as_it_was(network, points, error, message):
    names = set(network.state_dict())
    with pytest.raises(error, match=message):
        insert(network, {"body": build("se", 8), **points})
    assert set(network.state_dict()) == names
    assert not network.body._forward_hooks


def test_a_second_insertion_at_one_point_is_refused(network):
    insert(network, {"body": build("se", 8)})
    with pytest.raises(ArgumentError, match="'body' has an insertion already"):
        insert(network, {"body": build("se", 8)})


def test_unknown_placement_is_refused(network):
    with pytest.raises(ArgumentError, match="placement: expected 'after'"):
        insert(network, {"body": build("se", 8)}, placement="before")


TYPES = [torch.bfloat16, torch.float16, torch.float64]


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("placement", ["after", "branch", "replace"])
def test_network_of_another_number_type_computes_what_it_did_in_that_type(clip, kind, placement):
    network = Network().eval().to(kind)
    clip = clip.to(kind)
    before = network(clip)
    points = everywhere(placement)
    if placement == "branch":
        del points["stem"]
    insertions = insert(network, points, placement=placement)
    assert all(one.dtype == kind for part in insertions for one in part.parameters())
    out = network(clip)
    assert out.dtype == kind
    assert torch.equal(out, before)
    out.float().square().sum().backward()
    assert all(part.gamma.grad.isfinite() for part in insertions)


def test_mechanism_keeps_up_with_a_float32_norm_in_a_bfloat16_network(clip):
    class Norm(nn.BatchNorm3d):
        def forward(self, x):
            return super().forward(x.float()).to(x.dtype)

    body = nn.Sequential(nn.Conv3d(3, 8, 1), Norm(8), nn.Conv3d(8, 8, 1))
    network = nn.Sequential(body, nn.Conv3d(8, 8, 1)).eval().bfloat16()
    body[1].float()
    clip = clip.bfloat16()
    before = network(clip)
    for point in ("0.1", "0.0", "0"):
        changed = copy.deepcopy(network)
        (insertion,) = insert(changed, {point: build("squeeze_excitation", 8, reduction=2)})
        assert torch.equal(changed(clip), before)
        nn.init.ones_(insertion.gamma)
        assert changed(clip).dtype == torch.bfloat16
        # The weights are those of the same network in float32.
        exact = copy.deepcopy(changed).float()
        torch.testing.assert_close(changed(clip).float(), exact(clip.float()), atol=0.03, rtol=0.03)


def test_mechanism_of_more_precision_than_its_host_may_be_chosen_afterwards(clip):
    network = Network().eval().bfloat16()
    (insertion,) = insert(network, {"body": build("self_attention", 8, heads=2)})
    insertion.float()
    assert network(clip.bfloat16()).dtype == torch.bfloat16


def test_network_on_meta_keeps_its_shapes_and_types(clip):
    with torch.device("meta"):
        network = Network().bfloat16()
    (insertion,) = insert(network, {"body": build("cbam", 8)})
    assert all(one.is_meta and one.dtype == torch.bfloat16 for one in insertion.parameters())
    out = network(clip.bfloat16().to("meta"))
    assert out.shape == (2, 8, 4, 5, 6)
    assert out.dtype == torch.bfloat16


def test_frozen_host_stays_frozen_and_its_mechanism_learns(clip):
    network = Network().double().requires_grad_(False)
    (insertion,) = insert(network, {"body": build("cbam", 8)})
    network(clip.double()).square().sum().backward()
    assert insertion.gamma.grad.abs() > 0
    assert all(
        one.requires_grad == (".inserted." in name) for name, one in network.named_parameters()
    )


class Quantised(nn.Module):
    """A layer as those of eight bits are: its weights are whole numbers, what flows is real."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randint(-100, 100, (8, 8), dtype=torch.int8)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x):
        return torch.einsum("nc...,oc->no...", x, self.weight.to(x.dtype) / 100)


def test_host_of_eight_bits_gets_a_mechanism_of_the_networks_type(clip):
    network = nn.Sequential(nn.Conv3d(3, 8, 1), Quantised(), nn.Conv3d(8, 8, 1)).eval().bfloat16()
    before = network(clip.bfloat16())
    (insertion,) = insert(network, {"1": build("squeeze_excitation", 8)})
    assert network[1].weight.dtype == torch.int8
    assert {one.dtype for one in insertion.parameters()} == {torch.bfloat16}
    assert torch.equal(network(clip.bfloat16()), before)


def test_quantised_output_is_refused(clip):
    class Rounded(nn.Module):
        def forward(self, x):
            return (x * 10).to(torch.int8)

    network = nn.Sequential(nn.Conv3d(3, 8, 1), Rounded())
    insert(network, {"1": build("squeeze_excitation", 8)})
    with pytest.raises(ArgumentError, match=r"real numbers, got torch.int8.*not quantised"):
        network(clip)


def test_autocast_network_keeps_its_number_type(clip):
    network = Network().eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = network(clip)
        insert(network, {"body": build("self_attention", 8, heads=2), "parts.0": build("se", 8)})
        out = network(clip)
    assert out.dtype == before.dtype == torch.bfloat16
    assert torch.equal(out, before)
