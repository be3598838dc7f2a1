"""The published evaluation protocols by name.

>>> protocol("pyslowfast-10x3").for_clip(frames=8, stride=8).indices(300, 30.0)[1].tolist()
[23, 32, 41, 50, 59, 68, 77, 86]
"""

from __future__ import annotations

from vidattn.naming import choose
from vidattn.sampling.protocols.clips import CLIP_PROTOCOLS
from vidattn.sampling.protocols.evaluation_protocol import Protocol
from vidattn.sampling.protocols.spread import SPREAD_PROTOCOLS

PROTOCOLS = (*CLIP_PROTOCOLS, *SPREAD_PROTOCOLS)

_BY_NAME = {each.name: each for each in PROTOCOLS}


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UnknownNameError: there is none; the message has the close matches.
    """
    return _BY_NAME[choose("protocol", name, _BY_NAME)]


def protocol_names() -> list[str]:
    """Names of all published protocols, in the order of their list."""
    return list(_BY_NAME)
