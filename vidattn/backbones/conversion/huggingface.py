from __future__ import annotations

import torch

from vidattn.backbones.conversion.name_map import Conversion, Layout, NameMap, State
from vidattn.backbones.conversion.videomae import CLIP, NETWORKS

_LAYER = r"videomae\.encoder\.layer\.(\d+)\."
NAMES = NameMap(
    (
        (r"videomae\.embeddings\.patch_embeddings\.projection\.(\w+)", r"embedding.\1"),
        (_LAYER + r"layernorm_before\.(\w+)", r"blocks.\1.norm1.\2"),
        (_LAYER + r"layernorm_after\.(\w+)", r"blocks.\1.norm2.\2"),
        (_LAYER + r"joint\.(\w+)", r"blocks.\1.attention.joint.\2"),
        (_LAYER + r"attention\.output\.dense\.(\w+)", r"blocks.\1.attention.project.\2"),
        (_LAYER + r"intermediate\.dense\.(\w+)", r"blocks.\1.perceptron.0.\2"),
        (_LAYER + r"output\.dense\.(\w+)", r"blocks.\1.perceptron.2.\2"),
        (r"fc_norm\.(\w+)", r"norm.\1"),
        (r"classifier\.(\w+)", r"head.\1"),
    )
)
_WITHIN = "attention.attention."


def join_attention(state: State) -> State:
    """Queries, keys and values in one layer, its bias from either generation of names."""
    found = {name: value for name, value in state.items() if _WITHIN not in name}
    layers = dict.fromkeys(name.split(_WITHIN)[0] for name in state if _WITHIN in name)
    for layer in layers:
        inside = {
            name.removeprefix(layer + _WITHIN): value
            for name, value in state.items()
            if name.startswith(layer + _WITHIN)
        }
        weights = [inside.pop(f"{part}.weight", None) for part in ("query", "key", "value")]
        query = inside.pop("q_bias", inside.pop("query.bias", None))
        value = inside.pop("v_bias", inside.pop("value.bias", None))
        if query is not None and value is not None:
            found[f"{layer}joint.bias"] = torch.cat([query, torch.zeros_like(query), value])
        if all(weight is not None for weight in weights):
            joined = torch.cat([weight for weight in weights if weight is not None])
            found[f"{layer}joint.weight"] = joined
        found.update({layer + _WITHIN + name: value for name, value in inside.items()})
    return found


def _network() -> Conversion:
    return Conversion(
        NAMES,
        settings={"norm_epsilons": [1e-12, 1e-5]},
        clip=CLIP,
        protocol="videomae-5x3",
        prepare=join_attention,
    )


LAYOUT = Layout(
    "huggingface",
    "transformers' VideoMAEForVideoClassification, as a torch file",
    (r"^videomae\.encoder\.", r"^classifier\."),
    {name: _network() for name in NETWORKS},
)
