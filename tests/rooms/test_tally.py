"""Counting files of predictions: formats, names, labels, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deconfuse.engine.sources import opened
from deconfuse.engine.tally import count_file, tally
from deconfuse.errors import BadData, Damaged, DeconfuseError, Invalid, NotFound
from deconfuse.measure.matrix import Cells, ConfusionMatrix
from deconfuse.names import natural_key

CELLS = [("cat", "cat", 2), ("cat", "dog", 1), ("cat", None, 1), ("dog", "dog", 3)]
EXPECTED = ConfusionMatrix.from_cells(CELLS)
ROWS = [(true, predicted) for true, predicted, count in CELLS for _ in range(count)]


def cells_of(data: bytes, **options: Any) -> dict[tuple[str | None, str | None], float]:
    """What a stream of these bytes counts to."""
    found = tally(io.BytesIO(data), **options).to_cells().to_pylist()
    return {(cell["true_label"], cell["predicted_label"]): cell["count"] for cell in found}


def csv_bytes(delimiter: str = ",", end: str = "\n") -> bytes:
    """The rows as CSV."""
    lines = [("true_label", "predicted_label"), *((true, predicted or "") for true, predicted in ROWS)]
    return "".join(delimiter.join(line) + end for line in lines).encode()


def jsonl_bytes() -> bytes:
    """The rows as JSON lines."""
    return pd.DataFrame(ROWS, columns=["actual", "pred"]).to_json(orient="records", lines=True).encode()


def parquet_bytes(table: pa.Table | None = None) -> bytes:
    """The rows as Parquet."""
    sink = io.BytesIO()
    true, predicted = zip(*ROWS, strict=True)
    pq.write_table(table if table is not None else pa.table({"y_true": true, "y_pred": predicted}), sink)
    return sink.getvalue()


ENCODINGS = {
    "csv": csv_bytes(),
    "tsv": csv_bytes("\t"),
    "semicolons": csv_bytes(";"),
    "bars": csv_bytes("|"),
    "windows": csv_bytes(end="\r\n"),
    "old mac": csv_bytes(end="\r"),
    "byte order mark": b"\xef\xbb\xbf" + csv_bytes(),
    "blank lines": b"\n\n" + csv_bytes(end="\n\n"),
    "jsonl": jsonl_bytes(),
    "json array": pd.DataFrame(ROWS, columns=["actual", "pred"]).to_json(orient="records").encode(),
    "indented array": pd.DataFrame(ROWS, columns=["actual", "pred"]).to_json(orient="records", indent=1).encode(),
    "parquet": parquet_bytes(),
    "gzip csv": gzip.compress(csv_bytes()),
    "gzip jsonl": gzip.compress(jsonl_bytes()),
}


@pytest.mark.parametrize("data", ENCODINGS.values(), ids=ENCODINGS)
def test_every_format_counts_the_same(data: bytes) -> None:
    """The same rows give the same matrix, whatever file holds them; an empty prediction is no label."""
    assert tally(io.BytesIO(data)) == EXPECTED


@pytest.mark.parametrize("name", ["a.csv", "a[1]*?.csv", "ä 'b\".txt", "{x,y}.csv", "no suffix", "~"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    """Names with quotes or wildcards mean themselves."""
    (tmp_path / "aX.csv").write_bytes(b"true,pred\nwrong,wrong\n")
    (tmp_path / name).write_bytes(csv_bytes())

    assert tally(tmp_path / name) == EXPECTED


def test_a_pipe_is_read(tmp_path: Path) -> None:
    """What cannot be read twice, such as a named pipe, is copied first."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(csv_bytes(),))
    writer.start()

    assert tally(pipe) == EXPECTED
    writer.join()


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lone hyphen is standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(csv_bytes())))

    assert tally("-") == EXPECTED


def test_labels_keep_their_text() -> None:
    """Leading zeros, true, null and accents stay; outer blanks go; quotes hold delimiters."""
    found = cells_of('label,pred\n007,7\ntrue, null \n"a,b",é\n'.encode())

    assert found == {("007", "7"): 1, ("true", "null"): 1, ("a,b", "é"): 1}


def test_whole_numbers_with_and_without_point_are_one_label() -> None:
    """1.0 beside 1 is how programs write whole numbers beside missing ones."""
    table = pa.Table.from_pandas(pd.DataFrame({"y_true": [1, 2, 2], "y_pred": [1.0, np.nan, 2.0]}))

    assert cells_of(parquet_bytes(table)) == {("1", "1"): 1, ("2", None): 1, ("2", "2"): 1}
    assert cells_of(b"true,pred\n1,1.0\n2,\n2,2.0\n") == {("1", "1"): 1, ("2", None): 1, ("2", "2"): 1}


def test_versions_are_not_whole_numbers() -> None:
    """Where any label is no whole number, 1.0 and 1 stay two labels."""
    assert cells_of(b"true,pred\n1.0,1\n1.5,1.5\n") == {("1.0", "1"): 1, ("1.5", "1.5"): 1}


def test_booleans_are_named_as_python_names_them() -> None:
    """A column of booleans gives the labels True and False, in Parquet and in JSON."""
    table = pa.table({"y_true": [True, False], "y_pred": [True, None]})
    expected = {("True", "True"): 1, ("False", None): 1}

    assert cells_of(parquet_bytes(table)) == expected
    assert cells_of(b'{"true":true,"pred":true}\n{"true":false,"pred":null}\n') == expected


def test_dictionaries_and_dates_are_text() -> None:
    """Categorical columns count as their text."""
    table = pa.table(
        {"y_true": pa.array(["a", "b"]).dictionary_encode(), "y_pred": pa.array(["a", None]).dictionary_encode()}
    )

    assert cells_of(parquet_bytes(table)) == {("a", "a"): 1, ("b", None): 1}


def test_counted_cells_are_summed() -> None:
    """A column of counts is added up, pair by pair; a row of 0 keeps its label; truth may be missing."""
    found = tally(io.BytesIO(b"true_label,predicted_label,count\na,a,3\na,a,4\n,a,1\nb,b,0\n"))

    assert found.labels == ("a", "b")
    assert found.to_cells().to_pylist() == [
        {"true_label": "a", "predicted_label": "a", "count": 7},
        {"true_label": None, "predicted_label": "a", "count": 1},
    ]


def test_weights_may_be_fractions() -> None:
    """Fractional counts give a matrix of floats."""
    assert cells_of(b"true,pred,count\na,a,0.5\na,b,1.25\n") == {("a", "a"): 0.5, ("a", "b"): 1.25}


def test_named_columns_are_used() -> None:
    """Columns of any name, quotes included, can be named."""
    data = b'"my ""truth""",label,said\na,x,a\nb,x,a\n'

    assert cells_of(data, true_column='my "truth"', predicted_column="said") == {("a", "a"): 1, ("b", "a"): 1}


def test_json_keys_may_be_anything() -> None:
    """Keys with quotes are quoted; nested values elsewhere do not matter."""
    data = b'{"it\'s":"a","pred":"b","box":[1,{"x":2}]}\n'

    assert cells_of(data, true_column="it's") == {("a", "b"): 1}


def test_more_than_two_thousand_labels_are_sparse() -> None:
    """Beyond the dense limit the result is Cells, with labels in natural order."""
    data = "true,pred\n" + "".join(f"l{k},l{k + 1}\n" for k in range(2_500))
    found = tally(io.BytesIO(data.encode()))

    assert isinstance(found, Cells)
    assert list(found.labels) == sorted(found.labels, key=natural_key)
    assert found.total == 2_500


def test_a_million_rows_are_counted_exactly() -> None:
    """Many rows over many blocks give the counts of numpy."""
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 7, (2, 1_000_000))
    table = pa.table({"true": true, "pred": predicted})
    expected = np.bincount(true * 7 + predicted, minlength=49).reshape(7, 7)

    assert np.array_equal(tally(io.BytesIO(parquet_bytes(table))).counts[:-1, :-1], expected)  # type: ignore[union-attr]


def test_rows_are_kept_where_images_are_named() -> None:
    """Image, truth, prediction and probability come in the order of the file; percent becomes a share."""
    data = b"image,label,pred,confidence\nb.png,cat,dog,90\na.png,cat,,\n"
    with opened(io.BytesIO(data)) as file:
        found = count_file(file, keep_rows=10)

    assert found.rows is not None
    assert found.rows.to_pylist() == [
        {"uri": "b.png", "true": "cat", "predicted": "dog", "probability": pytest.approx(0.9)},
        {"uri": "a.png", "true": "cat", "predicted": None, "probability": None},
    ]
    assert any("percent" in note for note in found.notes)


def test_rows_beyond_the_limit_are_counted_only() -> None:
    """With more rows than asked for there are counts and no rows."""
    with opened(io.BytesIO(b"image,label,pred\na,x,x\nb,x,x\n")) as file:
        found = count_file(file, keep_rows=1)

    assert (found.rows, found.n_rows) == (None, 2)


def test_a_threshold_leaves_the_unsure_without_label() -> None:
    """A prediction below the threshold is no label; one equal to it stays; one without probability is no label."""
    data = b"label,pred,score\na,a,0.5\na,a,0.49\na,b,\n"
    with opened(io.BytesIO(data)) as file:
        found = count_file(file, threshold=0.5)

    assert found.cells.sort_by("count").to_pylist() == [
        {"true_label": "a", "predicted_label": "a", "count": 1},
        {"true_label": "a", "predicted_label": None, "count": 2},
    ]


def test_a_column_of_splits_is_obeyed_and_said() -> None:
    """Only rows of the split asked for are counted, and a note says so."""
    data = b"label,pred,split\na,a,Test\nb,b,train\nb,a,train\n"
    with opened(io.BytesIO(data)) as file:
        test, train, everything = (count_file(file, split=split) for split in ("test", "train", "all"))  # type: ignore[arg-type]

    assert [test.n_rows, train.n_rows, everything.n_rows] == [1, 2, 3]
    assert test.notes == ("Only 1 row of split test is counted; 2 others are not (--split all counts every row).",)
    assert test.split == "test"


BAD: dict[str, tuple[bytes, type[DeconfuseError], str]] = {
    "empty": (b"", BadData, "is empty"),
    "blank": (b" \n\n", BadData, "is empty"),
    "header only": (b"true,pred\n", BadData, "no rows"),
    "header without end": (b"true,pred", BadData, "no rows"),
    "empty array": (b"[]", BadData, "no rows"),
    "no truth column": (b"x,pred\na,b\n", Invalid, "--true-column.*'x', 'pred'"),
    "no predicted column": (b"true,y\na,b\n", Invalid, "--predicted-column.*'true', 'y'"),
    "two truths": (b"true,label,pred\na,b,c\n", Invalid, "'true' or 'label'"),
    "the same name twice": (b"true,pred,pred\na,b,c\n", Invalid, "'pred' or 'pred'"),
    "long row": (b"true,pred\na,b\na,b,c\n", BadData, "line 3: it has 3 cells, the header has 2"),
    "short row": (b"true,pred\na,b\na\n", BadData, "line 3: it has 1 cells, the header has 2"),
    "open quote": (b'true,pred\na,"b\nc,d\n', BadData, "line 2: a quote is opened"),
    "latin-1": ("true,pred\na,é\n".encode("latin-1"), BadData, "UTF-8"),
    "latin-1 far below": (b"true,pred\n" + b"a,b\n" * 500_000 + b"a,\xe9\n", BadData, "line 500,002: .*UTF-8"),
    "utf-16": ("true,pred\na,b\n".encode("utf-16"), BadData, "UTF-16"),
    "no truth in a row": (b"true,pred\n,a\nb,b\n,c\n", BadData, "2 of 3 rows have no true label"),
    "no truth in json": (b'{"true":null,"pred":"a"}\n', BadData, "1 of 1 rows have no true label"),
    "count that is none": (b"true,pred,count\na,a,3\na,b,x\n", BadData, "'count' holds no count in 1 of 2"),
    "negative count": (b"true,pred,count\na,a,-3\n", BadData, "'count' holds no count"),
    "missing count": (b"true,pred,count\na,a,\n", BadData, "'count' holds no count"),
    "infinite count": (b"true,pred,count\na,a,inf\n", BadData, "'count' holds no count"),
    "huge count": (b"true,pred,count\na,a,1e300\n", BadData, "'count' holds no count"),
    "gzip changed": (gzip.compress(csv_bytes())[:12] + b"\xff" * 40, Damaged, "decompressed"),
    "control characters": (b"\x1f\n\x1f", BadData, "is empty"),
    "json cut": (b'{"true":"a","pred":"a"}\n{"true":"b","pr', BadData, "row 2: it is not JSON"),
    "json list of lists": (b'[["a","b"]]', BadData, "row 1: it must be a JSON object"),
    "json lines of numbers": (b'{"true":"a","pred":"a"}\n7\n', BadData, "row 2: it must be a JSON object"),
    "several labels": (b'{"true":["a","b"],"pred":"a"}\n', BadData, "one label a row"),
    "parquet cut": (parquet_bytes()[:200], Damaged, "Parquet"),
    "parquet of lists": (
        parquet_bytes(pa.table({"true": [["a"]], "pred": ["a"]})),
        BadData,
        "column 'true' holds lists",
    ),
    "png": (b"\x89PNG\r\n\x1a\n....", BadData, "is a PNG image, made to be looked at"),
    "zip": (b"PK\x03\x04....", BadData, "spreadsheet"),
    "binary": (b"\0\1\2\3" * 30, BadData, "neither text nor Parquet"),
    "gzip cut": (gzip.compress(csv_bytes())[:-9], Damaged, "decompressed"),
    "a summary": (b'{"AggregatedEvaluationResults":{}}', BadData, "summary"),
}


@pytest.mark.parametrize(("data", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_a_reason(data: bytes, error: type[DeconfuseError], message: str) -> None:
    """Each unusable file raises one error that names the file, the place and the remedy."""
    with pytest.raises(error, match=message) as caught:
        tally(io.BytesIO(data))

    assert "standard input" in str(caught.value)
    assert "/tmp/" not in str(caught.value)


def test_a_far_json_error_has_its_line() -> None:
    """An error below the first thousand lines is found too."""
    data = b'{"true":"a","pred":"b"}\n' * 5_000 + b'{"true":"a",\n'

    with pytest.raises(BadData, match=r"line 5,00[12]: it is not JSON"):
        tally(io.BytesIO(data))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file and a directory are said to be that."""
    with pytest.raises(NotFound, match=r"nothing\.csv"):
        tally(tmp_path / "nothing.csv")
    with pytest.raises(Invalid, match="is a directory"):
        tally(tmp_path)


def test_a_parquet_file_by_name_only(tmp_path: Path) -> None:
    """A .parquet that is a CSV is damaged, not guessed at."""
    (tmp_path / "a.parquet").write_bytes(csv_bytes())

    with pytest.raises(Damaged, match="PAR1"):
        tally(tmp_path / "a.parquet")


def test_a_split_that_is_not_there() -> None:
    """A file without rows of the split names the splits it has."""
    with (
        opened(io.BytesIO(b"label,pred,split\na,a,val\n")) as file,
        pytest.raises(BadData, match="it says: val"),
    ):
        count_file(file, split="test")


def test_a_threshold_needs_probabilities() -> None:
    """Without a column of probabilities a threshold cannot be meant."""
    with opened(io.BytesIO(csv_bytes())) as file, pytest.raises(Invalid, match="no column of probabilities"):
        count_file(file, threshold=0.5)


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of streams and spilled parts are gone afterwards, after errors too."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tally(io.BytesIO(csv_bytes()))
    with pytest.raises(BadData):
        tally(io.BytesIO(b"true,pred\na\n"))

    assert list(tmp_path.iterdir()) == []
