"""What is written is read again, and no bytes make a reader fall over."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import BadData, Invalid, Problem
from deconfuse.formats.evaluation import (
    EvaluationSummary,
    LabelResult,
    SnapshotPrediction,
    SnapshotRow,
    is_snapshot_line,
    is_summary,
    read_snapshot,
    read_summary,
    write_snapshot,
    write_summary,
)
from deconfuse.formats.manifest import multilabel_job_to_manifest, read_manifest, write_manifest
from deconfuse.formats.predictions import Columns, read_predictions, recognise, write_predictions
from deconfuse.formats.samples import coco_to_manifest, folder_entries, read_label_csv
from deconfuse.formats.validation import count_side, write_validation_manifest
from deconfuse.tables import predictions_schema

NOW = datetime(2024, 5, 6, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
labels = st.one_of(
    texts.filter(str.strip),
    st.sampled_from(["source-ref", "errors", "warnings", "cl", "a", "a-metadata", "label-1", "label-2", "line-idx"]),
)
label_lists = st.lists(labels, max_size=5, unique=True)
uris = st.builds("s3://bucket/{}".format, texts)
shares = st.floats(0, 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["source-ref", "x", "x-metadata", "type", "class-name", "class-map", "annotations", "image_size", "objects",
        "confidence", "human-annotated", "creation-date", "errors", "rekognition-custom-labels-evaluation-0",
        "rekognition-custom-labels-evaluation-0-metadata", "AggregatedEvaluationResults", "ConfusionMatrix",
        "LabelEvaluationResults", "Metrics", "Label", "images", "categories", "bbox", "id", "image_id"]  # fmt: skip
VALUES = ["s3://bucket/a", "yes", "groundtruth/image-classification", "groundtruth/object-detection",
          "groundtruth/image-classification-multilabel", 1, 0, [], {}, [1], {"0": "a"}, 10**400, -1.5]  # fmt: skip
alike = st.recursive(
    st.sampled_from(VALUES) | json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)
"""Objects that look much like the real ones and are wrong somewhere."""

lines = st.lists(
    st.binary(max_size=60) | alike.map(lambda value: json.dumps(value).encode()) | json_values.map(
        lambda value: json.dumps(value).encode()
    ),
    max_size=6,
)  # fmt: skip


@given(st.dictionaries(uris, label_lists, max_size=6))
def test_manifest_comes_back(entries: dict[str, list[str]]) -> None:
    """Every image and its labels, in order, whatever the labels are called; no label is a warning and nothing else."""
    read = list(read_manifest(write_manifest(entries.items(), created=NOW)))

    assert [(entry.uri, list(entry.labels)) for entry in read] == list(entries.items())
    assert {p.code for entry in read for p in entry.problems} <= {"WARNING_UNANNOTATED_RECORD"}


@given(st.dictionaries(uris, label_lists, max_size=6))
def test_validation_manifest_keeps_the_labels(entries: dict[str, list[str]]) -> None:
    """A problem on every line changes no label when the validation manifest is read as a manifest."""
    plain = list(write_manifest(entries.items(), created=NOW))
    problems = [Problem("ERROR_INVALID_IMAGE", "why", line=n + 1, at=at) for n in range(len(plain)) for at in ("", "x")]

    noted = list(read_manifest(write_validation_manifest(plain, problems)))

    assert [entry.labels for entry in noted] == [entry.labels for entry in read_manifest(plain)]


@st.composite
def summaries(draw: st.DrawFn) -> EvaluationSummary:
    """Summaries as trainings make them: cells for tested labels, results sorted best first."""
    names = draw(st.lists(labels, min_size=1, max_size=5, unique=True))
    tested = draw(st.lists(st.sampled_from(names), unique=True))
    values = {(true, predicted): draw(shares) for true in tested for predicted in names}
    f1s = sorted((draw(shares) for _ in tested), reverse=True)
    results = [
        LabelResult(label, draw(shares), draw(shares), f1, draw(shares), 3)
        for label, f1 in zip(tested, f1s, strict=True)
    ]
    ended = draw(st.datetimes(timezones=st.just(UTC)))
    cells = draw(st.sampled_from([values, None]))
    return EvaluationSummary("arn", ended, tuple(names), 7, 9, cells, tuple(results), *(draw(shares) for _ in range(3)))


@given(summaries(), st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
def test_summary_comes_back(summary: EvaluationSummary, own: dict[str, int]) -> None:
    """Every field of a summary, and our own key, survive; of results with one F1 only the order may change."""
    read = read_summary(write_summary(summary, deconfuse=own))

    by_label = {result.label: result for result in summary.label_results}
    assert {result.label: result for result in read.label_results} == by_label
    assert [result.f1 for result in read.label_results] == [result.f1 for result in summary.label_results]
    assert replace(read, label_results=summary.label_results) == replace(summary, deconfuse=own)


@given(summaries())
def test_written_columns_of_shares_stay(summary: EvaluationSummary) -> None:
    """A ground-truth label has a pair with every label, or none at all."""
    content = json.loads(write_summary(summary, deconfuse={}))

    cells = content["AggregatedEvaluationResults"].get("ConfusionMatrix", [])
    pairs = [(cell["GroundTruthLabel"], cell["PredictedLabel"]) for cell in cells]
    tested = {true for true, _ in pairs}
    assert pairs == [(t, p) for t in summary.labels if t in tested for p in summary.labels]


predictions = st.builds(SnapshotPrediction, labels, shares, st.sampled_from([True, False, None]))
rows = st.builds(SnapshotRow, uris, label_lists.map(tuple), st.lists(predictions, max_size=4).map(tuple))


@given(st.lists(rows, max_size=5, unique_by=lambda row: row.uri))
def test_snapshot_comes_back(snapshot: list[SnapshotRow]) -> None:
    """Truth, predictions, probabilities and thresholds of every row survive."""
    written = list(write_snapshot(snapshot, created=NOW))

    assert list(read_snapshot(written)) == snapshot
    assert all(is_snapshot_line(line) for line, row in zip(written, snapshot, strict=True) if row.true or row.predicted)


@st.composite
def prediction_tables(draw: st.DrawFn) -> pa.Table:
    """Prediction tables, single-label and multi-label, of up to five rows."""
    names = tuple(draw(st.lists(labels, min_size=1, max_size=4, unique=True)))
    multi_label, n = draw(st.booleans()), draw(st.integers(0, 5))
    label = st.sampled_from(names)
    one = st.lists(label, unique=True) if multi_label else label
    column = {
        "uri": draw(st.lists(texts, min_size=n, max_size=n)),
        "sha256": ["0" * 64] * n,
        "split": draw(st.lists(st.sampled_from(["train", "test"]), min_size=n, max_size=n)),
        "fold": draw(st.lists(st.none() | st.integers(0, 4), min_size=n, max_size=n)),
        "true": draw(st.lists(one, min_size=n, max_size=n)),
        "predicted": draw(st.lists(st.none() | one, min_size=n, max_size=n)),
        "probability": [None] * n,
        "scores": draw(st.lists(st.lists(st.floats(0, 1, width=32), min_size=len(names), max_size=len(names)),
                                min_size=n, max_size=n)),
    }  # fmt: skip
    return pa.table(column, schema=predictions_schema(names, multi_label=multi_label))


@given(prediction_tables())
def test_predictions_come_back(table: pa.Table) -> None:
    """The table of predictions survives with its labels, and its bytes are the same when written again."""
    data = write_predictions(table)

    assert read_predictions(data).equals(table, check_metadata=True)
    assert write_predictions(read_predictions(data)) == data


@given(lines)
def test_no_line_makes_a_reader_fall_over(given_lines: list[bytes]) -> None:
    """Whatever the lines are, there is one entry for each up to the last that is not blank, and they count up."""
    entries = list(read_manifest(given_lines))
    counts = count_side(entries)
    rows = list(read_snapshot(given_lines))
    noted = list(write_validation_manifest(given_lines, [p for entry in entries for p in entry.problems]))

    assert [entry.line for entry in entries] == list(range(1, len(entries) + 1))
    assert counts.total == counts.valid + counts.invalid + counts.ignored
    assert len(noted) == len(given_lines)
    assert all(entry.labels or entry.n_boxes or entry.problems for entry in entries)
    assert len(rows) <= len(entries)


@given(st.binary(max_size=80) | alike.map(lambda value: json.dumps(value).encode()))
def test_no_file_makes_a_reader_fall_over(data: bytes) -> None:
    """Whatever the file is, a reader gives a value or a sentence."""
    for read in (
        read_summary,
        read_predictions,
        lambda data: list(coco_to_manifest(data, prefix="s3://bucket", created=NOW)),
        lambda data: list(multilabel_job_to_manifest(data.splitlines())),
    ):
        with contextlib.suppress(BadData):
            read(data)
    assert is_summary(data) in (True, False)


@given(st.text(), st.sampled_from([True, False]))
def test_no_text_makes_a_table_fall_over(text: str, is_file: bool) -> None:
    """Whatever the text is, each entry has labels or a problem, and lines rise."""
    entries = list(read_label_csv(text.splitlines(keepends=True), is_file=lambda _: is_file))

    numbers = [entry.line for entry in entries]
    assert numbers == sorted(set(numbers), key=lambda number: number or 0)
    assert all(entry.labels or entry.problems for entry in entries)


@given(st.lists(st.text(min_size=1).filter(lambda path: "//" not in path and not path.startswith("/")), max_size=8))
def test_no_path_makes_a_folder_fall_over(paths: list[str]) -> None:
    """Whatever the files are called, the order in which they come does not matter."""
    listing = folder_entries(paths)

    assert listing == folder_entries(paths[::-1])
    assert all(entry.labels or entry.problems for entry in listing.entries)


@given(st.lists(st.sampled_from(["true", "pred", "uri", "Label", "x", "count"]) | st.text(max_size=4), max_size=6))
def test_recognised_columns_are_columns(names: list[str]) -> None:
    """Columns that are recognised are of the table and no two the same; otherwise there is a sentence."""
    columns = Columns("", "")
    with contextlib.suppress(Invalid):
        columns = recognise(names)
    if not columns.true and not columns.predicted:
        return

    found = [columns.true, columns.predicted, columns.count, columns.uri, columns.probability]
    assert all(name is None or name in names for name in found)
    assert columns.true != columns.predicted


@given(st.floats())
def test_no_undefined_number_reaches_a_file(value: float) -> None:
    """NaN and infinity become null; every other number comes back as it was."""
    summary = EvaluationSummary("", None, ("a",), None, None, None, (), value, value, value)

    data = write_summary(summary, deconfuse={})

    assert not {b"NaN", b"Infinity"} & set(data.replace(b":", b",").split(b","))
    read = read_summary(data).f1
    assert math.isnan(read) if not -1e15 < value < 1e15 else read == value
