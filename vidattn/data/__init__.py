"""Annotated videos -> batches of clips."""

import lazy_loader

from vidattn.naming import refuse_renamed

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = refuse_renamed(
    __name__, __getattr__, {"VideoDataModule": "vidattn.training.VideoDataModule"}
)
