"""What a training leaves besides its bundle: AWS's six files and the page.

Each function gives (name, bytes) pairs for a sink. Nothing is computed here that the predictions do not say; this is
where counts, scores and problems take the shapes that `formats` and `report` write.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deconfuse import names
from deconfuse.engine.cache import EmbeddingCache
from deconfuse.engine.evaluation import run_evaluation
from deconfuse.engine.imports import s3_uri, validation_lines
from deconfuse.engine.judging import score_matrix
from deconfuse.engine.showing import matrix_view
from deconfuse.engine.thumbnails import from_cache_or_image
from deconfuse.errors import Problem
from deconfuse.formats.evaluation import (
    EvaluationSummary,
    LabelResult,
    SnapshotRow,
    listed_predictions,
    write_snapshot,
    write_summary,
)
from deconfuse.formats.manifest import Entry
from deconfuse.formats.validation import (
    SideCounts,
    count_side,
    write_manifest_summary,
    write_validation_manifest,
)
from deconfuse.measure.labels import indicator
from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.measure.rates import wilson
from deconfuse.measure.scores import binary_counts, label_scores_from_binary, macro
from deconfuse.report.render import standalone
from deconfuse.tables import Split, labels_of

Artefact = tuple[str, bytes | Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run is called.

    Attributes:
        project: name of the project.
        version: name of the version in it.
        created: when the training began, with a time zone.
        region: AWS region for the ARN.
        account: 12-digit account for the ARN.
        place: what its user calls it, for its page: the run directory.
    """

    project: str
    version: str
    created: datetime
    region: str
    account: str
    place: str = ""

    @property
    def arn(self) -> str:
        """The ARN of the version that this training makes."""
        milliseconds = round(self.created.timestamp() * 1000)
        return str(names.VersionArn(self.project, self.version, milliseconds, self.region, self.account))

    @property
    def artefacts(self) -> names.ArtefactNames:
        """The names of AWS's six files."""
        return names.artefact_names(self.project, self.version)


@dataclass(frozen=True, slots=True)
class Sample:
    """A usable image with its truth.

    Attributes:
        entry: the line or file it came from.
        sha256: of its bytes.
        row: its row in the embeddings.
        split: its side.
    """

    entry: Entry
    sha256: str
    row: int
    split: Split

    @property
    def uri(self) -> str:
        """Its path below the folder given, or its s3:// address."""
        return self.entry.uri or ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Its true labels."""
        return self.entry.labels


def validation_files(
    entries: Sequence[Entry],
    samples: Sequence[Sample],
    problems: Sequence[Problem],
    *,
    errors: Sequence[Problem],
    identity: Identity,
) -> Iterator[Artefact]:
    """The manifest summary and the two manifests with what was found wrong on each line.

    An entry that could not be used stands on the side it was given for, or on the training side.

    Args:
        entries: every line or file of IMAGES and the test images.
        samples: those that are used, with their side.
        problems: everything found.
        errors: why the data as a whole cannot be trained on.
        identity: of the run.
    """
    named = identity.artefacts
    side_of_entry = {_place(sample.entry): sample.split for sample in samples}
    counts: dict[Split, SideCounts] = {}
    sides: tuple[tuple[Split, str], ...] = (("train", named.training_validation), ("test", named.testing_validation))
    for side, name in sides:
        mine = [entry for entry in entries if side_of_entry.get(_place(entry), entry.split or "train") == side]
        lines, numbered = validation_lines(mine, problems, created=identity.created)
        found = tuple(problem for problem in errors if problem.split == side)
        counts[side] = replace(count_entries(mine, samples), errors=found)
        yield name, write_validation_manifest(lines, numbered)
    both = [problem for problem in errors if problem.split is None]
    yield named.manifest_summary, write_manifest_summary(counts["train"], counts["test"], both)


def count_entries(entries: Sequence[Entry], samples: Iterable[Sample]) -> SideCounts:
    """The counts of one side, by the places of `entries`; a usable one that became no sample has a bad image."""
    used = {_place(sample.entry) for sample in samples}
    placed = [(line, entry, _place(entry) in used) for line, entry in enumerate(entries, start=1)]
    return count_side(
        [replace(entry, line=line) for line, entry, _ in placed],
        bad_lines=[line for line, entry, is_used in placed if entry.is_usable and not is_used],
    )


def _place(entry: Entry) -> tuple[int | None, str, Split | None]:
    """What tells an entry from every other of the same training."""
    return entry.line, entry.uri or "", entry.split


def evaluation_files(
    predictions: pa.Table, thresholds: Sequence[float] | NDArray[np.float64], *, identity: Identity, ended: datetime
) -> Iterator[Artefact]:
    """The evaluation summary and the two snapshots.

    Args:
        predictions: PREDICTIONS of both splits.
        thresholds: one assumed threshold a label.
        identity: of the run.
        ended: when the evaluation ended.
    """
    thresholds = [float(threshold) for threshold in thresholds]
    named = identity.artefacts
    yield named.summary, summary(predictions, thresholds, identity=identity, ended=ended)
    sides: tuple[tuple[Split, str], ...] = (("train", named.training_snapshot), ("test", named.testing_snapshot))
    for split, name in sides:
        rows = snapshot_rows(side_of(predictions, split), thresholds)
        yield name, write_snapshot(rows, created=identity.created)


def side_of(predictions: pa.Table, split: Split) -> pa.Table:
    """The predictions of one split."""
    import pyarrow.compute as pc

    return predictions.filter(pc.equal(predictions.column("split"), split))


def snapshot_rows(predictions: pa.Table, thresholds: Sequence[float]) -> Iterator[SnapshotRow]:
    """One snapshot row for each of `predictions`."""
    labels = labels_of(predictions)
    for batch in predictions.select(["uri", "true", "scores"]).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            true = (row["true"],) if isinstance(row["true"], str) else tuple(row["true"])
            said = listed_predictions(row["scores"], labels=labels, thresholds=thresholds, true=true)
            yield SnapshotRow(s3_uri(row["uri"]), true, said)


def summary(predictions: pa.Table, thresholds: Sequence[float], *, identity: Identity, ended: datetime) -> bytes:
    """The evaluation summary: AWS's fields, then ours.

    Scores of labels are one against the rest at the assumed thresholds and averages are plain means over the labels
    with test images, both as AWS computes them. The confusion matrix holds shares of the true label under the highest
    score; in a multi-label model, of the label-to-label matrix without its *no label* row and column.
    """
    labels = labels_of(predictions)
    tested = side_of(predictions, "test")
    truth, scores = truth_and_scores(tested)
    by_label = label_scores_from_binary(binary_counts(truth, scores >= np.asarray(thresholds)))
    support, means = truth.sum(axis=0), macro(by_label)
    matrix = count(tested, labels)
    results = tuple(
        LabelResult(
            label,
            precision=float(by_label.precision[k]),
            recall=float(by_label.recall[k]),
            f1=float(by_label.f1[k]),
            threshold=float(thresholds[k]),
            n_test=int(support[k]),
        )
        for k, label in enumerate(labels)
    )
    content = EvaluationSummary(
        project_version_arn=identity.arn,
        ended=ended,
        labels=labels,
        n_training=predictions.num_rows - tested.num_rows,
        n_testing=tested.num_rows,
        cells=shares(matrix),
        label_results=results,
        f1=means.f1,
        precision=means.precision,
        recall=means.recall,
    )
    return write_summary(content, deconfuse=own_part(matrix, labels, support, thresholds))


def truth_and_scores(predictions: pa.Table) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(bool[n, K] truth, float64[n, K] scores) of PREDICTIONS."""
    labels = labels_of(predictions)
    true = predictions.column("true").to_pylist()
    truth = indicator([(label,) if isinstance(label, str) else label for label in true], labels, "true")
    return truth, score_matrix(predictions, len(labels)).astype(np.float64)


def count(predictions: pa.Table, labels: tuple[str, ...]) -> ConfusionMatrix:
    """The confusion matrix of PREDICTIONS under their own rule."""
    true, predicted = predictions.column("true"), predictions.column("predicted")
    if pa.types.is_list(true.type):
        return ConfusionMatrix.from_label_sets(true.to_pylist(), predicted.to_pylist(), labels=labels)
    return ConfusionMatrix.from_predictions(true, predicted, labels=labels)


def shares(matrix: ConfusionMatrix) -> dict[tuple[str, str], float]:
    """Share of the true label by (true, predicted), pairs of labels only; labels without any are left out."""
    counts = matrix.counts[:-1, :-1].astype(np.float64)
    totals = counts.sum(axis=1)
    return {
        (true, predicted): float(counts[i, j] / totals[i])
        for i, true in enumerate(matrix.labels)
        if totals[i] > 0
        for j, predicted in enumerate(matrix.labels)
    }


def own_part(
    matrix: ConfusionMatrix, labels: tuple[str, ...], support: NDArray[np.int64], thresholds: Sequence[float]
) -> dict[str, Any]:
    """What AWS's summary has no place for: counts, intervals, the rule, where thresholds come from."""
    hits, total = matrix.correct.sum(), matrix.total
    return {
        "Version": names.VERSION,
        "Rule": "highest score" if matrix.unit == "samples" else "each label at its assumed threshold",
        "Unit": matrix.unit,
        "Labels": list(labels),
        "Counts": matrix.counts.tolist(),
        "CountsAre": "rows: true label, columns: predicted label, both in the order of Labels and then no label",
        "Accuracy": rate(hits, total),
        "Recall": dict(zip(labels, map(rate, matrix.correct, matrix.support), strict=True)),
        "Precision": dict(zip(labels, map(rate, matrix.correct, matrix.predicted_counts), strict=True)),
        "IntervalsAre": "Wilson, 95 %",
        "ThresholdsFrom": "out-of-fold predictions of the training images, best F1 a label",
        "LabelMetricsAre": "one label against the rest at its assumed threshold",
        "Thresholds": dict(zip(labels, map(float, thresholds), strict=True)),
        "LabelsWithoutTestImages": [label for label, n in zip(labels, support, strict=True) if n == 0],
    }


def rate(hits: float, trials: float) -> dict[str, float | int | None]:
    """A rate as our part of a summary says it: hits, trials, and its interval; null where nothing was tried."""
    low, high = map(float, wilson(hits, trials))
    low_high = (None, None) if np.isnan(low) else (low, high)
    return {"Hits": int(hits), "Of": int(trials), "Low": low_high[0], "High": low_high[1]}


def report_page(
    predictions: pa.Table,
    card_json: bytes,
    *,
    identity: Identity,
    cache: EmbeddingCache,
    fetch: Callable[[str], bytes],
) -> bytes:
    """The page of a training: pictures from the cache, else from the images.

    Args:
        predictions: PREDICTIONS of both splits.
        card_json: the card as it will be written.
        identity: of the run.
        cache: of the backbone.
        fetch: the bytes of an image.
    """
    evaluation = run_evaluation(json.loads(card_json), predictions, title=identity.place)
    return standalone(matrix_view(evaluation, thumbnail=from_cache_or_image(cache, fetch))).encode()
