"""What a training leaves besides its bundle, made from predictions written by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from deconfuse.engine import artefacts
from deconfuse.engine.artefacts import Identity, Sample, count_entries, shares, summary, validation_files
from deconfuse.errors import Problem
from deconfuse.formats.evaluation import read_summary
from deconfuse.formats.manifest import Entry
from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.tables import predictions_schema

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
IDENTITY = Identity("fruit", "1", NOW, "eu-west-1", "123456789012")
ROWS = [("test", "a", [0.9, 0.1]), ("test", "a", [0.4, 0.6]), ("test", "b", [0.2, 0.8]), ("train", "b", [0.1, 0.9])]


def predictions(rows: list[tuple[str, str, list[float]]] = ROWS) -> pa.Table:
    """PREDICTIONS of the labels a and b: (split, true, scores) a row."""
    columns: dict[str, list[Any]] = {
        "uri": [f"{number}.png" for number in range(len(rows))],
        "sha256": [f"{number:064}" for number in range(len(rows))],
        "split": [split for split, _, _ in rows],
        "fold": [None if split == "test" else 0 for split, _, _ in rows],
        "true": [true for _, true, _ in rows],
        "predicted": ["ab"[int(np.argmax(scores))] for _, _, scores in rows],
        "probability": [max(scores) for _, _, scores in rows],
        "scores": [scores for _, _, scores in rows],
    }
    return pa.table(columns, schema=predictions_schema(("a", "b"), multi_label=False))


def test_the_summary_counts_test_images_only() -> None:
    """Two of three test images are right; the training image is counted, not judged."""
    read = read_summary(summary(predictions(), [0.5, 0.5], identity=IDENTITY, ended=NOW))

    assert (read.n_training, read.n_testing) == (1, 3)
    assert read.cells == {("a", "a"): 0.5, ("a", "b"): 0.5, ("b", "a"): 0.0, ("b", "b"): 1.0}
    assert [(one.label, one.n_test, one.recall) for one in read.label_results] == [("a", 2, 0.5), ("b", 1, 1.0)]


def test_our_part_holds_what_shares_lose() -> None:
    """Counts with the place of no label, thresholds by label, and labels that no test image has."""
    rows = [row for row in ROWS if row[1] == "a"]
    ours = json.loads(summary(predictions(rows), [0.3, 0.7], identity=IDENTITY, ended=NOW))["Deconfuse"]

    assert ours["Counts"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert list(ours["Thresholds"].values()) == [0.3, 0.7]
    assert ours["LabelsWithoutTestImages"] == ["b"]


def test_without_test_images_there_are_no_numbers() -> None:
    """The summary is whole and readable; what is undefined is null, and no label has shares."""
    data = summary(predictions(ROWS[-1:]), [0.5, 0.5], identity=IDENTITY, ended=NOW)

    assert b"NaN" not in data
    assert read_summary(data).cells == {}
    assert math.isnan(read_summary(data).f1)


def test_shares_are_of_pairs_of_labels() -> None:
    """An image without a prediction is no pair, and a label without images has no share."""
    matrix = ConfusionMatrix.from_cells([("a", "a", 3), ("a", "b", 1), ("a", None, 4)], labels=["a", "b"])

    assert shares(matrix) == {("a", "a"): 0.75, ("a", "b"): 0.25}


def entry(number: int, *labels: str, **more: Any) -> Entry:
    """The file <number>.png of a folder."""
    return Entry(f"{number}.png", labels, **more)


def test_a_usable_entry_that_became_no_sample_is_an_error_line() -> None:
    """Its image could not be read; one without labels is ignored, and counts for nothing."""
    entries = [entry(1, "a"), entry(2, "a"), entry(3)]
    counted = count_entries(entries, [Sample(entries[0], "0" * 64, 0, "train")])

    assert (counted.total, counted.valid, counted.invalid, counted.ignored) == (3, 1, 1, 1)
    assert counted.error_lines == (2,)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_entry_stands_on_one_side(split: Any) -> None:
    """A sample where its image went; one that could not be used where it was given, or with the training images."""
    entries = [entry(1, "a"), entry(2, "b"), entry(3, "b", split="test")]
    samples = [Sample(entries[0], "0" * 64, 0, split)]
    problem = Problem("ERROR_INVALID_IMAGE", "it is damaged", uri="2.png")
    files = {
        name.partition("-")[0]: data if isinstance(data, bytes) else b"".join(data)
        for name, data in validation_files(entries, samples, [problem], errors=[], identity=IDENTITY)
    }
    lines = {side: files[f"{side}ManifestWithValidation"].count(b"\n") for side in ("Training", "Testing")}

    assert lines == ({"Training": 2, "Testing": 1} if split == "train" else {"Training": 1, "Testing": 2})
    assert b"ERROR_INVALID_IMAGE" in files["TrainingManifestWithValidation"]
    assert json.loads(files["ManifestSummary"])["statistics"]["training"]["invalid_json_lines"] == 1


def test_names_and_arn_are_made_from_the_identity() -> None:
    """Region, account, project, version and the beginning in milliseconds."""
    arn = replace(IDENTITY, version="2").arn

    assert arn == "arn:aws:rekognition:eu-west-1:123456789012:project/fruit/version/2/1714979289000"
    assert {
        name for name, _ in artefacts.evaluation_files(predictions(), [0.5, 0.5], identity=IDENTITY, ended=NOW)
    } == {
        "EvaluationResultSummary-fruit-1.json",
        "TestingGroundTruth-fruit-1.json",
        "TrainingGroundTruth-fruit-1.json",
    }
