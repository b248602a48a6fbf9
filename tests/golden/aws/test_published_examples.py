"""AWS's published files are read, and written again, value for value."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from deconfuse.errors import Problem
from deconfuse.formats.evaluation import (
    EvaluationSummary,
    SnapshotPrediction,
    SnapshotRow,
    read_snapshot,
    read_summary,
    write_snapshot,
    write_summary,
)
from deconfuse.formats.manifest import read_manifest
from deconfuse.formats.samples import coco_to_manifest

HERE = Path(__file__).parent
ROOM_SUPPORT = (4, 3, 11, 2, 3, 2, 3, 8, 11, 3)
"""The smallest numbers of test images a room that give AWS's percentages."""


def one_line(name: str) -> bytes:
    """The published object in `name` as one line of JSON."""
    return json.dumps(json.loads((HERE / name).read_text())).encode()


def test_summary_values() -> None:
    """Every value of the published summary arrives as it is printed."""
    summary = read_summary((HERE / "summary_cap_watch.json").read_bytes())

    assert summary.labels == ("CAP", "WATCH")
    assert (summary.n_training, summary.n_testing) == (5216, 624)
    assert summary.ended == datetime(2019, 11, 21, 7, 30, 23, 910943, tzinfo=UTC)
    assert summary.cells == {
        ("CAP", "CAP"): 388 / 390,
        ("CAP", "WATCH"): 2 / 234,
        ("WATCH", "CAP"): 70 / 390,
        ("WATCH", "WATCH"): 164 / 234,
    }
    assert [(result.label, result.threshold, result.n_test) for result in summary.label_results] == [
        ("CAP", 0.9879502058029175, 390),
        ("WATCH", 0.014450683258473873, 234),
    ]


def test_summary_totals_are_means_over_labels() -> None:
    """The published totals are plain means over the labels, F1 included: the mean of F1s, not the F1 of means."""
    summary = read_summary((HERE / "summary_cap_watch.json").read_bytes())

    for name in ("precision", "recall", "f1"):
        mean = sum(getattr(result, name) for result in summary.label_results) / 2
        assert getattr(summary, name) == pytest.approx(mean, abs=1e-15)


def test_summary_is_written_as_published() -> None:
    """Without our own key, what we write of the published summary is the published summary, in its order of fields."""
    data = (HERE / "summary_cap_watch.json").read_bytes()

    written = json.loads(write_summary(read_summary(data), deconfuse={"a": 1}))

    assert list(written)[-1] == "Deconfuse"
    del written["Deconfuse"]
    assert json.dumps(written) == json.dumps(json.loads(data))


def test_nested_summary_reads_like_the_flat_one() -> None:
    """AWS's reference page puts the totals and the matrix under Metrics; both shapes mean the same."""
    flat = json.loads((HERE / "summary_cap_watch.json").read_text())
    nested = flat | {"AggregatedEvaluationResults": {"Metrics": flat["AggregatedEvaluationResults"]}}

    assert read_summary(json.dumps(nested).encode()) == read_summary(json.dumps(flat).encode())


def test_snapshot_line() -> None:
    """The published line is one image, its truth, and one prediction above its threshold."""
    (row,) = read_snapshot([one_line("snapshot_football.json")])

    assert row == SnapshotRow(
        "s3://test-bucket/dataset/beckham.jpeg", ("Football",), (SnapshotPrediction("Football", 0.95, True),)
    )


def test_snapshot_line_is_written_as_published() -> None:
    """The line we write for that row is the published one, in its order of fields."""
    (row,) = read_snapshot([one_line("snapshot_football.json")])
    assert isinstance(row, SnapshotRow)

    (line,) = write_snapshot([row], created=datetime(2019, 9, 6, 0, 7, 25, 488243))

    assert json.dumps(json.loads(line)) == one_line("snapshot_football.json").decode()


def test_snapshot_of_boxes_is_refused_with_a_sentence() -> None:
    """A detection snapshot has no place in a matrix of images, and says so."""
    (problem,) = read_snapshot([one_line("snapshot_cap_boxes.json")])

    assert isinstance(problem, Problem)
    assert problem.code == "ERROR_UNSUPPORTED_USE_CASE_TYPE"
    assert "object detection" in problem.message


def test_image_level_lines() -> None:
    """Both published spellings of an attribute give the label of its metadata; the value 0 counts like 1."""
    entries = list(read_manifest((HERE / "image_level.manifest").read_bytes().splitlines()))

    assert [entry.labels for entry in entries] == [("Sunrise",), ("Echo Dot",)]
    assert [entry.problems for entry in entries] == [(), ()]


def test_box_line() -> None:
    """The published line with two boxes is read without a problem, its boxes counted."""
    (entry,) = read_manifest((HERE / "boxes.manifest").read_bytes().splitlines())

    assert (entry.n_boxes, entry.labels, entry.problems) == (2, (), ())


def test_boxes_of_coco_are_the_published_line() -> None:
    """The published box line is what comes of a COCO file with the same boxes, its job's name aside."""
    expected = json.loads((HERE / "boxes.manifest").read_bytes())
    coco = {
        "images": [
            {"id": 7, "file_name": "IMG_1186.png", "width": 640, "height": 480, "date_captured": "2013-11-18 02:53:27"}
        ],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [399, 251, 155, 101]},
            {"image_id": 7, "category_id": 0, "bbox": [86, 65, 220, 334]},
        ],
        "categories": [{"id": 0, "name": "Echo"}, {"id": 1, "name": "Echo Dot"}],
    }

    (line,) = coco_to_manifest(json.dumps(coco).encode(), prefix="s3://bucket/images", created=datetime(2020, 1, 1))

    written = json.loads(line)
    written["bounding-box-metadata"]["job-name"] = "my job"
    assert written == expected


def rooms_percentages() -> dict[tuple[str, str], int]:
    """(true, predicted) → percent, from AWS's table, which has predictions in rows."""
    with (HERE / "rooms_table.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    return {(true, row[0]): int(percent) for row in rows for true, percent in zip(header[1:], row[1:], strict=True)}


def test_rooms_summary_pivots_to_the_published_table() -> None:
    """Counts → shares → our summary → AWS's pandas viewer gives the published percentages; columns sum to 1."""
    percentages = rooms_percentages()
    labels = tuple(dict.fromkeys(true for true, _ in percentages))
    support = dict(zip(labels, ROOM_SUPPORT, strict=True))
    cells = {
        (true, predicted): float(Fraction(round(percent * support[true] / 100), support[true]))
        for (true, predicted), percent in percentages.items()
    }
    summary = EvaluationSummary("", None, labels, None, 50, cells, (), 0.9, 0.9, 0.9)

    read = json.loads(write_summary(summary, deconfuse={}))["AggregatedEvaluationResults"]["ConfusionMatrix"]
    table = pd.DataFrame(read).pivot_table(index="PredictedLabel", columns="GroundTruthLabel", fill_value=0)["Value"]

    assert table.sum(axis=0).tolist() == pytest.approx([1.0] * len(labels))
    assert {(t, p): round(table.loc[p, t] * 100) for t in labels for p in labels} == percentages
