"""What other thresholds would do, and whether probabilities mean what they say.

A threshold is compared with "at least": a sample is called a label whose score is >= the label's threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.rates import Ends, wilson

Floats = NDArray[np.float64]

FEW_POSITIVES = 10
"""Labels with fewer positive samples do not get a threshold of their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Precision, recall and F1 of each label at each threshold.

    Attributes:
        thresholds: float64[T], ascending.
        precision: float64[T, K], 0..1; NaN where no sample reaches the threshold.
        recall: float64[T, K], 0..1; NaN where no sample has the label.
        f1: float64[T, K], 0..1; NaN where no sample has the label.
        predicted: int64[T, K], samples that reach the threshold.
        true_positives: int64[T, K], those of them that have the label.
        support: int64[K], samples that have the label.
    """

    thresholds: Floats
    precision: Floats
    recall: Floats
    f1: Floats
    predicted: NDArray[np.int64]
    true_positives: NDArray[np.int64]
    support: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How often predictions of some probability are right.

    Attributes:
        edges: float64[bins+1], borders of the bins, 0..1; a bin holds its upper border, the first also 0.
        count: int64[bins], predictions in the bin.
        probability: float64[bins], their mean probability; NaN where there are none.
        accuracy: float64[bins], the share of them that are right; NaN where there are none.
        interval: lower and upper ends of the Wilson 95 % interval of that share.
        expected_error: mean distance of probability and accuracy over all predictions, 0..1, lower is better; NaN
            where there are none.
    """

    edges: Floats
    count: NDArray[np.int64]
    probability: Floats
    accuracy: Floats
    interval: Ends
    expected_error: float


def assumed_thresholds(scores: ArrayLike, truth: ArrayLike) -> Floats:
    """float64[K]: for each label the threshold with the best F1.

    A threshold between two neighbouring scores does the same wherever it lies; the middle is given. Where several
    such gaps are equally good, the widest is taken. A label with fewer than 10 positive samples takes the one
    threshold, common to all labels, that gives the best mean F1 over labels with positives.

    Args:
        scores: float[n, K], 0..1; column j belongs to label j. Use scores of samples the model was not fitted on.
        truth: bool[n, K], whether the sample has the label.

    Returns:
        float64[K], 0..1; 0.5 where no label has a positive sample.

    Raises:
        Invalid: the tables differ in shape, or scores are NaN or outside 0..1.

    Source: AWS, Rekognition Custom Labels guide, "Metrics for evaluating your model" (assumed threshold: best F1);
        Z. C. Lipton, C. Elkan, B. Naryanaswamy, ECML PKDD 2014, 225-239 (why the maximum of F1 needs a search, and
        that with few positives it is unstable).
    """
    values, has = _check(scores, truth)
    n_positive = np.count_nonzero(has, axis=0)
    result = np.full(values.shape[1], 0.5)
    few = n_positive < FEW_POSITIVES
    for label in np.flatnonzero(~few):
        result[label] = _best_threshold(values[:, label], has[:, label])
    if bool(few.any()) and bool(has.any()):
        result[few] = _common_threshold(values[:, n_positive > 0], has[:, n_positive > 0])
    return result


def _check(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    values, has = np.asarray(scores), np.asarray(truth, bool)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    if values.ndim != 2 or values.shape != has.shape:
        raise Invalid("truth", f"two tables of one shape are needed; got {values.shape} and {has.shape}")
    if not bool(np.all((values >= 0) & (values <= 1))):
        raise Invalid("scores", "scores must lie within 0..1")
    return values, has


def _best_threshold(scores: NDArray[np.floating], has: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(has[order])
    # A cut behind place i calls i + 1 samples; it is possible only where the next score is lower.
    is_cut = np.append(ranked[1:] < ranked[:-1], True)
    f1 = np.where(is_cut, 2 * hits / (hits[-1] + np.arange(1, len(ranked) + 1)), -1.0)
    best = np.flatnonzero(f1 == f1.max())
    below = np.append(ranked[1:], 0)[best]
    return _middle_of_widest(ranked[best], below.astype(scores.dtype))


def _common_threshold(scores: NDArray[np.floating], has: NDArray[np.bool_]) -> float:
    """Only scores of positives need be tried: a threshold just above any other score calls fewer wrong ones."""
    tried = np.unique(scores[has])
    total = np.zeros(len(tried))
    below = np.zeros(len(tried), scores.dtype)
    for label in range(scores.shape[1]):
        everyone, positives = np.sort(scores[:, label]), np.sort(scores[has[:, label], label])
        n_below = np.searchsorted(everyone, tried, side="left")
        hits = len(positives) - np.searchsorted(positives, tried, side="left")
        total += 2 * hits / (len(positives) + len(everyone) - n_below)
        below = np.maximum(below, np.where(n_below > 0, everyone[n_below - 1], 0))
    best = np.flatnonzero(total >= total.max() - 1e-12 * scores.shape[1])
    return _middle_of_widest(tried[best], below[best])


def _middle_of_widest(upper: NDArray[np.floating], lower: NDArray[np.floating]) -> float:
    """The middle of the widest gap; of equally wide ones the one with the highest scores."""
    gaps = np.asarray(upper - lower)
    widest = np.flatnonzero(gaps == gaps.max())
    place = widest[np.argmax(upper[widest])]
    middle = (upper[place] + lower[place]) / 2
    # Between neighbouring floats there is no middle; the score itself is the same threshold.
    return float(middle if middle > lower[place] else upper[place])


def sweep(scores: ArrayLike, truth: ArrayLike, *, thresholds: ArrayLike | None = None) -> Sweep:
    """Precision, recall and F1 of each label at each threshold.

    Args:
        scores: float[n, K], 0..1.
        truth: bool[n, K], whether the sample has the label.
        thresholds: float[T]; 0, 0.01, …, 1 if None.

    Raises:
        Invalid: the tables differ in shape, scores are NaN or outside 0..1, or thresholds are NaN or a table.
    """
    values, has = _check(scores, truth)
    limits = np.linspace(0, 1, 101) if thresholds is None else np.sort(np.asarray(thresholds, np.float64))
    if limits.ndim != 1 or bool(np.isnan(limits).any()):
        raise Invalid("thresholds", "a list of numbers without NaN is needed")
    compared = limits.astype(values.dtype)
    shape = (len(limits), values.shape[1])
    predicted, hits = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for label in range(values.shape[1]):
        for into, column in ((predicted, values[:, label]), (hits, values[has[:, label], label])):
            into[:, label] = len(column) - np.searchsorted(np.sort(column), compared, side="left")
    support = np.count_nonzero(has, axis=0).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(support > 0, 2 * hits / (support + predicted), np.nan)
        return Sweep(limits, hits / predicted, hits / support, f1, predicted, hits, support)


def calibration(probability: ArrayLike, correct: ArrayLike, *, bins: int = 10) -> Calibration:
    """Mean probability and share of right predictions in bins of equal width, with the expected calibration error.

    Args:
        probability: float[n], 0..1, of the predicted label.
        correct: bool[n], whether the prediction is right.
        bins: how many.

    Raises:
        Invalid: lengths differ, probabilities are NaN or outside 0..1, or there is no bin.

    Source: M. P. Naeini, G. F. Cooper, M. Hauskrecht, AAAI 2015, 2901-2907; C. Guo et al., ICML 2017, 1321-1330.
    """
    p, right = np.asarray(probability, np.float64), np.asarray(correct, bool)
    if p.ndim != 1 or p.shape != right.shape:
        raise Invalid("correct", f"two lists of one length are needed; got {p.shape} and {right.shape}")
    if not bool(np.all((p >= 0) & (p <= 1))):
        raise Invalid("probability", "probabilities must lie within 0..1")
    if bins < 1:
        raise Invalid("bins", f"at least one bin is needed, not {bins}")
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.clip(np.searchsorted(edges, p, side="left") - 1, 0, bins - 1)
    count = np.bincount(bin_of, minlength=bins).astype(np.int64)
    hits = np.bincount(bin_of, right, bins)
    sums = np.bincount(bin_of, p, bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, accuracy = sums / count, hits / count
    error = float(np.abs(sums - hits).sum() / len(p)) if len(p) else float("nan")
    return Calibration(edges, count, mean, accuracy, wilson(hits, count), error)
