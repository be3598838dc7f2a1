from __future__ import annotations

import logging
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from vidattn import backbones
from vidattn.backbones import load_weights, published_weights
from vidattn.errors import CheckpointError, UnknownNameError


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    return backbones.build("x3d_xs", classes=6)


@pytest.fixture
def checkpoint(source, tmp_path):
    """Write a checkpoint: (change of the state dict, wrap) -> path."""

    def write(change=lambda state: state, wrap=lambda state: state, name="weights.pth"):
        state = {key: value.clone() for key, value in source.network.state_dict().items()}
        path = tmp_path / name
        torch.save(wrap(change(state)), path)
        return path

    return write


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A loopback web server over the test's folder, and an empty download folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def same(a, b):
    first, second = a.network.state_dict(), b.network.state_dict()
    return set(first) == set(second) and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model_state": state, "epoch": 3, "cfg": "text"},
        lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {"model": {f"network.{key}": value for key, value in state.items()}},
    ],
)
def test_usual_containers_are_unwrapped(checkpoint, source, wrap):
    path = checkpoint(wrap=wrap)
    assert same(backbones.build("x3d_xs", classes=6, weights=path), source)
    assert same(backbones.build("x3d_xs", classes=6, weights=str(path)), source)
    assert same(backbones.build("x3d_xs", classes=6, weights=path.as_uri()), source)


def test_a_head_of_another_size_stays_as_it_was(checkpoint, source, caplog):
    torch.manual_seed(1)
    backbone = backbones.build("x3d_xs", classes=9)
    before = {k: v.clone() for k, v in backbone.network.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        report = load_weights(backbone, checkpoint())
    head = ("blocks.5.proj.bias", "blocks.5.proj.weight")
    assert report.head == head
    assert report.fits
    assert not report.missing
    assert not report.unexpected
    assert report.mismatching == ((head[0], (9,), (6,)), (head[1], (9, 2048), (6, 2048)))
    assert "blocks.5.proj.bias (9,) here, (6,) there" in caplog.text
    expected = source.network.state_dict()
    for name, value in backbone.network.state_dict().items():
        assert torch.equal(value, before[name] if name in head else expected[name]), name


def test_without_a_head_the_checkpoints_is_ignored(checkpoint):
    report = load_weights(backbones.build("x3d_xs"), checkpoint())
    assert report.fits
    assert set(report.unexpected) == set(report.head)
    assert all(name.startswith("blocks.5.") for name in report.head)


def test_a_checkpoint_without_a_head_leaves_it(checkpoint):
    path = checkpoint(
        lambda state: {k: v for k, v in state.items() if not k.startswith("blocks.5.")}
    )
    report = load_weights(backbones.build("x3d_xs", classes=6), path)
    assert report.fits
    assert "blocks.5.proj.weight" in report.missing


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


def changed(name, shape):
    return lambda state: {**state, name: torch.zeros(shape)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("blocks.1.res_blocks.0.branch2.conv_a.weight"), r"1 missing \(blocks.1.res"),
        (without("blocks.5.proj.bias"), r"1 missing \(blocks.5.proj.bias\)"),
        (changed("stranger", 3), r"1 unexpected \(stranger\)"),
        (changed("blocks.0.norm.weight", 7), r"blocks.0.norm.weight \(24,\) here, \(7,\) there"),
        (changed("blocks.5.proj.weight", (6, 5)), r"\(6, 2048\) here, \(6, 5\) there"),
    ],
)
def test_other_differences_are_refused_and_nothing_is_loaded(checkpoint, change, message):
    backbone = backbones.build("x3d_xs", classes=6)
    before = {key: value.clone() for key, value in backbone.network.state_dict().items()}
    path = checkpoint(change)
    with pytest.raises(backbones.WeightsMismatchError, match=message) as caught:
        load_weights(backbone, path)
    assert str(path) in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).report == caught.value.report
    for name, value in backbone.network.state_dict().items():
        assert torch.equal(value, before[name])
    report = load_weights(backbone, path, strict=False)
    assert not report.fits
    assert report.loaded > 200


def test_missing_batch_counters_are_no_difference(checkpoint):
    path = checkpoint(lambda s: {k: v for k, v in s.items() if "num_batches" not in k})
    report = load_weights(backbones.build("x3d_xs", classes=6), path)
    assert report.missing == ()


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("protocol", ["zip", "pickle"])
def test_pickled_code_is_refused(tmp_path, capsys, protocol):
    path = tmp_path / "evil.pth"
    if protocol == "zip":
        torch.save({"state_dict": Malicious()}, path)
    else:
        path.write_bytes(pickle.dumps({"state_dict": Malicious()}, protocol=2))
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        backbones.build("x3d_xs", weights=path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"not a checkpoint at all", "got text"),
        ({"epoch": 3}, "expected names with tensors, got 'epoch' with int"),
        ([1, 2], "expected a state dict, got list"),
        ({}, "expected a state dict"),
    ],
)
def test_other_files_are_no_checkpoints(tmp_path, content, message):
    path = tmp_path / "file.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        backbones.build("x3d_xs", weights=path)


def test_unknown_weights_answer_with_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match="KINETICS400, DEFAULT; did you mean KINETICS400"):
        backbones.build("x3d_xs", weights="KINETICS_400")
    with pytest.raises(UnknownNameError, match="no weights are published for Slim"):
        backbones.build("slim", weights="DEFAULT")
    with pytest.raises(CheckpointError, match="no such file"):
        backbones.build("x3d_xs", weights=tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match="expected http, https or file"):
        backbones.build("x3d_xs", weights="ftp://host/weights.pth")


def test_slim_loads_its_own_state(tmp_path):
    slim = backbones.build("slim", classes=3)
    torch.save(slim.state_dict(), tmp_path / "slim.pth")
    other = backbones.build("slim", classes=4)
    report = load_weights(other, tmp_path / "slim.pth")
    assert report.head == ("head.bias", "head.weight")
    assert torch.equal(other.stem[0][0].weight, slim.stem[0][0].weight)


def test_a_url_is_downloaded_once(checkpoint, source, served, tmp_path):
    path = checkpoint()
    url = f"{served}/weights.pth"
    assert same(backbones.build("x3d_xs", classes=6, weights=url), source)
    path.unlink()
    assert same(backbones.build("x3d_xs", classes=6, weights=url), source)
    with pytest.raises(CheckpointError, match="404"):
        backbones.build("x3d_xs", weights=f"{served}/other.pth")


def test_a_download_folder_that_cannot_be_written_is_a_remark(
    checkpoint, source, served, tmp_path, monkeypatch, caplog
):
    path = checkpoint()
    (tmp_path / "blocked").write_text("a file where the folder would be")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "blocked" / "hub"))
    url = f"{served}/{path.name}"
    assert same(backbones.build("x3d_xs", classes=6, weights=url), source)
    assert "TORCH_HOME" in caplog.text
    assert (tmp_path / "blocked").is_file()


def test_equal_file_names_of_two_places_do_not_meet(served, tmp_path, source):
    for folder, value in (("one", 1.0), ("two", 2.0)):
        state = {k: torch.full_like(v, value) for k, v in source.network.state_dict().items()}
        (tmp_path / folder).mkdir()
        torch.save(state, tmp_path / folder / "best.pth")
    for folder, value in (("one", 1.0), ("two", 2.0)):
        backbone = backbones.build("x3d_xs", classes=6, weights=f"{served}/{folder}/best.pth")
        assert (backbone.network.blocks[0].norm.weight == value).all()


def test_a_hash_in_the_name_is_checked(checkpoint, served):
    checkpoint(name="x3d-0123abcd.pth")
    with pytest.raises(CheckpointError, match="hash"):
        backbones.build("x3d_xs", classes=6, weights=f"{served}/x3d-0123abcd.pth")


def test_a_broken_download_is_not_kept(served, tmp_path, checkpoint, source):
    (tmp_path / "weights.pth").write_bytes(b"PK broken")
    with pytest.raises(CheckpointError):
        backbones.build("x3d_xs", classes=6, weights=f"{served}/weights.pth")
    checkpoint()
    weights = f"{served}/weights.pth"
    assert same(backbones.build("x3d_xs", classes=6, weights=weights), source)


@pytest.mark.parametrize("name", ["DEFAULT", "KINETICS400_V1"])
def test_torchvisions_names_load(name, served, tmp_path, monkeypatch):
    from torchvision.models.video import S3D_Weights

    source = backbones.build("s3d", classes=400)
    torch.save(source.network.state_dict(), tmp_path / "s3d.pth")
    monkeypatch.setattr(S3D_Weights.KINETICS400_V1.value, "url", f"{served}/s3d.pth")
    assert same(backbones.build("s3d", classes=400, weights=name), source)


def test_pytorchvideos_names_load(served, tmp_path, monkeypatch, source):
    torch.save({"model_state": source.network.state_dict()}, tmp_path / "X3D_XS.pyth")
    monkeypatch.setattr("vidattn.backbones.published.PYTORCHVIDEO", served)
    assert same(backbones.build("x3d_xs", classes=6, weights="KINETICS400"), source)


def test_published_addresses_are_the_sources(source_network):
    source_network("x3d_xs", 2)  # imports the hub
    from pytorchvideo.models.hub import csn, r2plus1d, resnet, slowfast, x3d
    from torchvision.models import ResNet50_Weights

    for module in (csn, r2plus1d, resnet, slowfast, x3d):
        for name, url in module.checkpoint_paths.items():
            if name in backbones.names():
                assert published_weights(name) == {"KINETICS400": url, "DEFAULT": url}
    images = published_weights("resnet50_2d")
    assert images["IMAGENET1K_V1"] == ResNet50_Weights.IMAGENET1K_V1.url
    assert images["DEFAULT"] == ResNet50_Weights.DEFAULT.url
    assert published_weights("slim") == {}
    for name in backbones.names():
        assert name.startswith(
            ("slim", "videomae_", "r2plus1d_34")
        ) or "DEFAULT" in published_weights(name)


def test_normalisation_is_the_sources():
    from torchvision.models import ResNet18_Weights
    from torchvision.models.video import R3D_18_Weights, S3D_Weights

    for name, weights in (
        ("r3d_18", R3D_18_Weights.DEFAULT),
        ("s3d", S3D_Weights.DEFAULT),
        ("resnet18_2d", ResNet18_Weights.DEFAULT),
    ):
        with torch.device("meta"):
            backbone = backbones.build(name)
        preset = weights.transforms()
        assert backbone.mean == tuple(preset.mean)
        assert backbone.std == tuple(preset.std)
