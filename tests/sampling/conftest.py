from __future__ import annotations

from hypothesis import settings

# A busy machine takes longer than 200 ms for an example, and that is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
