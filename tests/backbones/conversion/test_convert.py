"""Checkpoints of other projects: same logits as their own networks, or a named refusal.

The fixtures hold names, shapes and logits of the projects' real networks, run by
tools/compare_checkpoints.py on weights that follow from names and shapes.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vidattn import backbones
from vidattn.backbones.conversion import convert_state, find_layout, layout_names
from vidattn.backbones.conversion.convert import layout
from vidattn.backbones.pretrained import WeightsMismatchError
from vidattn.backbones.video_transformer import sine_positions
from vidattn.errors import ArgumentError, CheckpointError, UnknownNameError
from vidattn.sampling.protocols import protocol_names

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.json"))
QUICK = {
    "pyslowfast-slow_r50", "pyslowfast-x3d_xs", "mmaction2-slowfast_r50", "mmaction2-tsm_r50",
    "mmaction2-videomae_s", "huggingface-videomae_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    folder = str(Path(__file__).parents[3] / "tools")
    sys.path.insert(0, folder)
    import seeded_weights

    sys.path.remove(folder)
    return seeded_weights


@pytest.fixture
def state_of(weights):
    def make(record: dict[str, Any]) -> dict[str, torch.Tensor]:
        state = weights.seeded_state(weights.unpack(record["names"]))
        state.update(fixed_buffers(record, state))
        return state

    return make


def fixed_buffers(record, state):
    """What follows from a network's shape, and is no weight."""
    found = {}
    for name in state:
        if name.endswith("relative_position_bias_table"):
            found[name.replace("bias_table", "index")] = window_index((8, 7, 7))
    if record["layout"] == "mmaction2" and record["backbone"].startswith("videomae"):
        frames, height, width = record["clip"]
        count = frames // 2 * (height // 16) * (width // 16)
        found["backbone.pos_embed"] = sine_positions(count, 384).unsqueeze(0)
    return found


def window_index(window):
    """Row of the table for each pair of positions in a window: offsets, counted from the least."""
    places = torch.cartesian_prod(*(torch.arange(size) for size in window))
    least = torch.tensor(window) - 1
    t, h, w = (places[:, None] - places[None] + least).unbind(2)
    return (t * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def record_named(name: str) -> dict[str, Any]:
    return read(Path(__file__).parent / "fixtures" / f"{name}.json")


def assert_near(got, expected, probabilities):
    got = got.softmax(1) if probabilities else got
    expected = torch.tensor([expected])
    assert (got - expected).abs().max() <= 5e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "path",
    [p if p.stem in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in FIXTURES],
    ids=lambda path: path.stem,
)
def test_logits_are_those_of_the_projects_own_network(path, state_of, weights, tmp_path):
    record = read(path)
    torch.save(state_of(record), tmp_path / "theirs.pth")
    found = convert_state(tmp_path / "theirs.pth", record["backbone"])
    assert found.layout == record["layout"]
    assert found.classes == len(record["expected"])
    backbone = backbones.build(
        record["backbone"], classes=found.classes, **{**found.settings, **record["settings"]}
    ).eval()
    backbone.source_network.load_state_dict(found.state)
    with torch.inference_mode():
        logits = backbone.logits(weights.seeded_clip(1, 3, *record["clip"]))
        assert max(record["expected"]) - min(record["expected"]) > 1e-3
        assert_near(logits, record["expected"], record["probabilities"])
        if "features" in record:  # larger than the head's window, as test crops make them
            features = [weights.seeded_clip(1, *shape).abs() for shape in record["features"]]
            logits = backbone._classify(features if len(features) > 1 else features[0])
            assert_near(logits, record["head_expected"], record["probabilities"])


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_name_finds_its_place_and_every_place_its_name(path, weights):
    record = read(path)
    shapes = weights.unpack(record["names"])
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in shapes.items()}
        backbone = backbones.build(record["backbone"], classes=5, **layout_settings(record))
    assert find_layout(state, "file") == record["layout"]
    conversion = layout(record["layout"]).networks[record["backbone"]]
    mapped = {conversion.names(name): value for name, value in conversion.prepare(state).items()}
    own = {
        name: tuple(value.shape)
        for name, value in backbone.source_network.state_dict().items()
        if not name.endswith("relative_position_index")
    }
    assert {name: tuple(value.shape) for name, value in mapped.items()} == own


def layout_settings(record):
    return layout(record["layout"]).networks[record["backbone"]].settings


@pytest.fixture
def small(state_of):
    return state_of(record_named("pyslowfast-x3d_xs"))


def test_a_tensor_too_few_too_many_or_misshaped_is_named(small, tmp_path):
    path = tmp_path / "file.pth"

    def refused(state):
        torch.save(state, path)
        with pytest.raises(WeightsMismatchError) as caught:
            convert_state(path, "x3d_xs")
        return caught.value.report

    few = {k: v for k, v in small.items() if k != "s3.pathway0_res0.branch2.b.weight"}
    assert refused(few).missing == ("blocks.2.res_blocks.0.branch2.conv_b.weight",)
    many = {**small, "s3.pathway0_nonlocal0.conv_theta.weight": torch.zeros(2, 2)}
    assert refused(many).unexpected == ("s3.pathway0_nonlocal0.conv_theta.weight",)
    other = {**small, "s1.pathway0_stem.conv.weight": torch.zeros(24, 1, 3, 1, 1)}
    name, here, there = refused(other).mismatching[0]
    assert (name, here, there) == (
        "blocks.0.conv.conv_xy.weight",
        (24, 1, 5, 1, 1),
        (24, 1, 3, 1, 1),
    )
    head = {**small, "head.projection.bias": torch.zeros(6)}
    assert refused(head).mismatching[0][0] == "blocks.5.proj.bias"
    without = {k: v for k, v in small.items() if not k.startswith("head.projection")}
    torch.save(without, path)
    with pytest.raises(CheckpointError):
        convert_state(path, "x3d_xs", layout_name="pyslowfast")


def test_another_network_of_the_same_project_is_refused(small, tmp_path):
    torch.save({"model_state": small}, tmp_path / "file.pth")
    with pytest.raises(WeightsMismatchError, match="slow_r50"):
        convert_state(tmp_path / "file.pth", "slow_r50")


def test_a_file_that_is_configured_otherwise_is_refused(small, tmp_path):
    path = tmp_path / "file.pth"
    configuration = {"MODEL": {"ARCH": "x3d"}, "X3D": {"BN_LIN5": True}}
    torch.save({"model_state": small, "cfg": yaml.safe_dump(configuration)}, path)
    with pytest.raises(CheckpointError, match=r"X3D\.BN_LIN5 = True"):
        convert_state(path, "x3d_xs")
    configuration["X3D"]["BN_LIN5"] = False
    torch.save({"model_state": small, "cfg": yaml.safe_dump(configuration)}, path)
    found = convert_state(path, "x3d_xs")
    assert found.checked == ("MODEL.ARCH", "X3D.BN_LIN5")
    assert (found.clip["frames"], found.clip["frame_stride"]) == (4, 12)
    configuration["DATA"] = {"NUM_FRAMES": 8, "SAMPLING_RATE": 6}
    torch.save({"model_state": small, "cfg": yaml.safe_dump(configuration)}, path)
    found = convert_state(path, "x3d_xs")
    assert (found.clip["frames"], found.clip["frame_stride"]) == (8, 6)


def test_missing_counters_of_batches_do_not_matter(small, tmp_path):
    older = {k: v for k, v in small.items() if not k.endswith("num_batches_tracked")}
    torch.save(older, tmp_path / "file.pth")
    found = convert_state(tmp_path / "file.pth", "x3d_xs")
    network = backbones.build("x3d_xs", classes=5, **found.settings).source_network
    network.load_state_dict(found.state)  # strict


class Exploit:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def test_code_in_a_file_does_not_run(tmp_path):
    path = tmp_path / "file.pth"
    path.write_bytes(pickle.dumps({"model_state": Exploit()}, protocol=2))
    with pytest.raises(CheckpointError, match=r"file\.pth"):
        convert_state(path, "x3d_xs")
    torch.save({"model_state": {}, "extra": Exploit()}, path)
    with pytest.raises(CheckpointError, match="refused"):
        convert_state(path, "x3d_xs")


def test_unknown_names_and_layouts_are_named(small, tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"encoder.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"encoder\.weight.*no known layout"):
        convert_state(path, "x3d_xs")
    torch.save(small, path)
    with pytest.raises(UnknownNameError, match="did you mean pyslowfast"):
        convert_state(path, "x3d_xs", layout_name="slowfast")
    with pytest.raises(UnknownNameError, match="network of layout pyslowfast"):
        convert_state(path, "swin3d_t")


def test_what_has_no_twin_is_refused_with_the_reason(tmp_path):
    state = {"backbone.conv1.conv.weight": torch.zeros(2), "cls_head.fc_cls.weight": torch.zeros(2)}
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(ArgumentError, match=r"i3d_r50 from mmaction2 is refused: its stem"):
        convert_state(tmp_path / "file.pth", "i3d_r50")


def test_a_learned_table_of_positions_is_not_taken_for_the_fixed_one(state_of, tmp_path):
    state = state_of(record_named("mmaction2-videomae_s"))
    state["backbone.pos_embed"] = state["backbone.pos_embed"] + 0.01
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(WeightsMismatchError, match=r"backbone\.pos_embed"):
        convert_state(tmp_path / "file.pth", "videomae_s")


@pytest.mark.parametrize(
    ("name", "network"), [("torchvision", "r3d_18"), ("pytorchvideo", "x3d_xs")]
)
def test_sources_that_our_networks_wrap_keep_their_names(name, network, tmp_path):
    torch.manual_seed(0)
    source = backbones.build(network, classes=4)
    torch.save(source.source_network.state_dict(), tmp_path / "file.pth")
    found = convert_state(tmp_path / "file.pth", network)
    assert found.layout == name
    assert found.classes == 4
    for key, value in source.source_network.state_dict().items():
        assert torch.equal(found.state[key], value)


def test_every_layout_knows_its_networks_and_protocols():
    assert set(layout_names()) >= {"pyslowfast", "mmaction2", "torchvision", "pytorchvideo"}
    for name in layout_names():
        known = layout(name)
        assert known.name == name
        for network, conversion in known.networks.items():
            assert network in backbones.names()
            assert conversion.protocol in protocol_names()
        assert set(known.refused) <= set(backbones.names())
        assert not set(known.refused) & set(known.networks)
