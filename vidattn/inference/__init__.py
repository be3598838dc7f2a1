"""A model and a reader -> what is in a video, when and where, for a video of any length."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
