"""Files of predictions, of any size, to counted pairs: DuckDB counts, nothing else touches a row.

    CSV, JSON lines, Parquet ── GROUP BY true, predicted ──► CELLS ──► ConfusionMatrix or Cells

The file is scanned once, in parallel, and never held in memory; what does not fit is spilled to a temporary folder.
Labels keep their text ("007" stays "007"), except that outer blanks go, and that "1.0" is 1 where every label of the
file is a whole number: that is how programs write whole numbers beside missing ones. An empty prediction is *no
label*; an empty truth is refused, except in files of counted cells.

DuckDB is told to load no extension and to ask no network. Names of files and columns never enter SQL unquoted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deconfuse.engine.sources import Source, first_row, opened, shape_of
from deconfuse.errors import BadData, Damaged, Invalid, LimitExceeded, Unavailable
from deconfuse.formats.predictions import Columns, recognise
from deconfuse.insights.wording import plural
from deconfuse.measure.matrix import Matrix, matrix_from_cells
from deconfuse.tables import CELLS, MAX_COUNT, WEIGHTED_CELLS

Format = Literal["csv", "jsonl", "parquet"]

MEMORY_LIMIT = "320MB"
"""What DuckDB may hold before it spills to disk."""

MAX_THREADS = 8
"""More threads than this hold more row groups of a Parquet file at once than the memory limit allows."""

SPLITS = {
    "test": ("test", "testing"),
    "train": ("train", "training"),
}
"""Values of a column `split`, by what they mean; case and outer blanks do not count."""

_JSON_LINES_FOR_KEYS = 1_000
_WHOLE = re.compile(r"-?\d+(?:\.0+)?")


@dataclass(frozen=True, slots=True)
class Tally:
    """What one file holds.

    Attributes:
        cells: CELLS; no pair twice.
        columns: which columns were read.
        n_rows: rows counted.
        split: which rows were counted, where the file has a column `split`; None where it has none.
        rows: uri, true, predicted (string) and probability (float32), one row an image in the order of the file;
            None where the file names no images, is one of counted cells, or has more rows than asked for.
        notes: sentences that a reader of the numbers must know.
    """

    cells: pa.Table
    columns: Columns
    n_rows: int
    split: Literal["test", "train", "all"] | None
    rows: pa.Table | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Reader:
    """A file as DuckDB reads it: the names of its columns and one SQL expression a column that gives its text."""

    names: tuple[str, ...]
    table: str
    path: str
    text: dict[str, str]


def tally(
    source: Path | BinaryIO | Literal["-"],
    *,
    format: Format | None = None,  # noqa: A002
    true_column: str | None = None,
    predicted_column: str | None = None,
) -> Matrix:
    """The matrix of a file of predictions or counted cells.

    Args:
        source: a path, an open binary stream, or "-" for standard input; gzip is read too.
        format: what the file is; None looks.
        true_column: the column of true labels; None finds it by its name.
        predicted_column: the same for predictions.

    Returns:
        Dense up to 2,000 labels, sparse above; labels sorted by name.

    Raises:
        Invalid: a column is not found, or two could be meant.
        BadData: the file is empty, holds no rows, cannot be read, or lacks true labels.
    """
    with opened(source) as file:
        found = count_file(file, format=format, true_column=true_column, predicted_column=predicted_column)
    return matrix_from_cells(found.cells)


def count_file(
    source: Source,
    *,
    format: Format | None = None,  # noqa: A002
    true_column: str | None = None,
    predicted_column: str | None = None,
    split: Literal["test", "train", "all"] = "all",
    threshold: float | None = None,
    keep_rows: int = 0,
) -> Tally:
    """The counted pairs of `source`, and its rows where it has images and at most `keep_rows` rows.

    Args:
        source: the file.
        format: as in `tally`, like the columns.
        true_column: as in `tally`.
        predicted_column: as in `tally`.
        split: where the file has a column `split`, count only these rows.
        threshold: a prediction whose probability is below is *no label*.
        keep_rows: how many rows at most to give one by one.

    Raises:
        Invalid, BadData: as in `tally`; also: a threshold without a column of probabilities, or no row of the split.
    """
    with _connection() as db:
        reader = _reader(db, source, format or _format_of(source))
        columns = _columns(reader, source, true_column, predicted_column)
        notes: list[str] = []
        with _translated(source, reader):
            where = _split_condition(db, reader, source, split, notes)
            has_split = bool(notes) or bool(where)
            shown = _predicted(db, reader, source, columns, threshold, notes)
            cells, n_rows = _count(db, reader, source, columns, shown, where)
            rows = None
            if columns.uri and columns.count is None and n_rows <= keep_rows:
                rows = _rows(db, reader, columns, shown, where)
    tidy = _whole_numbers(cells)
    if tidy:
        notes.append("Every label is a whole number, so that 1.0 and 1 are the same label.")
        cells = _relabel(cells, tidy)
        rows = None if rows is None else _relabel_rows(rows, tidy)
    return Tally(cells, columns, n_rows, split if has_split else None, rows, tuple(notes))


@contextlib.contextmanager
def _connection() -> Iterator[Any]:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="deconfuse-") as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": min(os.cpu_count() or 1, MAX_THREADS),
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": folder,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        }
        with duckdb.connect(config=config) as db:
            yield db


def _format_of(source: Source) -> Format:
    shape = shape_of(source)
    if shape in ("csv", "jsonl", "parquet"):
        return shape
    raise BadData(f"{source.name} is a {shape} file, not a table of predictions; read it with `deconfuse matrix`")


def _reader(db: Any, source: Source, format: Format) -> _Reader:  # noqa: A002
    """How DuckDB is to read `source`."""
    path = "".join(f"[{mark}]" if mark in "*?[" else mark for mark in str(source.path.absolute()))
    source.head()
    if format == "parquet":
        return _parquet(db, source, path)
    packed = f", compression={'gzip' if source.is_gzip else 'none'!r}"
    if format == "csv":
        header, delimiter, n_blank = first_row(source)
        ids = [f"c{index}" for index in range(len(header))]
        types = ", ".join(f"'{name}': 'VARCHAR'" for name in ids)
        table = (
            f"read_csv(?, columns={{{types}}}, header=true, auto_detect=false, delim='{delimiter}', quote='\"', "
            f"escape='\"', skip={n_blank}{packed})"
        )
        names = tuple(name.strip() for name in header)
        return _Reader(names, table, path, {name: f"{column}" for name, column in zip(names, ids, strict=True)})
    names = _json_keys(source)
    types = ", ".join(f"{_literal(name)}: 'JSON'" for name in names)
    is_array = source.head().lstrip()[:1] == b"["
    layout = "array" if is_array else "newline_delimited"
    table = f"read_json(?, columns={{{types}}}, format='{layout}'{packed})"
    return _Reader(names, table, path, {name: _json_text(_quoted(name)) for name in names})


def _parquet(db: Any, source: Source, path: str) -> _Reader:
    import duckdb

    try:
        described = db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
    except duckdb.Error as error:
        why = _first_line(error).replace(str(source.path.absolute()), source.name)
        raise Damaged(source.name, f"it cannot be read as Parquet ({why})") from None
    text = {}
    for name, kind, *_ in described:
        quoted = _quoted(name)
        text[name] = {
            "VARCHAR": quoted,
            "BOOLEAN": f"CASE {quoted} WHEN true THEN 'True' WHEN false THEN 'False' END",
            "FLOAT": f"CASE WHEN NOT isnan({quoted}) THEN CAST({quoted} AS VARCHAR) END",
            "DOUBLE": f"CASE WHEN NOT isnan({quoted}) THEN CAST({quoted} AS VARCHAR) END",
        }.get(kind, f"CAST({quoted} AS VARCHAR)")
        if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "BLOB")):
            text[name] = ""
    return _Reader(tuple(name for name, *_ in described), "read_parquet(?)", path, text)


def _json_text(quoted: str) -> str:
    """The text of a JSON value: strings without quotes, booleans as Python writes them, null and NaN as nothing."""
    listed = f"error('several labels in one row: ' || CAST({quoted} AS VARCHAR))"
    return (
        f"CASE json_type({quoted}) WHEN 'BOOLEAN' THEN CASE {quoted}->>'$' WHEN 'true' THEN 'True' ELSE 'False' END "
        f"WHEN 'ARRAY' THEN {listed} WHEN 'OBJECT' THEN {listed} ELSE {quoted}->>'$' END"
    )


def _json_keys(source: Source) -> tuple[str, ...]:
    """The keys of the first objects of the file, in order of their first appearance."""
    keys: dict[str, None] = {}
    text = source.head().lstrip()
    if text[:1] == b"[":
        rows = _array_objects(source, text)
    else:
        lines = text.split(b"\n")
        is_cut = len(lines) > 1 and len(text) > 1_000_000
        rows = [line for line in lines[: -1 if is_cut else None] if line.strip()][:_JSON_LINES_FOR_KEYS]
    for number, row in enumerate(rows, start=1):
        try:
            content = json.loads(row) if isinstance(row, bytes) else row
        except ValueError as error:
            raise BadData(f"{source.name}, row {number}: it is not JSON ({error}): {_excerpt(row)}") from None
        if not isinstance(content, dict):
            raise BadData(f"{source.name}, row {number}: it must be a JSON object, not {_excerpt(row)}")
        keys |= dict.fromkeys(content)
    return tuple(keys)


def _array_objects(source: Source, text: bytes) -> list[Any]:
    """The first objects of a JSON array, of which only the beginning may be at hand."""
    decoder, content = json.JSONDecoder(), text.decode("utf-8", errors="replace")
    found: list[Any] = []
    at = 1
    while len(found) < _JSON_LINES_FOR_KEYS:
        while at < len(content) and content[at] in " \t\r\n,":
            at += 1
        try:
            value, at = decoder.raw_decode(content, at)
        except ValueError:
            break
        found.append(value)
    if not found:
        raise BadData(f"{source.name} holds no rows")
    return found


def _columns(reader: _Reader, source: Source, true: str | None, predicted: str | None) -> Columns:
    try:
        columns = recognise(reader.names, true=true, predicted=predicted)
    except Invalid as error:
        raise Invalid(error.field, f"{source.name}: {error.why}") from None
    for name in (columns.true, columns.predicted):
        if not reader.text[name]:
            raise BadData(f"{source.name}: column {name!r} holds lists, not one label a row; give one row a label")
    return columns


def _split_condition(
    db: Any, reader: _Reader, source: Source, split: Literal["test", "train", "all"], notes: list[str]
) -> str:
    """SQL that keeps the rows of `split`, or "" where all are kept."""
    names = [name for name in reader.names if name.strip().lower() == "split"]
    if not names or not reader.text[names[0]]:
        return ""
    value = f"lower(trim({reader.text[names[0]]}))"
    found = dict(db.execute(f"SELECT {value}, count(*) FROM {reader.table} GROUP BY ALL", [reader.path]).fetchall())  # noqa: S608
    present = ", ".join(sorted(str(key) for key in found if key is not None)) or "none"
    if split == "all":
        notes.append(f"Rows of every split are counted together ({present}).")
        return ""
    kept = sum(n for key, n in found.items() if key in SPLITS[split])
    total = sum(found.values())
    if total and not kept:
        raise BadData(
            f"{source.name} has no row whose column {names[0]!r} says {split}; it says: {present}. "
            "Give another split (--split), or all"
        )
    if kept < total:
        rest = total - kept
        others = f"{rest:,} others are not" if rest > 1 else "1 other is not"
        counted = f"Only {kept:,} {plural(kept, 'row of split ' + split + ' is', 'rows of split ' + split + ' are')}"
        notes.append(f"{counted} counted; {others} (--split all counts every row).")
    listed = ", ".join(_literal(word) for word in SPLITS[split])
    return f" WHERE {value} IN ({listed})"


def _predicted(
    db: Any, reader: _Reader, source: Source, columns: Columns, threshold: float | None, notes: list[str]
) -> tuple[str, str]:
    """SQL of the predicted label under `threshold`, and of the probability in 0..1."""
    label = reader.text[columns.predicted]
    if columns.probability is None:
        if threshold is not None:
            raise Invalid("threshold", f"{source.name} has no column of probabilities to compare with it")
        return label, "NULL"
    number = _number(reader.text[columns.probability])
    ((highest,),) = db.execute(f"SELECT max({number}) FROM {reader.table}", [reader.path]).fetchall()  # noqa: S608
    if highest is not None and highest > 1:
        number = f"({number} / 100)"
        notes.append(f"Column {columns.probability!r} goes up to {highest:g}, so it is read as percent.")
    if threshold is None:
        return label, number
    return f"CASE WHEN {number} >= {float(threshold)!r} THEN {label} END", number


def _count(
    db: Any, reader: _Reader, source: Source, columns: Columns, shown: tuple[str, str], where: str
) -> tuple[pa.Table, int]:
    """The CELLS of the file, and how many rows it has.

    Rows are grouped as they are, and only the groups are trimmed: there are few of them.
    """
    weight = "1" if columns.count is None else _number(reader.text[columns.count])
    bad = f"NOT coalesce({weight} BETWEEN 0 AND {MAX_COUNT}, false)" if columns.count else "false"
    weighted = f", sum({weight}) w, count(*) FILTER ({bad}) bad" if columns.count else ""
    summed = "sum(w)::DOUBLE w, sum(bad)::BIGINT bad" if columns.count else "sum(n)::DOUBLE w, 0::BIGINT bad"
    # S608: what enters is SQL of this file; names of columns are quoted, everything else is bound.
    grouped = (
        f"SELECT {reader.text[columns.true]} t, {shown[0]} p, count(*) n{weighted} "  # noqa: S608
        f"FROM {reader.table}{where} GROUP BY 1, 2"
    )
    query = (
        f"SELECT {_trimmed('t')} AS true_label, {_trimmed('p')} AS predicted_label, sum(n)::BIGINT n, {summed} "  # noqa: S608
        f"FROM ({grouped}) GROUP BY 1, 2"
    )
    table = db.sql(query, params=[reader.path]).to_arrow_table()
    n_rows = int(pc.sum(table.column("n")).as_py() or 0)
    if not n_rows:
        raise BadData(f"{source.name} has columns, but no rows")
    n_bad = int(pc.sum(table.column("bad")).as_py() or 0)
    if n_bad:
        raise BadData(f"{source.name}: column {columns.count!r} holds no count in {n_bad:,} of {n_rows:,} rows")
    nameless = table.filter(pc.is_null(table.column("true_label")))
    if nameless.num_rows and columns.count is None:
        n = int(pc.sum(nameless.column("n")).as_py())
        raise BadData(
            f"{source.name}: {n:,} of {n_rows:,} rows have no true label (column {columns.true!r} is empty); "
            "fill it in, or leave these rows out"
        )
    weights = table.column("w").to_numpy()
    is_whole = bool(np.all((weights == np.floor(weights)) & (weights <= MAX_COUNT)))
    counts = weights.astype(np.int64) if is_whole else weights
    schema = CELLS if counts.dtype == np.int64 else WEIGHTED_CELLS
    labels = [table.column(name).cast(pa.string()) for name in ("true_label", "predicted_label")]
    return pa.table([*labels, pa.array(counts)], schema=schema), n_rows


def _rows(db: Any, reader: _Reader, columns: Columns, shown: tuple[str, str], where: str) -> pa.Table:
    db.execute("SET preserve_insertion_order = true")
    uri = reader.text[str(columns.uri)]
    query = (
        f"SELECT coalesce({uri}, '') AS uri, {_trimmed(reader.text[columns.true])} AS true, "  # noqa: S608
        f"{_trimmed(shown[0])} AS predicted, CAST({shown[1]} AS FLOAT) AS probability FROM {reader.table}{where}"
    )
    kinds = [("uri", pa.string()), ("true", pa.string()), ("predicted", pa.string()), ("probability", pa.float32())]
    return db.sql(query, params=[reader.path]).to_arrow_table().cast(pa.schema(kinds))


def _trimmed(expression: str) -> str:
    return f"nullif(trim({expression}, chr(32) || chr(9) || chr(10) || chr(13)), '')"


def _number(expression: str) -> str:
    # trim also keeps the cast out of the CSV reader, where what is no number would be an error.
    return f"TRY_CAST(trim({expression}) AS DOUBLE)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _whole_numbers(cells: pa.Table) -> dict[str, str]:
    """What each label becomes where "1.0" and "1" are one label; {} where labels stay as they are."""
    labels = pc.unique(pa.chunked_array([*cells.column(0).chunks, *cells.column(1).chunks])).drop_null().to_pylist()
    if not any(label.endswith(".0") for label in labels) or not all(_WHOLE.fullmatch(label) for label in labels):
        return {}
    return {label: label.partition(".")[0] for label in labels}


def _relabel(cells: pa.Table, names: dict[str, str]) -> pa.Table:
    columns = [pa.array([names.get(label) for label in cells.column(i).to_pylist()], pa.string()) for i in (0, 1)]
    merged = pa.table([*columns, cells.column(2)], schema=cells.schema)
    summed = merged.group_by(["true_label", "predicted_label"]).aggregate([("count", "sum")])
    return pa.table(
        [summed.column(name) for name in ("true_label", "predicted_label", "count_sum")], schema=cells.schema
    )


def _relabel_rows(rows: pa.Table, names: dict[str, str]) -> pa.Table:
    for name in ("true", "predicted"):
        tidy = pa.array([names.get(label) for label in rows.column(name).to_pylist()], pa.string())
        rows = rows.set_column(rows.schema.get_field_index(name), name, tidy)
    return rows


@contextlib.contextmanager
def _translated(source: Source, reader: _Reader) -> Iterator[None]:
    """Errors of DuckDB become ours, with the line and a remedy where it gives a line."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise LimitExceeded(
            f"{source.name} holds more different pairs of labels than {MEMORY_LIMIT} of memory can count; "
            "is a column of free text or of numbers taken for labels?"
        ) from None
    except duckdb.IOException as error:
        if "No space left" in str(error):
            raise Unavailable(f"the disk is full: {_first_line(error)}") from None
        raise Damaged(source.name, _first_line(error)) from None
    except duckdb.Error as error:
        raise _bad_data(source, reader, str(error)) from None


def _bad_data(source: Source, reader: _Reader, message: str) -> BadData:
    found = re.search(r"(?:CSV Error on Line:|in line) (\d+)", message)
    line = f", line {int(found[1]):,}" if found else ""
    counted = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message)
    if counted:
        why = f"it has {counted[2]} cells, the header has {counted[1]}; put cells that hold the delimiter in quotes"
    elif "unicode" in message or "utf-8" in message.lower():
        why = "it is not text in UTF-8; save the file as UTF-8"
    elif "unterminated quote" in message:
        why = "a quote is opened and never closed"
    elif "aximum line size" in message:
        why = "it is longer than two million characters; is a quote never closed?"
    elif "several labels in one row" in message:
        listed = message.partition("several labels in one row: ")[2]
        why = f"one label a row is needed, not {_excerpt(listed)}"
    elif "Malformed JSON" in message:
        why = f"it is not JSON ({message.partition('line ')[2].partition(': ')[2].strip()})"
    else:
        why = message.partition("\n")[0].replace(reader.path, source.name)
    return BadData(f"{source.name}{line}: {why}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _excerpt(text: Any) -> str:
    shown = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else str(text)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
