"""Scores by hand, and what is undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deconfuse.errors import Invalid
from deconfuse.measure.matrix import Cells, ConfusionMatrix
from deconfuse.measure.scores import binary_counts, label_scores, label_scores_from_binary, macro, overall


def test_scores_of_awss_published_sample() -> None:
    """AWS prints these numbers for 381, 9, 7 and 227 images; its aggregates are means over labels."""
    scores = label_scores_from_binary([[[227, 7], [9, 381]], [[381, 9], [7, 227]]])
    means = macro(scores)

    assert scores.recall.tolist() == [381 / 390, 227 / 234]
    assert scores.precision.tolist() == [381 / 388, 227 / 236]
    assert means.f1 == pytest.approx(0.9726959470546408, abs=1e-12)
    assert means.precision == pytest.approx(0.9719115848331294, abs=1e-12)
    assert means.recall == pytest.approx(0.9735042735042735, abs=1e-12)


def test_a_label_without_samples_is_undefined() -> None:
    """It has no recall and no F1, and is in no mean; its wrong predictions still cost the others."""
    m = ConfusionMatrix.from_cells([("a", "a", 3), ("a", "ghost", 1)])
    scores = label_scores(m)

    assert np.isnan([scores.recall[1], scores.f1[1]]).all()
    assert scores.precision.tolist() == [1.0, 0.0]
    assert (overall(m).recall, overall(m).precision, overall(m).n_labels) == (0.75, 1.0, 1)


def test_a_label_never_predicted_has_no_precision() -> None:
    """Its recall and F1 are 0; the mean of precisions leaves it out."""
    m = ConfusionMatrix.from_cells([("a", "a", 2), ("b", "a", 2)])
    scores, values = label_scores(m), overall(m)

    assert math.isnan(scores.precision[1])
    assert (scores.recall[1], scores.f1[1]) == (0.0, 0.0)
    assert (values.precision, values.recall, values.f1) == (0.5, 0.5, pytest.approx(1 / 3))


def test_a_sample_without_prediction_is_wrong() -> None:
    """It counts for its label's recall and for accuracy, and for nobody's precision."""
    m = ConfusionMatrix.from_predictions(["a", "a", "b", "b"], ["a", None, "b", "b"])
    values = overall(m)

    assert (values.accuracy, values.micro_recall, values.micro_precision) == (0.75, 0.75, 1.0)
    assert label_scores(m).recall.tolist() == [0.5, 1.0]


def test_balanced_accuracy_is_not_accuracy() -> None:
    """With 90 samples of one label and 10 of another, always saying the first is 90 % right and 50 % balanced."""
    values = overall(ConfusionMatrix.from_cells([("a", "a", 90), ("b", "a", 10)]))

    assert (values.accuracy, values.balanced_accuracy, values.kappa) == (0.9, 0.5, 0.0)
    assert math.isnan(values.mcc)


def test_nothing_counted_is_undefined() -> None:
    """Every score of an empty matrix is NaN, and nothing warns."""
    for empty in (ConfusionMatrix.empty(["a", "b"]), ConfusionMatrix.empty([]), Cells.empty(["a"])):
        values = overall(empty)
        assert math.isnan(values.accuracy)
        assert math.isnan(values.f1)
        assert math.isnan(values.kappa)
        assert (values.total, values.n_labels) == (0, 0)


def test_one_label_has_no_kappa() -> None:
    """Where chance alone is always right, agreement beyond chance is undefined."""
    values = overall(ConfusionMatrix.from_predictions(["a"], ["a"]))

    assert values.accuracy == 1
    assert math.isnan(values.kappa)


def test_weights_scale_no_score() -> None:
    """Counting every sample half changes support and nothing else."""
    rows = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "b"), ("c", "a"), ("c", "c")]
    true, predicted = [t for t, _ in rows], [p for _, p in rows]
    half = overall(ConfusionMatrix.from_predictions(true, predicted, sample_weight=[0.5] * 6))
    whole = overall(ConfusionMatrix.from_predictions(true, predicted))

    assert (half.f1, half.kappa, half.mcc) == pytest.approx((whole.f1, whole.kappa, whole.mcc))
    assert half.total == 3


def test_sparse_and_dense_have_the_same_scores() -> None:
    """Cells are scored as the matrix they stand for, no label included."""
    rng = np.random.default_rng(1)
    true, predicted = rng.integers(0, 4, 80), rng.integers(-1, 4, 80)
    dense = ConfusionMatrix.from_codes(true, predicted, labels=range(4))

    assert overall(Cells.from_codes(true, predicted, labels=range(4))) == overall(dense)


def test_binary_counts_by_hand() -> None:
    """For each label [[TN, FP], [FN, TP]]."""
    truth = [[1, 1], [1, 0], [0, 0], [0, 0]]
    predicted = [[1, 0], [0, 0], [1, 0], [0, 0]]

    assert binary_counts(truth, predicted).tolist() == [[[1, 1], [1, 1]], [[3, 0], [1, 0]]]
    assert binary_counts(np.zeros((0, 2)), np.zeros((0, 2))).shape == (2, 2, 2)


@pytest.mark.parametrize(("truth", "predicted"), [([[1]], [[1, 0]]), ([1, 0], [1, 0]), ([[1]], [[1], [0]])])
def test_binary_counts_need_tables_of_one_shape(truth: object, predicted: object) -> None:
    """Anything else is refused."""
    with pytest.raises(Invalid, match="one shape"):
        binary_counts(truth, predicted)  # type: ignore[arg-type]


def test_label_scores_need_two_by_two_tables() -> None:
    """A confusion matrix is no stack of binary ones."""
    with pytest.raises(Invalid, match="labels, 2, 2"):
        label_scores_from_binary([[1, 0], [0, 1]])
