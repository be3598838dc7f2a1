"""Run another project's real networks and ours on the same weights, by way of a conversion.

    python tools/compare_checkpoints.py --peer pyslowfast --checkout ../SlowFast --write

With --write, the names, shapes and logits are kept for the tests, which then need no peer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from checkpoint_peers import PEERS, Peer
from seeded_weights import pack, seeded_clip, seeded_tensor
from torch import Tensor

from vidattn import backbones
from vidattn.backbones.conversion import convert_state

FIXTURES = Path(__file__).parents[1] / "tests" / "backbones" / "conversion" / "fixtures"
# What follows from a network's shape alone: it is no weight, and no seed makes it.
FIXED = ("relative_position_index", "pos_embed")
TOLERANCE = 2e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, choices=sorted(PEERS))
    parser.add_argument("--checkout", type=Path, default=Path("."))
    parser.add_argument("--only", help="one of our backbones' names")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    commit = _commit(arguments.peer, arguments.checkout)
    torch.set_grad_enabled(False)
    worst = 0.0
    for peer in PEERS[arguments.peer](arguments.checkout):
        if arguments.only in (None, peer.backbone):
            record = compare(peer)
            worst = max(worst, record["difference"], record.get("head_difference", 0.0))
            if arguments.write:
                _write(arguments.peer, {"peer": arguments.peer, "commit": commit, **record})
    print(f"largest difference: {worst:.1e} (at most {TOLERANCE:.0e})")
    raise SystemExit(worst > TOLERANCE)


def compare(peer: Peer) -> dict[str, Any]:
    """What the peer's network says, and how far from it ours is."""
    own = peer.network.state_dict()
    state = {
        name: value if name.endswith(FIXED) else seeded_tensor(name, tuple(value.shape))
        for name, value in own.items()
    }
    peer.network.load_state_dict(state)
    backbone = convert(state, peer)
    clip = seeded_clip(1, 3, *peer.clip)
    record: dict[str, Any] = {
        "backbone": peer.backbone,
        "layout": peer.layout,
        "settings": peer.settings or {},
        "clip": list(peer.clip),
        "probabilities": peer.probabilities,
        "names": pack({n: tuple(v.shape) for n, v in own.items() if not n.endswith(FIXED)}),
    }
    theirs = peer.run(peer.network, clip)
    record["expected"] = theirs[0].double().tolist()
    record["difference"] = difference(backbone.logits(clip), theirs, peer.probabilities)
    if peer.head is not None:
        features = [seeded_clip(1, *shape).abs() for shape in peer.features]
        theirs = peer.head(peer.network, [each.clone() for each in features])
        ours = backbone._classify(features if len(features) > 1 else features[0])
        record["features"] = [list(shape) for shape in peer.features]
        record["head_expected"] = theirs[0].double().tolist()
        record["head_difference"] = difference(ours, theirs, peer.probabilities)
    spread = max(record["expected"]) - min(record["expected"])
    head = record.get("head_difference", 0.0)
    figures = f"{record['difference']:.1e}, head {head:.1e}, spread {spread:.2g}"
    print(f"{peer.layout} {peer.backbone}: {figures}", flush=True)
    return record


def convert(state: dict[str, Tensor], peer: Peer) -> Any:
    """Our backbone with the state, through a file and the map."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "peer.pth")
        torch.save(state, path)
        found = convert_state(path, peer.backbone)
    assert found.layout == peer.layout, f"taken for {found.layout}"
    settings = {**found.settings, **(peer.settings or {})}
    backbone = backbones.build(peer.backbone, classes=found.classes, **settings).eval()
    backbone.source_network.load_state_dict(found.state)
    return backbone


def difference(ours: Tensor, theirs: Tensor, probabilities: bool) -> float:
    """The largest one, relative to the largest value."""
    got = ours.softmax(1) if probabilities else ours
    return float((got - theirs).abs().max() / theirs.abs().max())


def _commit(peer: str, checkout: Path) -> str:
    if package := {"huggingface": "transformers", "pytorchvideo": "pytorchvideo"}.get(peer):
        return f"{package} {metadata.version(package)}"
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _write(peer: str, record: dict[str, Any]) -> None:
    kept = {name: value for name, value in record.items() if "difference" not in name}
    FIXTURES.mkdir(parents=True, exist_ok=True)
    path = FIXTURES / f"{peer}-{record['backbone']}.json"
    path.write_text(json.dumps(kept, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
