from __future__ import annotations

from typing import Literal, NamedTuple

TransitionKind = Literal["cut", "dissolve", "fade", "wipe", "gradual"]


class Transition(NamedTuple):
    """Where one shot ends and the next begins.

    Attributes:
        last_old: the last frame that shows the old shot alone.
        first_new: the first frame that shows the new shot alone; `last_old` + 1 for a cut.
        kind: how one leads over to the other; "gradual" if it is not known how.
    """

    last_old: int
    first_new: int
    kind: TransitionKind
