"""How sure the numbers are.

Rates (recall, precision, a cell's share, accuracy) carry Wilson's interval. Scores without a formula of their own (F1,
means over labels, kappa, MCC) carry the middle 95 % of what they are in tables drawn around the counted one
(`measure.draws`), less the drift of drawing: scores that are not linear in the counts, above all the mean of many
precisions, are on average higher or lower in a drawn table than in the table it was drawn around.

Images must be independent: several frames of one scene make every interval here too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.draws import HELD, dirichlet_draws
from deconfuse.measure.matrix import Matrix
from deconfuse.measure.rates import Ends
from deconfuse.measure.rates import wilson as wilson
from deconfuse.measure.scores import kappa, label_scores, margins, mcc, overall

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with the interval around it: low <= value <= high; all NaN where the number is undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Intervals of every score of a matrix.

    Attributes:
        level: the share of such intervals that cover the truth.
        precision: float64[K] lower and upper ends, Wilson.
        recall: the same.
        f1: the same, from Dirichlet draws.
        accuracy: Wilson.
        macro_precision: mean over labels, from Dirichlet draws.
        macro_recall: the same.
        macro_f1: the same.
        balanced_accuracy: the same number and interval as macro_recall.
        kappa: from Dirichlet draws.
        mcc: from Dirichlet draws.
    """

    level: float
    precision: Ends
    recall: Ends
    f1: Ends
    accuracy: Interval
    macro_precision: Interval
    macro_recall: Interval
    macro_f1: Interval
    balanced_accuracy: Interval
    kappa: Interval
    mcc: Interval


def intervals(matrix: Matrix, *, rng: np.random.Generator, draws: int = 2000, level: float = 0.95) -> Intervals:
    """Intervals of every score of a matrix.

    Args:
        matrix: what was counted.
        rng: where chance comes from; the same state gives the same intervals.
        draws: how many tables are drawn; fewer (but at least 200) above 4,000 labels, so that memory stays bounded.
        level: share of such intervals that cover the truth, strictly between 0 and 1.

    Raises:
        Invalid: level outside (0, 1), or fewer than one draw.

    Source: see `wilson` and `dirichlet_draws`. How often such intervals cover the truth is measured in
        `tests/laws/test_intervals_laws.py`.
    """
    scores, values = label_scores(matrix), overall(matrix)
    low, high = wilson(margins(matrix)[2], values.total, level=level)
    drawn = dirichlet_draws(matrix, rng=rng, draws=min(draws, max(200, 2 * HELD // (len(matrix.labels) + 1))))
    # The table in the middle of all draws goes along as their last: what it scores is what drawing drifts away from.
    all_correct, all_predicted = (
        np.column_stack([values, values.mean(axis=1)]) for values in (drawn.correct, drawn.predicted)
    )
    correct, predicted, support = all_correct[:-1], all_predicted[:-1], drawn.support[:-1, None]
    has_samples = scores.support > 0
    is_called = has_samples & (scores.predicted > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * correct / (support + predicted)
        recall = correct[has_samples] / support[has_samples]
        precision = correct[is_called] / predicted[is_called]
    whole = all_correct.sum(axis=0), drawn.support, all_predicted.T
    macro_recall = _around(values.recall, recall, level)
    return Intervals(
        level=level,
        precision=wilson(scores.true_positives, scores.predicted, level=level),
        recall=wilson(scores.true_positives, scores.support, level=level),
        f1=_ends(scores.f1, f1, level),
        accuracy=Interval(values.accuracy, float(low), float(high)),
        macro_precision=_around(values.precision, precision, level),
        macro_recall=macro_recall,
        macro_f1=_around(values.f1, f1[has_samples], level),
        balanced_accuracy=macro_recall,
        kappa=_around(values.kappa, kappa(*whole)[None], level, lowest=-1),
        mcc=_around(values.mcc, mcc(*whole)[None], level, lowest=-1),
    )


def mcnemar(b: ArrayLike, c: ArrayLike) -> NDArray[np.float64]:
    """The exact two-sided p-value, 0..1, of McNemar's test for two models on the same images.

    With fewer than six images on which they differ, all one way, no p-value falls below 0.05.

    Args:
        b: images that only the first model has right; a whole number or an array of them.
        c: images that only the second has right.

    Returns:
        The probability, if both were equally good, of a division at least as uneven; 1 where b and c are 0.

    Raises:
        Invalid: a number is negative or not whole.

    Example:
        >>> print(f"{mcnemar(6, 0):.3f} {mcnemar(9, 1):.3f}")
        0.031 0.021

    Source: Q. McNemar, Psychometrika 12 (1947) 153-157; exact form: T. G. Dietterich, Neural Computation 10 (1998)
        1895-1923 recommends the test.
    """
    one, other = np.broadcast_arrays(np.asarray(b, np.float64), np.asarray(c, np.float64))
    for name, values in (("b", one), ("c", other)):
        if not bool(np.all((values >= 0) & (values == np.floor(values)))):
            raise Invalid(name, "numbers of images are whole and not below 0")
    from scipy.special import bdtr

    fewer, total = np.minimum(one, other), (one + other).astype(np.int_)
    return np.asarray(np.minimum(1.0, 2 * bdtr(fewer, total, 0.5)))[()]


def _ends(values: Floats, draws: Floats, level: float, *, lowest: float = 0) -> Ends:
    """The middle `level` of the draws of each row without their drift, widened to its value; NaN where it is NaN.

    Args:
        values: [m], the scores counted.
        draws: [m, draws + 1], the scores drawn, and last that of the middle table.
        level: see `intervals`.
        lowest: the lowest score there is; 1 is the highest.
    """
    if not len(values):
        return np.empty(0), np.empty(0)
    tail = (1 - level) / 2
    kept = np.where(np.isnan(values)[:, None] | np.isnan(draws), 0.0, draws)
    drift = kept[:, :-1].mean(axis=1) - kept[:, -1]
    low, high = np.quantile(kept[:, :-1], (tail, 1 - tail), axis=1) - drift
    return np.minimum(np.maximum(low, lowest), values), np.maximum(np.minimum(high, 1), values)


def _around(value: float, draws: Floats, level: float, *, lowest: float = 0) -> Interval:
    """The interval of a mean over rows of draws."""
    if np.isnan(value) or not len(draws):
        return Interval(value, float("nan"), float("nan"))
    low, high = _ends(np.array([value]), draws.mean(axis=0)[None], level, lowest=lowest)
    return Interval(value, float(low[0]), float(high[0]))
