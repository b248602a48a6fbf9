"""A summary and the testing snapshot of the same training, as one `Evaluation`.

The two files of Rekognition say different halves. The summary has the confusion matrix by highest score, as shares;
the snapshot has every test image with its truth and the labels that reach their thresholds, and the highest score only
where that is one of them. Together they give counts, both rules, thresholds and images:

    by highest score    counts of the summary; an image is listed where the snapshot tells which label scored highest
    by thresholds       counts and images of the snapshot, thresholds of the summary

Where the two contradict each other the summary stands alone, and a note says so. An image is never listed in a cell
that it is not counted in.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deconfuse.engine.evaluation import Evaluation, Threshold, counted_evaluation, finished, from_verdicts
from deconfuse.engine.judging import JudgedSnapshot, Verdicts, hidden_note, read_judged_snapshot
from deconfuse.engine.matrices import Counted, read_counted_summary
from deconfuse.errors import Invalid
from deconfuse.insights.wording import plural
from deconfuse.measure.matrix import ConfusionMatrix, Matrix

_SEVERAL = (
    "An image may have several labels: the matrix is counted from the snapshot, by thresholds. How Rekognition counts "
    "such a matrix is not known."
)
_ELSEWHERE = (
    "The snapshot tells of other test images than the summary counts: only the summary is shown, without its images."
)
_APART = (
    "The highest scores in the snapshot do not fit the matrix of the summary: only the summary is shown, without its "
    "images."
)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the two files.

    Attributes:
        name: what to call it in messages.
        lines: its bytes, in lines with or without their ends.
    """

    name: str
    lines: Iterable[bytes]


def summary_alone(summary: bytes, name: str, *, title: str, labels: Sequence[str] | None, note: str = "") -> Evaluation:
    """The evaluation that a summary holds.

    Args:
        summary: the file.
        name: what to call it in messages.
        title: of the evaluation.
        labels: only these; the others are summed as *(other)*.
        note: one more sentence that a reader of the numbers must know.

    Raises:
        BadData: it is no summary, or that of a model which is no classifier.
        Invalid: an unknown label.
    """
    counted = read_counted_summary(summary, name)
    found = replace(counted_evaluation(counted, title=title, is_summary=True), data_hash=_hash(summary))
    return finished(replace(found, notes=(*found.notes, *([note] if note else ()))), labels)


def join(
    summary: bytes,
    name: str,
    snapshot: Part,
    *,
    title: str,
    threshold: Threshold = None,
    labels: Sequence[str] | None = None,
) -> Evaluation:
    """The evaluation that a summary and the testing snapshot hold together.

    Args:
        summary: the summary.
        name: what to call it in messages.
        snapshot: the snapshot of the same training.
        title: of the evaluation.
        threshold: None for the highest score; "assumed" for the thresholds that Rekognition found; a number for every
            label.
        labels: only these; the others are summed as *(other)*.

    Raises:
        BadData: the summary is none, or that of a model which is no classifier; or no image of the snapshot can be
            used.
        Invalid: an unknown label, or thresholds that the snapshot does not know.
    """
    counted = read_counted_summary(summary, name)
    judged = read_judged_snapshot(
        snapshot.lines,
        snapshot.name,
        threshold=threshold if isinstance(threshold, float) else None,
        labels=counted.matrix.labels,
        multi_label=counted.matrix.unit != "samples",
    )
    if not counted.is_exact and not judged.verdicts.multi_label:
        counted = read_counted_summary(summary, name, tested=Counter(judged.verdicts.images.column("true").to_pylist()))
    if threshold is None:
        judged = replace(judged, verdicts=_with_thresholds(judged.verdicts, counted.thresholds))
        found = _joined(counted, judged)
    else:
        found = _by_thresholds(counted, judged, threshold, snapshot.name)
    found = replace(
        found,
        title=title,
        split="test",
        model=counted.model,
        made=counted.made,
        data_hash=_hash(summary),
        problems=judged.problems,
    )
    return finished(found, labels)


def _joined(counted: Counted, judged: JudgedSnapshot) -> Evaluation:
    """The two under the rule of the summary's matrix."""
    verdicts = judged.verdicts
    if verdicts.multi_label:
        own = verdicts.matrix(verdicts.rule)
        notes = () if _is_same(counted, own) else (_SEVERAL,)
        return _snapshot_leads(judged, notes)
    if not counted.is_exact:
        hidden = [hidden_note(judged.n_hidden)] if judged.n_hidden else []
        why = "The matrix is counted from the snapshot, because no counts fit the shares in the summary."
        return _snapshot_leads(judged, (why, *hidden))
    summed = counted.matrix.align(verdicts.labels)
    assert isinstance(summed, ConfusionMatrix)
    if _is_same(counted, verdicts.matrix("highest")):
        # Equal counts are equal images. An image whose highest score is not listed is said to be its true label, which
        # no image leaves, or a label with a lower threshold than that of the unlisted one: such errors all go one way
        # and cannot make up for each other.
        found = _snapshot_leads(judged, counted.notes)
        return replace(found, kind="summary")
    alone = replace(counted_evaluation(counted, title="", is_summary=True), notes=(*counted.notes, *judged.notes))
    if not _same_truth(summed, verdicts):
        return replace(alone, notes=(*alone.notes, _ELSEWHERE))
    placed = _placed(summed, judged)
    if placed is None:
        return replace(alone, notes=(*alone.notes, _APART))
    return _with_listed(summed, judged, placed, counted.notes)


def _with_thresholds(verdicts: Verdicts, thresholds: tuple[float, ...] | None) -> Verdicts:
    """`verdicts` with the thresholds that the summary states; a label that it does not name has none."""
    if thresholds is None or "thresholds" not in verdicts.predicted:
        return verdicts
    missing = (float("nan"),) * (len(verdicts.labels) - len(thresholds))
    return replace(verdicts, thresholds=(*thresholds, *missing))


def _by_thresholds(counted: Counted, judged: JudgedSnapshot, threshold: Threshold, name: str) -> Evaluation:
    """The snapshot by thresholds, the highest score beside it only where its images are known for certain."""
    verdicts = judged.verdicts
    if "thresholds" not in verdicts.predicted:
        raise Invalid("threshold", f"{name} does not say which predictions are above their thresholds")
    if threshold == "assumed":
        verdicts = _with_thresholds(verdicts, counted.thresholds)
    is_known = "highest" in verdicts.predicted and _is_same(counted, verdicts.matrix("highest"))
    verdicts = verdicts.led_by("thresholds")
    if not is_known:
        verdicts = replace(verdicts, predicted={"thresholds": verdicts.predicted["thresholds"]})
    return _snapshot_leads(replace(judged, verdicts=verdicts), ())


def _snapshot_leads(judged: JudgedSnapshot, notes: tuple[str, ...]) -> Evaluation:
    return from_verdicts(
        judged.verdicts, title="", kind="snapshot", split="test", problems=(), notes=(*notes, *judged.notes)
    )


def _is_same(counted: Counted, matrix: Matrix) -> bool:
    """Whether the summary counts what `matrix` does."""
    if not counted.is_exact or counted.matrix.unit != matrix.unit:
        return False
    return bool(counted.matrix.align(matrix.labels) == matrix)


def _same_truth(summed: ConfusionMatrix, verdicts: Verdicts) -> bool:
    """Whether the summary and the snapshot have the same number of images of each true label."""
    return bool(np.array_equal(summed.support, verdicts.matrix("highest").support))


def _placed(summed: ConfusionMatrix, judged: JudgedSnapshot) -> NDArray[np.intp] | None:
    """By image, the place of its highest-scoring label, -1 where that cannot be told; None if the two files disagree.

    What the certain images leave over of a row of the matrix belongs to the others with that true label; where it is
    all in one cell, they are all there.
    """
    verdicts = judged.verdicts
    place = {label: k for k, label in enumerate(verdicts.labels)}
    said, truth = verdicts.predicted["highest"].to_pylist(), verdicts.images.column("true").to_pylist()
    true = np.array([place[label] for label in truth], np.intp)
    highest = np.array([place.get(label, -1) for label in said], np.intp)
    certain = np.where(judged.is_highest, highest, -1)
    rest = summed.counts[:-1, :-1].copy()
    np.subtract.at(rest, (true[certain >= 0], certain[certain >= 0]), 1)
    if bool((rest < 0).any()):
        return None
    for row in np.unique(true[certain < 0]):
        open_cells = np.flatnonzero(rest[row])
        if len(open_cells) == 1:
            certain[(true == row) & (certain < 0)] = open_cells[0]
    return certain


def _with_listed(
    summed: ConfusionMatrix, judged: JudgedSnapshot, placed: NDArray[np.intp], notes: tuple[str, ...]
) -> Evaluation:
    """The summary's matrix, with those images of the snapshot whose cell is certain."""
    verdicts = judged.verdicts
    names = pa.array([*verdicts.labels, None], pa.string())
    highest = names.take(pa.array(np.where(placed < 0, len(verdicts.labels), placed)))
    is_said = np.array(
        [now == was for now, was in zip(highest.to_pylist(), verdicts.predicted["highest"].to_pylist(), strict=True)]
    )
    sure = verdicts.probability["highest"].to_numpy(zero_copy_only=False)
    probability = {**verdicts.probability, "highest": pa.array(sure, pa.float32(), mask=~is_said | np.isnan(sure))}
    corrected = replace(verdicts, predicted={**verdicts.predicted, "highest": highest}, probability=probability)
    found = _snapshot_leads(replace(judged, verdicts=corrected), notes)
    is_listed = placed >= 0
    n_hidden = int((~is_listed).sum())
    if n_hidden:
        note = (
            f"For {n_hidden:,} {plural(n_hidden, 'image', 'images')} the snapshot does not tell which label scored "
            f"highest: {plural(n_hidden, 'it is', 'they are')} counted, and not listed."
        )
        found = replace(found, notes=(*found.notes, note))
    table = found.predictions
    assert table is not None
    return replace(found, kind="summary", matrix=summed, predictions=table.filter(pa.array(is_listed)))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
