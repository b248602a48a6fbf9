"""The nouns that travel between rooms, as Arrow schemas.

    PREDICTIONS   a sample with what a model said     pipeline → run directory → everything shown anywhere
    CELLS         counted pairs                       tally, matrix --format csv

A cell, a rate or a page is always a query over PREDICTIONS. `check` is the guard at each room that takes a table.
"""

from __future__ import annotations

import json
from typing import Literal

import pyarrow as pa

from deconfuse.errors import BadData

LABELS_KEY = b"deconfuse.labels"
"""Key in the schema metadata of PREDICTIONS under which the labels stand, as a JSON list."""

Split = Literal["train", "test"]

CELLS = pa.schema(
    [
        pa.field("true_label", pa.string()),
        pa.field("predicted_label", pa.string()),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
"""One row a counted pair; null is *no label*."""

WEIGHTED_CELLS = CELLS.set(2, pa.field("count", pa.float64(), nullable=False))
"""CELLS whose counts are sums of weights."""

UNIT_KEY = b"deconfuse.unit"
"""Key in the schema metadata of CELLS under which it stands what is counted; without it, samples."""

MAX_COUNT = 1 << 53
"""The largest count of a file of counted cells; above, whole numbers in JSON and CSV are no longer exact."""


def predictions_schema(labels: tuple[str, ...], *, multi_label: bool) -> pa.Schema:
    """The schema of PREDICTIONS for a model with these labels.

    Columns: uri, sha256, split ("train" or "test"), fold (int8, null for test), true and predicted (string, or
    list<string> in a multi-label model; a null or empty prediction is *no label*), probability (float32 of
    `predicted`, null in a multi-label model), scores (list<float32>, one a label in the order of `labels`).
    """
    label = pa.list_(pa.string()) if multi_label else pa.string()
    fields = [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("fold", pa.int8()),
        pa.field("true", label, nullable=False),
        pa.field("predicted", label),
        pa.field("probability", pa.float32()),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
    ]
    return pa.schema(fields, metadata={LABELS_KEY: json.dumps(list(labels), ensure_ascii=False).encode()})


def labels_of(predictions: pa.Table) -> tuple[str, ...]:
    """The labels of a PREDICTIONS table, in the order of its `scores`.

    Raises:
        BadData: the table does not say what its labels are.
    """
    metadata = predictions.schema.metadata or {}
    if LABELS_KEY not in metadata:
        raise BadData("the predictions do not say which labels their scores belong to (metadata deconfuse.labels)")
    return tuple(json.loads(metadata[LABELS_KEY]))


def is_multi_label(predictions: pa.Table) -> bool:
    """Whether the samples of a PREDICTIONS table carry lists of labels."""
    return bool(pa.types.is_list(predictions.schema.field("true").type))


def check(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """`table`, if it has every column of `schema` with that type, and no null where none may be.

    Raises:
        BadData: a column is missing, has another type or holds a null; the message names it and `what`.
    """
    for field in schema:
        if field.name not in table.column_names:
            raise BadData(f"{what} has no column {field.name!r}; it has {', '.join(table.column_names)}")
        column = table.column(field.name)
        if column.type != field.type:
            raise BadData(f"{what}: column {field.name!r} holds {column.type}, not {field.type}")
        if not field.nullable and column.null_count:
            raise BadData(f"{what}: column {field.name!r} holds {column.null_count} empty values")
    return table
