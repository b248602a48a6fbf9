"""Images with their truth and what each decision rule says of them: the step between scores and counts.

    highest      the label with the highest score
    thresholds   the highest-scoring label among those that reach their threshold, or none; in a multi-label model
                 every label that reaches its threshold
    as given     what the source says, without scores

A model with one label an image is judged by both rules where it has scores and thresholds; a multi-label model has
only the second. Every matrix of an evaluation is counted from one of these columns, so the images of a cell are
always the ones that were counted in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deconfuse.errors import BadData, Invalid, Problem
from deconfuse.formats.evaluation import SnapshotRow, read_snapshot
from deconfuse.insights.wording import plural
from deconfuse.measure.labels import OTHER, indicator, predicted_codes
from deconfuse.measure.matrix import DENSE_LIMIT, Cells, ConfusionMatrix, Matrix
from deconfuse.measure.scores import binary_counts, invented_in_addition
from deconfuse.names import natural_key
from deconfuse.tables import is_multi_label, labels_of

Rule = Literal["highest", "thresholds", "as given"]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """n images, their truth, and a prediction a rule.

    Attributes:
        labels: the K labels.
        multi_label: whether truth and predictions are lists of labels.
        images: uri, sha256 (null where unknown), true (string, or list<string>), scores (list<float32>, only where
            the source has one a label).
        predicted: by rule, n values like `true`; null, or an empty list, is *no label*. The first rule leads.
        probability: by rule, float32[n], of the predicted label; null where there is not one.
        thresholds: float[K] of the rule "thresholds"; None where there is no such rule or the source keeps them.
    """

    labels: tuple[str, ...]
    multi_label: bool
    images: pa.Table
    predicted: Mapping[Rule, pa.Array]
    probability: Mapping[Rule, pa.Array]
    thresholds: tuple[float, ...] | None

    @property
    def rule(self) -> Rule:
        """The rule that leads."""
        return next(iter(self.predicted))

    def led_by(self, rule: Rule) -> Verdicts:
        """The same with another rule first."""
        ordered = {rule: self.predicted[rule]} | {r: p for r, p in self.predicted.items() if r != rule}
        return Verdicts(self.labels, self.multi_label, self.images, ordered, self.probability, self.thresholds)

    def matrix(self, rule: Rule) -> Matrix:
        """The counts under `rule`."""
        true, predicted = self.images.column("true"), self.predicted[rule]
        if self.multi_label:
            return ConfusionMatrix.from_label_sets(true.to_pylist(), predicted.to_pylist(), labels=self.labels)
        if len(self.labels) > DENSE_LIMIT:
            return Cells.from_predictions(true, predicted, labels=self.labels)
        return ConfusionMatrix.from_predictions(true, predicted, labels=self.labels)

    def table(self) -> pa.Table:
        """uri, sha256, true; predicted and probability of the leading rule; scores; predicted_<rule> of the others."""
        table = self.images.append_column("predicted", self.predicted[self.rule])
        table = table.append_column("probability", self.probability[self.rule])
        for rule, predicted in self.predicted.items():
            if rule != self.rule:
                table = table.append_column(f"predicted_{rule}", predicted)
        names = [name for name in ("uri", "sha256", "true", "predicted", "probability") if name in table.column_names]
        return table.select([*names, *(name for name in table.column_names if name not in names)])


def binary_table(
    true: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]], labels: tuple[str, ...]
) -> NDArray[np.int64]:
    """int64[K, 2, 2], [[TN, FP], [FN, TP]] a label of `labels`; *(other)* is any label that is not among them."""
    return binary_counts(*_indicators(true, predicted, labels))


def invented_table(
    true: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]], labels: tuple[str, ...]
) -> NDArray[np.int64]:
    """int64[K, K], `measure.scores.invented_in_addition` of lists of labels; *(other)* as in `binary_table`."""
    return invented_in_addition(*_indicators(true, predicted, labels))


def _indicators(
    true: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]], labels: tuple[str, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    known = frozenset(labels)
    truth, said = (
        indicator([[label if label in known else OTHER for label in row or ()] for row in side], labels, "labels")
        for side in (true, predicted)
    )
    return truth, said


def judge(predictions: pa.Table, thresholds: Sequence[float] | None) -> Verdicts:
    """The verdicts on PREDICTIONS; the highest score leads, thresholds in a multi-label model.

    Args:
        predictions: PREDICTIONS.
        thresholds: float[K]; None leaves the rule out (in a multi-label model: takes the predictions as they stand).
    """
    labels = labels_of(predictions)
    images = predictions.select(["uri", "sha256", "true", "scores"])
    nothing = pa.nulls(predictions.num_rows, pa.float32())
    scores = score_matrix(predictions, len(labels))
    stated = None if thresholds is None else tuple(float(threshold) for threshold in thresholds)
    if is_multi_label(predictions):
        predicted = predictions.column("predicted").combine_chunks()
        if stated is not None:
            reached = scores >= np.asarray(stated, scores.dtype)
            predicted = pa.array([[labels[k] for k in np.flatnonzero(row)] for row in reached], predicted.type)
        return Verdicts(labels, True, images, {"thresholds": predicted}, {"thresholds": nothing}, stated)
    names = pa.array([*labels, None], pa.string())
    rules: dict[Rule, Sequence[float] | None] = {"highest": None}
    if stated is not None:
        rules["thresholds"] = stated
    predicted_by: dict[Rule, pa.Array] = {}
    probability_by: dict[Rule, pa.Array] = {}
    for rule, limits in rules.items():
        codes = predicted_codes(scores, thresholds=limits, n_labels=len(labels))
        predicted_by[rule] = names.take(pa.array(np.where(codes < 0, len(labels), codes)))
        sure = scores[np.arange(len(codes)), codes] if len(codes) else np.empty(0, np.float32)
        probability_by[rule] = pa.array(sure.astype(np.float32), mask=codes < 0)
    return Verdicts(labels, False, images, predicted_by, probability_by, stated)


def score_matrix(predictions: pa.Table, n_labels: int) -> NDArray[np.float32]:
    """float32[n, K], the scores of PREDICTIONS."""
    flat = pc.list_flatten(predictions.column("scores")).to_numpy()
    return np.asarray(flat, np.float32).reshape(predictions.num_rows, n_labels)


@dataclass(frozen=True, slots=True)
class JudgedSnapshot:
    """The images of a manifest snapshot.

    Attributes:
        verdicts: on the images that have a true label.
        problems: lines that could not be used.
        notes: sentences that a reader of the numbers must know.
        is_highest: bool[n], whether no label that the file does not list can have scored as high as the highest that
            it lists. Scores of one image sum to 1 where an image has one label.
        n_hidden: images that list nothing above a threshold, in a file that lists no wrong label below one.
    """

    verdicts: Verdicts
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    is_highest: NDArray[np.bool_]
    n_hidden: int


def hidden_note(n_hidden: int) -> str:
    """What to say of a view by highest score where `n_hidden` images do not list it."""
    return (
        f"{n_hidden:,} {plural(n_hidden, 'image has', 'images have')} no prediction above its threshold. There the "
        "snapshot lists the true label and not the highest score, so the view by highest score may flatter; "
        "the one by thresholds does not."
    )


def read_judged_snapshot(
    lines: Iterable[bytes],
    name: str,
    *,
    threshold: float | None,
    labels: Sequence[str] = (),
    multi_label: bool = False,
) -> JudgedSnapshot:
    """The images of a manifest snapshot with the verdicts it holds.

    Args:
        lines: of the file.
        name: what to call it in messages.
        threshold: as in `judge_snapshot`, as are the others.
        labels: labels that are known, in their order.
        multi_label: whether an image may have several labels.

    Raises:
        BadData: no image has both truth and prediction.
    """
    rows: list[SnapshotRow] = []
    problems: list[Problem] = []
    for item in read_snapshot(lines):
        (problems if isinstance(item, Problem) else rows).append(item)  # type: ignore[arg-type]
    judged = [row for row in rows if row.true]
    if not any(row.predicted for row in judged):
        why = f"; its first problem: {problems[0].message}" if problems else ""
        raise BadData(f"{name} holds no image with both truth and prediction{why}")
    notes = []
    if len(judged) < len(rows):
        n_dropped = len(rows) - len(judged)
        dropped = plural(n_dropped, "image without a true label is", "images without a true label are")
        notes.append(f"{n_dropped:,} {dropped} not counted.")
    verdicts = judge_snapshot(judged, threshold=threshold, labels=labels, multi_label=multi_label)
    is_highest = np.array([_lists_highest(row, len(verdicts.labels)) for row in judged], np.bool_)
    return JudgedSnapshot(verdicts, tuple(problems), tuple(notes), is_highest, _without_highest(judged))


def _lists_highest(row: SnapshotRow, n_labels: int) -> bool:
    """Whether the highest score listed is the highest of all, if the scores of an image sum to 1."""
    ranked = sorted((said.probability for said in row.predicted), reverse=True)
    if not ranked or ranked[0] in ranked[1:]:
        return False
    return len(ranked) == n_labels or ranked[0] > 1 - sum(ranked)


def judge_snapshot(
    rows: Iterable[SnapshotRow], *, threshold: float | None, labels: Sequence[str] = (), multi_label: bool = False
) -> Verdicts:
    """The verdicts that a manifest snapshot holds.

    A snapshot lists the labels above their thresholds and the true ones below, and not always the highest score.

    Args:
        rows: images with their truth, one label at least, and the predictions listed.
        threshold: one threshold for all labels; None takes the flags of the file.
        labels: labels that are known, in their order; those that only the file names follow.
        multi_label: whether an image may have several labels; it is so anyway where one has.
    """
    rows = list(rows)
    named = {label for row in rows for label in _named(row)}
    labels = (*labels, *sorted(named.difference(labels), key=natural_key))
    multi_label = multi_label or any(len(row.true) > 1 for row in rows)
    highest, reached = [], []
    for row in rows:
        # A stable sort: of equal probabilities the first one listed wins.
        ranked = sorted(row.predicted, key=lambda said: -said.probability)
        highest.append(ranked[0] if ranked else None)
        reached.append(
            [
                said
                for said in ranked
                if (said.probability >= threshold if threshold is not None else said.is_above_threshold is not False)
            ]
        )
    has_flags = any(said.is_above_threshold is not None for row in rows for said in row.predicted)
    kind = pa.list_(pa.string()) if multi_label else pa.string()
    images = pa.table(
        {
            "uri": pa.array([row.uri for row in rows], pa.string()),
            "sha256": pa.nulls(len(rows), pa.string()),
            "true": pa.array([list(row.true) if multi_label else row.true[0] for row in rows], kind),
        }
    )
    limits = None if threshold is None else (threshold,) * len(labels)
    if multi_label:
        listed = pa.array([[said.label for said in row] for row in reached], kind)
        nothing = pa.nulls(len(rows), pa.float32())
        return Verdicts(labels, True, images, {"thresholds": listed}, {"thresholds": nothing}, limits)
    choices: dict[Rule, list[Any]] = {"highest": highest}
    if has_flags or threshold is not None:
        choices["thresholds"] = [row[0] if row else None for row in reached]
    predicted: dict[Rule, pa.Array] = {
        rule: pa.array([said.label if said else None for said in chosen], kind) for rule, chosen in choices.items()
    }
    probability: dict[Rule, pa.Array] = {
        rule: pa.array([said.probability if said else None for said in chosen], pa.float32())
        for rule, chosen in choices.items()
    }
    return Verdicts(labels, False, images, predicted, probability, limits)


def _named(row: SnapshotRow) -> list[str]:
    return [*row.true, *(said.label for said in row.predicted)]


def _without_highest(rows: Sequence[SnapshotRow]) -> int:
    """How many images list nothing above a threshold, in a snapshot that lists no wrong label below one.

    Rekognition lists a label below its threshold only if it is true, so the highest score is not always in the file.
    """
    if any(said.is_above_threshold is False and said.label not in row.true for row in rows for said in row.predicted):
        return 0
    return sum(all(said.is_above_threshold is False for said in row.predicted) for row in rows)


def check_threshold(threshold: float) -> float:
    """`threshold`, if it can be one.

    Raises:
        Invalid: it lies outside 0..1.
    """
    if not 0 <= threshold <= 1:
        raise Invalid("threshold", f"{threshold:g} is not a probability; a threshold lies between 0 and 1")
    return float(threshold)
