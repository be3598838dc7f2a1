from .convert import ConvertedState as ConvertedState
from .convert import convert_state as convert_state
from .convert import find_layout as find_layout
from .convert import fitting_networks as fitting_networks
from .convert import layout_names as layout_names
from .name_map import Conversion as Conversion
from .name_map import Layout as Layout
from .name_map import NameMap as NameMap
