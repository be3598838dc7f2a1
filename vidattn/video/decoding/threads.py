from __future__ import annotations

import threading

from vidattn.threads import threads_in_use

# More help little: groups of pictures and frames that can be decoded side by side run out.
_MOST = 4


def available_threads() -> int:
    """How many threads a reader may use where nobody says: as many as torch, at most four.

    That is one in the workers of a `DataLoader`, and wherever `OMP_NUM_THREADS` is 1. Threads
    other than the main one get one too: who starts them divides the work already. Torch is not
    loaded for this, see `vidattn.threads.threads_in_use`.
    """
    if threading.current_thread() is not threading.main_thread():
        return 1
    return max(1, min(threads_in_use(), _MOST))
