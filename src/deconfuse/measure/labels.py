"""Label values to small integers, whatever they come in: lists, NumPy, pandas, Arrow.

A `Column` keeps the values as they are and knows which whole number ("raw code") each row has and which label value
stands for it. Nothing is counted here; `measure.counting` puts raw codes through a lookup table, block by block, so
that no coded copy of a long integer column is ever made.

`align_places`, `merge_places` and `restrict_places` say where each label of a matrix goes when its labels are put in
order, put together, or cut down: the labels afterwards and, for each label before, its place among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid
from deconfuse.names import natural_key

BLOCK = 1 << 17
"""Rows handled at a time: small enough for the processor's cache, large enough to make Python's share vanish."""

MAX_LOOKUP = 1 << 20
"""Widest range of integer labels that is looked up in a table; wider ones are hashed."""

OTHER = "(other)"
"""The label under which labels that are not among those shown are counted."""

Codes = NDArray[np.integer[Any]]

Places = tuple[tuple[str, ...], NDArray[np.intp]]


def label_text(value: object) -> str:
    """The text under which a label value is kept.

    A whole float is written as the integer it is, for pandas turns integers into floats as soon as one is missing.

    Example:
        >>> label_text(3.0), label_text("cat"), label_text(0.5), label_text(True)
        ('3', 'cat', '0.5', 'True')
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value)


def is_missing(value: object) -> bool:
    """Whether a value means *no label*: None, NaN, and pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(value != value)


def label_texts(labels: Iterable[object]) -> tuple[str, ...]:
    """The texts of `labels`, in their order.

    Raises:
        Invalid: a label is missing (None, NaN), or two have the same text.
    """
    if isinstance(labels, str):
        raise Invalid("labels", f"a sequence of labels is needed, not the text {labels!r}")
    values = list(labels)
    if any(is_missing(value) for value in values):
        raise Invalid("labels", "None and NaN mean 'no label' and cannot be labels")
    texts = tuple(label_text(value) for value in values)
    if len(set(texts)) < len(texts):
        seen: set[str] = set()
        twice = next(text for text in texts if text in seen or seen.add(text))  # type: ignore[func-returns-value]
        raise Invalid("labels", f"two labels have the text {twice!r}")
    return texts


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


@dataclass(frozen=True, slots=True)
class Column:
    """One column of label values.

    Attributes:
        data: integer[n]; the raw code of row i is data[i] - low.
        low: what to subtract.
        values: the label value of each raw code; None is *no label*. Not all of them need occur.
    """

    data: Codes
    low: int
    values: Sequence[object]

    def __len__(self) -> int:
        return len(self.data)

    def raw(self, start: int, stop: int) -> NDArray[np.intp]:
        """Raw codes of the rows start..stop."""
        block = self.data[start:stop]
        if self.low == 0:
            return block.astype(np.intp, copy=False)
        return np.subtract(block, self.low, dtype=np.intp, casting="unsafe")

    def present(self) -> NDArray[np.bool_]:
        """bool[len(values)]: which raw codes occur."""
        found = np.zeros(len(self.values), bool)
        for start in range(0, len(self), BLOCK):
            found[self.raw(start, start + BLOCK)] = True
        return found

    def missing(self) -> NDArray[np.intp]:
        """The numbers, from 0, of the rows without a label."""
        if isinstance(self.values, range):
            return np.empty(0, np.intp)
        empty = [code + self.low for code, value in enumerate(self.values) if value is None]
        return np.flatnonzero(np.isin(self.data, empty))

    def distinct(self, present: NDArray[np.bool_]) -> dict[str, object]:
        """The label values that occur, by their text.

        Raises:
            Invalid: two different values have the same text.
        """
        found: dict[str, object] = {}
        for code in np.flatnonzero(present).tolist():
            value = self.values[code]
            if value is not None:
                add_text(found, value)
        return found

    def table(
        self, index_of: Mapping[str, int], present: NDArray[np.bool_], *, missing: int, unknown: int
    ) -> NDArray[np.intp]:
        """intp[len(values)]: for each raw code that occurs the index of its label, `missing` or `unknown`."""
        found = np.full(len(self.values), missing, np.intp)
        for code in np.flatnonzero(present).tolist():
            value = self.values[code]
            if value is not None:
                found[code] = index_of.get(label_text(value), unknown)
        return found


def add_text(found: dict[str, object], value: object) -> None:
    """Enter `value` in `found` under its text.

    Raises:
        Invalid: another value stands there.
    """
    text = label_text(value)
    other = found.setdefault(text, value)
    if other is not value and not bool(other == value):
        raise Invalid("labels", f"two labels have the text {text!r}: {other!r} and {value!r}")


def column(values: Any, name: str) -> Column:
    """The column of a sequence of label values.

    Args:
        values: a list or other sequence, a one-dimensional NumPy array, a pandas Series, an Arrow array; anything that
            turns itself into one of these.
        name: what to call it in messages.

    Raises:
        Invalid: it is a text, a set or a mapping, which have no rows, or has more than one dimension.
    """
    if isinstance(values, (str, bytes, Mapping, set, frozenset)):
        raise Invalid(name, f"a sequence of labels is needed, not a {type(values).__name__}")
    if isinstance(values, np.ndarray) or (hasattr(values, "__array__") and not hasattr(values, "to_numpy")):
        array = np.asarray(values)
        if array.ndim != 1:
            raise Invalid(name, f"one dimension is needed, not {array.ndim}")
        if array.dtype.kind in "iu":
            return _integers(array, name)
        values = array if array.dtype.kind in "bfUO" else array.tolist()
    elif not hasattr(values, "to_numpy") and not isinstance(values, (list, tuple)):
        try:
            values = list(values)
        except TypeError:
            raise Invalid(name, f"a sequence of labels is needed, not {values!r}") from None
    return _from_arrow(values, name)


def _integers(array: Codes, name: str) -> Column:
    if not len(array):
        return Column(array, 0, ())
    blocks = [array[start : start + BLOCK] for start in range(0, len(array), BLOCK)]
    low, high = min(int(block.min()) for block in blocks), max(int(block.max()) for block in blocks)
    if high - low >= MAX_LOOKUP or high > np.iinfo(np.int64).max:
        import pyarrow as pa

        return _from_arrow(pa.array(array).dictionary_encode(), name)
    return Column(array, low, range(low, high + 1))


def _from_arrow(values: Any, name: str) -> Column:
    """Arrow codes texts, numbers and truth values fast; everything else, and every mixture, goes through a dict."""
    import pyarrow as pa

    try:
        is_arrow = isinstance(values, (pa.Array, pa.ChunkedArray))
        array = values if is_arrow else pa.array(values, from_pandas=True)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError, ValueError):
        return _hashed(values, name)
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if pa.types.is_integer(kind) and array.null_count == 0 and kind == array.type:
        return _integers(array.to_numpy(), name)
    is_plain = (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )
    if not is_plain:
        return _hashed(array.to_pylist() if is_arrow else values, name)
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().combine_chunks() if coded.num_chunks else pa.array([], coded.type)
    if isinstance(coded, pa.ChunkedArray):  # nothing to combine: some versions of Arrow give the chunks back
        coded = coded.chunk(0)
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    found = [None if is_missing(value) else value for value in coded.dictionary.to_pylist()]
    return _coded(codes, found)


def _hashed(values: Collection[Any], name: str) -> Column:
    index_of: dict[tuple[type, object], int] = {}
    codes = np.empty(len(values), np.int32)
    for row, value in enumerate(values):
        if is_missing(value):
            codes[row] = -1
            continue
        try:
            # The type belongs to the key, for True == 1 and their texts differ.
            codes[row] = index_of.setdefault((type(value), value), len(index_of))
        except TypeError:
            raise Invalid(name, f"row {row} holds {value!r}, which is not hashable and cannot be a label") from None
    return _coded(codes, [value for _, value in index_of])


def _coded(codes: Codes, found: list[object]) -> Column:
    """Codes of which -1 is *no label*, with the values they stand for."""
    return Column(codes, -1, (None, *found))


def check_no_missing(true: Column) -> None:
    """Refuse truth that is None or NaN.

    Raises:
        Invalid: with the number of such samples and the first of them.
    """
    rows = true.missing()
    if len(rows):
        raise Invalid("y_true", f"{len(rows)} samples have no true label (None or NaN), the first is number {rows[0]}")


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


def align_places(labels: tuple[str, ...], is_used: NDArray[np.bool_], becomes: tuple[str, ...]) -> Places:
    """For other labels in another order.

    Args:
        labels: the K labels before.
        is_used: bool[K], whether a label holds counts.
        becomes: the labels afterwards.

    Raises:
        Invalid: a label that holds counts would be lost.
    """
    index_of = {text: place for place, text in enumerate(becomes)}
    lost = [text for text, used in zip(labels, is_used, strict=True) if used and text not in index_of]
    if lost:
        raise Invalid("labels", f"{lost[0]!r} holds counts and is not among the labels; restrict sums it as {OTHER}")
    return becomes, np.array([index_of.get(text, len(becomes)) for text in labels], np.intp)


def merge_places(labels: tuple[str, ...], groups: Mapping[str, Sequence[str]]) -> Places:
    """For {new label: the labels it replaces}; it stands where the first of them, in the order of labels, stood.

    Raises:
        Invalid: a label is unknown or stands in two groups, a group is empty, or a new label is one that remains.
    """
    becomes: dict[str, str] = {}
    for new, old in groups.items():
        texts = label_texts(old)
        check_known(texts, labels, f"the labels merged into {new!r}")
        if not texts:
            raise Invalid("groups", f"{new!r} replaces no label")
        for text in texts:
            if text in becomes:
                raise Invalid("groups", f"{text!r} stands in two groups")
            becomes[text] = label_text(new)
    remaining = {text for text in labels if text not in becomes}
    clash = remaining.intersection(becomes.values())
    if clash:
        raise Invalid("groups", f"{min(clash)!r} is a label already; name it among those it replaces")
    names = [becomes.get(text, text) for text in labels]
    index_of = {text: place for place, text in enumerate(dict.fromkeys(names))}
    return tuple(index_of), np.array([index_of[text] for text in names], np.intp)


def restrict_places(labels: tuple[str, ...], keep: tuple[str, ...]) -> Places:
    """For some of the labels, with *(other)* after them if there are others.

    Raises:
        Invalid: a label to keep is unknown.
    """
    check_known((text for text in keep if text != OTHER), labels, "the labels to keep")
    becomes = keep if OTHER in keep or set(labels) <= set(keep) else (*keep, OTHER)
    index_of = {text: place for place, text in enumerate(becomes)}
    return becomes, np.array([index_of.get(text, index_of.get(OTHER, -1)) for text in labels], np.intp)
