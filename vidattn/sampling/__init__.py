"""Pure index maths: which frames make a clip, and where it is cropped. NumPy only.

Index functions count positions 0, 1, 2, … in presentation order. For a video that is too short
they count on past its end; `pad` turns that into frames that exist and a mask.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
