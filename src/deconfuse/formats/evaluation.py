"""What Rekognition Custom Labels leaves after a training: the evaluation summary and the manifest snapshots.

    EvaluationResultSummary-….json      one JSON object: totals, confusion matrix, one result a label
    TestingGroundTruth-….json           JSON lines: an image, its truth, and each prediction with its four flags
    TrainingGroundTruth-….json          the same for the images trained with

Two shapes of the summary are about: numbers of the whole model directly in AggregatedEvaluationResults, as real
files have them, and nested under Metrics, as AWS's reference page has them. Both are read, the flat one is written.

A cell of the ConfusionMatrix has exactly GroundTruthLabel, PredictedLabel and Value, since a further number would
enter AWS's published pandas viewer; what deconfuse adds stands under one last key of its own, `Deconfuse`. `Value` is
the share of the images of the ground-truth label, so that the pairs of one ground-truth label sum to 1. A label
without test images has no shares: its pairs are left out rather than written as null or 0, because viewers put Value
into arithmetic as it is.

What the numbers of a file from AWS mean is not decided here; `measure.recover` finds that out.

Sources: developer guide, "Training results summary file", "Evaluation manifest snapshot", and the files of real
trainings where the two differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deconfuse.errors import BadData, Invalid, Problem
from deconfuse.formats.manifest import (
    DETAILS,
    METADATA,
    Entry,
    ManifestLimits,
    is_prediction,
    label_metadata,
    read_manifest,
)
from deconfuse.formats.strict_json import Json, NotJson, is_integer, is_number, parse_object, write
from deconfuse.names import natural_key

TRAINING = "rekognition-custom-labels-training"
EVALUATION = "rekognition-custom-labels-evaluation"
OWN_KEY = "Deconfuse"

_NO_LIMITS = ManifestLimits(0, 0, 0, 0, 0, 0, 0, 0)
_NOT_A_SUMMARY = "this is not an evaluation summary of Rekognition Custom Labels"


@dataclass(frozen=True, slots=True)
class LabelResult:
    """The result of one label at its threshold, one label against the rest.

    Attributes:
        label: its name.
        precision: 0 to 1; NaN where undefined, as are the next three.
        recall: 0 to 1.
        f1: 0 to 1.
        threshold: assumed threshold, 0 to 1.
        n_test: test images with this label; None where the file does not say.
    """

    label: str
    precision: float
    recall: float
    f1: float
    threshold: float
    n_test: int | None


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """An evaluation summary.

    Attributes:
        project_version_arn: of the model; "" where the file does not say.
        ended: when the evaluation ended, UTC; None where the file does not say.
        labels: all labels of the model, in the order of the file.
        n_training: images trained with; None where the file does not say.
        n_testing: images tested with; None where the file does not say.
        cells: (true, predicted) → value, as the file has it; pairs may be missing. None: no confusion matrix.
        label_results: one for each label with test images, best F1 first.
        f1: mean of the labels' F1, 0 to 1; NaN where undefined, as are the next two.
        precision: mean of the labels' precision.
        recall: mean of the labels' recall.
        deconfuse: what stands under our own key, or None.
    """

    project_version_arn: str
    ended: datetime | None
    labels: tuple[str, ...]
    n_training: int | None
    n_testing: int | None
    cells: dict[tuple[str, str], float] | None
    label_results: tuple[LabelResult, ...]
    f1: float
    precision: float
    recall: float
    deconfuse: dict[str, Any] | None = None


def is_summary(data: bytes) -> bool:
    """Whether `data`, a file or its beginning, looks like an evaluation summary."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and b'"AggregatedEvaluationResults"' in data


def read_summary(data: bytes) -> EvaluationSummary:
    """The evaluation summary that `data` holds, flat or nested, AWS's or ours; values as they stand there.

    Raises:
        BadData: it is no evaluation summary, or a part of it contradicts itself; the sentence says which.
    """
    try:
        content = parse_object(data)
    except NotJson as error:
        raise BadData(f"{_NOT_A_SUMMARY}: {error}") from None
    aggregated = content.get("AggregatedEvaluationResults")
    if not isinstance(aggregated, dict):
        raise BadData(f"{_NOT_A_SUMMARY}: it has no AggregatedEvaluationResults")
    nested = aggregated.get("Metrics")
    totals = aggregated | nested if isinstance(nested, dict) else aggregated
    details = _object(content.get("EvaluationDetails"), "EvaluationDetails")
    results = tuple(_label_results(content.get("LabelEvaluationResults")))
    cells = _cells(totals["ConfusionMatrix"]) if totals.get("ConfusionMatrix") is not None else None
    own = content.get(OWN_KEY)
    return EvaluationSummary(
        project_version_arn=str(details.get("ProjectVersionArn") or ""),
        ended=_moment(details.get("EvaluationEndTimestamp")),
        labels=_labels(details.get("Labels"), results, cells),
        n_training=_count(details.get("NumberOfTrainingImages")),
        n_testing=_count(details.get("NumberOfTestingImages")),
        cells=cells,
        label_results=results,
        f1=_number(totals.get("F1Score")),
        precision=_number(totals.get("Precision")),
        recall=_number(totals.get("Recall")),
        deconfuse=own if isinstance(own, dict) else None,
    )


def _object(value: Json, name: str) -> dict[str, Json]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadData(f"{_NOT_A_SUMMARY}: {name} is no object in braces")
    return value


def _number(value: Json) -> float:
    return float(value) if is_number(value) else math.nan


def _count(value: Json) -> int | None:
    return value if is_integer(value) and 0 <= value < 1 << 53 else None


def _moment(value: Json) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _cells(value: Json) -> dict[tuple[str, str], float]:
    if not isinstance(value, list):
        raise BadData(f"{_NOT_A_SUMMARY}: ConfusionMatrix is no list")
    cells: dict[tuple[str, str], float] = {}
    for index, cell in enumerate(value, start=1):
        true, predicted = (_object(cell, "a cell").get(key) for key in ("GroundTruthLabel", "PredictedLabel"))
        if not isinstance(true, str) or not isinstance(predicted, str):
            raise BadData(f"cell {index} of the ConfusionMatrix lacks GroundTruthLabel or PredictedLabel")
        if (true, predicted) in cells:
            raise BadData(f"the ConfusionMatrix has two cells for true {true!r} and predicted {predicted!r}")
        if cell.get("Value") is None:
            continue
        if not is_number(cell["Value"]) or cell["Value"] < 0:
            raise BadData(f"cell {index} of the ConfusionMatrix has {cell['Value']!r} as Value, which is no share")
        cells[true, predicted] = float(cell["Value"])
    return cells


def _label_results(value: Json) -> Iterator[LabelResult]:
    if value is None:
        return
    if not isinstance(value, list):
        raise BadData(f"{_NOT_A_SUMMARY}: LabelEvaluationResults is no list")
    seen: set[str] = set()
    for index, item in enumerate(value, start=1):
        result = _object(item, "a result")
        if not isinstance(result.get("Label"), str):
            raise BadData(f"result {index} of LabelEvaluationResults lacks Label")
        if result["Label"] in seen:
            raise BadData(f"LabelEvaluationResults has two results for {result['Label']!r}")
        seen.add(result["Label"])
        metrics = result | _object(result.get("Metrics"), "Metrics")
        yield LabelResult(
            result["Label"],
            precision=_number(metrics.get("Precision")),
            recall=_number(metrics.get("Recall")),
            f1=_number(metrics.get("F1Score")),
            threshold=_number(metrics.get("Threshold")),
            n_test=_count(result.get("NumberOfTestingImages")),
        )


def _labels(
    value: Json, results: Sequence[LabelResult], cells: Mapping[tuple[str, str], float] | None
) -> tuple[str, ...]:
    """The labels in the order of EvaluationDetails, then any that only results or cells name."""
    stated = [label for label in value if isinstance(label, str)] if isinstance(value, list) else []
    named = [result.label for result in results] + [label for pair in cells or () for label in pair]
    return tuple(dict.fromkeys(stated + named))


def write_summary(summary: EvaluationSummary, *, deconfuse: Mapping[str, Any]) -> bytes:
    """`summary` as AWS writes it, in AWS's order of fields, with `deconfuse` under one last key of our own.

    The confusion matrix has every ordered pair of which the true label has a cell, those that are not in
    `summary.cells` with 0; a label without any cell as truth has no test images, and its pairs are left out. Results
    of labels without test images are left out too. Undefined numbers become null.

    Args:
        summary: values 0 to 1; `summary.deconfuse` is not looked at.
        deconfuse: anything JSON can hold.

    Raises:
        Invalid: a cell names a label that is not among `summary.labels`, or is undefined.
    """
    aggregated: dict[str, Json] = {}
    if summary.cells is not None:
        aggregated["ConfusionMatrix"] = _written_cells(summary.cells, summary.labels)
    aggregated |= {
        "F1Score": _defined(summary.f1),
        "Precision": _defined(summary.precision),
        "Recall": _defined(summary.recall),
    }
    tested = [result for result in summary.label_results if result.n_test != 0]
    content = {
        "Version": 1,
        "AggregatedEvaluationResults": aggregated,
        "EvaluationDetails": {
            "EvaluationEndTimestamp": _plain_time(summary.ended) if summary.ended else None,
            "Labels": list(summary.labels),
            "NumberOfTestingImages": summary.n_testing,
            "NumberOfTrainingImages": summary.n_training,
            "ProjectVersionArn": summary.project_version_arn,
        },
        "LabelEvaluationResults": [_written_result(result) for result in sorted(tested, key=_best_first)],
        OWN_KEY: dict(deconfuse),
    }
    return write(content)


def _written_cells(cells: Mapping[tuple[str, str], float], labels: Sequence[str]) -> list[dict[str, Json]]:
    known = set(labels)
    for (true, predicted), value in cells.items():
        if true not in known or predicted not in known:
            raise Invalid("cells", f"the pair {true!r}, {predicted!r} is not of the summary's labels")
        if not math.isfinite(value):
            raise Invalid("cells", f"the share of {true!r} called {predicted!r} is undefined; leave the pair out")
    tested = {true for true, _ in cells}
    return [
        {"GroundTruthLabel": true, "PredictedLabel": predicted, "Value": float(cells.get((true, predicted), 0.0))}
        for true in labels
        if true in tested
        for predicted in labels
    ]


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain_time(moment: datetime) -> str:
    """ISO with microseconds and without zone, in UTC, as AWS writes the time of an evaluation."""
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def _best_first(result: LabelResult) -> tuple[bool, float, tuple[tuple[int, int, str], ...]]:
    undefined = math.isnan(result.f1)
    return undefined, 0.0 if undefined else -result.f1, natural_key(result.label)


def _written_result(result: LabelResult) -> dict[str, Json]:
    return {
        "Label": result.label,
        "Metrics": {
            "F1Score": _defined(result.f1),
            "Precision": _defined(result.precision),
            "Recall": _defined(result.recall),
            "Threshold": _defined(result.threshold),
        },
        "NumberOfTestingImages": result.n_test,
    }


@dataclass(frozen=True, slots=True)
class SnapshotPrediction:
    """What a model said about one image and one label.

    Attributes:
        label: the label.
        probability: 0 to 1.
        is_above_threshold: whether that reaches the label's threshold; None where the file does not say.
    """

    label: str
    probability: float
    is_above_threshold: bool | None


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One usable image of a training or test set.

    Attributes:
        uri: s3://bucket/key.
        true: its true labels.
        predicted: the labels above their thresholds, the true labels below theirs, and any others listed.
    """

    uri: str
    true: tuple[str, ...]
    predicted: tuple[SnapshotPrediction, ...]


def listed_predictions(
    scores: Sequence[float], *, labels: Sequence[str], thresholds: Sequence[float], true: Sequence[str]
) -> tuple[SnapshotPrediction, ...]:
    """What a snapshot lists of one image's scores, highest first.

    These are the labels that reach their threshold, the true ones, and the one with the highest score, so that both
    rules, thresholds and highest score, can be applied to a snapshot again.

    Args:
        scores: one a label, 0 to 1.
        labels: their names.
        thresholds: one a label; a score equal to it reaches it.
        true: the image's true labels.
    """
    highest = max(range(len(labels)), key=scores.__getitem__, default=-1)
    listed = [
        index
        for index, score in enumerate(scores)
        if score >= thresholds[index] or index == highest or labels[index] in true
    ]
    return tuple(
        SnapshotPrediction(labels[index], float(scores[index]), bool(scores[index] >= thresholds[index]))
        for index in sorted(listed, key=lambda index: -scores[index])
    )


def write_snapshot(rows: Iterable[SnapshotRow], *, created: datetime) -> Iterator[bytes]:
    """One line, with its end, for each row, as AWS writes them.

    Each prediction carries four flags, of which one is true: above the threshold it is a true or a false positive,
    below it a false or a true negative, depending on whether the label is in the ground truth. A prediction that does
    not know its threshold gets none.

    Args:
        rows: usable images only.
        created: the creation date of every truth and prediction; a time without zone is taken as UTC.
    """
    date = _plain_time(created)
    for row in rows:
        line: dict[str, Json] = {"source-ref": row.uri}
        for index, label in enumerate(row.true):
            line[f"{TRAINING}-{index}"] = 1
            metadata = label_metadata(label, job=f"{TRAINING}-job", date=date, confidence=1.0)
            line[f"{TRAINING}-{index}{METADATA}"] = metadata
        for index, said in enumerate(row.predicted):
            metadata = label_metadata(
                said.label, job=f"{EVALUATION}-job", date=date, confidence=float(said.probability), annotated="no"
            )
            line[f"{EVALUATION}-{index}"] = 1
            line[f"{EVALUATION}-{index}{METADATA}"] = metadata | _details(said, row.true)
        yield write(line) + b"\n"


def _details(said: SnapshotPrediction, true: Sequence[str]) -> dict[str, Json]:
    if said.is_above_threshold is None:
        return {}
    is_present = said.label in true
    return {
        DETAILS: {
            "version": 1,
            "ground-truth-labelling-jobs": [f"{TRAINING}-job"],
            "is-true-positive": said.is_above_threshold and is_present,
            "is-true-negative": not said.is_above_threshold and not is_present,
            "is-false-positive": said.is_above_threshold and not is_present,
            "is-false-negative": not said.is_above_threshold and is_present,
            "is-present-in-ground-truth": is_present,
        }
    }


def is_snapshot_line(line: bytes) -> bool:
    """Whether `line` looks like a line of a snapshot rather than of a plain manifest."""
    begins = line.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    return begins and (f'"{EVALUATION}'.encode() in line or f'"{TRAINING}-'.encode() in line)


def read_snapshot(lines: Iterable[bytes]) -> Iterator[SnapshotRow | Problem]:
    """One row for each line of a snapshot, or what is wrong with the line.

    Attributes that a model wrote are predictions; every other image-level attribute is truth. The lines of an object
    detection model are problems, since boxes have no place in a confusion matrix of images.
    """
    for entry in read_manifest(lines, limits=_NO_LIMITS):
        errors = [problem for problem in entry.problems if problem.level == "error"]
        if errors or entry.uri is None or entry.raw is None:
            yield errors[0]
        else:
            yield _snapshot_row(entry, entry.uri, parse_object(entry.raw))


def _snapshot_row(entry: Entry, uri: str, line: dict[str, Json]) -> SnapshotRow | Problem:
    said_by_model = {
        key: line.get(key + METADATA) for key in line if not key.endswith(METADATA) and is_prediction(key, line)
    }
    if entry.n_boxes or any(isinstance(said, dict) and "class-map" in said for said in said_by_model.values()):
        why = "the line is of an object detection model; only image classification has a confusion matrix"
        return Problem("ERROR_UNSUPPORTED_USE_CASE_TYPE", why, uri=uri, line=entry.line)
    predicted = []
    for key, metadata in said_by_model.items():
        said = _prediction(metadata)
        if said is None:
            why = f"{key + METADATA!r} lacks class-name or confidence"
            code = "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"
            return Problem(code, why, uri=uri, line=entry.line, at=key + METADATA)
        predicted.append(said)
    return SnapshotRow(uri, entry.labels, tuple(predicted))


def _prediction(metadata: Json) -> SnapshotPrediction | None:
    if not isinstance(metadata, dict):
        return None
    label, confidence, details = metadata.get("class-name"), metadata.get("confidence"), metadata.get(DETAILS)
    if not isinstance(label, str) or not is_number(confidence):
        return None
    flags = details if isinstance(details, dict) else {}
    if flags.get("is-true-positive") is True or flags.get("is-false-positive") is True:
        return SnapshotPrediction(label, float(confidence), is_above_threshold=True)
    if flags.get("is-true-negative") is True or flags.get("is-false-negative") is True:
        return SnapshotPrediction(label, float(confidence), is_above_threshold=False)
    return SnapshotPrediction(label, float(confidence), is_above_threshold=None)
