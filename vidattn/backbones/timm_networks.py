from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from vidattn.backbones.framewise import FramewiseNetwork, ImageStage
from vidattn.backbones.image_geometry import ImageGeometry
from vidattn.backbones.staged import check_classes
from vidattn.errors import ArgumentError, CheckpointError, MissingLibraryError
from vidattn.naming import choose

PREFIX = "timm:"


def timm_network(
    variant: str,
    *,
    classes: int | None = None,
    image_size: int | None = None,
    pretrained: bool = False,
) -> FramewiseNetwork:
    """An image network of the timm library, frame by frame.

    Its stages are timm's own `feature_info`, named stage1, stage2, …; where a network computes on
    tokens, they are laid out as a map. Source: https://github.com/huggingface/pytorch-image-models

    Args:
        variant: "timm:" and a name that `timm.list_models()` or `timm.list_pretrained()` gives.
        classes: size of the head; None for no head.
        image_size: height and width of the frames, in pixels, for networks that are made for one
            size; None for the size that timm has for it. Convolutional networks take any size.
        pretrained: load timm's published weights (they are downloaded once).

    Raises:
        MissingLibraryError: timm is not installed.
        UnknownNameError: timm has no such network.
        ArgumentError: the network has no stages, or takes no `image_size`.
        CheckpointError: the published weights cannot be had.
    """
    timm = _library()
    name = variant.removeprefix(PREFIX)
    base = name.partition(".")[0]
    choose("timm network", base, timm.list_models())
    network = _create(timm, name, check_classes(classes) or 0, image_size, pretrained)
    configuration = network.pretrained_cfg
    side = image_size or configuration["input_size"][-1]
    stages = _stages(network, variant, side)
    return FramewiseNetwork(
        network,
        stages,
        variant=variant,
        classes=classes,
        mean=tuple(configuration["mean"]),
        std=tuple(configuration["std"]),
        classifier_path=_classifier_path(configuration["classifier"]),
    )


def _library() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise MissingLibraryError(
            "backbones named timm:… need the timm library: pip install 'vidattn[timm]'"
        ) from error
    return timm


def _create(
    timm: ModuleType, name: str, classes: int, image_size: int | None, pretrained: bool
) -> Any:
    size = {} if image_size is None else {"img_size": image_size}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=classes, **size)
    except TypeError as error:
        if image_size is None:
            raise
        raise ArgumentError(
            f"image_size: timm:{name} takes frames of any size; leave it out"
        ) from error
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"timm:{name}: its published weights cannot be had: {error}"
        ) from error


def _classifier_path(classifier: str | tuple[str, ...]) -> str:
    return classifier if isinstance(classifier, str) else classifier[0]


def _stages(network: Any, variant: str, side: int) -> list[ImageStage]:
    """What timm says of the network's features, and what one frame through it shows."""
    information = getattr(network, "feature_info", None)
    if not information:
        raise ArgumentError(f"backbone: {variant} has no stages that timm knows of")
    listed = [dict(entry) for entry in information]
    outputs, geometry = _try_out(network, [entry["module"] for entry in listed], side)
    return [
        _stage(f"stage{number}", variant, entry, outputs[entry["module"]], geometry, side)
        for number, entry in enumerate(listed, start=1)
    ]


def _stage(
    name: str,
    variant: str,
    entry: dict[str, Any],
    output: Any,
    geometry: ImageGeometry,
    side: int,
) -> ImageStage:
    """One of timm's entries, and what its module returned for a frame -> the stage."""
    path, channels, stride = entry["module"], entry["num_chs"], entry["reduction"]
    cells = side // stride
    shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
    tokens_before = shape[0] - cells * cells if len(shape) == 2 else None
    fits = (
        shape in ((channels, cells, cells), (cells, cells, channels))
        if tokens_before is None
        else tokens_before >= 0 and shape[1] == channels
    )
    if not fits:
        raise ArgumentError(
            f"backbone: {variant}: expected {path} to return a map or a sequence of {channels} "
            f"channels for {cells} × {cells} cells, got {shape or type(output).__name__}"
        )
    channels_last = tokens_before is None and shape != (channels, cells, cells)
    offset = geometry.offset(stride)
    return ImageStage(name, path, channels, stride, offset, tokens_before, channels_last)


def _try_out(
    network: nn.Module, modules: list[str], side: int
) -> tuple[dict[str, Tensor], ImageGeometry]:
    """One black frame through the network -> outputs of modules by path, and where they lie."""
    outputs: dict[str, Tensor] = {}

    def keep(path: str) -> Any:
        return lambda module, arguments, output: outputs.__setitem__(path, output)

    hooks = [network.get_submodule(path).register_forward_hook(keep(path)) for path in modules]
    training = network.training
    network.eval()
    try:
        with ImageGeometry.of(network) as geometry, torch.no_grad():
            network(torch.zeros(1, 3, side, side))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return outputs, geometry
