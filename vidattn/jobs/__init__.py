"""The use cases: what a person calls, from Python or from the command line."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "CheckpointFacts": "showing",
        "Comparison": "comparison",
        "ConvertedCheckpoint": "conversion",
        "Evaluation": "evaluation_record",
        "Explanation": "explanation",
        "KeyFrame": "extraction",
        "KeyFrames": "extraction",
        "attention_facts": "attention_records",
        "attention_list": "attention_records",
        "compare": "comparison",
        "convert": "conversion",
        "demo": "demo_run",
        "evaluate": "evaluation_run",
        "evaluate_localisation": "localisation_run",
        "explain": "explanation",
        "extract_keyframes": "extraction",
        "index_videos": "indexing",
        "print_figures": "pages",
        "print_localisation": "localisation_page",
        "show": "showing",
        "train": "training_run",
        "write_features": "feature_files",
        "write_keyframes": "keyframe_files",
    },
)
