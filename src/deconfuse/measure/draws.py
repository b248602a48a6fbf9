"""Confusion matrices that could have been counted instead of the one that was.

Each row, given its support n, is drawn from a Dirichlet distribution around its counts:

    weights = counts + a,   a = 1 / number of cells       one sample's weight for the whole table (Perks' prior)
    scaled to the sum n - 1 (at least 1)                  so that shares vary as samples of size n do

Why so small a prior: half a count a cell, usual for a single proportion, adds five samples to each row of ten labels
and drowns the data. Why the scale: a Dirichlet distribution of sum A varies by p (1 - p) / (A + 1), a sample of n by
p (1 - p) / n; with A = n the intervals are too narrow where a label has ten images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.matrix import ConfusionMatrix, Matrix

Floats = NDArray[np.float64]

HELD = 4_000_000
"""Numbers drawn and held at a time."""

_NEGLIGIBLE = 1e-4


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
