"""What each rule says of an image, from scores and from snapshots."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from deconfuse.engine.judging import (
    binary_table,
    check_threshold,
    hidden_note,
    judge,
    judge_snapshot,
    read_judged_snapshot,
)
from deconfuse.errors import Invalid
from deconfuse.formats.evaluation import SnapshotPrediction, SnapshotRow, write_snapshot
from deconfuse.tables import predictions_schema


def table(scores: list[list[float]]) -> pa.Table:
    """PREDICTIONS of images that all are truly "a"."""
    n = len(scores)
    columns = {
        "uri": [str(k) for k in range(n)],
        "sha256": ["0" * 64] * n,
        "split": ["test"] * n,
        "fold": [None] * n,
        "true": ["a"] * n,
        "predicted": ["ab"[int(np.argmax(row))] for row in scores],
        "probability": [max(row) for row in scores],
        "scores": scores,
    }
    return pa.table(columns, schema=predictions_schema(("a", "b"), multi_label=False))


def test_a_lower_score_above_its_threshold_beats_a_higher_one_below() -> None:
    """Thresholds choose among the labels that reach theirs; a score equal to its threshold reaches it."""
    verdicts = judge(table([[0.25, 0.75], [0.5, 0.5], [0.125, 0.875], [0.9, 0.1]]), [0.25, 0.8])

    assert verdicts.predicted["highest"].to_pylist() == ["b", "a", "b", "a"]
    assert verdicts.predicted["thresholds"].to_pylist() == ["a", "a", "b", "a"]
    assert verdicts.probability["thresholds"].to_pylist() == pytest.approx([0.25, 0.5, 0.875, 0.9])


def test_nothing_above_a_threshold_is_no_label() -> None:
    """No label has no probability either."""
    verdicts = judge(table([[0.3, 0.7]]), [0.9, 0.9])

    assert verdicts.predicted["thresholds"].to_pylist() == [None]
    assert verdicts.probability["thresholds"].to_pylist() == [None]
    assert verdicts.matrix("thresholds").has_no_predicted


def test_the_leading_rule_names_the_columns() -> None:
    """The table holds the leading rule as `predicted`, and the other by its name."""
    verdicts = judge(table([[0.3, 0.7]]), [0.1, 0.9])

    assert verdicts.table()["predicted"].to_pylist() == ["b"]
    assert verdicts.led_by("thresholds").table()["predicted"].to_pylist() == ["a"]
    assert verdicts.led_by("thresholds").table()["predicted_highest"].to_pylist() == ["b"]


def test_no_images_are_no_error() -> None:
    """An empty table has verdicts on nothing."""
    assert judge(table([]), [0.5, 0.5]).matrix("highest").total == 0


def row(*said: tuple[str, float, bool | None], true: str = "a") -> SnapshotRow:
    """An image of a snapshot."""
    return SnapshotRow("s3://bucket/key", (true,), tuple(SnapshotPrediction(*one) for one in said))


def test_a_snapshot_is_judged_by_confidence_and_by_flags() -> None:
    """Highest confidence is one rule, the highest above its threshold the other."""
    verdicts = judge_snapshot([row(("b", 0.6, False), ("a", 0.4, True)), row(("a", 0.2, False))], threshold=None)

    assert verdicts.predicted["highest"].to_pylist() == ["b", "a"]
    assert verdicts.predicted["thresholds"].to_pylist() == ["a", None]


def test_a_snapshot_without_flags_has_one_rule() -> None:
    """Where the file does not say what is above a threshold there are no thresholds; a number makes some."""
    rows = [row(("b", 0.6, None), ("a", 0.4, None)), row()]

    assert list(judge_snapshot(rows, threshold=None).predicted) == ["highest"]
    assert judge_snapshot(rows, threshold=0.7).predicted["thresholds"].to_pylist() == [None, None]


def test_tables_of_other_labels() -> None:
    """(other) is any label that is not listed, on both sides."""
    found = binary_table([["a"], ["b", "c"], ["c"]], [["a"], ["c"], []], ("a", "(other)"))

    assert found.tolist() == [[[2, 0], [0, 1]], [[1, 0], [1, 1]]]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), float("inf")])
def test_thresholds_are_probabilities(threshold: float) -> None:
    """50 is not 50 %."""
    with pytest.raises(Invalid, match="between 0 and 1"):
        check_threshold(threshold)


def image(true: tuple[str, ...], *said: tuple[str, float]) -> SnapshotRow:
    """An image of a snapshot; a label is above its threshold from 0.5 on."""
    listed = tuple(SnapshotPrediction(label, sure, sure >= 0.5) for label, sure in said)
    return SnapshotRow(f"s3://bucket/{true}{said}", true, listed)


def snapshot(*rows: SnapshotRow) -> list[bytes]:
    """The lines of a snapshot."""
    return list(write_snapshot(rows, created=datetime(2024, 1, 1, tzinfo=UTC)))


def test_known_labels_come_first_and_in_their_order() -> None:
    """Those that only the snapshot names follow; a label without images is one all the same."""
    verdicts = judge_snapshot([image(("d",), ("a", 0.9))], threshold=None, labels=("c", "b", "a"))

    assert verdicts.labels == ("c", "b", "a", "d")
    assert verdicts.predicted["highest"].to_pylist() == ["a"]


def test_a_model_may_be_known_to_give_several_labels() -> None:
    """Although none of the images has several."""
    assert not judge_snapshot([image(("a",), ("b", 0.9))], threshold=None).multi_label
    verdicts = judge_snapshot([image(("a",), ("b", 0.9), ("a", 0.6))], threshold=None, multi_label=True)

    assert verdicts.multi_label
    assert verdicts.predicted["thresholds"].to_pylist() == [["b", "a"]]


@pytest.mark.parametrize(
    ("listed", "is_certain"),
    [
        ([("a", 0.6)], True),
        ([("a", 0.4)], False),
        ([("a", 0.4), ("b", 0.35)], True),
        ([("a", 0.3), ("b", 0.3)], False),
        ([("a", 0.5)], False),
        ([("a", 0.34), ("b", 0.33), ("c", 0.33)], True),
        ([], False),
    ],
)
def test_the_highest_score_is_certain_where_nothing_unlisted_can_reach_it(
    listed: list[tuple[str, float]], is_certain: bool
) -> None:
    """Scores of an image sum to 1, so what is not listed shares what is left."""
    lines = snapshot(image(("a",), *listed), image(("c",), ("c", 0.9)), image(("b",), ("b", 0.9)))
    found = read_judged_snapshot(lines, "x", threshold=None)

    assert found.is_highest.tolist() == [is_certain, True, True]


def test_hidden_scores_are_counted() -> None:
    """An image that lists nothing above a threshold may have had any label as its highest."""
    found = read_judged_snapshot(snapshot(image(("a",), ("a", 0.1)), image(("b",), ("b", 0.9))), "x", threshold=None)

    assert found.n_hidden == 1
    assert hidden_note(1).startswith("1 image has no prediction")
    assert hidden_note(2).startswith("2 images have no prediction")
