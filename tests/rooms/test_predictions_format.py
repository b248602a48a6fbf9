"""Columns of people's tables, and our own file of predictions."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deconfuse.errors import BadData, Damaged, Invalid
from deconfuse.formats.predictions import (
    COUNT_NAMES,
    PREDICTED_NAMES,
    PROBABILITY_NAMES,
    TRUE_NAMES,
    URI_NAMES,
    Columns,
    read_predictions,
    recognise,
    write_predictions,
)
from deconfuse.tables import LABELS_KEY, predictions_schema

LABELS = ("cat", "dog")


@pytest.mark.parametrize("true", TRUE_NAMES)
@pytest.mark.parametrize("predicted", PREDICTED_NAMES)
def test_every_pair_of_known_names(true: str, predicted: str) -> None:
    """Each name for the truth goes with each name for the prediction, in either order."""
    assert recognise([predicted, "width", true]) == Columns(true, predicted)


def test_names_that_people_were_promised() -> None:
    """The names that the command line documents are all known."""
    assert set(TRUE_NAMES) >= {"true", "true_label", "y_true", "actual", "ground_truth", "label", "target"}
    assert set(PREDICTED_NAMES) >= {"predicted", "predicted_label", "y_pred", "prediction", "pred"}
    assert "count" in COUNT_NAMES
    assert {"image", "uri", "path", "file", "filename", "image_path", "source_ref"} <= set(URI_NAMES)
    assert {"confidence", "probability", "score"} <= set(PROBABILITY_NAMES)


@pytest.mark.parametrize("names", [["Y-True", "Y Pred"], ["YTRUE", "ypred"], ["\ufefftrue", "PREDICTION"]])
def test_spelling_does_not_count(names: list[str]) -> None:
    """Case, hyphens, underscores, blanks and a byte order mark are ignored; the column keeps its own name."""
    assert recognise(names) == Columns(*names)


def test_optional_columns_by_preference() -> None:
    """Of two columns that both could name the image, the better known one is taken."""
    assert recognise(["true", "pred", "path", "uri", "confidence", "score", "count"]) == Columns(
        "true", "pred", "count", "uri", "confidence"
    )


@pytest.mark.parametrize(
    ("names", "mentions"),
    [
        (["label", "y_true", "pred"], ["'label' or 'y_true'", "--true-column"]),
        (["true", "pred", "Predicted"], ["'pred' or 'Predicted'", "--predicted-column"]),
        (["true", "true", "pred"], ["'true' or 'true'", "--true-column"]),
        (["a", "b"], ["no column is known to hold the true label", "'a', 'b'", "--true-column"]),
        (["true", "b"], ["no column is known to hold the predicted label", "--predicted-column"]),
        ([], ["no columns", "--true-column"]),
    ],
)
def test_doubt_is_not_resolved_by_guessing(names: list[str], mentions: list[str]) -> None:
    """Two candidates, or none, are named together with the option that decides."""
    with pytest.raises(Invalid) as caught:
        recognise(names)

    assert all(text in str(caught.value) for text in mentions)


def test_given_columns_win() -> None:
    """Columns that the user names are taken, exactly or in another spelling, whatever else is there."""
    assert recognise(["label", "y_true", "x"], true="label", predicted="X") == Columns("label", "x")
    assert recognise(["true", "True", "pred"], true="True").true == "True"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"true": "z"}, "there is no column 'z'; the columns are 'true', 'pred'"),
        ({"predicted": "true"}, "cannot be both"),
    ],
)
def test_given_columns_must_be_there(given: dict[str, str], sentence: str) -> None:
    """A column that is not there, or one for both, is refused with what there is."""
    with pytest.raises(Invalid, match=sentence):
        recognise(["true", "pred"], **given)


def predictions(*, multi_label: bool = False, **changes: Any) -> pa.Table:
    """Three images, of which the last has no predicted label."""
    true: list[Any] = [["cat"], ["cat", "dog"], []] if multi_label else ["cat", "dog", "dog"]
    predicted: list[Any] = [["cat"], [], None] if multi_label else ["cat", "cat", None]
    given = {
        "uri": ["cats/a.jpg", "dogs/b.jpg", "dogs/c.jpg"],
        "sha256": ["0" * 64, "1" * 64, "2" * 64],
        "split": ["train", "test", "test"],
        "fold": [3, None, None],
        "true": true,
        "predicted": predicted,
        "probability": [0.9, 0.6, None],
        "scores": [[0.9, 0.1], [0.6, 0.4], [0.2, 0.3]],
    }
    return pa.table({**given, **changes}, schema=predictions_schema(LABELS, multi_label=multi_label))


@pytest.mark.parametrize("multi_label", [False, True])
def test_table_comes_back(multi_label: bool) -> None:
    """What is written is read: values, types, labels; an empty table too."""
    table = predictions(multi_label=multi_label)

    assert read_predictions(write_predictions(table)).equals(table, check_metadata=True)
    assert read_predictions(write_predictions(table.slice(0, 0))).num_rows == 0


def test_bytes_depend_on_the_rows_alone() -> None:
    """The same rows give the same bytes, however they lie in memory and in whatever order the columns stand."""
    table = predictions()
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1)]).select(table.column_names[::-1])

    assert write_predictions(pieces) == write_predictions(table)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"true": ["cat", "cow", "dog"]}, "'true' holds 'cow'"),
        ({"predicted": ["cat", "cow", None]}, "'predicted' holds 'cow'"),
        ({"split": ["train", "val", "test"]}, "'split' holds 'val'"),
        ({"scores": [[0.1], [0.2, 0.8], [0.3, 0.7]]}, "scores has rows of 1 to 2 numbers"),
        ({"scores": [[0.1, float("nan")], [0.2, 0.8], [0.3, 0.7]]}, "NaN"),
        ({"scores": [[0.1, None], [0.2, 0.8], [0.3, 0.7]]}, "empty"),
    ],
)
def test_rows_that_contradict_the_labels(changes: dict[str, Any], sentence: str) -> None:
    """A strange label, side or score is refused when written and when read."""
    table = predictions(**changes)

    with pytest.raises(BadData, match=sentence):
        write_predictions(table)
    with pytest.raises(BadData, match=sentence):
        read_predictions(parquet(table))


def parquet(table: pa.Table) -> bytes:
    """`table` as Parquet, unchecked."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": [1]}),
        predictions().drop_columns(["scores"]),
        predictions().drop_columns(["true"]),
        predictions().replace_schema_metadata({}),
        predictions().replace_schema_metadata({LABELS_KEY: b"[1]"}),
        predictions().replace_schema_metadata({LABELS_KEY: b'["cat","cat"]'}),
        predictions().replace_schema_metadata({LABELS_KEY: b"nonsense"}),
    ],
    ids=["other", "no scores", "no true", "no labels", "numbers", "twice", "nonsense"],
)
def test_other_tables_are_refused(table: pa.Table) -> None:
    """A Parquet file that is not ours is refused with a sentence."""
    with pytest.raises(BadData, match=r"predictions\.parquet"):
        read_predictions(parquet(table))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"true,pred\na,b\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_other_bytes_are_damaged(data: bytes) -> None:
    """Bytes that are no Parquet file are called damaged."""
    with pytest.raises(Damaged):
        read_predictions(data)


def test_truncated_file_is_damaged() -> None:
    """A file that was cut off is not read in part."""
    data = write_predictions(predictions())

    with pytest.raises(Damaged):
        read_predictions(data[: len(data) // 2])
