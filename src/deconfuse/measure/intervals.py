"""How sure the numbers are.

Rates (recall, precision, a cell's share, accuracy) carry Wilson's interval, and so does the F1 of a label by way of
Jaccard's index (`measure.rates`). Scores without a formula of their own (means over labels, kappa, MCC) carry the
middle 95 % of what they are in tables that could have been counted instead, less the drift of drawing: scores that are
not linear in the counts, above all the mean of many precisions, are on average higher or lower in a drawn table than in
the table it was drawn around.

Each row of such a table, given its support n, is drawn from a Dirichlet distribution around its counts:

    weights = counts + a,   a = 1 / number of cells       one sample's weight for the whole table (Perks' prior)
    scaled to the sum n - 1 (at least 1)                  so that shares vary as samples of size n do

Why so small a prior: half a count a cell, usual for a single proportion, adds five samples to each row of ten labels
and drowns the data. Why the scale: a Dirichlet distribution of sum A varies by p (1 - p) / (A + 1), a sample of n by
p (1 - p) / n; with A = n the intervals are too narrow where a label has ten images.

Images must be independent: several frames of one scene make every interval here too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.matrix import ConfusionMatrix, Matrix
from deconfuse.measure.rates import Ends, wilson, wilson_f1
from deconfuse.measure.scores import kappa, label_scores, label_scores_from_binary, macro, margins, mcc, overall

Floats = NDArray[np.float64]

HELD = 4_000_000
"""Numbers drawn and held at a time."""

_NEGLIGIBLE = 1e-4

_BORROWED = 2
_AGAINST_CERTAINTY = 2


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
        f1: the same, by `wilson_f1`.
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

    Source: see `wilson`, `wilson_f1` and `dirichlet_draws`. How often such intervals cover the truth is measured in
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
        f1 = 2 * correct[has_samples] / (support[has_samples] + predicted[has_samples])
        recall = correct[has_samples] / support[has_samples]
        precision = correct[is_called] / predicted[is_called]
    whole = all_correct.sum(axis=0), drawn.support, all_predicted.T
    macro_recall = _around(values.recall, recall, level)
    return Intervals(
        level=level,
        precision=wilson(scores.true_positives, scores.predicted, level=level),
        recall=wilson(scores.true_positives, scores.support, level=level),
        f1=wilson_f1(scores.true_positives, scores.support, scores.predicted, level=level),
        accuracy=Interval(values.accuracy, float(low), float(high)),
        macro_precision=_around(values.precision, precision, level),
        macro_recall=macro_recall,
        macro_f1=_around(values.f1, f1, level),
        balanced_accuracy=macro_recall,
        kappa=_around(values.kappa, kappa(*whole)[None], level, lowest=-1),
        mcc=_around(values.mcc, mcc(*whole)[None], level, lowest=-1),
    )


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


def binary_intervals(
    binary: ArrayLike, *, rng: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> tuple[Ends, tuple[Interval, Interval, Interval]]:
    """The interval of each label's F1 (`wilson_f1`), and of mean F1, precision and recall, of a multi-label model.

    Of the t samples that a rate is about (those that have the label; that were called it; that have it or were called
    it) a share are hits. That share is drawn from a Beta distribution, labels independently of each other, and the
    draws are moved so that their middle scores what was counted. The support of a label is as much a matter of chance
    as its hits, so nothing is drawn given it.

        pooled = (hits of all labels + 2) / (samples of all labels + 4)
        centre = (hits + 2 pooled) / (t + 2)
        sum of the weights = t - 1 - t² / (t + 2)²     at least 0.05

    Many labels have a handful of samples and no error among them. Taken alone they would look sure; so each borrows
    two samples from all labels together, which two hits and two misses keep from being all right. With that sum the
    draws vary as samples of size t do, the borrowed ones allowed for.

    Args:
        binary: [K, 2, 2] as `measure.scores.binary_counts` gives it.
        rng: where chance comes from.
        draws: how many rates of each label.
        level: share of such intervals that cover the truth, strictly between 0 and 1.

    Source: two hits and two misses: A. Agresti, B. A. Coull, American Statistician 52 (1998) 119-126; borrowing:
        B. Efron, C. Morris, JASA 70 (1975) 311-319; F1 from Jaccard's index as in `wilson_f1`. The sum is the one at
        which centre (1 - centre) / (sum + 1) is on average p (1 - p) / t. How often such intervals cover the truth is
        measured in `tests/laws/test_intervals_laws.py`.
    """
    scores = label_scores_from_binary(binary)
    hits, support, predicted = scores.true_positives, scores.support, scores.predicted
    seen = support > 0
    called = seen & (predicted > 0)
    jaccard, precision, recall = (
        _drawn_shares(hits[which], trials[which], rng, draws)
        for which, trials in ((seen, support + predicted - hits), (called, predicted), (seen, support))
    )
    centre = macro(scores)
    means = (
        _around(centre.f1, 2 * jaccard / (1 + jaccard), level),
        _around(centre.precision, precision, level),
        _around(centre.recall, recall, level),
    )
    return wilson_f1(hits, support, predicted, level=level), means


def _drawn_shares(hits: Floats, trials: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """[m, draws + 1]: shares that could have been counted instead of hits / trials, and last these themselves."""
    pooled = (hits.sum() + _AGAINST_CERTAINTY) / (trials.sum() + 2 * _AGAINST_CERTAINTY)
    centre = (hits + _BORROWED * pooled) / (trials + _BORROWED)
    total = np.maximum(trials - 1 - (trials / (trials + _BORROWED)) ** 2, 0.05)
    drawn = rng.beta(centre * total, (1 - centre) * total, (draws, len(hits))).T
    return np.column_stack([drawn, hits / trials])


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


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What scores need of tables drawn from the posterior; the tables themselves are never all in memory.

    Attributes:
        correct: float64[K+1, draws], the diagonal of each table; the last is *no label* on both sides.
        predicted: float64[K+1, draws], its column sums; the last is *no predicted label*.
        support: float64[K+1], its row sums, the same in every table.
    """

    correct: Floats
    predicted: Floats
    support: Floats


def dirichlet_draws(matrix: Matrix, *, rng: np.random.Generator, draws: int = 2000) -> Draws:
    """Tables that could have been counted instead of this one, row by row given its support.

    A row of n samples has the weights counts + a, a = 1 / number of cells of the table; they are scaled together to the
    sum n - 1 + (their prior part), at least 1, which leaves their proportions as they are.

    Cells that hold something are drawn one by one. The weight of a row's empty cells is drawn as a whole and broken
    into three pieces that fall on different ones of them at random: the stick-breaking form of the Dirichlet
    distribution, of which later pieces hold less than 1/1000. So the work grows with the cells that hold something,
    not with the square of the labels.

    Args:
        matrix: what was counted; weights are taken as if they were counts.
        rng: where chance comes from.
        draws: how many tables.

    Raises:
        Invalid: fewer than one draw.

    Source: O. Caelen, Annals of Mathematics and Artificial Intelligence 81 (2017) 429-450 (Dirichlet posterior of a
        confusion matrix); W. Perks, Journal of the Institute of Actuaries 73 (1947) 285-334 (the prior); J. Pitman,
        Advances in Applied Probability 28 (1996) 525-539 (pieces of a symmetric Dirichlet in size-biased order).
    """
    if draws < 1:
        raise Invalid("draws", f"at least one draw is needed, not {draws}")
    side = len(matrix.labels) + 1
    rows, columns, counts = _filled_cells(matrix)
    support = np.bincount(rows, counts, side).astype(np.float64)
    result = Draws(np.zeros((side, draws)), np.zeros((side, draws)), support)
    n_columns = side - 1 + matrix.has_no_predicted
    weight = 1 / max(1, (side - 1 + matrix.has_no_true) * n_columns)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    for begin, end in _groups(np.append(starts, len(rows)), max(1, HELD // draws)):
        cells = slice(begin, end)
        _draw_rows(rows[cells], columns[cells], counts[cells], n_columns, weight, rng, result)
    return result


def _filled_cells(matrix: Matrix) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Row, column and count of the cells that hold something, row by row."""
    if isinstance(matrix, ConfusionMatrix):
        rows, columns = np.nonzero(matrix.counts)
        return rows, columns, matrix.counts[rows, columns].astype(np.float64)
    kept = matrix.counts > 0
    return matrix.true_codes[kept], matrix.predicted_codes[kept], matrix.counts[kept].astype(np.float64)


def _groups(edges: NDArray[np.intp], size: int) -> list[tuple[int, int]]:
    """Spans of whole rows that hold about `size` cells; `edges` are the starts of rows and the end of the last."""
    spans, begin = [], 0
    for edge in edges[1:].tolist():
        if edge - begin >= size or edge == edges[-1]:
            spans.append((begin, edge))
            begin = edge
    return spans


def _draw_rows(
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    counts: Floats,
    n_columns: int,
    weight: float,
    rng: np.random.Generator,
    into: Draws,
) -> None:
    """Add the draws of whole rows, given by their filled cells, to `into`."""
    draws = into.correct.shape[1]
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    n_filled = np.diff(np.append(starts, len(rows)))
    n_empty = n_columns - n_filled
    total = into.support[rows[starts]] + n_columns * weight
    shrink = np.minimum(np.maximum(total - 1, 1) / total, 1)
    weights = weight * shrink
    shares = rng.standard_gamma(((counts + weight) * np.repeat(shrink, n_filled))[:, None], (len(rows), draws))
    spare = rng.standard_gamma((n_empty * weights)[:, None], (len(starts), draws))
    scale = into.support[rows[starts], None] / (np.add.reduceat(shares, starts, axis=0) + spare)
    shares *= np.repeat(scale, n_filled, axis=0)
    spare *= scale
    for cell, column in enumerate(columns):
        into.predicted[column] += shares[cell]
    diagonal = np.flatnonzero(rows == columns)
    into.correct[rows[diagonal]] = shares[diagonal]
    # Most of the spare weights are next to nothing: what is below 1/10,000 of an image goes nowhere.
    row, draw = np.nonzero(spare > _NEGLIGIBLE)
    before = columns - (np.arange(len(columns)) - np.repeat(starts, n_filled))
    keys = before + np.repeat(np.arange(len(starts)), n_filled) * (n_columns + 1)
    for place, piece in _pieces(spare[row, draw], n_empty[row], weights[row], rng):
        # Empty cell number `place` of a row stands behind every filled one with at most `place` empty ones before it.
        column = place + np.searchsorted(keys, place + row * (n_columns + 1), side="right") - starts[row]
        np.add.at(into.predicted.reshape(-1), column * draws + draw, piece)
        hits = np.flatnonzero(column == rows[starts[row]])
        np.add.at(into.correct.reshape(-1), column[hits] * draws + draw[hits], piece[hits])


def _pieces(
    sticks: Floats, n_cells: NDArray[np.intp], weight: Floats, rng: np.random.Generator
) -> list[tuple[NDArray[np.intp], Floats]]:
    """Three times, for each stick, the cell (0..n_cells-1; all three differ while there are as many) and its piece."""
    n = len(sticks)
    first = (rng.random(n) * n_cells).astype(np.intp)
    second = 1 + (rng.random(n) * np.maximum(n_cells - 1, 1)).astype(np.intp)
    third = 1 + (rng.random(n) * np.maximum(n_cells - 2, 1)).astype(np.intp)
    third += third >= second
    rest, pieces = sticks, []
    for number, offset in enumerate((np.zeros(n, np.intp), second, third)):
        left = n_cells - number - 1
        piece = rest * rng.beta(1 + weight, np.maximum(left * weight, 1e-9)) if number < 2 else rest
        piece = np.where(left > 0, piece, rest)
        rest = rest - piece
        pieces.append(((first + offset) % n_cells, piece))
    return pieces
