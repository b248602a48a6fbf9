"""Scores of a confusion matrix: per label, averaged, and for the whole table.

For one label, with TP = samples that have it and were called it:

    recall     TP / samples that have it              NaN where no sample has it
    precision  TP / samples that were called it       NaN where no sample was called it
    F1         2 TP / (have it + were called it)      NaN where no sample has it

Averages are plain means over the labels that have samples, as AWS computes those of its summary; the mean of F1 is the
mean of the labels' F1, not the F1 of the means. A label without samples is in no mean; a label that was never predicted
has no precision and is left out of the mean of precisions alone, while its recall and F1 are 0.

Undefined is NaN, never 0: this differs from scikit-learn on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.matrix import ConfusionMatrix, Matrix

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LabelScores:
    """Scores of each label; all float64[K], in the order of the matrix's labels.

    Attributes:
        precision: share, 0..1, of the samples called the label that have it.
        recall: share, 0..1, of the samples with the label that were called it.
        f1: harmonic mean of the two, 0..1.
        support: samples that have the label.
        predicted: samples that were called the label.
        true_positives: samples that have the label and were called it.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: Floats
    predicted: Floats
    true_positives: Floats


@dataclass(frozen=True, slots=True)
class Macro:
    """Plain means over labels that have samples; NaN where there is none.

    Attributes:
        precision: mean of the precisions that are defined.
        recall: mean of the recalls.
        f1: mean of the F1s.
        n_labels: labels that have samples.
    """

    precision: float
    recall: float
    f1: float
    n_labels: int


@dataclass(frozen=True, slots=True)
class Overall:
    """Scores of a whole matrix; NaN where undefined.

    Attributes:
        accuracy: share of samples that are right, 0..1. A sample without a prediction is wrong.
        balanced_accuracy: mean recall over labels that have samples, 0..1; the same number as `recall`.
        kappa: Cohen's kappa, at most 1; 0 is what chance gives. NaN where chance alone is always right.
        mcc: Matthews' correlation for several labels, -1..1; 0 is what chance gives. NaN where truth or prediction
            never varies.
        precision: mean precision over labels, 0..1.
        recall: mean recall over labels, 0..1.
        f1: mean F1 over labels, 0..1.
        weighted_f1: mean F1 over labels, weighted by their samples, 0..1.
        micro_precision: right ones among all predictions made, 0..1.
        micro_recall: right ones among all samples with a label, 0..1.
        micro_f1: harmonic mean of the two, 0..1.
        n_labels: labels that have samples.
        total: everything counted.
    """

    accuracy: float
    balanced_accuracy: float
    kappa: float
    mcc: float
    precision: float
    recall: float
    f1: float
    weighted_f1: float
    micro_precision: float
    micro_recall: float
    micro_f1: float
    n_labels: int
    total: float


def label_scores(matrix: Matrix, *, binary: ArrayLike | None = None) -> LabelScores:
    """Precision, recall and F1 of each label of a matrix.

    Args:
        matrix: what was counted.
        binary: of a multi-label model, whose matrix counts label decisions and not images: the table of each label as
            `binary_counts` gives it, which is then scored instead.

    Source: C. J. van Rijsbergen, Information Retrieval (1979), ch. 7; AWS, Rekognition Custom Labels guide,
        "Metrics for evaluating your model".

    Example:
        >>> label_scores(ConfusionMatrix(("a", "b"), np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]]))).recall.tolist()
        [0.75, nan]
    """
    if binary is not None:
        return label_scores_from_binary(binary)
    return _label_scores(matrix.correct, matrix.support, matrix.predicted_counts)


def label_scores_from_binary(counts: ArrayLike) -> LabelScores:
    """Precision, recall and F1 of each label of a multi-label model.

    Args:
        counts: [K, 2, 2] as `binary_counts` gives them.

    Raises:
        Invalid: another shape.
    """
    tables = np.asarray(counts, np.float64)
    if tables.ndim != 3 or tables.shape[1:] != (2, 2):
        raise Invalid("counts", f"the shape (labels, 2, 2) is needed; got {tables.shape}")
    hits = tables[:, 1, 1]
    return _label_scores(hits, hits + tables[:, 1, 0], hits + tables[:, 0, 1])


def binary_counts(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.int64]:
    """int64[K, 2, 2]: for each label [[TN, FP], [FN, TP]], truth in rows, as scikit-learn orders them.

    Args:
        truth: bool[n, K], whether the sample has the label.
        predicted: bool[n, K], whether it was called the label.

    Raises:
        Invalid: not two tables of one shape.

    Example:
        >>> binary_counts([[True], [True], [False]], [[True], [False], [False]]).tolist()
        [[[1, 0], [1, 1]]]
    """
    t, p = np.asarray(truth, bool), np.asarray(predicted, bool)
    if t.ndim != 2 or t.shape != p.shape:
        raise Invalid("predicted", f"two tables of one shape are needed; got {t.shape} and {p.shape}")
    hits = np.count_nonzero(t & p, axis=0)
    missed = np.count_nonzero(t, axis=0) - hits
    false = np.count_nonzero(p, axis=0) - hits
    return np.stack([len(t) - hits - missed - false, false, missed, hits], axis=-1).reshape(-1, 2, 2).astype(np.int64)


def invented_in_addition(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.int64]:
    """int64[K, K]: samples with label i of which no label was missed and label j was invented in addition.

    In the cell (i, j) of the multi-label confusion matrix these are counted together with the samples on which i was
    missed and j invented; this tells them apart.

    Args:
        truth: bool[n, K], the true labels of each sample.
        predicted: bool[n, K], its predicted labels.

    Raises:
        Invalid: not two tables of one shape.

    Example:
        >>> invented_in_addition([[1, 0], [1, 0]], [[1, 1], [0, 1]]).tolist()
        [[0, 1], [0, 0]]

    Source: the case "no label missed" of Heydarian, Doyle, Samavi, IEEE Access 10 (2022) 19083-19095.
    """
    t, p = np.asarray(truth, bool), np.asarray(predicted, bool)
    if t.ndim != 2 or t.shape != p.shape:
        raise Invalid("predicted", f"two tables of one shape are needed; got {t.shape} and {p.shape}")
    is_complete = ~(t & ~p).any(axis=1)
    invented = (p & ~t)[is_complete].astype(np.float64)
    return np.asarray(t[is_complete].astype(np.float64).T @ invented, np.int64)


def macro(scores: LabelScores) -> Macro:
    """Means over the labels that have samples."""
    has_samples = scores.support > 0
    precision, recall, f1 = (
        _mean(values[has_samples & ~np.isnan(values)]) for values in (scores.precision, scores.recall, scores.f1)
    )
    return Macro(precision, recall, f1, int(np.count_nonzero(has_samples)))


def overall(matrix: Matrix) -> Overall:
    """Scores of a whole matrix.

    *No label* takes part in accuracy, kappa and MCC as one more outcome, so that every sample counts.

    Source: J. Cohen, Educational and Psychological Measurement 20 (1960) 37-46 (kappa); J. Gorodkin, Computational
        Biology and Chemistry 28 (2004) 367-374 (MCC for several labels); C. D. Manning, P. Raghavan, H.
        Schütze, Introduction to Information Retrieval (2008), section 13.6 (micro and macro averages).
    """
    scores = label_scores(matrix)
    means = macro(scores)
    rows, columns, agreed = (values.astype(np.float64) for values in margins(matrix))
    total = float(rows.sum())
    hits, support, predicted = (
        float(values.sum()) for values in (scores.true_positives, scores.support, scores.predicted)
    )
    has_samples = scores.support > 0
    weighted = float((scores.support * np.where(has_samples, scores.f1, 0.0)).sum())
    return Overall(
        accuracy=_ratio(agreed, total),
        balanced_accuracy=means.recall,
        kappa=float(kappa(np.asarray(agreed), rows, columns)),
        mcc=float(mcc(np.asarray(agreed), rows, columns)),
        precision=means.precision,
        recall=means.recall,
        f1=means.f1,
        weighted_f1=_ratio(weighted, support),
        micro_precision=_ratio(hits, predicted),
        micro_recall=_ratio(hits, support),
        micro_f1=_ratio(2 * hits, support + predicted),
        n_labels=means.n_labels,
        total=total,
    )


def margins(matrix: Matrix) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Row sums [K+1], column sums [K+1] and the sum of the diagonal; *no label* is the last outcome of both."""
    if isinstance(matrix, ConfusionMatrix):
        counts = matrix.counts
        return np.asarray(counts.sum(axis=1)), np.asarray(counts.sum(axis=0)), np.asarray(np.trace(counts))
    side = len(matrix.labels) + 1
    true, predicted = matrix.true_codes, matrix.predicted_codes
    sums = []
    for codes in (true, predicted):
        values = np.zeros(side, matrix.counts.dtype)
        np.add.at(values, codes, matrix.counts)
        sums.append(values)
    return sums[0], sums[1], np.asarray(matrix.counts[true == predicted].sum())


def kappa(agreed: Floats, rows: Floats, columns: Floats) -> Floats:
    """Cohen's kappa from margins: (observed - expected) / (1 - expected) agreement.

    Args:
        agreed: [...], sum of the diagonal.
        rows: [..., K], row sums.
        columns: [..., K], column sums.

    Returns:
        [...], at most 1; NaN where nothing was counted or chance alone is always right.
    """
    total = columns.sum(axis=-1)
    chance = (rows * columns).sum(axis=-1)
    return _divide(agreed * total - chance, total * total - chance)


def mcc(agreed: Floats, rows: Floats, columns: Floats) -> Floats:
    """Matthews' correlation coefficient for several labels, from margins.

    Args:
        agreed: [...], sum of the diagonal.
        rows: [..., K], row sums.
        columns: [..., K], column sums.

    Returns:
        [...], -1..1; NaN where truth or prediction is always the same.
    """
    total = columns.sum(axis=-1)
    chance = (rows * columns).sum(axis=-1)
    spread = (total * total - (columns * columns).sum(axis=-1)) * (total * total - (rows * rows).sum(axis=-1))
    return _divide(agreed * total - chance, np.sqrt(np.maximum(spread, 0)))


def _label_scores(hits: ArrayLike, support: ArrayLike, predicted: ArrayLike) -> LabelScores:
    tp, has, called = (np.asarray(values, np.float64) for values in (hits, support, predicted))
    f1 = np.where(has > 0, _divide(2 * tp, has + called), np.nan)
    return LabelScores(_divide(tp, called), _divide(tp, has), f1, has, called, tp)


def _divide(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    result = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def _ratio(numerator: Any, denominator: float) -> float:
    return float(numerator) / denominator if denominator > 0 else float("nan")


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
