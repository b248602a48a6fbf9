"""Whatever can be looked at as a confusion matrix, as one `Evaluation`; and an `Evaluation` as a page's view.

    run directory ── verdicts ──┐
    manifest snapshot ─ verdicts┤
    predictions, cells ── tally ┼──► Evaluation ──► findings, cell_images, matrix_view
    Rekognition summary ─ other ┤
    our own CSV and JSON ─ other┘

`read_evaluation` finds out what a source is and says what it did: which rule, which split, how many images, and every
sentence that a reader of the numbers must know. Nothing is guessed silently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc

from deconfuse.engine import counted
from deconfuse.engine.evaluated import Evaluation, Kind, finished, from_verdicts
from deconfuse.engine.sources import Source, opened, shape_of
from deconfuse.engine.tally import Format, count_file
from deconfuse.engine.verdicts import Rule, check_threshold, judge, judge_snapshot
from deconfuse.engine.viewing import ANY, cell_images, matrix_view, rule_in_words, stamp
from deconfuse.errors import BadData, Damaged, Denied, Invalid, NotFound, Problem
from deconfuse.formats.evaluation import SnapshotRow, read_snapshot
from deconfuse.formats.predictions import read_predictions
from deconfuse.insights.wording import plural
from deconfuse.measure.matrix import Matrix, matrix_from_cells
from deconfuse.tables import LABELS_KEY, labels_of

__all__ = [
    "ANY",
    "Evaluation",
    "Kind",
    "Rule",
    "cell_images",
    "matrix_evaluation",
    "matrix_view",
    "read_evaluation",
    "rule_in_words",
    "run_evaluation",
    "stamp",
]

SplitChoice = Literal["test", "train", "all"]
Threshold = float | Literal["assumed"] | None

KEPT_ROWS = 200_000
"""A file of predictions with more images than this is counted, and its images are not listed."""

HASHED_BYTES = 256 << 20
"""A file up to this size is stamped with the hash of its bytes."""


def read_evaluation(
    source: Path | BinaryIO | Literal["-"],
    *,
    split: SplitChoice = "test",
    threshold: Threshold = None,
    labels: Sequence[str] | None = None,
    format: Format | None = None,  # noqa: A002
    true_column: str | None = None,
    predicted_column: str | None = None,
    buckets: Mapping[str, Path] | None = None,
) -> Evaluation:
    """The evaluation that `source` holds.

    Args:
        source: a run directory; a file of predictions, counted cells, a matrix, a Rekognition summary or snapshot;
            an open binary stream of such a file; "-" for standard input.
        split: which images of a run, or of a table with a column `split`. Training images are judged out-of-fold.
        threshold: None for the source's first rule; a number for every label; "assumed" for the thresholds that the
            run, or Rekognition, found.
        labels: only these; the others are summed as *(other)*.
        format: what the file is; None looks.
        true_column: the column of true labels in a table; None finds it by its name.
        predicted_column: the same for predictions.
        buckets: directories below which images of s3://bucket/key lie, by bucket; kept for whoever shows images.

    Raises:
        NotFound: there is nothing at the path, or a directory without a card.
        Invalid: an option that this kind of source cannot serve, or an unknown label.
        BadData: the source is nothing that is understood, or holds nothing to count.
    """
    if isinstance(threshold, int | float):
        threshold = check_threshold(threshold)
    if isinstance(source, Path) and source.is_dir():
        run = _read_run(source, split=split, threshold=threshold, labels=labels)
        return replace(run, buckets=dict(buckets or {}))
    with opened(source) as file:
        shape = format or shape_of(file)
        is_exact = True
        if shape == "summary":
            found, is_exact = _summary(file, threshold)
        elif shape == "snapshot":
            found = _snapshot(file, threshold)
        elif shape in ("matrix", "wide"):
            found = _matrix_file(file, shape, threshold)
        elif shape == "parquet" and _is_ours(file):
            own = _own_predictions(file, split=split, threshold=threshold, labels=labels)
            return replace(own, buckets=dict(buckets or {}))
        else:
            table_format: Format = format or ("csv" if shape == "csv" else "jsonl" if shape == "jsonl" else "parquet")
            found = _table(file, table_format, split, threshold, (true_column, predicted_column))
        root = source.absolute().parent if isinstance(source, Path) else None
        found = replace(found, data_hash=found.data_hash or _hash(file), images_root=root)
        found = replace(found, buckets=dict(buckets or {}))
    return finished(found, labels, is_exact=is_exact)


def matrix_evaluation(matrix: Matrix, *, title: str = "Confusion matrix") -> Evaluation:
    """A bare matrix as an evaluation: no images, no rule but its own."""
    found = Evaluation(title=title, kind="cells", labels=matrix.labels, rule="as given", matrix=matrix)
    return finished(replace(found, n_images=round(float(matrix.total))), None)


def run_evaluation(
    card: Mapping[str, Any],
    predictions: pa.Table,
    *,
    split: SplitChoice = "test",
    threshold: Threshold = None,
    labels: Sequence[str] | None = None,
    title: str = "",
) -> Evaluation:
    """The evaluation of a run from its card and its predictions.

    Args:
        card: card.json as read; empty for predictions without a run.
        predictions: PREDICTIONS of both splits.
        split: which images.
        threshold: None for the rule of the model (highest score; assumed thresholds if multi-label), "assumed", or
            one number for every label. Both rules are counted, the one asked for leads.
        labels: only these; the others are summed as *(other)*.
        title: a few words; the project and version by default.

    Raises:
        Invalid: "assumed" without a card, or an unknown label.
    """
    assumed = card.get("thresholds")
    if threshold == "assumed" and assumed is None:
        raise Invalid("threshold", "assumed thresholds stand in the card of a run; give its directory, or a number")
    everything = {"test": ("test",), "train": ("train",), "all": ("train", "test")}[split]
    chosen = predictions.filter(pc.is_in(predictions.column("split"), value_set=pa.array(everything)))
    limits = (float(threshold),) * len(labels_of(predictions)) if isinstance(threshold, float) else assumed
    verdicts = judge(chosen, limits)
    if threshold is not None:
        verdicts = verdicts.led_by("thresholds")
    model = f"{card['project']} {card['version']}" if card else None
    problems = tuple(Problem(**problem) for problem in card.get("problems", ()))
    found = from_verdicts(
        verdicts,
        title=title or model or "Predictions",
        kind="run" if card else "predictions",
        split=split,
        problems=tuple(problem for problem in problems if problem.split in (None, *everything)),
        notes=tuple(card.get("notes", ())),
    )
    root = card.get("images")
    made = card.get("created")
    found = replace(
        found,
        model=model,
        data_hash=card.get("data_hash"),
        images_root=Path(root) if root else None,
        made=datetime.fromisoformat(made) if made else None,
        train_counts=_train_counts(predictions),
    )
    return finished(found, labels)


def _read_run(path: Path, *, split: SplitChoice, threshold: Threshold, labels: Sequence[str] | None) -> Evaluation:
    try:
        content = (path / "card.json").read_bytes()
        predictions = (path / "predictions.parquet").read_bytes()
    except FileNotFoundError as error:
        name = Path(str(error.filename)).name
        raise NotFound("run", str(path), f"{name} is not there; `deconfuse train` makes one") from None
    except PermissionError as error:
        raise Denied(f"{error.filename} may not be read") from None
    table = read_predictions(predictions)
    try:
        card = json.loads(content)
        _check_card(card, labels_of(table))
        return run_evaluation(card, table, split=split, threshold=threshold, labels=labels, title=str(path))
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(str(path / "card.json"), f"it is not the card of this run ({error})") from None


def _check_card(card: Any, labels: tuple[str, ...]) -> None:
    """Return if `card` fits predictions of `labels`.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(card, dict) or not {"labels", "thresholds", "project", "version"} <= card.keys():
        raise ValueError("labels, thresholds, project and version are needed")
    if tuple(card["labels"]) != labels or len(card["thresholds"]) != len(labels):
        raise ValueError("its labels are not those of predictions.parquet")


def _is_ours(file: Source) -> bool:
    """Whether a Parquet file is PREDICTIONS: it names the labels of its scores."""
    import pyarrow.parquet as pq

    try:
        return LABELS_KEY in (pq.read_schema(file.path).metadata or {})
    except (pa.ArrowException, OSError, ValueError):
        return False


def _own_predictions(
    file: Source, *, split: SplitChoice, threshold: Threshold, labels: Sequence[str] | None
) -> Evaluation:
    table = read_predictions(file.document())
    found = run_evaluation({}, table, split=split, threshold=threshold, labels=labels, title=file.name)
    return replace(found, data_hash=_hash(file))


def _snapshot(file: Source, threshold: Threshold) -> Evaluation:
    rows: list[SnapshotRow] = []
    problems: list[Problem] = []
    for item in read_snapshot(file.lines()):
        (problems if isinstance(item, Problem) else rows).append(item)  # type: ignore[arg-type]
    judged = [row for row in rows if row.true]
    if not any(row.predicted for row in judged):
        why = f"; its first problem: {problems[0].message}" if problems else ""
        raise BadData(f"{file.name} holds no image with both truth and prediction{why}")
    notes = []
    if len(judged) < len(rows):
        n_dropped = len(rows) - len(judged)
        dropped = plural(n_dropped, "image without a true label is", "images without a true label are")
        notes.append(f"{n_dropped:,} {dropped} not counted.")
    verdicts = judge_snapshot(judged, threshold=threshold if isinstance(threshold, float) else None)
    if threshold is not None and "thresholds" not in verdicts.predicted:
        raise Invalid("threshold", f"{file.name} does not say which predictions are above their thresholds")
    n_hidden = _without_highest(judged)
    if n_hidden and verdicts.rule == "highest":
        notes.append(
            f"{n_hidden:,} {plural(n_hidden, 'image has', 'images have')} no prediction above its threshold. There the "
            "snapshot lists the true label and not the highest score, so the view by highest score may flatter; "
            "the one by thresholds does not."
        )
    if threshold is not None:
        verdicts = verdicts.led_by("thresholds")
    name = Path(file.name).name
    split = "test" if name.startswith("Testing") else "train" if name.startswith("Training") else None
    return from_verdicts(
        verdicts, title=file.name, kind="snapshot", split=split, problems=tuple(problems), notes=tuple(notes)
    )


def _without_highest(rows: Sequence[SnapshotRow]) -> int:
    """How many images list nothing above a threshold, in a snapshot that lists no wrong label below one.

    Rekognition lists a label below its threshold only if it is true, so the highest score is not always in the file.
    """
    if any(said.is_above_threshold is False and said.label not in row.true for row in rows for said in row.predicted):
        return 0
    return sum(all(said.is_above_threshold is False for said in row.predicted) for row in rows)


def _summary(file: Source, threshold: Threshold) -> tuple[Evaluation, bool]:
    """The evaluation of a summary, and whether its counts are counts."""
    if threshold is not None:
        raise Invalid(
            "threshold", f"{file.name} is a summary: it holds counts and no scores; give the run or the snapshot"
        )
    found = counted.read_counted_summary(file.document(), file.name)
    evaluation = Evaluation(
        title=file.name,
        kind="summary",
        labels=found.matrix.labels,
        rule="highest" if found.matrix.unit == "samples" else "thresholds",
        matrix=found.matrix,
        split="test",
        n_images=found.n_images,
        thresholds=found.thresholds,
        notes=found.notes,
        model=found.model,
        made=found.made,
        multi_label=found.matrix.unit != "samples",
        findings=found.findings,
    )
    return evaluation, found.is_exact


def _matrix_file(file: Source, shape: str, threshold: Threshold) -> Evaluation:
    if threshold is not None:
        raise Invalid("threshold", f"{file.name} holds counts and no scores; give the run or the predictions")
    read = counted.read_matrix_json if shape == "matrix" else counted.read_wide_csv
    found = read(file.document(), file.name)
    return Evaluation(
        title=file.name,
        kind="cells",
        labels=found.matrix.labels,
        rule="as given",
        matrix=found.matrix,
        split=found.split,
        n_images=found.n_images,
        notes=found.notes,
        model=found.model,
        made=found.made,
        data_hash=found.data_hash,
        multi_label=found.matrix.unit != "samples",
    )


def _table(
    file: Source,
    format: Format,  # noqa: A002
    split: SplitChoice,
    threshold: Threshold,
    columns: tuple[str | None, str | None],
) -> Evaluation:
    if threshold == "assumed":
        raise Invalid("threshold", f"{file.name} holds no assumed thresholds; give the directory of a run, or a number")
    found = count_file(
        file,
        format=format,
        true_column=columns[0],
        predicted_column=columns[1],
        split=split,
        threshold=threshold,
        keep_rows=KEPT_ROWS,
    )
    matrix = matrix_from_cells(found.cells)
    rows = found.rows
    notes = list(found.notes)
    if found.columns.uri and rows is None and found.columns.count is None:
        notes.append(f"The file has {found.n_rows:,} images; above {KEPT_ROWS:,} they are counted and not listed.")
    if rows is not None:
        rows = rows.add_column(1, "sha256", pa.nulls(rows.num_rows, pa.string()))
    return Evaluation(
        title=file.name,
        kind="predictions" if found.columns.count is None else "cells",
        labels=matrix.labels,
        rule="as given" if threshold is None else "thresholds",
        matrix=matrix,
        split=found.split,
        n_images=round(float(matrix.total)),
        thresholds=None if threshold is None else (threshold,) * len(matrix.labels),
        predictions=rows,
        notes=tuple(notes),
    )


def _train_counts(predictions: pa.Table) -> dict[str, int]:
    """Training images by label, in the order of the labels."""
    counts = dict.fromkeys(labels_of(predictions), 0)
    trained = predictions.filter(pc.equal(predictions.column("split"), "train")).column("true")
    flat = pc.list_flatten(trained) if pa.types.is_list(trained.type) else trained
    for item in pc.value_counts(flat).to_pylist():
        counts[item["values"]] += item["counts"]
    return counts


def _hash(file: Source) -> str | None:
    """sha256 of the file's bytes, hexadecimal; None for a file that takes too long to hash."""
    if file.path.stat().st_size > HASHED_BYTES:
        return None
    with file.path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
