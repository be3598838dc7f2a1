"""Checkpoints of other projects under this project's names."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Conversion": "name_map",
        "ConvertedState": "convert",
        "Layout": "name_map",
        "NameMap": "name_map",
        "convert_state": "convert",
        "find_layout": "convert",
        "fitting_networks": "convert",
        "layout_names": "convert",
    },
)
