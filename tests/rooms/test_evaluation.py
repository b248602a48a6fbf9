"""Every kind of source as an evaluation: the right counts, rule, split, images, notes; and what is refused."""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.engine.evaluation import Evaluation, matrix_evaluation, read_evaluation, run_evaluation
from deconfuse.engine.showing import ANY, cell_images, matrix_view
from deconfuse.errors import BadData, Damaged, DeconfuseError, Invalid, NotBuilt, NotFound
from deconfuse.formats.evaluation import (
    EvaluationSummary,
    LabelResult,
    SnapshotRow,
    listed_predictions,
    write_snapshot,
    write_summary,
)
from deconfuse.formats.predictions import write_predictions
from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.measure.scores import binary_counts
from deconfuse.report import drawing, exports
from deconfuse.report.exports import matrix_csv, matrix_json
from deconfuse.report.views import decisions
from deconfuse.tables import predictions_schema

LABELS = ("cat", "dog", "eel")
THRESHOLDS = [0.5, 0.6, 0.4]
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "aws"


def predictions(*, multi_label: bool = False, n: int = 300) -> pa.Table:
    """PREDICTIONS of a model that is right most of the time; two thirds of the images are training images."""
    rng = np.random.default_rng(1)
    true = rng.integers(0, 3, n)
    scores = rng.dirichlet([0.6] * 3, n).astype(np.float32)
    scores[np.arange(n), true] += 0.6
    scores /= scores.sum(axis=1, keepdims=True)
    is_train = [k < 2 * n // 3 for k in range(n)]
    reached = scores >= np.asarray(THRESHOLDS, np.float32)
    columns: dict[str, list[Any]] = {
        "uri": [f"{k}.png" for k in range(n)],
        "sha256": [f"{k:064x}" for k in range(n)],
        "split": ["train" if side else "test" for side in is_train],
        "fold": [k % 5 if side else None for k, side in enumerate(is_train)],
        "true": [LABELS[k] for k in true],
        "predicted": [LABELS[k] for k in scores.argmax(axis=1)],
        "probability": scores.max(axis=1).tolist(),
        "scores": scores.tolist(),
    }
    if multi_label:
        columns["true"] = [[LABELS[k], *([LABELS[(k + 1) % 3]] if i % 7 == 0 else [])] for i, k in enumerate(true)]
        columns["predicted"] = [[LABELS[k] for k in np.flatnonzero(row)] for row in reached]
        columns["probability"] = [None] * n
    return pa.table(columns, schema=predictions_schema(LABELS, multi_label=multi_label))


def card(**changes: Any) -> dict[str, Any]:
    """The card of a run."""
    return {
        "format": 1,
        "labels": list(LABELS),
        "multi_label": False,
        "temperature": 1.0,
        "thresholds": THRESHOLDS,
        "rule": "highest",
        "project": "pets",
        "version": "3",
        "created": "2026-01-02T03:04:05.000+00:00",
        "images": "/photos",
        "data_hash": "ab" * 32,
        "problems": [{"code": "ERROR_INVALID_IMAGE", "message": "broken", "uri": "x.png", "split": "train"}],
        "notes": ["A note."],
        **changes,
    }


def run(root: Path, *, multi_label: bool = False) -> Path:
    """A run directory."""
    root.mkdir(exist_ok=True)
    (root / "predictions.parquet").write_bytes(write_predictions(predictions(multi_label=multi_label)))
    (root / "card.json").write_text(json.dumps(card(multi_label=multi_label)))
    return root


def read(data: bytes, **options: Any) -> Evaluation:
    """The evaluation of a stream."""
    return read_evaluation(io.BytesIO(data), **options)


def of_split(table: pa.Table, split: str) -> list[dict[str, Any]]:
    """The rows of a split."""
    return [row for row in table.to_pylist() if row["split"] == split]


def test_a_run_counts_its_test_images_by_the_highest_score(tmp_path: Path) -> None:
    """Without options: test images, highest score, thresholds as the other rule; everything is said."""
    found = read_evaluation(run(tmp_path / "r"))
    rows = of_split(predictions(), "test")

    assert found.matrix == ConfusionMatrix.from_predictions(
        [row["true"] for row in rows], [row["predicted"] for row in rows], labels=LABELS
    )
    assert (found.kind, found.rule, found.split, found.n_images) == ("run", "highest", "test", 100)
    assert (found.title, found.model, found.data_hash) == (str(tmp_path / "r"), "pets 3", "ab" * 32)
    assert (found.notes, found.images_root) == (("A note.",), Path("/photos"))
    assert [problem.split for problem in found.problems] == ["train"]
    assert found.made == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_threshold_rule_is_that_of_from_scores() -> None:
    """The other matrix of a run is the one that measure counts from scores and thresholds."""
    found = run_evaluation(card(), predictions())
    rows = of_split(predictions(), "test")
    scores = np.array([row["scores"] for row in rows], np.float32)
    expected = ConfusionMatrix.from_scores([row["true"] for row in rows], scores, labels=LABELS, thresholds=THRESHOLDS)

    assert found.other == {"thresholds": expected}
    assert found.thresholds == tuple(THRESHOLDS)
    assert run_evaluation(card(), predictions(), threshold="assumed").matrix == expected


def test_a_number_is_the_threshold_of_every_label() -> None:
    """With a number the thresholds lead and the highest score is the other rule."""
    found = run_evaluation(card(), predictions(), threshold=0.9)

    assert (found.rule, list(found.other), found.thresholds) == ("thresholds", ["highest"], (0.9, 0.9, 0.9))
    assert found.matrix.has_no_predicted
    assert found.predictions is not None
    assert min(found.predictions["probability"].drop_null().to_pylist()) >= np.float32(0.9)


def test_training_images_are_a_split_of_their_own() -> None:
    """Train is out-of-fold; all is both; training counts and problems go with them."""
    train, everything = (run_evaluation(card(), predictions(), split=split) for split in ("train", "all"))  # type: ignore[arg-type]

    assert (train.n_images, everything.n_images) == (200, 300)
    assert train.problems == everything.problems != ()
    assert sum((train.train_counts or {}).values()) == 200
    assert matrix_view(train).stamp.split == "train (out-of-fold)"


def test_both_rules_have_findings_about_the_other() -> None:
    """The rules disagree here, and both views say so."""
    view = matrix_view(run_evaluation(card(), predictions()))

    assert [rule.name for rule in view.rules] == ["highest", "thresholds"]
    assert all(any(finding.kind == "rules_disagree" for finding in rule.findings) for rule in view.rules)


def test_labels_are_restricted_to_those_asked_for() -> None:
    """The others are summed as (other); nothing is lost, and the images follow."""
    found = run_evaluation(card(), predictions(), labels=["eel", "cat"])

    assert found.labels == ("eel", "cat", "(other)")
    assert found.matrix.total == 100
    assert found.thresholds is not None
    assert found.thresholds[:2] == (0.4, 0.5)
    assert np.isnan(found.thresholds[2])
    assert cell_images(found, true="(other)").num_rows == int(found.matrix.support[2])
    assert matrix_view(found).train_counts == (75, 61, 64)


def test_a_multi_label_run_has_decisions_and_tables(tmp_path: Path) -> None:
    """Label decisions in the matrix, one 2×2 a label beside it, thresholds as the only rule."""
    found = read_evaluation(run(tmp_path / "r", multi_label=True))
    rows = of_split(predictions(multi_label=True), "test")
    truth, called = (
        np.array([[label in row[side] for label in LABELS] for row in rows]) for side in ("true", "predicted")
    )

    assert (found.rule, found.other, found.multi_label, found.n_images) == ("thresholds", {}, True, 100)
    assert found.matrix == ConfusionMatrix.from_label_sets(truth, called, labels=LABELS)
    assert np.array_equal(found.binary, binary_counts(truth, called))


def test_restricted_multi_label_tables_sum_the_others() -> None:
    """(other) is right when any other label is both true and predicted."""
    found = run_evaluation(card(), predictions(multi_label=True), labels=["cat"])
    rows = of_split(predictions(multi_label=True), "test")
    sides = [[any(label != "cat" for label in row[side]) for row in rows] for side in ("true", "predicted")]

    assert found.labels == ("cat", "(other)")
    assert found.binary is not None
    assert found.binary[1, 1, 1] == sum(map(all, zip(*sides, strict=True)))


@pytest.mark.parametrize("multi_label", [False, True])
def test_every_cell_lists_the_images_that_it_counts(multi_label: bool) -> None:
    """The images of all cells, listed, are the counts of the matrix."""
    found = run_evaluation(card(), predictions(multi_label=multi_label))
    for i, true in enumerate((*LABELS, None)):
        for j, predicted in enumerate((*LABELS, None)):
            assert cell_images(found, true=true, predicted=predicted).num_rows == found.matrix.counts[i, j]  # type: ignore[union-attr]


def test_cell_images_come_surest_first() -> None:
    """Probabilities fall; the columns are those of the table."""
    found = cell_images(run_evaluation(card(), predictions()), true="cat")
    sure = found["probability"].to_pylist()

    assert found.column_names == ["uri", "true", "predicted", "probability"]
    assert sure == sorted(sure, reverse=True)
    assert cell_images(run_evaluation(card(), predictions()), true=ANY, predicted=ANY).num_rows == 100


def test_cell_images_of_what_is_not_there() -> None:
    """An unknown label is named; counts have no images."""
    with pytest.raises(NotFound, match=r"cow.*cat, dog, eel"):
        cell_images(run_evaluation(card(), predictions()), true="cow")
    with pytest.raises(NotBuilt, match="which images"):
        cell_images(matrix_evaluation(ConfusionMatrix.empty(["a"])), true="a")


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_view_counts_what_the_matrix_counts(multi_label: bool) -> None:
    """The images of a view, put into cells, are the counts of each rule."""
    view = matrix_view(run_evaluation(card(), predictions(multi_label=multi_label)))
    for index, rule in enumerate(view.rules):
        cells = Counter(cell for image in view.images for cell in decisions(image.true, image.predicted[index]))
        k = len(LABELS)
        places = {(k if i is None else i, k if j is None else j): n for (i, j), n in cells.items()}

        assert places == {(i, j): n for (i, j), n in np.ndenumerate(rule.matrix.counts) if n}  # type: ignore[union-attr]


def test_the_view_asks_for_pictures_by_hash_and_uri() -> None:
    """Thumbnails are fetched by sha256 and uri; what is not to be had is missing."""
    asked: list[tuple[str | None, str]] = []

    def thumbnail(sha256: str | None, uri: str) -> bytes | None:
        asked.append((sha256, uri))
        return b"webp" if len(asked) % 2 else None

    view = matrix_view(run_evaluation(card(), predictions()), thumbnail=thumbnail)

    assert len(asked) == 100
    assert all(sha256 == f"{int(uri.removesuffix('.png')):064x}" for sha256, uri in asked)
    assert view.n_missing_thumbnails == 50


def test_predictions_out_of_their_run(tmp_path: Path) -> None:
    """predictions.parquet alone is read like its run, without assumed thresholds."""
    path = run(tmp_path / "r") / "predictions.parquet"
    found = read_evaluation(path, split="train")

    assert (found.kind, found.rule, found.other, found.n_images) == ("predictions", "highest", {}, 200)
    with pytest.raises(Invalid, match="card of a run"):
        read_evaluation(path, threshold="assumed")


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_snapshot_of_ours_gives_the_matrices_of_the_run(multi_label: bool) -> None:
    """Truth, highest score and thresholds are all in a snapshot."""
    expected = run_evaluation(card(), predictions(multi_label=multi_label))
    rows = []
    for row in of_split(predictions(multi_label=multi_label), "test"):
        true = tuple(row["true"]) if multi_label else (row["true"],)
        said = listed_predictions(row["scores"], labels=LABELS, thresholds=THRESHOLDS, true=true)
        rows.append(SnapshotRow(f"s3://local/{row['uri']}", true, said))
    found = read(b"".join(write_snapshot(rows, created=datetime.now(UTC))))

    assert (found.kind, found.matrix, found.other) == ("snapshot", expected.matrix, expected.other)
    assert found.notes == ()
    assert found.predictions is not None
    assert found.predictions["uri"][0].as_py().startswith("s3://local/")


def test_a_snapshot_of_rekognition_warns_of_what_it_leaves_out(tmp_path: Path) -> None:
    """Where nothing is above its threshold Rekognition lists the truth only, and a note says so."""
    rows = [
        SnapshotRow(
            "s3://bucket/1",
            ("cat",),
            listed_predictions([0.3, 0.2], labels=["cat", "dog"], thresholds=[0.5, 0.5], true=["cat"]),
        ),
        SnapshotRow(
            "s3://bucket/2",
            ("dog",),
            listed_predictions([0.1, 0.9], labels=["cat", "dog"], thresholds=[0.5, 0.5], true=["dog"]),
        ),
    ]
    path = tmp_path / "TestingGroundTruth-p-1.json"
    path.write_bytes(b"".join(write_snapshot(rows, created=datetime.now(UTC))))
    found = read_evaluation(path)

    assert found.split == "test"
    assert found.notes[0].startswith("1 image has no prediction above its threshold.")
    assert read_evaluation(path, threshold="assumed").matrix.has_no_predicted


def test_the_published_snapshot_line_is_read() -> None:
    """AWS's own example is one image of Football, called Football."""
    found = read(on_one_line("snapshot_football.json"))

    assert found.matrix.to_cells().to_pylist() == [
        {"true_label": "Football", "predicted_label": "Football", "count": 1}
    ]


def test_the_published_summary_gives_its_counts_back() -> None:
    """CAP and WATCH: 388, 2, 70, 164; the note names the denominator, a finding the thresholds' view."""
    found = read((GOLDEN / "summary_cap_watch.json").read_bytes())

    assert found.matrix.counts[:2, :2].tolist() == [[388, 2], [70, 164]]  # type: ignore[union-attr]
    assert (found.kind, found.rule, found.n_images, found.labels) == ("summary", "highest", 624, ("CAP", "WATCH"))
    assert "predicted label" in found.notes[0]
    assert "164 → 227 of 234" in next(f.sentence for f in found.findings if f.kind == "rules_disagree")


def on_one_line(name: str) -> bytes:
    """A golden JSON document as one line."""
    return json.dumps(json.loads((GOLDEN / name).read_bytes())).encode() + b"\n"


def summary(cells: dict[tuple[str, str], float] | None, tests: dict[str, int], **own: Any) -> bytes:
    """A summary of these cells and numbers of test images."""
    content = EvaluationSummary(
        project_version_arn="arn:x",
        ended=datetime(2026, 1, 2, tzinfo=UTC),
        labels=("a", "b"),
        n_training=9,
        n_testing=sum(tests.values()),
        cells=cells,
        label_results=tuple(LabelResult(label, 1.0, 1.0, 1.0, 0.5, n) for label, n in tests.items()),
        f1=1.0,
        precision=1.0,
        recall=1.0,
    )
    return write_summary(content, deconfuse=own)


def test_our_own_summary_carries_its_counts() -> None:
    """Counts under our key are taken as they stand, no-label column included."""
    data = summary(
        {("a", "a"): 0.75, ("a", "b"): 0.25, ("b", "a"): 0.0, ("b", "b"): 1.0},
        {"a": 5, "b": 2},
        Labels=["a", "b"],
        Counts=[[3, 1, 1], [0, 2, 0], [0, 0, 0]],
        Unit="samples",
    )

    found = read(data)

    assert found.matrix.counts.tolist() == [[3, 1, 1], [0, 2, 0], [0, 0, 0]]  # type: ignore[union-attr]
    assert found.notes == ()


@pytest.mark.parametrize(
    "counts", [[[1]], "no", [[3, 1, 1], [0, 2, 0], [0, 0, -1]], [[3, 1, 1.5], [0, 2, 0], [0, 0, 0]]]
)
def test_own_counts_that_do_not_fit_are_not_believed(counts: object) -> None:
    """Then the percentages are used, as for any other file."""
    data = summary(
        {("a", "a"): 0.75, ("a", "b"): 0.25, ("b", "a"): 0.0, ("b", "b"): 1.0},
        {"a": 4, "b": 2},
        Labels=["a", "b"],
        Counts=counts,
        Unit="samples",
    )

    assert read(data).matrix.counts[:2, :2].tolist() == [[3, 1], [0, 2]]  # type: ignore[union-attr]


def test_shares_that_fit_no_counts_are_shown_as_shares() -> None:
    """The note says that these are no counts, and nothing is concluded from them."""
    cells = {("a", "a"): 0.7123, ("a", "b"): 0.2877, ("b", "a"): 0.01, ("b", "b"): 0.99}
    with_support = read(summary(cells, {"a": 4, "b": 2}))
    without = read(summary(cells, {}))

    assert with_support.matrix.counts[0, 0] == pytest.approx(4 * 0.7123)  # type: ignore[union-attr]
    assert without.matrix.counts[0, 0] == pytest.approx(0.7123)  # type: ignore[union-attr]
    assert "No counts fit" in with_support.notes[0]
    assert "cannot be recovered" in without.notes[0]
    assert with_support.findings == without.findings == ()
    assert not with_support.is_exact


def test_a_multi_label_matrix_reads_back_with_the_tables_of_its_labels() -> None:
    """The JSON of a multi-label evaluation keeps each label's own 2×2 table; a changed one is refused."""
    first = run_evaluation(card(), predictions(multi_label=True))
    text = matrix_json(first.matrix, binary=first.binary)

    assert np.array_equal(read(text.encode()).binary, first.binary)  # type: ignore[arg-type]
    content = json.loads(text)
    content["label_scores"][0]["binary"] = [[1, 2], [3, -4]]
    with pytest.raises(BadData, match="changed beyond use"):
        read(json.dumps(content).encode())


def test_what_was_made_to_look_at_is_named_and_not_read(tmp_path: Path) -> None:
    """A page, a drawing, a picture, LaTeX and Markdown say what they are, and which formats are read back."""
    matrix = ConfusionMatrix.from_cells([("a", "a", 3), ("a", "b", 1), ("b", "b", 2)])
    files = {
        "an HTML page": exports.matrix_html(matrix).encode(),
        "an SVG drawing": drawing.matrix_svg(matrix).encode(),
        "a PNG image": drawing.matrix_png(matrix),
        "LaTeX": exports.matrix_latex(matrix, caption=("A matrix.",)).encode(),
        "a Markdown table": exports.matrix_markdown(matrix, caption=("A matrix.",)).encode(),
    }
    for what, data in files.items():
        path = tmp_path / "seen"
        path.write_bytes(data)
        with pytest.raises(BadData, match=f"is {what}, made to be looked at.*--format json"):
            read_evaluation(path)


def test_percentages_in_a_table_are_noticed() -> None:
    """A table or list whose labels each add up to 100, or to 1, comes with a warning; other counts do not."""
    rooms = read((GOLDEN / "rooms_table.csv").read_bytes())
    pairs = read(b"true,predicted,count\na,a,0.75\na,b,0.25\nb,b,1\n")
    counts = read(b"true,predicted,count\na,a,90\na,b,8\nb,b,100\n")

    assert any("true label add up to 100: these look like percentages" in note for note in rooms.notes)
    assert any("add up to 1: these look like shares" in note for note in pairs.notes)
    assert not any("look like" in note for note in counts.notes)
    assert not any("look like" in note for note in read(b"true,predicted,count\na,a,1\nb,b,1\n").notes)


def test_a_table_of_predictions_is_as_given(tmp_path: Path) -> None:
    """A CSV has one rule, its own, and images where a column names them, relative to the file."""
    path = tmp_path / "said.csv"
    path.write_text("image,label,pred,confidence\na.png,cat,dog,.9\nb.png,cat,cat,.4\n")
    found = read_evaluation(path)

    assert (found.kind, found.rule, found.split, found.n_images) == ("predictions", "as given", None, 2)
    assert found.images_root == tmp_path
    assert cell_images(found, true="cat", predicted="dog")["uri"].to_pylist() == ["a.png"]
    assert len(found.data_hash or "") == 64


def test_a_threshold_on_a_table() -> None:
    """A number makes the unsure no label, and is stamped."""
    found = read(b"image,label,pred,confidence\na.png,cat,dog,.9\nb.png,cat,cat,.4\n", threshold=0.5)

    assert (found.rule, found.thresholds) == ("thresholds", (0.5, 0.5))
    assert cell_images(found, predicted=None)["uri"].to_pylist() == ["b.png"]
    assert matrix_view(found).stamp.rule == "threshold 0.5"


def test_many_images_are_counted_and_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit the note says that images are not listed."""
    monkeypatch.setattr("deconfuse.engine.evaluation.KEPT_ROWS", 1)
    found = read(b"image,label,pred\na.png,cat,dog\nb.png,cat,cat\n")

    assert found.predictions is None
    assert "2 images" in found.notes[0]


@functools.cache
def written() -> dict[str, tuple[bytes, bool]]:
    """What `matrix` writes for one matrix, and whether the file keeps the unit."""
    confused = run_evaluation(card(), predictions(), threshold=0.9).matrix
    decided = run_evaluation(card(), predictions(multi_label=True)).matrix
    return {
        "csv": (matrix_csv(confused).encode(), True),
        "csv with shares": (matrix_csv(confused, normalize="true").encode(), True),
        "wide": (matrix_csv(confused, wide=True).encode(), True),
        "wide, predicted on rows": (matrix_csv(confused, wide=True, orientation="aws").encode(), True),
        "json": (matrix_json(confused).encode(), True),
        "json of decisions": (matrix_json(decided).encode(), False),
    }


@pytest.mark.parametrize("name", written())
def test_what_matrix_writes_is_read_back(name: str) -> None:
    """Every file that holds counts gives the matrix it was written from."""
    data, is_single = written()[name]
    expected = run_evaluation(card(), predictions(), threshold=0.9 if is_single else None).matrix
    if not is_single:
        expected = run_evaluation(card(), predictions(multi_label=True)).matrix

    assert read(data).matrix == expected
    assert read(data).kind == "cells"


def test_labels_without_counts_are_read_back() -> None:
    """A label that nothing was counted for survives every format."""
    confused = ConfusionMatrix.from_cells([("a", "a", 2)], labels=["a", "b"])
    for data in (matrix_csv(confused), matrix_csv(confused, wide=True), matrix_json(confused)):
        assert read(data.encode()).matrix == confused


def test_a_bare_matrix_is_an_evaluation() -> None:
    """A matrix from a notebook gets findings and a view."""
    found = matrix_evaluation(ConfusionMatrix.from_cells([("a", "b", 3), ("b", "b", 9)]))

    assert (found.n_images, found.rule) == (12, "as given")
    assert matrix_view(found).images == ()
    assert found.findings[0].kind == "confusion"


BAD: dict[str, tuple[bytes, dict[str, Any], type[DeconfuseError], str]] = {
    "no matrix in a summary": (summary(None, {"a": 3}), {}, BadData, "not a classification model"),
    "a threshold on a summary": (summary({("a", "a"): 1.0}, {"a": 3}), {"threshold": 0.5}, Invalid, "holds counts"),
    "a threshold on cells": (
        matrix_json(ConfusionMatrix.empty(["a"])).encode(),
        {"threshold": 0.5},
        Invalid,
        "holds counts",
    ),
    "assumed on a table": (b"true,pred\na,b\n", {"threshold": "assumed"}, Invalid, "no assumed thresholds"),
    "a threshold of 50": (b"true,pred\na,b\n", {"threshold": 50.0}, Invalid, "between 0 and 1"),
    "an unknown label": (b"true,pred\na,b\n", {"labels": ["x"]}, Invalid, "'x'"),
    "shares": (b"true\\predicted (share of the true label),a\na,1\n", {}, BadData, "without --normalize"),
    "ragged": (b"true\\predicted,a,b\na,1\nb,1,2\n", {}, BadData, "row 2: it has 1 counts"),
    "a huge count": (b"true\\predicted,a\na,1e300\n", {}, BadData, "'1e300' is no count"),
    "infinite": (b"true\\predicted,a\na,inf\n", {}, BadData, "'inf' is no count"),
    "no number": (b"true\\predicted,a,b\na,1,x\nb,1,2\n", {}, BadData, "'x' is no count"),
    "negative": (b"true\\predicted,a,b\na,1,-4\nb,1,2\n", {}, BadData, "not below 0"),
    "other columns": (b"true\\predicted,a,b\na,1,4\nc,1,2\n", {}, BadData, "the same labels"),
    "a row twice": (b"true\\predicted,a,b\na,1,4\na,1,2\nb,1,2\n", {}, BadData, "each once"),
    "wide header only": (b"true\\predicted,a,b\n", {}, BadData, "no rows"),
    "a later format": (
        b'{"format":"deconfuse.matrix/9","labels":[],"cells":[]}',
        {},
        BadData,
        "reads deconfuse.matrix/1",
    ),
    "a changed matrix": (
        b'{"format":"deconfuse.matrix/1","labels":["a"],"cells":[{"x":1}]}',
        {},
        BadData,
        "beyond use",
    ),
    "a matrix with a broken date": (
        matrix_json(ConfusionMatrix.empty(["a"])).replace('"stamp": null', '"stamp": {"date": "x"}').encode(),
        {},
        BadData,
        "beyond use",
    ),
    "wide in latin-1": (b"true\\predicted,a\na,1\n" * 60_000 + b"\xe9,1\n", {}, BadData, "UTF-8"),
    "a manifest": (
        b'{"source-ref":"s3://bucket/k.png","x":1,"x-metadata":{"class-name":"a"}}\n',
        {},
        BadData,
        "without predictions",
    ),
    "a manifest summary": (b'{"statistics":{}}', {}, BadData, "manifest summary"),
    "a card": (json.dumps(card()).encode(), {}, BadData, "card of a run"),
    "a COCO file": (b'{"images":[],"annotations":[]}', {}, BadData, "COCO"),
    "broken JSON": (b'{"a":\n', {}, BadData, "begins as JSON"),
    "a snapshot over several lines": ((GOLDEN / "snapshot_football.json").read_bytes(), {}, BadData, "on one line"),
    "boxes": (on_one_line("snapshot_cap_boxes.json"), {}, BadData, "object detection"),
}


@pytest.mark.parametrize(("data", "options", "error", "message"), BAD.values(), ids=BAD)
def test_bad_sources_are_refused_with_a_reason(
    data: bytes, options: dict[str, Any], error: type[DeconfuseError], message: str
) -> None:
    """Each is refused by one error that says what is wrong."""
    with pytest.raises(error, match=message):
        read(data, **options)


def test_a_directory_that_is_no_run(tmp_path: Path) -> None:
    """A directory without a card, and one whose card is broken, are said to be that."""
    with pytest.raises(NotFound, match=r"card\.json is not there"):
        read_evaluation(tmp_path)
    path = run(tmp_path / "r")
    (path / "card.json").write_text("{")
    with pytest.raises(Damaged, match="not the card of this run"):
        read_evaluation(path)
    (path / "card.json").write_text("[]")
    with pytest.raises(Damaged, match="labels, thresholds, project and version are needed"):
        read_evaluation(path)
    (path / "card.json").write_text(json.dumps(card(labels=["a", "b", "c"])))
    with pytest.raises(Damaged, match="not those of"):
        read_evaluation(path)
    (path / "card.json").write_text(json.dumps(card(created="yesterday")))
    with pytest.raises(Damaged, match="yesterday"):
        read_evaluation(path)
    (path / "predictions.parquet").unlink()
    with pytest.raises(NotFound, match=r"predictions\.parquet"):
        read_evaluation(path)


def test_an_empty_split_is_an_evaluation_of_nothing() -> None:
    """A run without test images has no counts, and says so."""
    table = predictions().filter(pa.compute.equal(predictions()["split"], "train"))
    found = run_evaluation(card(), table)

    assert (found.n_images, found.matrix.total) == (0, 0)
    assert [finding.kind for finding in found.findings] == ["nothing_counted"]


@given(st.integers(0, 1_000_000), st.sampled_from(["cut", "flip", "insert"]), st.binary(min_size=1, max_size=4))
def test_damaged_files_raise_nothing_but_our_errors(place: int, how: str, noise: bytes) -> None:
    """Whatever becomes of a file, it is read or refused with a sentence."""
    for data in (
        written()["json"][0],
        written()["wide"][0],
        written()["csv"][0],
        on_one_line("snapshot_football.json"),
    ):
        at = place % len(data)
        damaged = data[:at] + (b"" if how == "cut" else noise) + data[at + (len(noise) if how == "flip" else 0) :]
        with contextlib.suppress(DeconfuseError):
            read(damaged[:at] if how == "cut" else damaged)
