"""Predictions and truth -> numbers. NumPy only, usable without the rest."""

from vidattn.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "Interval": "intervals",
        "action_recall": "keyframes",
        "average_precisions": "classification",
        "average_views": "classification",
        "bootstrap_mean": "intervals",
        "bootstrap_statistic": "intervals",
        "box_iou": "regions",
        "class_accuracies": "classification",
        "confidence_bins": "classification",
        "confusion_matrix": "classification",
        "energy_inside": "regions",
        "expected_calibration_error": "classification",
        "keyframe_precision": "keyframes",
        "mean_average_precision": "classification",
        "mean_class_accuracy": "classification",
        "paired_difference": "intervals",
        "pointing_game": "regions",
        "random_precision": "keyframes",
        "random_recall": "keyframes",
        "softmax": "classification",
        "top_k_accuracy": "classification",
        "true_class_ranks": "classification",
        "uniform_precision": "keyframes",
        "uniform_recall": "keyframes",
    },
)
