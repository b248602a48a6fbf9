"""How sure the numbers are.

Rates (recall, precision, a cell's share, accuracy) carry Wilson's interval. Scores without a formula of their own (F1,
means over labels, kappa, MCC) carry the middle 95 % of what they would be in tables drawn from a Dirichlet posterior:

    each row of the matrix, given its support, is drawn from Dirichlet(counts + a),  a = 1 / number of cells.

The prior weighs as much as one sample for the whole table (Perks' prior). A weight of one half a cell, usual for a
single proportion, would outweigh the data: with 10 labels and 30 images of each it adds five images to every row.

Images must be independent: several frames of one scene make every interval here too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.matrix import ConfusionMatrix, Matrix
from deconfuse.measure.rates import Ends
from deconfuse.measure.rates import wilson as wilson
from deconfuse.measure.scores import kappa, label_scores, margins, mcc, overall

Floats = NDArray[np.float64]

_HELD = 4_000_000
"""Numbers drawn and held at a time."""

_NEGLIGIBLE = 1e-4


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
    for begin, end in _groups(np.append(starts, len(rows)), max(1, _HELD // draws)):
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
    shares = rng.standard_gamma((counts + weight)[:, None], (len(rows), draws))
    spare = rng.standard_gamma((n_empty * weight)[:, None], (len(starts), draws))
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
    for place, piece in _pieces(spare[row, draw], n_empty[row], weight, rng):
        # Empty cell number `place` of a row stands behind every filled one with at most `place` empty ones before it.
        column = place + np.searchsorted(keys, place + row * (n_columns + 1), side="right") - starts[row]
        np.add.at(into.predicted.reshape(-1), column * draws + draw, piece)
        hits = np.flatnonzero(column == rows[starts[row]])
        np.add.at(into.correct.reshape(-1), column[hits] * draws + draw[hits], piece[hits])


def _pieces(
    sticks: Floats, n_cells: NDArray[np.intp], weight: float, rng: np.random.Generator
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
    agreed = margins(matrix)[2]
    low, high = wilson(agreed, values.total, level=level)
    drawn = dirichlet_draws(matrix, rng=rng, draws=min(draws, max(200, _HELD * 2 // (len(matrix.labels) + 1))))
    correct, predicted, support = drawn.correct[:-1], drawn.predicted[:-1], drawn.support[:-1, None]
    has_samples = scores.support > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = correct[has_samples] / support[has_samples]
        f1 = 2 * correct / (support + predicted)
        is_called = has_samples & (scores.predicted > 0)
        precision = correct[is_called] / predicted[is_called]
    whole = drawn.correct.sum(axis=0), drawn.support, drawn.predicted.T
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
        kappa=_around(values.kappa, kappa(*whole)[None], level),
        mcc=_around(values.mcc, mcc(*whole)[None], level),
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

    return np.asarray(np.minimum(1.0, 2 * bdtr(np.minimum(one, other), one + other, 0.5)))[()]


def _ends(values: Floats, draws: Floats, level: float) -> Ends:
    """The middle `level` of the draws of each row, widened to its value; NaN where that is undefined."""
    if not len(values):
        return np.empty(0), np.empty(0)
    tail = (1 - level) / 2
    low, high = np.quantile(np.where(np.isnan(values)[:, None], 0.0, draws), (tail, 1 - tail), axis=-1)
    return np.minimum(low, values), np.maximum(high, values)


def _around(value: float, draws: Floats, level: float) -> Interval:
    """The interval of a mean over rows of draws."""
    if np.isnan(value) or not len(draws):
        return Interval(value, float("nan"), float("nan"))
    means = draws.mean(axis=0)
    low, high = _ends(np.array([value]), means[None], level)
    return Interval(value, float(low[0]), float(high[0]))
