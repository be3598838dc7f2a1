from __future__ import annotations

import torch

from vidattn.backbones.conversion.name_map import Conversion, Layout, NameMap, State
from vidattn.backbones.video_transformer import sine_positions

NAMES = NameMap(
    (
        (r"patch_embed\.proj\.(\w+)", r"embedding.\1"),
        (r"(blocks\.\d+\.norm[12]\.\w+)", r"\1"),
        (r"(blocks\.\d+)\.attn\.qkv\.(\w+)", r"\1.attention.joint.\2"),
        (r"(blocks\.\d+)\.attn\.proj\.(\w+)", r"\1.attention.project.\2"),
        (r"(blocks\.\d+)\.mlp\.fc1\.(\w+)", r"\1.perceptron.0.\2"),
        (r"(blocks\.\d+)\.mlp\.fc2\.(\w+)", r"\1.perceptron.2.\2"),
        (r"fc_norm\.(\w+)", r"norm.\1"),
        (r"head\.(\w+)", r"head.\1"),
    )
)


NETWORKS = ("videomae_s", "videomae_b", "videomae_l", "videomae_h")
# What all of them were fine-tuned on.
CLIP = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "frames": 16,
    "frame_stride": 4,
    "short_side": 224,
    "crop_size": 224,
}


def join_biases(state: State) -> State:
    """One bias for queries, keys and values: the source has none for keys.

    A table of positions is left out where it is the fixed one; another one stays, and is then
    unexpected.
    """
    found: State = {}
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        partner = state.get(f"{stem}.v_bias")
        if last == "q_bias" and partner is not None and partner.shape == value.shape:
            found[f"{stem}.qkv.bias"] = torch.cat([value, torch.zeros_like(value), partner])
        elif not (last == "v_bias" and f"{stem}.q_bias" in state) and not (
            last == "pos_embed" and _are_sines(value)
        ):
            found[name] = value
    return found


def _are_sines(table: torch.Tensor) -> bool:
    if table.ndim != 3 or table.shape[0] != 1:
        return False
    expected = sine_positions(*table.shape[1:])
    return bool((table[0].float() - expected).abs().max() <= 1e-5)


def _network() -> Conversion:
    return Conversion(
        NAMES,
        clip=CLIP,
        protocol="videomae-5x3",
        prepare=join_biases,
    )


LAYOUT = Layout(
    "videomae",
    "MCG-NJU/VideoMAE, fine-tuned",
    (r"^blocks\.\d+\.attn\.qkv\.weight$", r"^fc_norm\.weight$"),
    {name: _network() for name in NETWORKS},
)
