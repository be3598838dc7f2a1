"""The use cases: what a person calls, from Python or from the command line."""

import lazy_loader

from vidattn.naming import refuse_renamed

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = refuse_renamed(
    __name__,
    __getattr__,
    {
        "KeyFrame": "vidattn.inference.KeyFrame",
        "KeyFrames": "vidattn.inference.KeyFrames",
        "evaluate_localisation": "vidattn.jobs.evaluate_attention",
        "extract_keyframes": "vidattn.inference.extract_keyframes",
        "print_figures": "vidattn.cli.evaluation_figures.print_evaluation",
        "print_localisation": "vidattn.cli.evaluation_figures.print_attention",
    },
)
