"""The numbers of `measure` against scikit-learn's, and the places where they differ on purpose."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from deconfuse.measure.curves import sweep
from deconfuse.measure.matrix import Cells, ConfusionMatrix
from deconfuse.measure.scores import binary_counts, label_scores, label_scores_from_binary, macro, overall

SEEDS = range(8)


def rows(seed: int) -> tuple[Any, Any, Any]:
    """Truth, predictions and weights of 200 samples of six labels, all of which occur on both sides."""
    rng = np.random.default_rng(seed)
    true = rng.permutation(np.resize(np.arange(6), 200))
    return true, np.where(rng.random(200) < 0.6, true, rng.integers(0, 6, 200)), rng.random(200)


@pytest.mark.parametrize("seed", SEEDS)
def test_counts(seed: int) -> None:
    """Integers, texts and weights are counted as scikit-learn counts them."""
    true, predicted, weights = rows(seed)
    texts = np.array(["f", "e", "d", "c", "b", "a"])
    expected = metrics.confusion_matrix(true, predicted)
    named = metrics.confusion_matrix(texts[true], texts[predicted])
    weighted = metrics.confusion_matrix(true, predicted, sample_weight=weights)

    assert np.array_equal(ConfusionMatrix.from_predictions(true, predicted).counts[:-1, :-1], expected)
    assert np.array_equal(ConfusionMatrix.from_predictions(texts[true], texts[predicted]).counts[:-1, :-1], named)
    heavy = ConfusionMatrix.from_predictions(true, predicted, sample_weight=weights)
    assert np.allclose(heavy.counts[:-1, :-1], weighted)
    sparse = Cells.from_predictions(true, predicted, sample_weight=weights).compact()
    assert np.allclose(sparse.counts, heavy.counts)  # type: ignore[union-attr]


@pytest.mark.parametrize("by", ["true", "pred", "all"])
@pytest.mark.parametrize("seed", SEEDS)
def test_shares(seed: int, by: Any) -> None:
    """Each normalisation is scikit-learn's of the same name."""
    true, predicted, _ = rows(seed)
    ours = ConfusionMatrix.from_predictions(true, predicted).normalize(by)[:-1, :-1]

    assert np.allclose(ours, metrics.confusion_matrix(true, predicted, normalize=by))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_label_scores(seed: int, weighted: bool) -> None:
    """Precision, recall, F1 and support of each label."""
    true, predicted, weights = rows(seed)
    weight = weights if weighted else None
    scores = label_scores(ConfusionMatrix.from_predictions(true, predicted, sample_weight=weight))
    expected = metrics.precision_recall_fscore_support(true, predicted, sample_weight=weight)

    for ours, theirs in zip((scores.precision, scores.recall, scores.f1, scores.support), expected, strict=True):
        assert np.allclose(ours, theirs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_overall_scores(seed: int, weighted: bool) -> None:
    """Accuracy, balanced accuracy, kappa, MCC and the averages."""
    true, predicted, weights = rows(seed)
    options = {"sample_weight": weights if weighted else None}
    ours = overall(ConfusionMatrix.from_predictions(true, predicted, **options))

    assert ours.accuracy == pytest.approx(metrics.accuracy_score(true, predicted, **options))
    assert ours.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(true, predicted, **options))
    assert ours.kappa == pytest.approx(metrics.cohen_kappa_score(true, predicted, **options))
    assert ours.mcc == pytest.approx(metrics.matthews_corrcoef(true, predicted, **options))
    assert ours.f1 == pytest.approx(metrics.f1_score(true, predicted, average="macro", **options))
    assert ours.weighted_f1 == pytest.approx(metrics.f1_score(true, predicted, average="weighted", **options))
    assert ours.micro_f1 == pytest.approx(metrics.f1_score(true, predicted, average="micro", **options))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_label_is_one_more_outcome(seed: int) -> None:
    """Kappa, MCC and accuracy with missing predictions are those of a table with a label for "none"."""
    true, predicted, _ = rows(seed)
    said = np.where(np.arange(200) % 5, predicted, -1)
    ours = overall(ConfusionMatrix.from_codes(true, said, labels=range(6)))

    assert ours.accuracy == pytest.approx(metrics.accuracy_score(true, said))
    assert ours.kappa == pytest.approx(metrics.cohen_kappa_score(true, said))
    assert ours.mcc == pytest.approx(metrics.matthews_corrcoef(true, said))


@pytest.mark.parametrize("seed", SEEDS)
def test_multi_label_counts_and_scores(seed: int) -> None:
    """One 2 × 2 table a label, and the means of its scores."""
    rng = np.random.default_rng(seed)
    truth, predicted = rng.random((2, 80, 5)) < 0.4
    counts = binary_counts(truth, predicted)
    expected = metrics.precision_recall_fscore_support(truth, predicted, average="macro")

    assert np.array_equal(counts, metrics.multilabel_confusion_matrix(truth, predicted))
    means = macro(label_scores_from_binary(counts))
    assert (means.precision, means.recall, means.f1) == pytest.approx(expected[:3])


@pytest.mark.parametrize("seed", SEEDS)
def test_precision_recall_curve(seed: int) -> None:
    """A sweep over all scores is scikit-learn's curve."""
    rng = np.random.default_rng(seed)
    scores, truth = np.round(rng.random(60), 2), rng.random(60) < 0.3
    precision, recall, thresholds = metrics.precision_recall_curve(truth, scores)
    ours = sweep(scores[:, None], truth[:, None], thresholds=thresholds)

    assert np.allclose(ours.precision[:, 0], precision[:-1])
    assert np.allclose(ours.recall[:, 0], recall[:-1])


def test_where_we_differ_on_purpose() -> None:
    """Scikit-learn drops samples whose label is not listed and calls undefined 0; we raise, and say NaN."""
    true, predicted = ["cat", "cat", "fox"], ["cat", "fox", "cat"]
    assert metrics.confusion_matrix(true, predicted, labels=["cat", "dog"]).sum() == 1
    kept = ConfusionMatrix.from_predictions(true, predicted, labels=["cat", "dog"], unknown="other")
    assert kept.total == 3

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = metrics.recall_score(["a"], ["a"], labels=["a", "b"], average=None)
        matthews = metrics.matthews_corrcoef(["a"], ["a"])
    ours = ConfusionMatrix.from_predictions(["a"], ["a"], labels=["a", "b"])
    assert (theirs[1], matthews) == (0, 0)
    assert np.isnan([label_scores(ours).recall[1], overall(ours).mcc]).all()
