r"""Matrices that come counted: a Rekognition summary, and what `deconfuse matrix` writes as JSON or as a wide table.

A summary holds shares, not counts. Where the numbers of test images allow, `measure.recover` finds the counts and the
denominator that the shares were taken of; where they do not, the shares are shown and a note says so. A summary of
our own carries its counts.

The thresholds and per-label scores of a summary belong to another rule than its matrix: the matrix is taken at the
highest score, the scores at assumed thresholds. What the thresholds would change becomes a finding.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deconfuse.errors import BadData, DeconfuseError, Invalid
from deconfuse.formats.evaluation import EvaluationSummary, read_summary
from deconfuse.insights.findings import Finding, find_at_thresholds
from deconfuse.measure.matrix import ConfusionMatrix, Matrix, matrix_from_cells
from deconfuse.measure.recover import recover_counts
from deconfuse.report.exports import JSON_FORMAT
from deconfuse.tables import CELLS, LABELS_KEY, MAX_COUNT, UNIT_KEY, WEIGHTED_CELLS


@dataclass(frozen=True, slots=True)
class Counted:
    """A matrix from a file, with what the file says about it.

    Attributes:
        matrix: the counts.
        n_images: images counted.
        is_exact: whether the counts are counts; otherwise they are shares, and nothing can be found from them.
        notes: sentences that a reader of the numbers must know.
        findings: what only this kind of file shows.
        thresholds: one a label, NaN where the file has none; None where it has none at all.
        split: which images, where the file says so.
        model: which model, where the file says so.
        data_hash: of the data, where the file says so.
        made: when, where the file says so.
        binary: int64[K, 2, 2], [[TN, FP], [FN, TP]] a label, where a file of several labels an image has them.
    """

    matrix: Matrix
    n_images: int
    is_exact: bool = True
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    thresholds: tuple[float, ...] | None = None
    split: str | None = None
    model: str | None = None
    data_hash: str | None = None
    made: datetime | None = None
    binary: NDArray[np.int64] | None = None


def read_counted_summary(data: bytes, name: str, *, tested: Mapping[str, int] | None = None) -> Counted:
    """The matrix of a Rekognition evaluation summary, anybody's or ours.

    Args:
        data: the file.
        name: what to call it in messages.
        tested: test images by label, where they are known from elsewhere and the file does not say.

    Raises:
        BadData: it is no summary, or that of a model which is no classifier.
    """
    try:
        summary = read_summary(data)
    except BadData as error:
        raise BadData(f"{name}: {error}") from None
    if summary.cells is None:
        raise BadData(
            f"{name} has no confusion matrix: this is not a classification model. "
            "Rekognition writes one for image labels only, not for bounding boxes"
        )
    if not summary.labels:
        raise BadData(f"{name} has an empty confusion matrix")
    matrix, is_exact, notes = _summary_matrix(summary, tested or {})
    n_images = summary.n_testing if summary.n_testing is not None else round(float(matrix.total))
    if is_exact and matrix.unit == "samples" and n_images != matrix.total:
        notes.append(f"The file speaks of {n_images:,} test images; its matrix counts {matrix.total:,}.")
        n_images = round(float(matrix.total))
    stated = {result.label: result.threshold for result in summary.label_results}
    thresholds = tuple(stated.get(label, math.nan) for label in summary.labels)
    findings: tuple[Finding, ...] = ()
    if is_exact and matrix.unit == "samples":
        findings = find_at_thresholds(matrix, _correct_at_thresholds(summary))
    return Counted(
        matrix=matrix,
        n_images=n_images,
        is_exact=is_exact,
        notes=tuple(notes),
        findings=findings,
        thresholds=None if all(math.isnan(threshold) for threshold in thresholds) else thresholds,
        split="test",
        model=summary.project_version_arn or None,
        made=summary.ended,
    )


def _summary_matrix(summary: EvaluationSummary, tested: Mapping[str, int]) -> tuple[ConfusionMatrix, bool, list[str]]:
    """The matrix, whether it holds counts, and what to say about it."""
    labels = summary.labels
    own = _own_counts(summary)
    if own is not None:
        return own, True, []
    values = np.zeros((len(labels), len(labels)))
    place = {label: k for k, label in enumerate(labels)}
    for (true, predicted), value in (summary.cells or {}).items():
        values[place[true], place[predicted]] = value
    n_test = {result.label: result.n_test for result in summary.label_results}
    support = np.array([n_test.get(label) or tested.get(label, 0) for label in labels], np.int64)
    recovered = recover_counts(values, support)
    if recovered is not None:
        return _matrix(labels, recovered.counts), True, [recovered.statement]
    unknown = [label for k, label in enumerate(labels) if not support[k] and values[k].any()]
    if unknown:
        note = (
            "The file does not say how many test images each label has, so its counts cannot be recovered: "
            "the matrix shows the shares as they stand."
        )
        return _matrix(labels, values), False, [note]
    note = (
        "No counts fit the shares in this file: the matrix shows each share times the test images of its true label. "
        "These are no numbers of images, so nothing here has an interval."
    )
    return _matrix(labels, values * support[:, None]), False, [note]


def _own_counts(summary: EvaluationSummary) -> ConfusionMatrix | None:
    """The counts under our own key; None where there are none, or where they do not fit the file around them."""
    own = summary.deconfuse or {}
    rows = own.get("Counts")
    side = len(summary.labels) + 1
    if own.get("Labels") != list(summary.labels) or not isinstance(rows, list) or len(rows) != side:
        return None
    if not all(isinstance(row, list) and len(row) == side for row in rows):
        return None
    if not all(type(count) is int and 0 <= count <= MAX_COUNT for row in rows for count in row):
        return None
    unit = own.get("Unit")
    if unit not in ("samples", "label decisions"):
        return None
    return ConfusionMatrix(summary.labels, np.array(rows, np.int64), unit)


def _matrix(labels: tuple[str, ...], counts: NDArray[Any]) -> ConfusionMatrix:
    table = np.zeros((len(labels) + 1, len(labels) + 1), counts.dtype)
    table[:-1, :-1] = counts
    return ConfusionMatrix(labels, table)


def _correct_at_thresholds(summary: EvaluationSummary) -> dict[str, float]:
    """By label, how many of its test images reach its threshold, where its recall and their number say so."""
    found = {}
    for result in summary.label_results:
        hits = result.recall * (result.n_test or 0)
        # The recall is a ratio of two counts; what is no whole number here is something else.
        if result.n_test and not math.isnan(hits) and abs(hits - round(hits)) < 1e-6 * result.n_test:
            found[result.label] = float(round(hits))
    return found


def read_matrix_json(data: bytes, name: str) -> Counted:
    """The matrix that `deconfuse matrix --format json` wrote.

    Raises:
        BadData: it is written in another version of the format, or changed beyond use.
    """
    content = json.loads(data)
    if content.get("format") != JSON_FORMAT:
        raise BadData(f"{name} has the format {content.get('format')!r}; this version of deconfuse reads {JSON_FORMAT}")
    try:
        triples = [(cell["true_label"], cell["predicted_label"], cell["count"]) for cell in content["cells"]]
        matrix = _from_triples(triples, content["labels"], content["unit"])
        said = content.get("stamp") or {}
        made = datetime.fromisoformat(said["date"]) if said.get("date") else None
        binary = _own_tables(content) if matrix.unit != "samples" else None
    except (AttributeError, KeyError, TypeError, ValueError, pa.ArrowException, DeconfuseError) as error:
        raise BadData(f"{name} is a matrix of deconfuse, but changed beyond use ({error})") from None
    return Counted(
        matrix=matrix,
        n_images=said.get("n_images") or round(float(matrix.total)),
        notes=tuple(str(note) for note in content.get("notes") or ()),
        split=said.get("split"),
        model=said.get("model"),
        data_hash=said.get("data_hash"),
        made=made,
        binary=binary,
        is_exact=content.get("is_exact") is not False,
    )


def _own_tables(content: Mapping[str, Any]) -> NDArray[np.int64] | None:
    """The labels' own 2×2 tables, in the order of the labels; None where the file has none.

    Raises:
        ValueError, KeyError, TypeError: they are there, but no tables of counts.
    """
    scores = content.get("label_scores") or []
    if not scores or not all("binary" in one for one in scores):
        return None
    by_label = {one["label"]: one["binary"] for one in scores}
    tables = np.array([by_label[label] for label in content["labels"]])
    if tables.shape != (len(content["labels"]), 2, 2) or tables.dtype.kind != "i" or bool((tables < 0).any()):
        raise ValueError("binary does not hold four counts a label")
    return tables.astype(np.int64)


def read_wide_csv(data: bytes, name: str) -> Counted:
    r"""A matrix as a table, whose corner says what its rows are: `true\predicted` or `predicted\true`.

    Raises:
        BadData: it holds shares, is ragged, holds what is no count, or its rows and columns have other labels.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadData(f"{name} is not text in UTF-8; save the file as UTF-8") from None
    head = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t|", key=lambda mark: "".join(head.split('"')[::2]).count(mark))
    lines = io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"))
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error as error:
        raise BadData(f"{name} cannot be read as CSV ({error})") from None
    corner, *columns = (cell.strip() for cell in rows[0])
    if "(" in corner:
        raise BadData(f"{name} holds shares, not counts; write it again without --normalize")
    if not rows[1:]:
        raise BadData(f"{name} has a header, but no rows")
    triples: list[tuple[str | None, str | None, float]] = []
    for number, (label, *cells) in enumerate(rows[1:], start=2):
        if len(cells) != len(columns):
            raise BadData(f"{name}, row {number}: it has {len(cells)} counts, the header has {len(columns)} labels")
        for column, cell in zip(columns, cells, strict=True):
            pair = (label.strip() or None, column or None)
            true, predicted = pair if corner.lower().startswith("true") else pair[::-1]
            triples.append((true, predicted, _count(cell, name, number)))
    sides = [list(dict.fromkeys(row[side] for row in triples if row[side] is not None)) for side in (0, 1)]
    if set(sides[0]) != set(sides[1]) or len({label.strip() for label, *_ in rows[1:]}) < len(rows) - 1:
        raise BadData(f"{name}: rows and columns must name the same labels, each once; an empty name is no label")
    try:
        matrix = _from_triples(triples, sides[0], "samples")
    except DeconfuseError as error:
        raise BadData(f"{name}: {error}") from None
    return Counted(matrix=matrix, n_images=round(float(matrix.total)), notes=tuple(percentage_notes(matrix)))


def percentage_notes(matrix: Matrix) -> list[str]:
    """A note where the counts of each true, or each predicted, label add up to about 100 or 1, as shares do."""
    sides = {"true": matrix.support, "predicted": matrix.predicted_counts}
    for side, sums in sides.items():
        some = np.asarray(sums, np.float64)[np.asarray(sums) > 0]
        for whole, slack, noun in ((100, 1, "percentages"), (1, 0.01, "shares")):
            # One image of each label is no sum of shares.
            is_split = len(matrix.to_cells()) > len(some)
            if len(some) > 1 and is_split and bool(np.all(np.abs(some - whole) <= slack + 1e-9)):
                note = (
                    f"The counts of every {side} label add up to {whole}: these look like {noun}. If they are, the "
                    "numbers of images are not true, and the intervals and what is called chance mean nothing; "
                    "give counts instead."
                )
                return [note]
    return []


def _count(cell: str, name: str, row: int) -> float:
    try:
        count = float(cell)
    except ValueError:
        count = math.nan
    if not abs(count) <= MAX_COUNT:
        raise BadData(f"{name}, row {row}: {cell[:40]!r} is no count")
    return count


def _from_triples(triples: Sequence[tuple[str | None, str | None, float]], labels: Sequence[Any], unit: str) -> Matrix:
    counts = np.array([float(count) for *_, count in triples])
    if counts.size and not bool(np.all(np.abs(counts) <= MAX_COUNT)):
        raise Invalid("count", f"counts lie between 0 and {MAX_COUNT:,}")
    is_whole = bool(np.all(counts == np.floor(counts)))
    values = counts.astype(np.int64) if is_whole else counts
    schema = CELLS if is_whole else WEIGHTED_CELLS
    metadata: Mapping[bytes, bytes] = {
        LABELS_KEY: json.dumps(list(labels), ensure_ascii=False).encode(),
        UNIT_KEY: unit.encode(),
    }
    columns = [pa.array([triple[side] for triple in triples], pa.string()) for side in (0, 1)]
    return matrix_from_cells(pa.table([*columns, pa.array(values)], schema=schema.with_metadata(metadata)))
