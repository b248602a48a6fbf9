"""Evaluation summaries and snapshots, AWS's and ours."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from deconfuse.errors import BadData, Invalid, Problem
from deconfuse.formats.evaluation import (
    EvaluationSummary,
    LabelResult,
    SnapshotPrediction,
    SnapshotRow,
    is_snapshot_line,
    is_summary,
    listed_predictions,
    read_snapshot,
    read_summary,
    write_snapshot,
    write_summary,
)

NAN = math.nan
ENDED = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
CELLS = {("a", "a"): 0.75, ("a", "b"): 0.25, ("b", "b"): 1.0}
RESULTS = (LabelResult("b", 0.5, 1.0, 2 / 3, 0.3, 2), LabelResult("a", 1.0, 0.75, 6 / 7, 0.6, 4))


def summary(**changes: Any) -> EvaluationSummary:
    """Three labels, of which c has no test images."""
    given: dict[str, Any] = {
        "project_version_arn": "arn:aws:rekognition:us-east-1:000000000000:project/p/version/1/1",
        "ended": ENDED,
        "labels": ("a", "b", "c"),
        "n_training": 20,
        "n_testing": 6,
        "cells": CELLS,
        "label_results": RESULTS,
        "f1": 0.76,
        "precision": 0.75,
        "recall": 0.875,
    }
    return EvaluationSummary(**{**given, **changes})


def written(**changes: Any) -> dict[str, Any]:
    """What is written of that summary, parsed."""
    content: dict[str, Any] = json.loads(write_summary(summary(**changes), deconfuse={"rule": "highest"}))
    return content


def test_fields_stand_in_the_order_of_aws() -> None:
    """AWS's fields come first, in AWS's order; our key comes last."""
    content = written()

    assert list(content) == [
        "Version", "AggregatedEvaluationResults", "EvaluationDetails", "LabelEvaluationResults", "Deconfuse",
    ]  # fmt: skip
    assert list(content["AggregatedEvaluationResults"]) == ["ConfusionMatrix", "F1Score", "Precision", "Recall"]
    assert content["EvaluationDetails"]["EvaluationEndTimestamp"] == "2024-05-06T07:08:09.123456"
    assert content["Deconfuse"] == {"rule": "highest"}


def test_cells_are_all_pairs_of_tested_labels() -> None:
    """Every label with test images has a pair with every label; each cell has exactly AWS's three fields."""
    cells = written()["AggregatedEvaluationResults"]["ConfusionMatrix"]

    assert [(cell["GroundTruthLabel"], cell["PredictedLabel"], cell["Value"]) for cell in cells] == [
        ("a", "a", 0.75), ("a", "b", 0.25), ("a", "c", 0.0), ("b", "a", 0.0), ("b", "b", 1.0), ("b", "c", 0.0),
    ]  # fmt: skip
    assert all(list(cell) == ["GroundTruthLabel", "PredictedLabel", "Value"] for cell in cells)


def test_pandas_columns_sum_to_one() -> None:
    """In AWS's viewer every column that is there sums to 1, and a label without test images has none."""
    cells = written()["AggregatedEvaluationResults"]["ConfusionMatrix"]

    table = pd.DataFrame(cells).pivot_table(index="PredictedLabel", columns="GroundTruthLabel")["Value"]

    assert list(table.columns) == ["a", "b"]
    assert list(table.index) == ["a", "b", "c"]
    assert table.sum(axis=0).tolist() == [1.0, 1.0]


def test_results_are_best_first_and_without_untested_labels() -> None:
    """Results are sorted by F1, undefined last; a label with no test images has none."""
    results = (*RESULTS, LabelResult("c", NAN, NAN, NAN, 0.5, 0), LabelResult("d", NAN, 0.0, NAN, 0.5, 3))

    content = written(labels=("a", "b", "c", "d"), label_results=results)

    assert [result["Label"] for result in content["LabelEvaluationResults"]] == ["a", "b", "d"]
    assert content["LabelEvaluationResults"][2]["Metrics"]["Precision"] is None


def test_undefined_numbers_are_null_and_come_back() -> None:
    """NaN is never written; null is read as NaN."""
    data = write_summary(summary(f1=NAN, recall=NAN), deconfuse={})

    assert b"NaN" not in data
    assert math.isnan(read_summary(data).f1)
    assert read_summary(data).precision == 0.75


def test_no_matrix_is_none() -> None:
    """A file without a confusion matrix is of another kind of model; that is no error of the file."""
    data = write_summary(summary(cells=None), deconfuse={})

    assert b"ConfusionMatrix" not in data
    assert read_summary(data).cells is None


@pytest.mark.parametrize("cells", [{("a", "x"): 1.0}, {("x", "a"): 1.0}, {("a", "a"): NAN}])
def test_cells_that_cannot_be_written(cells: dict[tuple[str, str], float]) -> None:
    """An unknown label or an undefined share is refused rather than written."""
    with pytest.raises(Invalid, match="cells"):
        write_summary(summary(cells=cells), deconfuse={})


def test_time_with_zone_is_written_in_utc() -> None:
    """AWS's time has no zone and means UTC."""
    ended = ENDED.astimezone(timezone(timedelta(hours=5)))

    assert read_summary(write_summary(summary(ended=ended), deconfuse={})).ended == ENDED


def test_our_key_comes_back() -> None:
    """What stands under our key is handed over as it is; AWS's files have none."""
    assert read_summary(write_summary(summary(), deconfuse={"x": [1, None]})).deconfuse == {"x": [1, None]}
    assert read_summary(b'{"AggregatedEvaluationResults":{}}').deconfuse is None


SPARSE = {
    "AggregatedEvaluationResults": {"ConfusionMatrix": [{"GroundTruthLabel": "x", "PredictedLabel": "y", "Value": 1}]},
    "LabelEvaluationResults": [{"Label": "z", "F1Score": 0.5, "NumberOfTestingImages": 3}],
}


def test_sparse_files_are_read() -> None:
    """Omitted cells, details and numbers are tolerated; labels are gathered from wherever they occur."""
    read = read_summary(json.dumps(SPARSE).encode())

    assert read.labels == ("z", "x", "y")
    assert read.cells == {("x", "y"): 1.0}
    assert read.label_results[0].f1 == 0.5
    assert (read.ended, read.n_testing, read.project_version_arn) == (None, None, "")
    assert math.isnan(read.recall)


def test_undefined_cells_are_missing_cells() -> None:
    """A Value of null says nothing about the pair."""
    content = {"AggregatedEvaluationResults": {"ConfusionMatrix": [cell("a", "a", 1.0), cell("b", "a", None)]}}

    assert read_summary(json.dumps(content).encode()).cells == {("a", "a"): 1.0}


def test_detection_summary_has_no_matrix() -> None:
    """A summary of an object detection model has averages and no matrix."""
    data = b'{"AggregatedEvaluationResults":{"AveragePrecision":0.6,"AverageRecall":0.7,"F1Score":0.6}}'

    assert read_summary(data).cells is None


def cell(true: Any, predicted: Any, value: Any) -> dict[str, Any]:
    """One cell as AWS spells it."""
    return {"GroundTruthLabel": true, "PredictedLabel": predicted, "Value": value}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not an evaluation summary"),
        (b"nonsense", "not an evaluation summary"),
        (b"[]", "it is a list"),
        (b"{}", "no AggregatedEvaluationResults"),
        (b'{"AggregatedEvaluationResults":[]}', "no AggregatedEvaluationResults"),
        (b'{"AggregatedEvaluationResults":{"F1Score":NaN}}', "NaN is not JSON"),
        ({"AggregatedEvaluationResults": {"ConfusionMatrix": {}}}, "ConfusionMatrix is no list"),
        ({"AggregatedEvaluationResults": {"ConfusionMatrix": [3]}}, "a cell is no object"),
        ({"AggregatedEvaluationResults": {"ConfusionMatrix": [cell("a", None, 1)]}}, "cell 1 .* lacks"),
        ({"AggregatedEvaluationResults": {"ConfusionMatrix": [cell("a", "b", -0.1)]}}, "cell 1 .* no share"),
        ({"AggregatedEvaluationResults": {"ConfusionMatrix": [cell("a", "b", "1")]}}, "cell 1 .* no share"),
        ({"AggregatedEvaluationResults": {"ConfusionMatrix": [cell("a", "b", 1)] * 2}}, "two cells for true 'a'"),
        ({"AggregatedEvaluationResults": {}, "EvaluationDetails": 3}, "EvaluationDetails is no object"),
        ({"AggregatedEvaluationResults": {}, "LabelEvaluationResults": {}}, "LabelEvaluationResults is no list"),
        ({"AggregatedEvaluationResults": {}, "LabelEvaluationResults": [{}]}, "result 1 .* lacks Label"),
        ({"AggregatedEvaluationResults": {}, "LabelEvaluationResults": [{"Label": "a"}] * 2}, "two results for 'a'"),
    ],
)
def test_bad_summaries_are_refused_with_a_sentence(content: Any, sentence: str) -> None:
    """Anything else is refused, and the sentence says what is wrong with it."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()

    with pytest.raises(BadData, match=sentence):
        read_summary(data)


@pytest.mark.parametrize(
    ("above", "label", "flag"),
    [
        (True, "a", "is-true-positive"),
        (True, "b", "is-false-positive"),
        (False, "a", "is-false-negative"),
        (False, "b", "is-true-negative"),
    ],
)
def test_each_prediction_has_one_true_flag(above: bool, label: str, flag: str) -> None:
    """Above or below the threshold, in the ground truth or not: one flag of four; presence ignores thresholds."""
    (line,) = write_snapshot(
        [SnapshotRow("s3://images/1", ("a",), (SnapshotPrediction(label, 0.5, above),))], created=ENDED
    )

    metadata = json.loads(line)["rekognition-custom-labels-evaluation-0-metadata"]
    details = metadata["rekognition-custom-labels-evaluation-details"]
    flags = [name for name in details if name.startswith(("is-true", "is-false"))]
    assert [name for name in flags if details[name]] == [flag]
    assert details["is-present-in-ground-truth"] is (label == "a")


def test_listed_predictions() -> None:
    """Listed are labels above their threshold, true labels below theirs, and the highest score in any case."""
    labels = ("a", "b", "c", "d")

    above = listed_predictions([0.6, 0.3, 0.08, 0.02], labels=labels, thresholds=[0.5, 0.3, 0.5, 0.5], true=["d"])
    below = listed_predictions([0.1, 0.4, 0.3, 0.2], labels=labels, thresholds=[0.5] * 4, true=["a"])

    assert [(said.label, said.is_above_threshold) for said in above] == [("a", True), ("b", True), ("d", False)]
    assert [(said.label, said.is_above_threshold) for said in below] == [("b", False), ("a", False)]


def test_bad_snapshot_lines_are_values() -> None:
    """Each bad line is a problem with its line number; the good lines between them are read."""
    (good,) = write_snapshot([SnapshotRow("s3://images/1", ("a",), ())], created=ENDED)
    nameless = {"source-ref": "s3://images/2", "rekognition-custom-labels-evaluation-0": 1,
                "rekognition-custom-labels-evaluation-0-metadata": {"confidence": 1}}  # fmt: skip

    bare = {"source-ref": "s3://images/3", "rekognition-custom-labels-evaluation-0": 1}

    found = list(read_snapshot([b"nonsense", good, json.dumps(nameless).encode(), b"{}", json.dumps(bare).encode()]))

    assert [(item.code, item.line) for item in found if isinstance(item, Problem)] == [
        ("ERROR_INVALID_JSON_LINE", 1),
        ("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", 3),
        ("ERROR_MISSING_SOURCE_REF", 4),
        ("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", 5),
    ]
    assert found[1] == SnapshotRow("s3://images/1", ("a",), ())


def test_prediction_without_details_knows_no_threshold() -> None:
    """A prediction without flags is read, and says that it does not know."""
    row = SnapshotRow("s3://images/1", ("a",), (SnapshotPrediction("b", 0.25, None),))

    assert list(read_snapshot(write_snapshot([row], created=ENDED))) == [row]


def test_kinds_are_told_apart() -> None:
    """A summary, a snapshot line and a plain manifest line are recognised by their beginning."""
    (snapshot,) = write_snapshot([SnapshotRow("s3://images/1", ("a",), ())], created=ENDED)
    whole = write_summary(summary(), deconfuse={})

    assert [is_summary(data) for data in (whole, b"\xef\xbb\xbf \n" + whole, snapshot, b"", b"true,pred")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert [is_snapshot_line(data) for data in (snapshot, whole, b'{"source-ref":"s3://i/a"}', b"")] == [
        True, False, False, False,
    ]  # fmt: skip
