"""Networks that say how well a picture and a sentence go together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidattn.arrays import FloatArray
from vidattn.errors import ArgumentError, CheckpointError, MissingLibraryError
from vidattn.inference.devices import usable_device
from vidattn.threads import limit_torch

# What the configuration of a network calls it.
KINDS = ("clip", "siglip")
# What a folder needs: one file of each.
_NEEDED = {
    "configuration": ("config.json",),
    "weights": ("*.safetensors",),
    "tokenizer": ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model"),
    "preparation of pictures": ("preprocessor_config.json", "processor_config.json"),
}


class ImageTextModel:
    """A CLIP or SigLIP network with its tokenizer and its preparation of pictures.

    The weights are read from safetensors files only, and no code that lies beside them is run.

    Sources: Radford et al., "Learning Transferable Visual Models From Natural Language
    Supervision" (ICML 2021, https://arxiv.org/abs/2103.00020); Zhai et al., "Sigmoid Loss for
    Language Image Pre-Training" (ICCV 2023, https://arxiv.org/abs/2303.15343).

    Args:
        name: a folder with config.json, model.safetensors, tokenizer and preprocessor files, or the
            name of such a model on the Hugging Face hub, from where it is downloaded once.
        device: where the network is put.

    Raises:
        MissingLibraryError: transformers is not installed.
        CheckpointError: the model cannot be loaded, or is of another kind.
        ArgumentError: there is no such device.

    Attributes:
        name: as it was given.
    """

    def __init__(self, name: str | Path, *, device: str | torch.device = "cpu") -> None:
        transformers = _library()
        limit_torch()
        self.name = str(name)
        own: dict[str, Any] = {"trust_remote_code": False}
        if local := _check_place(self.name):
            own["local_files_only"] = True
        with _silent(transformers):
            try:
                configuration = transformers.AutoConfig.from_pretrained(self.name, **own)
                self.kind: str = configuration.model_type
                if self.kind not in KINDS:
                    raise CheckpointError(
                        f"query_model: {self.name}: expected a CLIP or SigLIP model, "
                        f"got {self.kind!r}"
                    )
                self._prepare = transformers.AutoImageProcessor.from_pretrained(self.name, **own)
                self._tokenizer = transformers.AutoTokenizer.from_pretrained(self.name, **own)
                network, about = transformers.AutoModel.from_pretrained(
                    self.name, use_safetensors=True, output_loading_info=True, **own
                )
            except _unusable() as error:
                where = "" if local else "no such folder, and it cannot be had from the hub: "
                raise CheckpointError(
                    f"query_model: {self.name}: {where}{_first_line(error)}"
                ) from error
        if absent := sorted(map(str, (*about["missing_keys"], *about["mismatched_keys"]))):
            raise CheckpointError(
                f"query_model: {self.name}: {len(absent)} weights of the network are not in its "
                f"safetensors files or have another shape, such as {absent[0]}"
            )
        self._network = network.eval().to(usable_device(device))

    @property
    def longest_query(self) -> int:
        """Tokens that the network can read, those for start and end included."""
        return int(self._network.config.text_config.max_position_embeddings)

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the names and numbers of all weights, hexadecimal."""
        digest = sha256()
        for name, values in sorted(self._network.state_dict().items()):
            digest.update(name.encode())
            digest.update(values.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def tokens(self, query: str) -> torch.Tensor:
        """(1, L) what the network reads of a sentence.

        Raises:
            ArgumentError: it is empty, or longer than the network can read.
        """
        if not query.strip():
            raise ArgumentError("query: expected words, got none")
        # SigLIP was trained on sentences that are filled up to a fixed length, and read whole: no
        # mask hides what fills them.
        filled: dict[str, Any] = {}
        if self.kind == "siglip":
            filled = {"padding": "max_length", "max_length": self.longest_query}
        found = self._tokenizer([query], return_tensors="pt", verbose=False, **filled)
        tokens: torch.Tensor = found["input_ids"]
        if tokens.shape[1] > self.longest_query:
            raise ArgumentError(
                f"query: expected at most {self.longest_query} tokens, which is what "
                f"{self.name} reads, got {tokens.shape[1]}; use fewer words"
            )
        return tokens

    def scores(self, pictures: NDArray[np.uint8], tokens: torch.Tensor) -> FloatArray:
        """How well each picture goes with a sentence: the network's own logits.

        Args:
            pictures: uint8 RGB (N, H, W, 3).
            tokens: (1, L), of `tokens`.

        Returns:
            (N,), not normalised: a picture's score does not depend on the other pictures.
        """
        device = self._network.device
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        prepared = self._prepare(images=list(pixels), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            found = self._network(
                input_ids=tokens.to(device), pixel_values=prepared.to(device)
            ).logits_per_image
        logits: FloatArray = found[:, 0].double().cpu().numpy()
        return logits


def _check_place(name: str) -> bool:
    """Whether it is a folder; a folder has all files.

    Raises:
        CheckpointError: a file is missing, or this can neither be a folder nor a name.
    """
    folder = Path(name)
    if not name or (not folder.is_dir() and (folder.is_absolute() or name.startswith((".", "~")))):
        raise CheckpointError(f"query_model: {name or 'an empty name'}: no such folder")
    if not folder.is_dir():
        return False
    for what, patterns in _NEEDED.items():
        if not any(any(folder.glob(pattern)) for pattern in patterns):
            raise CheckpointError(
                f"query_model: {name}: the folder has no {what} ({' or '.join(patterns)})"
            )
    return True


def _unusable() -> tuple[type[Exception], ...]:
    """What is raised where a file is not what it should be."""
    from safetensors import SafetensorError

    # Contents of wrong types end in errors of Python's own.
    own = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError)
    return (SafetensorError, *own)


@contextmanager
def _silent(transformers: ModuleType) -> Iterator[None]:
    """Without what loading writes to standard error; what matters is raised."""
    logging = transformers.utils.logging
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _library() -> ModuleType:
    try:
        import transformers
    except (ImportError, OSError) as error:
        raise MissingLibraryError(
            "query: it needs the library transformers, which cannot be imported here "
            f"({_first_line(error)}): pip install 'vidattn[query]'"
        ) from error
    return transformers


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
