"""Pictures and pages: contact sheets, overlays, HTML."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Bar": "sections",
        "Bars": "sections",
        "Confusion": "sections",
        "Figure": "sections",
        "Figures": "sections",
        "Gallery": "sections",
        "KeyFrame": "contact_sheet",
        "Line": "sections",
        "Lines": "sections",
        "Picture": "sections",
        "Reliability": "reliability",
        "Table": "sections",
        "Text": "sections",
        "draw_contact_sheet": "contact_sheet",
        "draw_overlay": "overlay",
        "draw_overlay_sheet": "overlay",
        "encode_image": "pictures",
        "heat_colours": "pictures",
        "paint_map": "overlay",
        "render_page": "page",
        "shrink": "pictures",
    },
)
