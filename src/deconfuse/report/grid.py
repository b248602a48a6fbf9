"""The table that a static view of a matrix draws: rows, columns, counts, shares, and how its numbers are spelled.

Terminal, files and pictures show the same table; this is the one place that decides its orientation and its
denominator. Counts stay counts; a share knows its numerator and denominator, so that `measure.text` can round
percentages exactly.

Who calls it: report.table, report.text, report.exports, report.drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid, LimitExceeded
from deconfuse.measure.matrix import Cells, Matrix
from deconfuse.measure.text import NO_LABEL_TEXT, UNDEFINED_TEXT, percent_text

Normalize = Literal["none", "true", "pred", "all"]
Orientation = Literal["true", "aws"]

ZERO_TEXT = "·"

DENOMINATORS: dict[str, str] = {
    "none": "share of the true label",
    "true": "share of the true label",
    "pred": "share of the predicted label",
    "all": "share of all",
}
"""What a share is a share of, in words, by normalisation."""

UNITS: dict[str, str] = {"samples": "images", "label decisions": "label decisions"}
"""What is counted, in words, by the unit of a matrix."""


@dataclass(frozen=True, slots=True)
class Grid:
    """R rows and C columns, ready to be drawn.

    Attributes:
        rows: the labels of the rows; None is *no label*, always last.
        columns: the labels of the columns, in the same order.
        is_true_rows: whether rows are truth (otherwise rows are prediction).
        counts: [R, C] int64 or float64.
        denominators: [R, C], what the share of each cell is a share of; 0 where it is undefined.
        is_right: [R, C] bool, where true and predicted label are the same.
        normalize: which share is meant.
        unit: what a count counts ("samples" or "label decisions").
    """

    rows: tuple[str | None, ...]
    columns: tuple[str | None, ...]
    is_true_rows: bool
    counts: NDArray[Any]
    denominators: NDArray[Any]
    is_right: NDArray[np.bool_]
    normalize: Normalize
    unit: str

    @property
    def row_axis(self) -> str:
        """What the rows are: "true" or "predicted"."""
        return "true" if self.is_true_rows else "predicted"

    @property
    def column_axis(self) -> str:
        """What the columns are: "predicted" or "true"."""
        return "predicted" if self.is_true_rows else "true"

    @property
    def shares(self) -> NDArray[np.float64]:
        """[R, C] in 0..1, NaN where the denominator is 0."""
        shares = np.full(self.counts.shape, np.nan)
        np.divide(self.counts, self.denominators, out=shares, where=self.denominators != 0)
        return shares


def grid(
    matrix: Matrix,
    *,
    normalize: Normalize = "none",
    orientation: Orientation = "true",
    order: Sequence[int] | None = None,
) -> Grid:
    """The table of `matrix`; the row and column of *no label* are there only where they hold something.

    Args:
        matrix: what was counted.
        normalize: the denominator of the shares; "none" shares by true label.
        orientation: "true" puts truth on rows, "aws" puts predictions there.
        order: the labels' positions in the order wanted, each once; None keeps the matrix's own.

    Raises:
        LimitExceeded: the matrix is sparse, with more labels than a table can hold.
        Invalid: `order` is no permutation of the labels.
    """
    if isinstance(matrix, Cells):
        raise LimitExceeded(
            f"{len(matrix.labels):,} labels are too many for a table; "
            "write them as csv or json, or choose some with --labels"
        )
    n_labels = len(matrix.labels)
    sequence = list(range(n_labels)) if order is None else [int(position) for position in order]
    if sorted(sequence) != list(range(n_labels)):
        raise Invalid("order", f"it must hold each of the {n_labels} positions once")
    true_index = sequence + ([n_labels] if matrix.has_no_true else [])
    predicted_index = sequence + ([n_labels] if matrix.has_no_predicted else [])
    counts = matrix.counts[np.ix_(true_index, predicted_index)]
    denominators = _denominators(matrix.counts, normalize)[np.ix_(true_index, predicted_index)]
    is_right = np.equal.outer(np.array(true_index), np.array(predicted_index))
    names: tuple[str | None, ...] = (*matrix.labels, None)
    rows, columns = tuple(names[i] for i in true_index), tuple(names[i] for i in predicted_index)
    if orientation == "aws":
        rows, columns = columns, rows
        counts, denominators, is_right = counts.T, denominators.T, is_right.T
    return Grid(rows, columns, orientation != "aws", counts, denominators, is_right, normalize, matrix.unit)


def _denominators(counts: NDArray[Any], normalize: Normalize) -> NDArray[Any]:
    if normalize == "pred":
        sums = counts.sum(axis=0, keepdims=True)
    elif normalize == "all":
        sums = counts.sum(keepdims=True)
    else:
        sums = counts.sum(axis=1, keepdims=True)
    return np.broadcast_to(sums, counts.shape)


def label_text(label: str | None) -> str:
    """`label` as people see it: "(no label)" for None."""
    return NO_LABEL_TEXT if label is None else label


def short_count_text(count: float) -> str:
    """A count in at most five characters: "12.3k", "4.5M"; exact below 10,000.

    Example:
        >>> short_count_text(9999), short_count_text(12_345), short_count_text(1_000_000)
        ('9999', '12.3k', '1M')
    """
    value = float(count)
    if value < 9999.5:
        return f"{value:.0f}" if value.is_integer() or value >= 100 else f"{value:.1f}"
    for size, mark in ((1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        if value < size * 999.5:
            text = f"{value / size:.1f}" if value < size * 99.95 else f"{value / size:.0f}"
            return text.removesuffix(".0") + mark
    return f"{value:.0e}"


def share_text(share: float, *, decimals: int = 0) -> str:
    """A share in 0..1 as a percentage, rounded half to even; "–" where it is NaN."""
    return UNDEFINED_TEXT if np.isnan(share) else percent_text(share, 1.0, decimals=decimals)


def decimal_text(value: float, *, decimals: int = 2) -> str:
    """A score such as F1 or kappa as a decimal number; "–" where it is NaN."""
    return UNDEFINED_TEXT if np.isnan(value) else f"{value:.{decimals}f}"
