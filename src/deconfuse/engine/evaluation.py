"""Whatever can be looked at as a confusion matrix, as one `Evaluation`.

    run directory, PREDICTIONS ─ judging ┐
    manifest snapshot ────────── judging ┤
    predictions, cells ───────── tally ──┼──► Evaluation ──► findings; `showing`: cell_images, matrix_view
    Rekognition summary ──────── matrices┤
    our own CSV and JSON ─────── matrices┘

`read_evaluation` finds out what a source is and says what it did: which rule, which split, how many images, and every
sentence that a reader of the numbers must know. Nothing is guessed silently.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deconfuse.engine import matrices
from deconfuse.engine.judging import (
    Rule,
    Verdicts,
    binary_table,
    check_threshold,
    hidden_note,
    invented_table,
    judge,
    read_judged_snapshot,
)
from deconfuse.engine.sources import Source, opened, shape_of
from deconfuse.engine.tally import Format, count_file
from deconfuse.errors import Damaged, Denied, Invalid, NotFound, Problem
from deconfuse.formats.predictions import read_predictions
from deconfuse.insights.findings import Finding, find, in_order
from deconfuse.measure.labels import OTHER
from deconfuse.measure.matrix import Matrix, matrix_from_cells
from deconfuse.tables import LABELS_KEY, labels_of

Kind = Literal["run", "predictions", "cells", "summary", "snapshot"]
SplitChoice = Literal["test", "train", "all"]
Threshold = float | Literal["assumed"] | None

KEPT_ROWS = 200_000
"""A file of predictions with more images than this is counted, and its images are not listed."""

HASHED_BYTES = 256 << 20
"""A file up to this size is stamped with the hash of its bytes."""


@dataclass(frozen=True)
class Evaluation:
    """A matrix with everything needed to judge it: where it came from, by which rule, from which images.

    Attributes:
        title: a few words naming the source.
        kind: what the source is.
        labels: the labels of `matrix`, in its order.
        rule: how a prediction was chosen in `matrix`: the highest score, thresholds, or as the source gave it.
        matrix: the counts.
        other: the same images under further rules, by rule.
        split: "test", "train", "all", or None where the source does not say.
        n_images: how many images were counted, under either rule.
        thresholds: float[K], the threshold of each label, where the source has them; NaN where a label has none.
        predictions: one row an image: uri, sha256, true, predicted, probability, scores (not always) and one column
            `predicted_<rule>` for each rule of `other`; None where the source holds no images.
        findings: most important first.
        problems: images and lines that could not be used, and warnings.
        notes: sentences that a reader of the numbers must know.
        model: which model predicted, in words; None where unknown.
        data_hash: a hash of the data, hexadecimal; None where unknown.
        images_root: the folder below which relative uris lie.
        made: when the evaluation was made.
        multi_label: whether an image may have several labels.
        binary: int64[K, 2, 2], [[TN, FP], [FN, TP]] a label, of a multi-label evaluation.
        train_counts: training images a label, where known.
        buckets: directories below which images of s3://bucket/key lie, by bucket.
        is_exact: whether the counts are counts; otherwise they are shares, and have no intervals.
    """

    title: str
    kind: Kind
    labels: tuple[str, ...]
    rule: Rule
    matrix: Matrix
    other: Mapping[Rule, Matrix] = field(default_factory=dict)
    split: str | None = None
    n_images: int = 0
    thresholds: tuple[float, ...] | None = None
    predictions: pa.Table | None = None
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    model: str | None = None
    data_hash: str | None = None
    images_root: Path | None = None
    made: datetime | None = None
    multi_label: bool = False
    binary: NDArray[np.int64] | None = None
    train_counts: Mapping[str, int] | None = None
    buckets: Mapping[str, Path] = field(default_factory=dict)
    is_exact: bool = True


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
    name: str | None = None,
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
        name: what its user calls the source; by default the path, or "standard input".

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
    with opened(source, name=name) as file:
        shape = format or shape_of(file)
        if shape in ("summary", "matrix", "wide"):
            found = _counted(file, shape, threshold)
        elif shape == "snapshot":
            found = _snapshot(file, threshold)
        elif shape == "parquet" and _is_ours(file):
            own = _own_predictions(file, split=split, threshold=threshold, labels=labels)
            return replace(own, buckets=dict(buckets or {}))
        else:
            table_format: Format = format or ("csv" if shape == "csv" else "jsonl" if shape == "jsonl" else "parquet")
            found = _table(file, table_format, split, threshold, (true_column, predicted_column))
        root = source.absolute().parent if isinstance(source, Path) else None
        found = replace(found, data_hash=found.data_hash or _hash(file), images_root=root)
        found = replace(found, buckets=dict(buckets or {}))
    return finished(found, labels)


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
        problems=problems,
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
    found = read_judged_snapshot(file.lines(), file.name, threshold=threshold if isinstance(threshold, float) else None)
    verdicts = found.verdicts
    if threshold is not None:
        if "thresholds" not in verdicts.predicted:
            raise Invalid("threshold", f"{file.name} does not say which predictions are above their thresholds")
        verdicts = verdicts.led_by("thresholds")
    name = Path(file.name).name
    split = "test" if name.startswith("Testing") else "train" if name.startswith("Training") else None
    notes = found.notes
    if found.n_hidden and verdicts.rule == "highest":
        notes = (*notes, hidden_note(found.n_hidden))
    return from_verdicts(verdicts, title=file.name, kind="snapshot", split=split, problems=found.problems, notes=notes)


def _counted(file: Source, shape: Literal["summary", "matrix", "wide"], threshold: Threshold) -> Evaluation:
    """The evaluation of a file that comes counted."""
    is_summary = shape == "summary"
    if threshold is not None:
        what, better = ("is a summary: it holds", "snapshot") if is_summary else ("holds", "predictions")
        raise Invalid("threshold", f"{file.name} {what} counts and no scores; give the run or the {better}")
    readers = {
        "summary": matrices.read_counted_summary,
        "matrix": matrices.read_matrix_json,
        "wide": matrices.read_wide_csv,
    }
    found = readers[shape](file.document(), file.name)
    return counted_evaluation(found, title=file.name, is_summary=is_summary)


def counted_evaluation(found: matrices.Counted, *, title: str, is_summary: bool) -> Evaluation:
    """What comes counted, as an evaluation; without what follows from its counts."""
    multi_label = found.matrix.unit != "samples"
    return Evaluation(
        title=title,
        kind="summary" if is_summary else "cells",
        labels=found.matrix.labels,
        rule="as given" if not is_summary else "thresholds" if multi_label else "highest",
        matrix=found.matrix,
        split=found.split,
        n_images=found.n_images,
        thresholds=found.thresholds,
        findings=found.findings,
        notes=found.notes,
        model=found.model,
        data_hash=found.data_hash,
        made=found.made,
        multi_label=multi_label,
        binary=found.binary,
        is_exact=found.is_exact,
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
    if found.columns.count is not None:
        notes += matrices.percentage_notes(matrix)
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


def from_verdicts(
    verdicts: Verdicts,
    *,
    title: str,
    kind: Kind,
    split: str | None,
    problems: tuple[Problem, ...],
    notes: tuple[str, ...],
) -> Evaluation:
    """The images of `verdicts`, counted under every rule; without findings."""
    matrices = {rule: verdicts.matrix(rule) for rule in verdicts.predicted}
    rule = verdicts.rule
    return Evaluation(
        title=title,
        kind=kind,
        labels=verdicts.labels,
        rule=rule,
        matrix=matrices.pop(rule),
        other=matrices,
        split=split,
        n_images=verdicts.images.num_rows,
        thresholds=verdicts.thresholds,
        predictions=verdicts.table(),
        problems=problems,
        notes=notes,
        multi_label=verdicts.multi_label,
    )


def finished(found: Evaluation, labels: Sequence[str] | None) -> Evaluation:
    """`found`, cut down to `labels`, with what follows from its counts; from shares nothing follows.

    Raises:
        Invalid: an unknown label.
    """
    if labels is not None:
        before = found.labels
        matrix = found.matrix.restrict(labels)
        others = {rule: other.restrict(labels) for rule, other in found.other.items()}
        limits = dict(zip(before, found.thresholds or (), strict=False))
        thresholds = tuple(limits.get(label, float("nan")) for label in matrix.labels) if limits else None
        trained = found.train_counts
        if trained is not None and OTHER in matrix.labels:
            trained = {**trained, OTHER: sum(n for label, n in trained.items() if label not in matrix.labels)}
        found = replace(
            found, labels=matrix.labels, matrix=matrix, other=others, thresholds=thresholds, train_counts=trained
        )
        # What the labels left out have in common cannot be told from a 2×2 table of each.
        found = replace(found, binary=found.binary if labels == list(before) else None)
    if found.multi_label and found.predictions is not None:
        sides = [found.predictions.column(name).to_pylist() for name in ("true", "predicted")]
        found = replace(found, binary=binary_table(sides[0], sides[1], found.labels))
    findings = (*found.findings, *find_under(found, found.rule)) if found.is_exact else ()
    return replace(found, findings=in_order(findings))


def find_under(found: Evaluation, rule: Rule) -> tuple[Finding, ...]:
    """What the counts under `rule` say."""
    matrices = {found.rule: found.matrix, **found.other}
    tested = None
    if found.binary is not None:
        tested = dict(zip(found.labels, found.binary[:, 1].sum(axis=1).tolist(), strict=True))
    invented = None
    if found.multi_label and found.predictions is not None:
        sides = [found.predictions.column(name).to_pylist() for name in ("true", "predicted")]
        invented = invented_table(sides[0], sides[1], found.labels)
    trained = found.train_counts
    if trained is not None:
        trained = {label: trained.get(label, 0) for label in found.labels}
    return find(
        matrices[rule],
        other_rule=next((matrix for other, matrix in matrices.items() if other != rule), None),
        train_counts=trained,
        test_counts=tested,
        rule=rule,
        is_test=found.split == "test",
        invented=invented,
    )
