"""Whatever can be counted to counts, dense or sparse: columns of labels, codes, label sets, and pairs counted before.

    y_true, y_pred ── encode ──► Encoded ──┐
    integer codes ── code_pairs ───────────┴──► count_dense, count_sparse
    label sets ── count_label_sets
    an Arrow table of cells ── read_cells (back: cells_table)

Dense: `bincount` on true * side + predicted, one block of rows after the other, so that the temporary arrays stay in
the processor's cache (twice as fast as one pass over everything). Sparse: the same keys, sorted in place and counted
by their run lengths. Both leave nothing behind but the counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import BadData, Invalid
from deconfuse.measure.labels import (
    BLOCK,
    OTHER,
    Column,
    add_text,
    check_known,
    check_no_missing,
    column,
    label_texts,
)
from deconfuse.names import natural_key

if TYPE_CHECKING:
    import pyarrow as pa

Pairs = Callable[[int, int], tuple[NDArray[np.intp], NDArray[np.intp]]]
"""Gives the codes (true, predicted), each in 0..side-1, of the rows start..stop."""

Unit = Literal["samples", "label decisions"]

Counts = NDArray[Any]
"""int64, or float64 where samples have weights."""

SPARSE_BLOCK = 1 << 24
"""Rows whose keys are sorted together; 64 MiB of keys below 65,536 labels."""

SET_BLOCK = 1 << 14
"""Label sets multiplied together; products of so few are exact in float64."""

FEW_CELLS = 1 << 18


@dataclass(frozen=True, slots=True)
class Encoded:
    """A true and a predicted column over the same labels.

    Attributes:
        true, predicted: the columns.
        labels: the K labels.
        true_table, predicted_table: intp; the place in `labels` of each raw code; K is *no label*.
        raw_counts: int64[len(true.values), len(predicted.values)] where there are so few raw codes that counting them
            was the fastest way to see which occur; otherwise None.
    """

    true: Column
    predicted: Column
    labels: tuple[str, ...]
    true_table: NDArray[np.intp]
    predicted_table: NDArray[np.intp]
    raw_counts: NDArray[np.int64] | None


def encode(
    y_true: Any, y_pred: Any, labels: Iterable[object] | None, unknown: Literal["raise", "other"], *, few: bool
) -> Encoded:
    """The columns of truth and prediction over one list of labels; the rules are `ConfusionMatrix.from_predictions`'s.

    Args:
        y_true: true labels.
        y_pred: predicted labels.
        labels: which labels, or None for those that occur.
        unknown: what becomes of others.
        few: whether raw codes may be counted at once where there are few.

    Raises:
        Invalid: see there.
    """
    if unknown not in ("raise", "other"):
        raise Invalid("unknown", f'"raise" or "other" is possible, not {unknown!r}')
    true, predicted = column(y_true, "y_true"), column(y_pred, "y_pred")
    if len(true) != len(predicted):
        raise Invalid("y_pred", f"{len(true)} true labels, but {len(predicted)} predicted ones")
    check_no_missing(true)
    raw_counts = None
    if few and len(true.values) * len(predicted.values) <= FEW_CELLS:
        raw_counts = _count_raw(true, predicted)
        occurs = np.asarray(raw_counts.any(axis=1)), np.asarray(raw_counts.any(axis=0))
    else:
        occurs = true.present(), predicted.present()
    found = _texts_of(true, predicted, occurs)
    if labels is None:
        texts = tuple(sorted(found, key=natural_key))
    else:
        texts = label_texts(labels)
        if unknown == "other":
            texts = texts if OTHER in texts else (*texts, OTHER)
        else:
            check_known(found, texts, "y_true and y_pred")
    index_of = {text: place for place, text in enumerate(texts)}
    other = index_of.get(OTHER, len(texts))
    tables = [
        side.table(index_of, which, missing=len(texts), unknown=other)
        for side, which in zip((true, predicted), occurs, strict=True)
    ]
    return Encoded(true, predicted, texts, tables[0], tables[1], raw_counts)


def _texts_of(
    true: Column, predicted: Column, occurs: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> dict[str, object]:
    """The label values that occur on either side, by their text."""
    found = true.distinct(occurs[0])
    for value in predicted.distinct(occurs[1]).values():
        add_text(found, value)
    return found


def _count_raw(true: Column, predicted: Column) -> NDArray[np.int64]:
    def pairs(start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return true.raw(start, stop), predicted.raw(start, stop)

    return count_dense(pairs, len(true), (len(true.values), len(predicted.values)))


def count_encoded(data: Encoded, weights: NDArray[np.float64] | None) -> NDArray[Any]:
    """[K+1, K+1]: the dense counts of two columns."""
    side = len(data.labels) + 1
    if data.raw_counts is None or weights is not None:
        return count_dense(looked_up(data), len(data.true), (side, side), weights)
    counts = np.zeros((side, side), np.int64)
    rows, columns = np.nonzero(data.raw_counts)
    np.add.at(counts, (data.true_table[rows], data.predicted_table[columns]), data.raw_counts[rows, columns])
    return counts


def looked_up(data: Encoded) -> Pairs:
    """Blocks of codes of two columns."""

    def pairs(start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return data.true_table[data.true.raw(start, stop)], data.predicted_table[data.predicted.raw(start, stop)]

    return pairs


def check_weights(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """float64[n] of weights, or None where there are none.

    Raises:
        Invalid: not one finite number of at least 0 for each of the n rows.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (n,):
        raise Invalid("sample_weight", f"{n} weights are needed, one a sample; got the shape {weights.shape}")
    if not bool(np.all(np.isfinite(weights) & (weights >= 0))):
        raise Invalid("sample_weight", "weights must be finite and not below 0")
    return weights


def code_pairs(true: Any, predicted: Any, n_labels: int) -> tuple[Pairs, int]:
    """Blocks of checked codes, and the number of rows.

    Args:
        true: integer[n], each -1 (no label) or in 0..n_labels-1.
        predicted: the same.
        n_labels: K; *no label* leaves here as the code K.

    Raises:
        Invalid: the arrays are not integers of one dimension and one length. Blocks raise it for a code out of range.
    """
    arrays = []
    for name, values in (("true", true), ("predicted", predicted)):
        array = np.asarray(values)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise Invalid(name, f"a one-dimensional array of integers is needed, not {array.dtype} {array.shape}")
        arrays.append((name, array))
    if len(arrays[0][1]) != len(arrays[1][1]):
        raise Invalid("predicted", f"{len(arrays[0][1])} true codes, but {len(arrays[1][1])} predicted ones")

    def pairs(start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        sides = [_checked(array[start:stop], n_labels, name) for name, array in arrays]
        return sides[0], sides[1]

    return pairs, len(arrays[0][1])


def _checked(codes: NDArray[Any], n_labels: int, name: str) -> NDArray[np.intp]:
    if not len(codes):
        return codes.astype(np.intp)
    # Read as unsigned, a negative code is a huge one: in the usual case one comparison serves both ends.
    if codes.view(f"u{codes.itemsize}").max() < n_labels:
        return codes.astype(np.intp, copy=False)
    low, high = int(codes.min()), int(codes.max())
    if low < -1 or high >= n_labels:
        bad = low if low < -1 else high
        raise Invalid(name, f"the code {bad} is neither -1 (no label) nor one of 0..{n_labels - 1}")
    whole = codes.astype(np.intp, copy=False)
    return np.where(whole < 0, n_labels, whole) if low < 0 else whole


def count_dense(
    pairs: Pairs, n: int, shape: tuple[int, int], weights: NDArray[np.float64] | None = None
) -> NDArray[Any]:
    """[rows, columns]: how often, or with which weight, each pair occurs; int64, or float64 with weights."""
    rows, columns = shape
    cells = rows * columns
    total = np.zeros(cells, np.int64 if weights is None else np.float64)
    for start, stop in blocks(n, max(BLOCK, cells)):
        true, predicted = pairs(start, stop)
        keys = true * columns
        keys += predicted
        total += np.bincount(keys, None if weights is None else weights[start:stop], cells)
    return total.reshape(shape)


def key_type(side: int) -> np.dtype[Any]:
    """The smallest type that holds every key of a side × side matrix."""
    return np.dtype(np.uint32 if side * side <= np.iinfo(np.uint32).max else np.uint64)


def count_sparse(
    pairs: Pairs, n: int, side: int, weights: NDArray[np.float64] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(keys, counts) of the pairs that occur, keys = true * side + predicted, ascending."""
    kind = key_type(side)
    keys, counts = np.empty(0, kind), np.empty(0, np.int64 if weights is None else np.float64)
    for start, stop in blocks(n, SPARSE_BLOCK):
        block = np.empty(stop - start, kind)
        for low, high in blocks(stop - start, BLOCK):
            true, predicted = pairs(start + low, start + high)
            block[low:high] = true * side + predicted
        if weights is None:
            block.sort()
            found = _runs(block)
        else:
            found = add_up(block, weights[start:stop])
        del block
        keys, counts = found if not len(keys) else merge_sparse(keys, counts, *found)
    return keys, counts


def _runs(keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct ones of sorted keys, and how often each occurs."""
    is_first = np.empty(len(keys), bool)
    is_first[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    counts = np.flatnonzero(is_first)
    del is_first
    distinct = keys[counts]
    # Starts become lengths in place, block by block: with as many cells as rows each further copy would be felt.
    last = len(counts) - 1
    for low, high in blocks(last, BLOCK):
        counts[low:high] = counts[low + 1 : high + 1] - counts[low:high]
    counts[last:] = len(keys) - counts[last:]
    return distinct, counts


def add_up(keys: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Distinct keys, ascending, with the sum of the counts of each."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.intp)
    return keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts


def merge_sparse(
    keys: NDArray[Any], counts: NDArray[Any], more_keys: NDArray[Any], more_counts: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The sum of two sparse counts."""
    return add_up(np.concatenate([keys, more_keys]), np.concatenate([counts, more_counts]))


def blocks(n: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and stop of consecutive blocks of at most `size` of n rows."""
    return ((start, min(start + size, n)) for start in range(0, n, size))


def count_label_sets(truth: NDArray[np.bool_], called: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64[K+1, K+1]: the decisions of the multi-label confusion matrix, see `ConfusionMatrix.from_label_sets`.

    Args:
        truth: bool[n, K], the true labels of each sample.
        called: bool[n, K], its predicted labels.
    """
    n, k = truth.shape
    counts = np.zeros((k + 1, k + 1), np.int64)
    for start, stop in blocks(n, SET_BLOCK):
        t, p = truth[start:stop], called[start:stop]
        missed, invented = t & ~p, p & ~t
        misses, invents = np.asarray(missed.any(axis=1)), np.asarray(invented.any(axis=1))
        has_truth = np.asarray(t.any(axis=1))
        counts[np.arange(k), np.arange(k)] += np.count_nonzero(t & p, axis=0)
        counts[:k, k] += np.count_nonzero(missed[misses & ~invents], axis=0)
        counts[k, :k] += np.count_nonzero(invented[~has_truth], axis=0)
        counts[k, k] += np.count_nonzero(~has_truth & ~invents)
        # Whom an invented label stands against: the labels missed, or all true ones where none was missed.
        against = np.where(misses[:, None], missed, t)[invents].astype(np.float64)
        counts[:k, :k] += (against.T @ invented[invents].astype(np.float64)).astype(np.int64)
    return counts


def read_cells(cells: Any, labels: Iterable[object] | None) -> tuple[tuple[str, ...], NDArray[np.int64], Counts, Unit]:
    """Labels, keys (true * (K + 1) + predicted, K is *no label*; not sorted, perhaps repeated), counts and unit.

    Args:
        cells: an Arrow table as `cells_table` gives it, or an iterable of (true, predicted, count).
        labels: which labels; None for those of the metadata, otherwise those that occur, sorted.

    Raises:
        BadData: the table lacks a column, or a count is missing.
        Invalid: a triple has another length, a count is no number, negative or not finite, or a label is unknown.
    """
    true, predicted, counts, texts, unit = _columns(cells)
    if labels is not None:
        texts = label_texts(labels)
    occurs = true.present(), predicted.present()
    found = _texts_of(true, predicted, occurs)
    if texts is None:
        texts = tuple(sorted(found, key=natural_key))
    check_known(found, texts, "the cells")
    index_of, k = {text: place for place, text in enumerate(texts)}, len(texts)
    codes = [
        side.table(index_of, which, missing=k, unknown=k)[side.raw(0, len(side))] if len(side) else np.empty(0, np.intp)
        for side, which in zip((true, predicted), occurs, strict=True)
    ]
    return texts, codes[0] * (k + 1) + codes[1], counts, unit


def _columns(cells: Any) -> tuple[Column, Column, Counts, tuple[str, ...] | None, Unit]:
    if not hasattr(cells, "column_names"):
        rows = list(cells)
        if any(not isinstance(row, Sequence) or isinstance(row, str) or len(row) != 3 for row in rows):
            raise Invalid("cells", "each cell must be (true label, predicted label, count)")
        true, predicted, counts = (list(values) for values in zip(*rows, strict=True)) if rows else ([], [], [])
        return column(true, "true"), column(predicted, "predicted"), _check_counts(np.array(counts)), None, "samples"
    from deconfuse.tables import CELLS, LABELS_KEY, UNIT_KEY

    for name in CELLS.names:
        if name not in cells.column_names:
            raise BadData(f"the cells have no column {name!r}; they have {', '.join(cells.column_names)}")
    if cells.column("count").null_count:
        raise BadData(f"the cells: column 'count' holds {cells.column('count').null_count} empty values")
    metadata = cells.schema.metadata or {}
    texts = tuple(json.loads(metadata[LABELS_KEY])) if LABELS_KEY in metadata else None
    unit = metadata.get(UNIT_KEY, b"samples").decode()
    if unit not in ("samples", "label decisions"):
        raise BadData(f"the cells count {unit!r}, which is neither samples nor label decisions")
    return (
        column(cells.column("true_label"), "true_label"),
        column(cells.column("predicted_label"), "predicted_label"),
        _check_counts(cells.column("count").to_numpy()),
        texts,
        cast(Unit, unit),
    )


def _check_counts(values: NDArray[Any]) -> Counts:
    if not len(values):
        return np.empty(0, np.float64 if values.dtype == np.float64 and values.size else np.int64)
    if values.dtype.kind not in "iuf" or not bool(np.all(np.isfinite(values) & (values >= 0))):
        raise Invalid("count", "counts must be finite numbers and not below 0")
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)


def cells_table(
    labels: tuple[str, ...], unit: Unit, cells: tuple[NDArray[np.intp], NDArray[np.intp], Counts]
) -> pa.Table:
    """An Arrow table with the columns true_label, predicted_label and count, in the order given.

    Args:
        labels: the K labels; they go into the metadata, with the unit.
        unit: of the counts.
        cells: true codes, predicted codes (K is *no label*, written as null) and counts.
    """
    import pyarrow as pa

    from deconfuse.tables import CELLS, LABELS_KEY, UNIT_KEY, WEIGHTED_CELLS

    true, predicted, counts = cells
    names = pa.array([*labels, None], pa.string())
    schema = CELLS if counts.dtype.kind == "i" else WEIGHTED_CELLS
    metadata = {LABELS_KEY: json.dumps(list(labels), ensure_ascii=False).encode(), UNIT_KEY: unit.encode()}
    columns = [names.take(pa.array(true)), names.take(pa.array(predicted)), pa.array(counts)]
    return pa.Table.from_arrays(columns, schema=schema.with_metadata(metadata))
