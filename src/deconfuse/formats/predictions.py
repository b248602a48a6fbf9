"""Tables of predictions: which column is which, and our own file of them.

People bring tables under many names: y_true and y_pred, actual and prediction, label and pred. `recognise` says which
column is meant, and never guesses between two. The table that deconfuse itself writes, PREDICTIONS of
`deconfuse.tables`, is one Parquet file; the same table gives the same bytes, so that two runs can be compared by
their files.

Counting is not done here: `engine.tally` does it, on files larger than memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deconfuse.errors import BadData, Damaged, Invalid
from deconfuse.tables import LABELS_KEY, check, is_multi_label, predictions_schema

TRUE_NAMES = (
    "true",
    "true_label",
    "true_class",
    "y_true",
    "actual",
    "actual_label",
    "actual_class",
    "ground_truth",
    "ground_truth_label",
    "label",
    "target",
)
"""Names under which the true label is found; case, -, _ and blanks do not count, here and below."""

PREDICTED_NAMES = (
    "predicted",
    "predicted_label",
    "predicted_class",
    "y_pred",
    "prediction",
    "pred",
    "pred_label",
)
COUNT_NAMES = ("count", "counts", "n_images")
URI_NAMES = (
    "uri",
    "image",
    "path",
    "file",
    "filename",
    "image_path",
    "image_file",
    "image_uri",
    "image_name",
    "file_path",
    "source_ref",
    "s3_uri",
)
"""In order of preference, as are the two others of which a table may do without."""

PROBABILITY_NAMES = ("probability", "confidence", "score", "prob", "predicted_probability", "max_probability")

_ROWS_A_GROUP = 65_536
_WHAT = "predictions.parquet"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a table holds what, by its name as written there; None where there is none."""

    true: str
    predicted: str
    count: str | None = None
    uri: str | None = None
    probability: str | None = None


def recognise(names: Sequence[str], *, true: str | None = None, predicted: str | None = None) -> Columns:
    """Which of the columns `names` is which.

    Args:
        names: the names of all columns, as written in the file.
        true: the column of the true label, where its user says so (--true-column).
        predicted: the column of the predicted label (--predicted-column).

    Raises:
        Invalid: a column that was named is not there; none or more than one can be the true or the predicted label.
            The sentence names the candidates, and the option that decides.

    Example:
        >>> recognise(["Image", "Y-True", "y_pred", "score"])
        Columns(true='Y-True', predicted='y_pred', count=None, uri='Image', probability='score')
    """
    true_column = _required(names, TRUE_NAMES, given=true, option="--true-column", what="the true label")
    predicted_column = _required(
        names, PREDICTED_NAMES, given=predicted, option="--predicted-column", what="the predicted label"
    )
    if true_column == predicted_column:
        raise Invalid("--predicted-column", f"{true_column!r} cannot be both the true and the predicted label")
    others = [name for name in names if name not in (true_column, predicted_column)]
    return Columns(
        true_column,
        predicted_column,
        count=_preferred(others, COUNT_NAMES),
        uri=_preferred(others, URI_NAMES),
        probability=_preferred(others, PROBABILITY_NAMES),
    )


def _required(names: Sequence[str], known: Sequence[str], *, given: str | None, option: str, what: str) -> str:
    wanted = {_key(name) for name in known} if given is None else {_key(given)}
    exact = [name for name in names if name == given]
    candidates = exact or [name for name in names if _key(name) in wanted]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        either = " or ".join(repr(name) for name in candidates)
        raise Invalid(option, f"{what} may be in {either}; say which, or rename one of them")
    if not names:
        raise Invalid(option, "there are no columns")
    columns = ", ".join(repr(name) for name in names)
    if given is not None:
        raise Invalid(option, f"there is no column {given!r}; the columns are {columns}")
    raise Invalid(option, f"no column is known to hold {what}; name one of {columns}")


def _preferred(names: Sequence[str], known: Sequence[str]) -> str | None:
    by_key = {_key(name): name for name in reversed(names)}
    return next((by_key[_key(name)] for name in known if _key(name) in by_key), None)


def _key(name: str) -> str:
    return re.sub(r"[-_\s]", "", name.removeprefix("\ufeff").casefold())


def write_predictions(table: pa.Table) -> bytes:
    """`table` as a Parquet file: the same rows in the same order give the same bytes, however they lie in memory.

    Args:
        table: PREDICTIONS, see `deconfuse.tables.predictions_schema`.

    Raises:
        BadData: a column is missing or has another type, or a row contradicts the table's labels.
    """
    table = _checked(table).combine_chunks()
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=_ROWS_A_GROUP,
        compression="zstd",
        use_dictionary=["split", "fold", "true", "predicted", "true.list.element", "predicted.list.element"],
        write_page_checksum=True,
    )
    return bytes(sink.getvalue())


def read_predictions(data: bytes) -> pa.Table:
    """The PREDICTIONS table in the bytes of a Parquet file, checked: see `deconfuse.tables.predictions_schema`.

    Raises:
        Damaged: the bytes are no Parquet file, or were changed.
        BadData: the file holds another table, or one that contradicts itself.
    """
    try:
        table = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Damaged(_WHAT, _first_sentence(error)) from None
    return _checked(table)


def _first_sentence(error: Exception) -> str:
    return str(error).split("\n")[0][:200] or type(error).__name__


def _checked(table: pa.Table) -> pa.Table:
    """`table` with the columns of the schema in its order; Parquet calls list elements otherwise than Arrow."""
    labels = _stated_labels(table)
    if "true" not in table.column_names:
        raise BadData(f"{_WHAT} has no column 'true'; it has {', '.join(table.column_names)}")
    multi_label = is_multi_label(table)
    schema = predictions_schema(labels, multi_label=multi_label)
    table = check(table, schema, _WHAT).select(schema.names).cast(schema)
    _only(table["split"], ("train", "test"), "split")
    for name in ("true", "predicted"):
        column = table[name]
        _only(pc.list_flatten(column) if multi_label else column, labels, name)
    lengths = pc.min_max(pc.list_value_length(table["scores"])).as_py()
    if table.num_rows and (lengths["min"], lengths["max"]) != (len(labels), len(labels)):
        raise BadData(f"{_WHAT}: scores has rows of {lengths['min']} to {lengths['max']} numbers, not {len(labels)}")
    scores = pc.list_flatten(table["scores"])
    if scores.null_count or pc.any(pc.invert(pc.is_finite(scores))).as_py():
        raise BadData(f"{_WHAT}: scores holds a number that is empty, NaN or infinite")
    return table


def _stated_labels(table: pa.Table) -> tuple[str, ...]:
    stated = (table.schema.metadata or {}).get(LABELS_KEY)
    try:
        labels: Any = json.loads(stated) if stated is not None else None
    except (ValueError, RecursionError):
        labels = None
    is_list = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    if not is_list or len(set(labels)) < len(labels):
        raise BadData(f"{_WHAT} does not say which labels its scores belong to (metadata deconfuse.labels)")
    return tuple(labels)


def _only(column: Any, allowed: Sequence[str], name: str) -> None:
    known = pa.array([*allowed, None], pa.string())
    strangers = column.filter(pc.invert(pc.is_in(column, value_set=known)))
    if len(strangers):
        shown = ", ".join(repr(value) for value in strangers.unique().to_pylist()[:5])
        raise BadData(f"{_WHAT}: column {name!r} holds {shown}, which is none of {', '.join(allowed[:10])}")
