"""Counted pairs as an Arrow table, and back; a matrix as a plain HTML table."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import BadData, Invalid
from deconfuse.measure.coding import Column, add_text, column, label_texts
from deconfuse.measure.encoding import check_known
from deconfuse.measure.pairs import Pair
from deconfuse.names import natural_key

if TYPE_CHECKING:
    import pyarrow as pa

Unit = Literal["samples", "label decisions"]
Counts = NDArray[Any]
"""int64, or float64 where samples have weights."""

NO_LABEL_TEXT = "(no label)"
UNIT_KEY = b"deconfuse.unit"


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

    from deconfuse.tables import CELLS, LABELS_KEY

    true, predicted, counts = cells
    names = pa.array([*labels, None], pa.string())
    schema = CELLS.set(2, CELLS.field(2).with_type(pa.int64() if counts.dtype.kind == "i" else pa.float64()))
    metadata = {LABELS_KEY: json.dumps(list(labels), ensure_ascii=False).encode(), UNIT_KEY: unit.encode()}
    columns = [names.take(pa.array(true)), names.take(pa.array(predicted)), pa.array(counts)]
    return pa.Table.from_arrays(columns, schema=schema.with_metadata(metadata))


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
    found = true.distinct(occurs[0])
    for value in predicted.distinct(occurs[1]).values():
        add_text(found, value)
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
    from deconfuse.tables import CELLS, LABELS_KEY

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


def html_table(labels: tuple[str, ...], counts: Counts, unit: Unit) -> str:
    """A static table of a matrix: counts with their share of the true label, and the support of each row.

    Args:
        labels: the K labels.
        counts: [K+1, K+1]; *(no label)* is shown where it holds something.
        unit: of the counts.
    """
    k = len(labels)
    rows, columns = k + bool(counts[-1].any()), k + bool(counts[:, -1].any())
    names = [html.escape(text) for text in (*labels, NO_LABEL_TEXT)]
    heads = "".join(f"<th scope='col'>{name}</th>" for name in names[:columns])
    lines = []
    for i in range(rows):
        support = counts[i].sum().item()
        cells = "".join(f"<td>{_cell(counts[i, j].item(), support)}</td>" for j in range(columns))
        lines.append(f"<tr><th scope='row'>{names[i]}</th><td>{number_text(support)}</td>{cells}</tr>")
    return (
        f"<table><caption>{number_text(counts.sum().item())} {unit}; share of the true label below each count</caption>"
        "<thead><tr><th rowspan='2'>True</th><th rowspan='2'>Support</th>"
        f"<th colspan='{max(columns, 1)}'>Predicted</th></tr>"
        f"<tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def html_pairs(pairs: Sequence[Pair], n_labels: int, total: float, unit: Unit) -> str:
    """A static table of the most confused pairs, for a matrix with too many labels to show.

    Args:
        pairs: most confused first.
        n_labels: labels of the matrix.
        total: everything counted.
        unit: of the counts.
    """
    lines = "".join(
        f"<tr><th scope='row'>{html.escape(pair.true)}</th><td>{number_text(pair.support)}</td>"
        f"<td>{html.escape(pair.predicted)}</td><td>{_cell(pair.count, pair.support)}</td></tr>"
        for pair in pairs
    )
    return (
        f"<table><caption>{n_labels} labels, {number_text(total)} {unit}; the most confused pairs, "
        f"share of the true label below each count</caption>"
        f"<thead><tr><th>True</th><th>Support</th><th>Predicted</th><th>Count</th></tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )


def number_text(value: float) -> str:
    """A count for people: whole numbers with thousands separators, weights to three digits after the point.

    Example:
        >>> number_text(1234567), number_text(0.25)
        ('1,234,567', '0.25')
    """
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}".rstrip("0").rstrip(".")


def percent_text(share: float) -> str:
    """A share for people: whole percent, rounded half to even; never "0 %" or "100 %" for what is not quite that.

    Example:
        >>> percent_text(0.125), percent_text(0.001), percent_text(0.999), percent_text(float("nan"))
        ('12 %', '<1 %', '>99 %', '–')
    """
    if share != share:
        return "–"
    rounded = round(share * 100)
    if rounded == 0 and share > 0:
        return "<1 %"
    if rounded == 100 and share < 1:
        return ">99 %"
    return f"{rounded} %"


def _cell(count: float, support: float) -> str:
    if not count:
        return "0"
    return f"{number_text(count)}<br><small>{html.escape(percent_text(count / support))}</small>"
