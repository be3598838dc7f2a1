from __future__ import annotations

import numpy as np
import pytest
import torch

from vidattn.data.labels import balancing_weights, class_names, encode_labels
from vidattn.errors import ArgumentError, UnknownNameError


def test_class_names_are_sorted_as_words_or_as_numbers(make_sample):
    assert class_names([make_sample("a", "walk", "run"), make_sample("b", "run")]) == [
        "run",
        "walk",
    ]
    assert class_names([make_sample("a", "10"), make_sample("b", "9")]) == ["9", "10"]


def test_single_and_multiple_labels(make_sample):
    samples = [make_sample("a", "c"), make_sample("b", "a")]
    indices = encode_labels(samples, ["a", "b", "c"])
    assert indices.dtype == torch.int64
    assert indices.tolist() == [2, 0]
    both = [make_sample("a", "c", "a"), make_sample("b", "b")]
    hot = encode_labels(both, ["a", "b", "c"], multi_label=True)
    assert hot.dtype == torch.float32
    assert hot.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_refuses_what_does_not_fit(make_sample):
    with pytest.raises(UnknownNameError, match=r"v\.mp4: label 'x'"):
        encode_labels([make_sample("v.mp4", "x")], ["a"])
    with pytest.raises(ArgumentError, match=r"v\.mp4: expected one label"):
        encode_labels([make_sample("v.mp4", "a", "b")], ["a", "b"])
    with pytest.raises(ArgumentError, match="occurs twice"):
        encode_labels([], ["a", "a"])


def test_balanced_classes_are_equally_likely(make_sample):
    samples = [make_sample(str(i), label) for i, label in enumerate("aaaaaabbbc")]
    weights = balancing_weights(samples)
    labels = np.array(list("aaaaaabbbc"))
    assert [weights[labels == name].sum() for name in "abc"] == pytest.approx([1 / 3] * 3)
