"""True and predicted labels, as they come, to pairs of codes over one list of labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid
from deconfuse.measure import counting
from deconfuse.measure.coding import Column, add_text, column, label_text, label_texts
from deconfuse.names import natural_key

OTHER = "(other)"
"""The label under which labels that are not among those shown are counted."""

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
    found = true.distinct(occurs[0])
    for value in predicted.distinct(occurs[1]).values():
        add_text(found, value)
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


def _count_raw(true: Column, predicted: Column) -> NDArray[np.int64]:
    def pairs(start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return true.raw(start, stop), predicted.raw(start, stop)

    return counting.count_dense(pairs, len(true), (len(true.values), len(predicted.values)))


def count_encoded(data: Encoded, weights: NDArray[np.float64] | None) -> NDArray[Any]:
    """[K+1, K+1]: the dense counts of two columns."""
    side = len(data.labels) + 1
    if data.raw_counts is None or weights is not None:
        return counting.count_dense(looked_up(data), len(data.true), (side, side), weights)
    counts = np.zeros((side, side), np.int64)
    rows, columns = np.nonzero(data.raw_counts)
    np.add.at(counts, (data.true_table[rows], data.predicted_table[columns]), data.raw_counts[rows, columns])
    return counts


def looked_up(data: Encoded) -> counting.Pairs:
    """Blocks of codes of two columns."""

    def pairs(start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return data.true_table[data.true.raw(start, stop)], data.predicted_table[data.predicted.raw(start, stop)]

    return pairs


def true_codes(y_true: Any, labels: tuple[str, ...]) -> NDArray[np.intp]:
    """intp[n]: the place of each true label in `labels`.

    Raises:
        Invalid: a label is missing or unknown.
    """
    true = column(y_true, "y_true")
    check_no_missing(true)
    occurs = true.present()
    check_known(true.distinct(occurs), labels, "y_true")
    index_of = {text: place for place, text in enumerate(labels)}
    table = true.table(index_of, occurs, missing=len(labels), unknown=len(labels))
    return table[true.raw(0, len(true))] if len(true) else np.empty(0, np.intp)


def check_no_missing(true: Column) -> None:
    """Refuse truth that is None or NaN.

    Raises:
        Invalid: with the number of such samples and the first of them.
    """
    rows = true.missing()
    if len(rows):
        raise Invalid("y_true", f"{len(rows)} samples have no true label (None or NaN), the first is number {rows[0]}")


def check_known(found: Iterable[str], labels: tuple[str, ...], where: str) -> None:
    """Refuse labels that are not among `labels`.

    Raises:
        Invalid: names up to five of them.
    """
    known = set(labels)
    strangers = sorted((text for text in found if text not in known), key=natural_key)
    if strangers:
        named = ", ".join(repr(text) for text in strangers[:5]) + (" …" if len(strangers) > 5 else "")
        raise Invalid("labels", f"{where} hold {named}, not among the {len(labels)} labels given")


def predicted_codes(scores: ArrayLike, *, thresholds: float | ArrayLike | None, n_labels: int) -> NDArray[np.intp]:
    """intp[n]: the highest-scoring label among those that reach their threshold, -1 where none does.

    Args:
        scores: float[n, K]; of equal scores the first label wins.
        thresholds: None (none is asked for), one number, or float[K]; a score equal to its threshold reaches it.
        n_labels: K.

    Raises:
        Invalid: shapes that do not fit, or NaN.
    """
    values = np.asarray(scores)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    if values.ndim != 2 or values.shape[1] != n_labels:
        raise Invalid("scores", f"{n_labels} columns are needed, one a label; got the shape {values.shape}")
    if bool(np.isnan(values).any()):
        raise Invalid("scores", "scores cannot be NaN")
    if not len(values):
        return np.empty(0, np.intp)
    if thresholds is None:
        if not n_labels:
            raise Invalid("labels", "scores need at least one label")
        return np.asarray(values.argmax(axis=1), np.intp)
    # In the type of the scores, so that a float32 score of 0.7 reaches the threshold 0.7.
    limits = np.asarray(thresholds, np.float64).astype(values.dtype)
    if limits.ndim > 1 or (limits.ndim == 1 and len(limits) != n_labels) or bool(np.isnan(limits).any()):
        raise Invalid("thresholds", f"one number, or {n_labels} (one a label), is needed, without NaN")
    reaches = values >= limits
    best = np.where(reaches, values, -np.inf).argmax(axis=1)
    # A score of -inf can reach a threshold of -inf; argmax alone would not see which label it belongs to.
    best = np.where(reaches[np.arange(len(values)), best], best, reaches.argmax(axis=1))
    return np.where(reaches.any(axis=1), best, -1)


def indicator(sets: Any, labels: tuple[str, ...], name: str) -> NDArray[np.bool_]:
    """bool[n, K]: which labels each sample has.

    Args:
        sets: n collections of labels, or a table of truth values (or 0 and 1) with K columns.
        labels: the K labels.
        name: what to call it in messages.

    Raises:
        Invalid: a table of another shape or with other numbers, an unknown label, a text instead of a collection.
    """
    if isinstance(sets, np.ndarray) and sets.ndim == 2 and sets.dtype.kind in "biuf":
        if sets.shape[1] != len(labels) or not bool(np.isin(sets, (0, 1)).all()):
            raise Invalid(name, f"a table of 0 and 1 with {len(labels)} columns is needed; got the shape {sets.shape}")
        return sets.astype(bool)
    index_of = {text: place for place, text in enumerate(labels)}
    rows = list(sets)
    found = np.zeros((len(rows), len(labels)), bool)
    for number, row in enumerate(rows):
        if isinstance(row, (str, bytes)) or not isinstance(row, Iterable):
            raise Invalid(name, f"sample {number} has {row!r} where a collection of labels is needed")
        for value in row:
            text = label_text(value)
            if text not in index_of:
                raise Invalid("labels", f"{name} holds {text!r} (sample {number}), which is not a known label")
            found[number, index_of[text]] = True
    return found
