"""Networks from several sources behind one promise: features by stage, strides, offsets."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__, {"Backbone": "backbone", "Stage": "backbone", "Slim": "slim"}
)
