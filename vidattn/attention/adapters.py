"""Recording the attention of networks that were not written with observers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from vidattn.attention.capture import AttentionCall, captured
from vidattn.attention.layouts import LAYOUTS, Layout, Site, attention_paths, layout_of
from vidattn.attention.observe import Observer, is_recording
from vidattn.attention.patches import Grid, Patches, watched_patches
from vidattn.errors import ArgumentError


class Adapted(nn.Module):
    """A network whose attention `record_maps` can see; made by `adapt`.

    Outside recording it calls the network and nothing else. While maps are recorded, hooks are
    on the network's attention modules for the length of the call. The maps bear the modules'
    paths in the network.

    Args:
        network: it stays as it is, and is used, not copied.
        paths: of its attention modules.
        grid, prefix_tokens: see `adapt`.
    """

    def __init__(
        self, network: nn.Module, *, paths: list[str], grid: Grid | None, prefix_tokens: int
    ) -> None:
        super().__init__()
        self.network = network
        self.grid = grid
        self.prefix_tokens = prefix_tokens
        self.observers = nn.ModuleList(NetworkObserver(path) for path in paths)

    def forward(self, *inputs: Any, **arguments: Any) -> Any:
        """What the network returns."""
        if not is_recording():
            return self.network(*inputs, **arguments)
        with watched_patches(self.network) as patches:
            attention = dict(self._watched(observer, patches) for observer in self.observers)
            with captured(attention):
                return self.network(*inputs, **arguments)

    def _watched(
        self, observer: nn.Module, patches: Mapping[nn.Module, Patches]
    ) -> tuple[nn.Module, Callable[[AttentionCall], None]]:
        assert isinstance(observer, NetworkObserver)
        module = self.network.get_submodule(observer.target)
        layout = layout_of(module)
        assert layout is not None
        site = self._site(observer.target, module, patches)
        return module, partial(self._show, observer, layout, site)

    def _site(self, path: str, module: nn.Module, patches: Mapping[nn.Module, Patches]) -> Site:
        names = path.split(".") if path else []
        above = [".".join(names[:depth]) for depth in reversed(range(len(names)))]
        around = [self.network.get_submodule(name) for name in above]
        made = next((patches[one] for one in around if one in patches), Patches())
        return Site(path, module, around, self.grid, self.prefix_tokens, made)

    @staticmethod
    def _show(observer: NetworkObserver, layout: Layout, site: Site, call: AttentionCall) -> None:
        weights = call.only_weights(site.path)
        values, grid = layout(site, weights, call.inputs)
        observer(values, grid, affinity=weights if observer.wants_affinity else None)


class NetworkObserver(Observer):
    """Shows the weights of a module that it is not a child of.

    Args:
        target: path of that module in the adapted network.
    """

    def __init__(self, target: str) -> None:
        super().__init__("affinity")
        self.target = target

    def mechanism_name(self, path: str) -> str:
        """The target's path, after that of the adapted network."""
        within = super().mechanism_name(path).rpartition("observers")[0]
        return super().mechanism_name(within + self.target).rstrip(".")


def adapt(
    network: nn.Module, *, grid: tuple[int, ...] | None = None, prefix_tokens: int = 0
) -> Adapted:
    """Let `record_maps` see the attention of somebody else's network, which is not changed.

        with record_maps(adapt(swin3d_t())) as maps: ...
        seen = PerFrame(adapt(timm.create_model("vit_tiny_patch16_224")))

    Known are torchvision's Swin3D and MViT; timm's vision transformers, EVA and BEiT; ViT, DINOv2,
    ViViT, VideoMAE (its encoder) and TimeSformer of transformers; and
    `torch.nn.MultiheadAttention` wherever it is used. Where patches lie is read from what the
    network's patch embedding makes of each input, whatever its size. The maps are
    attention received, averaged over all queries, those in front of the positions included;
    what tokens in front receive is left out. Dropout of weights is not in them. The matrices
    of query by key exist one at a time, and in the maps with `affinities="full"`: as the
    network folds them, tokens in front included.

    Args:
        network: any module that holds such attention.
        grid: positions of the keys, such as (T, H, W), for `torch.nn.MultiheadAttention`, which
            does not know them (None for one axis), and for networks that leave patches out, if
            those that are kept fill a grid. None for all others.
        prefix_tokens: keys in front of them, such as class tokens, likewise.

    Returns:
        A module to call in the network's place.

    Raises:
        ArgumentError: the network has no attention that is known here.
        RecordingError: while maps are recorded, where the keys do not fill the grid.
    """
    paths = attention_paths(network)
    if not paths:
        known = ", ".join(sorted(name.rpartition(".")[2] for name in set(LAYOUTS)))
        raise ArgumentError(
            f"network: {type(network).__name__} holds no attention known here ({known})"
        )
    return Adapted(network, paths=paths, grid=grid, prefix_tokens=prefix_tokens)
