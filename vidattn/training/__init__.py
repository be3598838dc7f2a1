"""Lightning around the recogniser: loss, optimiser, schedule, checkpoints."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {"RecognitionTask": "recognition", "freeze": "parameters", "parameter_groups": "parameters"},
)
