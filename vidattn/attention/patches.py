"""What the patch embeddings of other people's networks make of their input, while they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Grid = tuple[int, ...]

# Of the module that holds it: the embedding, and the convolution in it that cuts the patches.
EMBEDDINGS = (("patch_embed", "proj"), ("embeddings.patch_embeddings", "projection"))


@dataclass(eq=False)
class Patches:
    """The last input of one patch embedding and what it was cut into.

    Attributes:
        images: shape of the embedding's input; None before it has run.
        grid: patches along each axis that the convolution runs over; None likewise.
    """

    images: tuple[int, ...] | None = None
    grid: Grid | None = None

    def note_images(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """A forward hook of the embedding."""
        if inputs and isinstance(inputs[0], Tensor):
            self.images = tuple(inputs[0].shape)

    def note_grid(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """A forward hook of the convolution: (N, C, *grid) comes out."""
        cut = isinstance(output, Tensor) and output.ndim in (4, 5)
        self.grid = tuple(output.shape[2:]) if cut else None


@contextmanager
def watched_patches(network: nn.Module) -> Iterator[Mapping[nn.Module, Patches]]:
    """For each module that holds a patch embedding, what that makes inside this block."""
    found: dict[nn.Module, Patches] = {}
    with ExitStack() as stack:
        for module in network.modules():
            for path, name in EMBEDDINGS:
                embedding = _submodule(module, path)
                convolution = None if embedding is None else _submodule(embedding, name)
                if embedding is None or convolution is None:
                    continue
                made = found[module] = Patches()
                stack.callback(embedding.register_forward_hook(made.note_images).remove)
                stack.callback(convolution.register_forward_hook(made.note_grid).remove)
        yield found


def _submodule(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None
