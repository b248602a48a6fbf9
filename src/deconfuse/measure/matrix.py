"""The confusion matrix: how often each true label was called each predicted label.

                       predicted
                 cat   dog   (no label)
    true  cat      8     1        1            counts[i, j]: samples truly labels[i], called labels[j]
          dog      0     5        0            last row: no true label; last column: no predicted label
    (no label)     0     0        0

State is sums and counts; ratios come last. Nothing is ever dropped: the sum of all cells is the weight of what was
counted, and a label that is not known raises or goes to *(other)*. Matrices of parts add up to the matrix of the whole.

`ConfusionMatrix` is dense. Above `DENSE_LIMIT` labels its sparse sister `Cells` takes over, with the same names.
Scores are in `measure.scores`, intervals in `measure.intervals`, drawing in `report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid, LimitExceeded
from deconfuse.measure import counting
from deconfuse.measure.counting import Counts, Unit
from deconfuse.measure.labels import OTHER as OTHER
from deconfuse.measure.labels import (
    align_places,
    indicator,
    label_texts,
    merge_places,
    predicted_codes,
    restrict_places,
    true_codes,
)
from deconfuse.measure.rates import Pair as Pair
from deconfuse.measure.rates import rank_pairs
from deconfuse.measure.text import NO_LABEL_TEXT, html_pairs, html_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NO_LABEL = None
"""*No label* among Python values; in arrays of codes it is -1, in a matrix the last row or column."""

DENSE_LIMIT = 2000
"""Labels up to which a matrix is dense."""

Denominator = Literal["true", "pred", "all"]

_SHOWN_LABELS = 40


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConfusionMatrix:
    """A dense confusion matrix. Frozen; equal when labels, counts and unit are.

    Attributes:
        labels: K different labels, in the order of rows and columns.
        counts: [K+1, K+1], read-only; rows are truth, columns are prediction, the last row is *no true label*, the
            last column *no predicted label*. int64; float64 where samples have weights.
        unit: what a count of 1 is: a sample, or, in the matrix of a multi-label model, one decision about a label
            (a sample then counts once for each decision).

    Raises:
        Invalid: labels repeat, or the counts have another shape, are negative or not finite.
        LimitExceeded: more than 2,000 labels; `Cells` holds any number.

    Example:
        >>> m = ConfusionMatrix.from_predictions(["cat", "cat", "dog"], ["cat", None, "dog"])
        >>> m.labels, m.counts.tolist()
        (('cat', 'dog'), [[1, 0, 1], [0, 1, 0], [0, 0, 0]])
    """

    labels: tuple[str, ...]
    counts: Counts
    unit: Unit = "samples"
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        labels = label_texts(self.labels)
        _check_dense(len(labels))
        given = np.asarray(self.counts)
        side = len(labels) + 1
        if given.shape != (side, side):
            raise Invalid("counts", f"{len(labels)} labels need {side} × {side} counts; got the shape {given.shape}")
        counts = given.astype(np.int64 if given.dtype.kind in "biu" else np.float64)
        if not bool(np.all(np.isfinite(counts) & (counts >= 0))):
            raise Invalid("counts", "counts must be finite and not below 0")
        counts.flags.writeable = False
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "counts", counts)

    @classmethod
    def empty(cls, labels: Iterable[object]) -> Self:
        """A matrix of these labels in which nothing has been counted."""
        texts = label_texts(labels)
        _check_dense(len(texts))
        return cls(texts, np.zeros((len(texts) + 1, len(texts) + 1), np.int64))

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        labels: Iterable[object] | None = None,
        sample_weight: ArrayLike | None = None,
        unknown: Literal["raise", "other"] = "raise",
    ) -> Self:
        """The matrix of samples with one true and at most one predicted label.

        Args:
            y_true: n labels, any hashable values, kept as their text; a list, NumPy, pandas or Arrow.
            y_pred: n labels; None and NaN are *no label*.
            labels: which labels, in which order; those that occur, sorted, if None.
            sample_weight: float[n], finite, at least 0; every sample counts 1 if None.
            unknown: what becomes of a label that is not among `labels`: "raise", or "other", which adds the label
                *(other)* to the matrix, whether anything falls there or not.

        Raises:
            Invalid: lengths differ, a true label is missing, a label is unknown (it is named), two different values
                have one text, or a weight is negative or not finite.
            LimitExceeded: more than 2,000 labels; use `Cells.from_predictions`.
        """
        data = counting.encode(y_true, y_pred, labels, unknown, few=sample_weight is None)
        _check_dense(len(data.labels))
        return cls(data.labels, counting.count_encoded(data, counting.check_weights(sample_weight, len(data.true))))

    @classmethod
    def from_codes(
        cls, true: ArrayLike, predicted: ArrayLike, *, labels: Iterable[object], sample_weight: ArrayLike | None = None
    ) -> Self:
        """The matrix of samples whose labels are given by their place in `labels`.

        Args:
            true: integer[n], each in 0..K-1, or -1 for no label.
            predicted: integer[n], the same.
            labels: the K labels.
            sample_weight: float[n], finite, at least 0; every sample counts 1 if None.

        Raises:
            Invalid: a code out of range, not integers, or lengths that differ.
        """
        texts = label_texts(labels)
        _check_dense(len(texts))
        pairs, n = counting.code_pairs(true, predicted, len(texts))
        side = len(texts) + 1
        return cls(texts, counting.count_dense(pairs, n, (side, side), counting.check_weights(sample_weight, n)))

    @classmethod
    def from_scores(
        cls,
        y_true: Any,
        scores: ArrayLike,
        *,
        labels: Iterable[object],
        thresholds: float | ArrayLike | None = None,
    ) -> Self:
        """The matrix of samples that are called the highest-scoring label which reaches its threshold.

        Args:
            y_true: n labels, each among `labels`.
            scores: float[n, K]; column j is labels[j]; higher is surer. Of equal scores the first label wins.
            labels: the K labels.
            thresholds: None (the highest score wins, whatever it is), one number for all labels, or float[K].
                A score equal to the threshold reaches it; where none does, the sample has no predicted label.

        Raises:
            Invalid: shapes that do not fit, scores or thresholds that are NaN, a true label missing or unknown.
        """
        texts = label_texts(labels)
        predicted = predicted_codes(scores, thresholds=thresholds, n_labels=len(texts))
        return cls.from_codes(true_codes(y_true, texts), predicted, labels=texts)

    @classmethod
    def from_label_sets(cls, y_true: Any, y_pred: Any, *, labels: Iterable[object]) -> Self:
        """The multi-label confusion matrix (MLCM); its unit is "label decisions".

        For a sample with the true labels T and the predicted labels P, every label in both counts on the diagonal.
        Of the rest: labels missed (T - P) while nothing was invented count under *no predicted label*; labels
        invented (P - T) while nothing was missed count against every true label, or in the row *no true label* where
        T is empty; otherwise every missed label counts against every invented one. T and P both empty count once, in
        the last cell.

        Args:
            y_true: n collections of labels, or bool[n, K]; empty collections are fine.
            y_pred: the same.
            labels: the K labels.

        Raises:
            Invalid: lengths differ or a label is unknown.

        Source: M. Heydarian, T. E. Doyle, R. Samavi, "MLCM: Multi-Label Confusion Matrix", IEEE Access 10 (2022)
            19083-19095. The authors' program deviates from their text where several labels are missed
            and several invented; the text is followed here.
        """
        texts = label_texts(labels)
        _check_dense(len(texts))
        truth, called = indicator(y_true, texts, "y_true"), indicator(y_pred, texts, "y_pred")
        if len(truth) != len(called):
            raise Invalid("y_pred", f"{len(truth)} true label sets, but {len(called)} predicted ones")
        return cls(texts, counting.count_label_sets(truth, called), "label decisions")

    @classmethod
    def from_cells(cls, cells: Any, *, labels: Iterable[object] | None = None) -> Self:
        """The matrix of counted pairs, the inverse of `to_cells`.

        Args:
            cells: an Arrow table with the columns true_label, predicted_label and count, or an iterable of such
                triples; None is *no label*. A pair that stands there twice is added up.
            labels: which labels, in which order. If None: those the table names in its metadata, otherwise those that
                occur, sorted.

        Raises:
            Invalid: a count is missing, negative or not finite, or a label is unknown.
            BadData: the table lacks a column.
        """
        texts, keys, counts, unit = counting.read_cells(cells, labels)
        _check_dense(len(texts))
        side = len(texts) + 1
        table = np.zeros(side * side, counts.dtype)
        np.add.at(table, keys, counts)
        return cls(texts, table.reshape(side, side), unit)

    @property
    def total(self) -> int | float:
        """The weight of everything counted."""
        return cast("int | float", self.counts.sum().item())

    @property
    def support(self) -> Counts:
        """[K]: samples that truly have the label, however they were called."""
        return np.asarray(self.counts[:-1].sum(axis=1))

    @property
    def predicted_counts(self) -> Counts:
        """[K]: samples that were called the label, whatever they are."""
        return np.asarray(self.counts[:, :-1].sum(axis=0))

    @property
    def correct(self) -> Counts:
        """[K]: samples that have the label and were called it."""
        return np.diagonal(self.counts)[:-1].copy()

    @property
    def has_no_true(self) -> bool:
        """Whether the row *no true label* holds something."""
        return bool(self.counts[-1].any())

    @property
    def has_no_predicted(self) -> bool:
        """Whether the column *no predicted label* holds something."""
        return bool(self.counts[:, -1].any())

    def normalize(self, by: Denominator) -> NDArray[np.float64]:
        """float64[K+1, K+1]: each count as a share of the samples that its denominator names.

        Args:
            by: "true" (samples with the true label of the row; rows sum to 1), "pred" (samples called the label of
                the column; columns sum to 1) or "all" (everything sums to 1).

        Returns:
            Shares in 0..1; NaN where the denominator is 0.

        Raises:
            Invalid: `by` is something else.
        """
        counts = self.counts.astype(np.float64)
        if by == "true":
            denominator = counts.sum(axis=1, keepdims=True)
        elif by == "pred":
            denominator = counts.sum(axis=0, keepdims=True)
        elif by == "all":
            denominator = counts.sum(keepdims=True)
        else:
            raise Invalid("normalize", f'"true", "pred" or "all" is possible, not {by!r}')
        shares = np.full_like(counts, np.nan)
        np.divide(counts, denominator, out=shares, where=denominator > 0)
        return shares

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        return self.labels == other.labels and self.unit == other.unit and np.array_equal(self.counts, other.counts)

    def __repr__(self) -> str:
        return f"<ConfusionMatrix of {len(self.labels)} labels, {self.total} {self.unit}>"

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """The matrix of the samples of both.

        Raises:
            Invalid: the labels differ, or stand in another order (`align` first), or the units differ.
        """
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        _check_same(self, other)
        return ConfusionMatrix(self.labels, self.counts + other.counts, self.unit)

    def align(self, labels: Iterable[object]) -> ConfusionMatrix:
        """The same counts under `labels`, which may add labels and change the order.

        Raises:
            Invalid: a label that holds counts is not among them.
        """
        texts = label_texts(labels)
        is_used = (self.support > 0) | (self.predicted_counts > 0)
        return self._fold(*align_places(self.labels, is_used, texts))

    def merge_labels(self, groups: Mapping[str, Sequence[str]]) -> ConfusionMatrix:
        """The matrix after putting labels together; confusions inside a group become correct.

        Args:
            groups: {new label: the labels it replaces}; it stands where the first of them stood.

        Raises:
            Invalid: a label is unknown, stands in two groups, or a new label is one of those that remain.
        """
        return self._fold(*merge_places(self.labels, groups))

    def restrict(self, labels: Iterable[object]) -> ConfusionMatrix:
        """The matrix of these labels; all others are summed as *(other)*, which stands last.

        Raises:
            Invalid: a label is unknown.
        """
        return self._fold(*restrict_places(self.labels, label_texts(labels)))

    def _fold(self, labels: tuple[str, ...], places: NDArray[np.intp]) -> ConfusionMatrix:
        """Row and column i go to places[i]; the last, *no label*, stays last."""
        _check_dense(len(labels))
        counts = np.zeros((len(labels) + 1, len(labels) + 1), self.counts.dtype)
        rows, columns = np.nonzero(self.counts)
        ends = np.append(places, len(labels))
        np.add.at(counts, (ends[rows], ends[columns]), self.counts[rows, columns])
        return ConfusionMatrix(labels, counts, self.unit)

    def most_confused(self, n: int = 10) -> tuple[Pair, ...]:
        """The n pairs most surely confused: by the lower end of the interval of their share, never by the share.

        Equal ones come in the order of their counts, then of their names. *No label* is never part of a pair.
        """
        confused = self.counts[:-1, :-1].copy()
        np.fill_diagonal(confused, 0)
        rows, columns = np.nonzero(confused)
        return rank_pairs(self.labels, self.support, (rows, columns, confused[rows, columns]), n)

    def to_cells(self) -> pa.Table:
        """An Arrow table with the columns true_label, predicted_label and count; row by row, without zeros.

        Its metadata names the labels and the unit, so that `from_cells` gives back an equal matrix.
        """
        rows, columns = np.nonzero(self.counts)
        return counting.cells_table(self.labels, self.unit, (rows, columns, self.counts[rows, columns]))

    def to_frame(self, normalize: Denominator | None = None) -> pd.DataFrame:
        """A pandas DataFrame: index "True", columns "Predicted"; *(no label)* is there when it holds something.

        Args:
            normalize: as in the method of that name; None gives counts.
        """
        import pandas as pd

        values = self.counts if normalize is None else self.normalize(normalize)
        rows, columns = len(self.labels) + self.has_no_true, len(self.labels) + self.has_no_predicted
        names = (*self.labels, NO_LABEL_TEXT)
        return pd.DataFrame(
            values[:rows, :columns],
            index=pd.Index(names[:rows], name="True"),
            columns=pd.Index(names[:columns], name="Predicted"),
        )

    def _repr_html_(self) -> str:
        if len(self.labels) > _SHOWN_LABELS:
            return html_pairs(self.most_confused(20), len(self.labels), self.total, self.unit)
        return html_table(self.labels, self.counts, self.unit)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Cells:
    """The sparse sister of `ConfusionMatrix`, for any number of labels: only cells that hold something are kept.

    Attributes:
        labels: K different labels.
        keys: uint32[m] or uint64[m], ascending: true * (K + 1) + predicted, where K is *no label*; read-only.
        counts: int64[m], or float64[m] where samples have weights; what each cell holds; read-only.
        unit: as in ConfusionMatrix.

    Raises:
        Invalid: labels repeat, keys are not ascending or out of range, or counts are negative or not finite.
    """

    labels: tuple[str, ...]
    keys: NDArray[Any]
    counts: Counts
    unit: Unit = "samples"
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", label_texts(self.labels))
        if self.keys.shape != self.counts.shape or self.keys.ndim != 1:
            raise Invalid("counts", f"{self.keys.shape} keys, but {self.counts.shape} counts")
        if len(self.keys) and (int(self.keys[-1]) >= self._side**2 or bool(np.any(self.keys[1:] <= self.keys[:-1]))):
            raise Invalid("keys", f"keys must ascend and stay below {self._side}²")
        if len(self.counts) and not (np.isfinite(self.counts.sum()) and self.counts.min() >= 0):
            raise Invalid("counts", "counts must be finite and not below 0")
        self.keys.flags.writeable = False
        self.counts.flags.writeable = False

    @property
    def _side(self) -> int:
        return len(self.labels) + 1

    @classmethod
    def empty(cls, labels: Iterable[object]) -> Self:
        """Cells of these labels in which nothing has been counted."""
        return cls(label_texts(labels), np.empty(0, np.uint32), np.empty(0, np.int64))

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        labels: Iterable[object] | None = None,
        sample_weight: ArrayLike | None = None,
        unknown: Literal["raise", "other"] = "raise",
    ) -> Self:
        """As `ConfusionMatrix.from_predictions`."""
        data = counting.encode(y_true, y_pred, labels, unknown, few=False)
        n, side = len(data.true), len(data.labels) + 1
        weights = counting.check_weights(sample_weight, n)
        return cls(data.labels, *counting.count_sparse(counting.looked_up(data), n, side, weights))

    @classmethod
    def from_codes(
        cls, true: ArrayLike, predicted: ArrayLike, *, labels: Iterable[object], sample_weight: ArrayLike | None = None
    ) -> Self:
        """As `ConfusionMatrix.from_codes`."""
        texts = label_texts(labels)
        pairs, n = counting.code_pairs(true, predicted, len(texts))
        return cls(texts, *counting.count_sparse(pairs, n, len(texts) + 1, counting.check_weights(sample_weight, n)))

    @classmethod
    def from_cells(cls, cells: Any, *, labels: Iterable[object] | None = None) -> Self:
        """As `ConfusionMatrix.from_cells`."""
        texts, keys, counts, unit = counting.read_cells(cells, labels)
        return cls(texts, *counting.add_up(keys.astype(counting.key_type(len(texts) + 1)), counts), unit)

    @property
    def true_codes(self) -> NDArray[np.intp]:
        """intp[m]: the true label of each cell, as its place in `labels`; K is *no label*."""
        return (self.keys // self._side).astype(np.intp)

    @property
    def predicted_codes(self) -> NDArray[np.intp]:
        """intp[m]: the predicted label of each cell, as its place in `labels`; K is *no label*."""
        return (self.keys % self._side).astype(np.intp)

    @property
    def total(self) -> int | float:
        """The weight of everything counted."""
        return cast("int | float", self.counts.sum().item())

    @property
    def support(self) -> Counts:
        """[K]: samples that truly have the label, however they were called."""
        return self._sums(self.true_codes)

    @property
    def predicted_counts(self) -> Counts:
        """[K]: samples that were called the label, whatever they are."""
        return self._sums(self.predicted_codes)

    @property
    def correct(self) -> Counts:
        """[K]: samples that have the label and were called it."""
        true, result = self.true_codes, np.zeros(self._side, self.counts.dtype)
        diagonal = true == self.predicted_codes
        result[true[diagonal]] = self.counts[diagonal]
        return result[:-1]

    @property
    def has_no_true(self) -> bool:
        """Whether any sample has no true label."""
        return bool(len(self.keys)) and int(self.keys[-1]) >= len(self.labels) * self._side

    @property
    def has_no_predicted(self) -> bool:
        """Whether any sample has no predicted label."""
        return bool(np.any(self.predicted_codes == len(self.labels)))

    def _sums(self, codes: NDArray[np.intp]) -> Counts:
        sums = np.zeros(self._side, self.counts.dtype)
        np.add.at(sums, codes, self.counts)
        return sums[:-1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cells):
            return NotImplemented
        is_alike = self.labels == other.labels and self.unit == other.unit
        return is_alike and np.array_equal(self.keys, other.keys) and np.array_equal(self.counts, other.counts)

    def __repr__(self) -> str:
        return f"<Cells of {len(self.labels)} labels, {len(self.keys)} not empty, {self.total} {self.unit}>"

    def __add__(self, other: Cells) -> Cells:
        """As for ConfusionMatrix."""
        if not isinstance(other, Cells):
            return NotImplemented
        _check_same(self, other)
        merged = counting.merge_sparse(self.keys, self.counts, other.keys, other.counts)
        return Cells(self.labels, *merged, self.unit)

    def align(self, labels: Iterable[object]) -> Cells:
        """As `ConfusionMatrix.align`."""
        texts = label_texts(labels)
        is_used = (self.support > 0) | (self.predicted_counts > 0)
        return self._fold(*align_places(self.labels, is_used, texts))

    def merge_labels(self, groups: Mapping[str, Sequence[str]]) -> Matrix:
        """As `ConfusionMatrix.merge_labels`; dense if few enough labels remain."""
        return self._fold(*merge_places(self.labels, groups)).compact()

    def restrict(self, labels: Iterable[object]) -> Matrix:
        """As `ConfusionMatrix.restrict`; dense if few enough labels remain."""
        return self._fold(*restrict_places(self.labels, label_texts(labels))).compact()

    def compact(self) -> Matrix:
        """The dense matrix of the same counts up to 2,000 labels, otherwise itself."""
        if len(self.labels) > DENSE_LIMIT:
            return self
        counts = np.zeros(self._side**2, self.counts.dtype)
        counts[self.keys] = self.counts
        return ConfusionMatrix(self.labels, counts.reshape(self._side, self._side), self.unit)

    def _fold(self, labels: tuple[str, ...], places: NDArray[np.intp]) -> Cells:
        ends, side = np.append(places, len(labels)), len(labels) + 1
        keys = (ends[self.true_codes] * side + ends[self.predicted_codes]).astype(counting.key_type(side))
        return Cells(labels, *counting.add_up(keys, self.counts), self.unit)

    def most_confused(self, n: int = 10) -> tuple[Pair, ...]:
        """As `ConfusionMatrix.most_confused`."""
        true, predicted = self.true_codes, self.predicted_codes
        kept = (true != predicted) & (true < len(self.labels)) & (predicted < len(self.labels)) & (self.counts > 0)
        return rank_pairs(self.labels, self.support, (true[kept], predicted[kept], self.counts[kept]), n)

    def to_cells(self) -> pa.Table:
        """As `ConfusionMatrix.to_cells`."""
        return counting.cells_table(self.labels, self.unit, (self.true_codes, self.predicted_codes, self.counts))


Matrix = ConfusionMatrix | Cells


def matrix_from_cells(cells: Any, *, labels: Iterable[object] | None = None) -> Matrix:
    """The matrix of counted pairs: dense up to 2,000 labels, sparse above.

    Args:
        cells: as in `ConfusionMatrix.from_cells`.
        labels: the same.

    Raises:
        Invalid, BadData: the same.
    """
    return Cells.from_cells(cells, labels=labels).compact()


def _check_dense(n_labels: int) -> None:
    if n_labels > DENSE_LIMIT:
        raise LimitExceeded(f"a ConfusionMatrix holds up to {DENSE_LIMIT:,} labels, not {n_labels:,}; use Cells")


def _check_same(one: Matrix, other: Matrix) -> None:
    if one.labels != other.labels:
        raise Invalid("labels", "matrices with other labels, or in another order, cannot be added; align one first")
    if one.unit != other.unit:
        raise Invalid("unit", f"{one.unit} and {other.unit} cannot be added")
