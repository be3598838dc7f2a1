"""Tiny CLIP and SigLIP models with random weights, in folders as real ones are."""

from __future__ import annotations

from pathlib import Path

import torch

WORDS = ("a", "person", "falls", "red", "ball", "the", "dog")
SIDE = 32
LONGEST = 12


def write_image_text_model(folder: Path, kind: str) -> Path:
    """A folder with config, weights (safetensors), tokenizer and picture preparation."""
    import transformers

    torch.manual_seed(0)
    part = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    vision = part | {"image_size": SIDE, "patch_size": 8}
    text = part | {"vocab_size": 64, "max_position_embeddings": LONGEST}
    size = {"height": SIDE, "width": SIDE}
    if kind == "clip":
        text |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        configuration = transformers.CLIPConfig(
            text_config=text, vision_config=vision, projection_dim=16
        )
        network = transformers.CLIPModel(configuration)
        size = {"shortest_edge": SIDE}
        prepare = transformers.CLIPImageProcessor(size=size, crop_size=SIDE)
    else:
        text |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "projection_size": 16}
        configuration = transformers.SiglipConfig(text_config=text, vision_config=vision)
        network = transformers.SiglipModel(configuration)
        prepare = transformers.SiglipImageProcessor(size=size)
    for parameter in network.parameters():
        # As they are initialised, all sentences and pictures are nearly alike.
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)
    prepare.save_pretrained(folder)
    _tokenizer(kind).save_pretrained(folder)
    return folder


def _tokenizer(kind: str):
    import tokenizers
    import transformers

    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    vocabulary = {special["bos_token"]: 0, special["eos_token"]: 1, "<unk>": 2}
    letters = "abcdefghijklmnopqrstuvwxyz"
    if kind == "clip":
        for token in [*letters, *(f"{each}</w>" for each in letters)]:
            vocabulary[token] = len(vocabulary)
        return transformers.CLIPTokenizer(vocab=vocabulary, merges=[])
    for word in WORDS:
        vocabulary[word] = len(vocabulary)
    model = tokenizers.models.WordLevel(vocabulary, unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        model_input_names=["input_ids"],  # as SigLIP's: it reads the filling, too
        **special,
    )
