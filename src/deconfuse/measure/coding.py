"""Label values to small integers, whatever they come in: lists, NumPy, pandas, Arrow.

A `Column` keeps the values as they are and knows which whole number ("raw code") each row has and which label value
stands for it. Nothing is counted here; `measure.matrix` puts raw codes through a lookup table, block by block, so that
no coded copy of a long integer column is ever made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid

BLOCK = 1 << 17
"""Rows handled at a time: small enough for the processor's cache, large enough to make Python's share vanish."""

MAX_LOOKUP = 1 << 20
"""Widest range of integer labels that is looked up in a table; wider ones are hashed."""

Codes = NDArray[np.integer[Any]]


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
