"""A matrix as files that other programs read."""

import csv
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import LimitExceeded, Problem
from deconfuse.insights.findings import find
from deconfuse.measure.matrix import Cells, ConfusionMatrix
from deconfuse.report.exports import (
    JSON_FORMAT,
    matrix_csv,
    matrix_html,
    matrix_json,
    matrix_latex,
    matrix_markdown,
)
from deconfuse.report.views import Stamp

MATRIX = ConfusionMatrix.from_cells([("a", "a", 3), ("a", "b", 1), ("b", None, 2)], labels=["a", "b", "c"])
NASTY = ["co,mma", 'quo"te', "new\nline", "<b>&", "a|b", "50%_$#{}~^\\", "日本", "=1+1", " blank ", "-"]


def sparse() -> Cells:
    """Cells of more labels than any table holds."""
    return Cells.from_codes(np.arange(2500), np.arange(2500), labels=[f"l{i}" for i in range(2500)])


def rows_of(text: str) -> list[list[str]]:
    """The cells of a CSV text."""
    return list(csv.reader(io.StringIO(text)))


def test_long_csv_has_a_pair_a_line() -> None:
    """Pairs that occur stand row by row; no label is an empty cell; a label without images has one line with 0."""
    expected = [
        ["true_label", "predicted_label", "count"],
        ["a", "a", "3"],
        ["a", "b", "1"],
        ["b", "", "2"],
        ["c", "c", "0"],
    ]

    assert rows_of(matrix_csv(MATRIX)) == expected


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [
        ("true", ["0.75", "0.25", "1.0", ""]),
        ("pred", ["1.0", "1.0", "1.0", ""]),
        ("all", ["0.5", repr(1 / 6), repr(1 / 3), "0.0"]),
    ],
)
def test_normalised_csv_has_shares_beside_counts(normalize: str, expected: list[str]) -> None:
    """A column of shares comes after the counts; a share of nothing is an empty cell."""
    rows = rows_of(matrix_csv(MATRIX, normalize=normalize))

    assert rows[0][3] == "share"
    assert [row[3] for row in rows[1:]] == expected


def test_wide_csv_names_its_axes_in_the_corner() -> None:
    """The corner says what the rows are, also when they are predictions, and what shares are shares of."""
    assert rows_of(matrix_csv(MATRIX, wide=True))[:2] == [
        ["true\\predicted", "a", "b", "c", ""],
        ["a", "3", "1", "0", "0"],
    ]
    assert rows_of(matrix_csv(MATRIX, wide=True, orientation="aws"))[0][0] == "predicted\\true"
    assert (
        rows_of(matrix_csv(MATRIX, wide=True, normalize="pred"))[0][0]
        == "true\\predicted (share of the predicted label)"
    )


@pytest.mark.parametrize("wide", [False, True])
def test_csv_quotes_what_must_be_quoted(wide: bool) -> None:
    """Commas, quotes and line ends in labels survive a reader of CSV."""
    matrix = ConfusionMatrix.from_predictions(NASTY, NASTY[::-1], labels=NASTY)
    found = {cell for row in rows_of(matrix_csv(matrix, wide=wide)) for cell in row}

    assert set(NASTY) <= found


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), max_size=30))
def test_long_csv_reads_back_as_the_same_matrix(codes: list[tuple[int, int]]) -> None:
    """Counts, labels without images and *no label* survive writing and reading."""
    true, predicted = ([pair[side] for pair in codes] for side in (0, 1))
    matrix = ConfusionMatrix.from_codes(np.array(true, int), np.array(predicted, int), labels=[*"abcd"])
    cells = [(row[0] or None, row[1] or None, int(row[2])) for row in rows_of(matrix_csv(matrix))[1:]]

    assert ConfusionMatrix.from_cells(cells, labels=[*"abcd"]) == matrix
    assert {label for cell in cells for label in cell[:2]} >= set("abcd")


def test_weights_are_written_in_full() -> None:
    """A weighted count is the shortest text that reads back as the same number."""
    matrix = ConfusionMatrix.from_predictions(["a", "b"], ["a", "b"], sample_weight=[0.1, 2])

    assert [row[2] for row in rows_of(matrix_csv(matrix))[1:]] == ["0.1", "2"]


def test_json_holds_everything() -> None:
    """Labels, cells by field name, scores with intervals, findings, problems and stamp are in one strict object."""
    stamp = Stamp(source="x.csv", split="test", n_images=6, rule="highest score")
    problem = Problem("ERROR_INVALID_IMAGE", "broken", uri="a.png")
    text = matrix_json(
        MATRIX, stamp=stamp, findings=find(MATRIX), problems=[problem], notes=["n"], title="t", kind="cells"
    )
    content = json.loads(text, parse_constant=pytest.fail)

    assert content["format"] == JSON_FORMAT
    assert content["labels"] == ["a", "b", "c"]
    assert content["cells"][2] == {"true_label": "b", "predicted_label": None, "count": 2}
    assert content["stamp"]["source"] == "x.csv"
    assert content["problems"][0]["uri"] == "a.png"
    assert content["findings"][0]["sentence"]
    assert set(content["overall"]["accuracy"]) == {"value", "low", "high", "numerator", "denominator"}


def test_json_has_null_for_what_is_undefined() -> None:
    """Recall of a label without images is null, never 0 and never NaN."""
    scores = json.loads(matrix_json(MATRIX))["label_scores"][2]

    assert scores["label"] == "c"
    assert scores["recall"] == {"value": None, "low": None, "high": None, "numerator": 0, "denominator": 0}
    assert scores["f1"]["value"] is None


def test_json_of_nothing_is_valid() -> None:
    """A matrix in which nothing was counted has labels and no cells."""
    content = json.loads(matrix_json(ConfusionMatrix.empty(["a"])), parse_constant=pytest.fail)

    assert content["cells"] == []
    assert content["overall"]["accuracy"]["value"] is None


def test_json_intervals_hold_their_values() -> None:
    """Each average lies within its interval; the same matrix gives the same bytes."""
    matrix = ConfusionMatrix.from_codes(np.arange(60) % 3, np.arange(60) % 4 % 3, labels=[*"abc"])
    scores = json.loads(matrix_json(matrix))["overall"]

    assert scores["macro_f1"]["low"] < scores["macro_f1"]["value"] < scores["macro_f1"]["high"]
    assert matrix_json(matrix) == matrix_json(matrix)


def test_json_shares_have_the_denominator_asked_for() -> None:
    """With a normalisation every cell has its share beside its count."""
    cells = json.loads(matrix_json(MATRIX, normalize="all"))["cells"]

    assert [cell["share"] for cell in cells] == [0.5, 1 / 6, 1 / 3]


def test_json_of_a_multi_label_evaluation_takes_scores_from_its_labels() -> None:
    """Per-label numbers come from each label's own table, not from the matrix of decisions."""
    binary = np.array([[[1, 2], [3, 4]]] * 3)
    content = json.loads(matrix_json(MATRIX, binary=binary))

    assert content["label_scores"][0]["support"] == 7
    assert content["overall"]["macro_recall"]["value"] == pytest.approx(4 / 7)


def test_json_of_a_multi_label_evaluation_has_intervals() -> None:
    """F1 of each label and the means have the interval of the labels' own tables, which stand there too."""
    binary = np.array([[[10, 2], [3, 4]]] * 3)
    content = json.loads(matrix_json(MATRIX, binary=binary))
    means, f1 = content["overall"]["macro_f1"], content["label_scores"][0]["f1"]

    assert means["low"] < means["value"] < means["high"]
    assert f1["low"] < f1["value"] < f1["high"]
    assert content["label_scores"][0]["binary"] == [[10, 2], [3, 4]]


def test_json_of_many_labels_has_the_interval_of_each_f1() -> None:
    """It needs no draws, so it is there for any number of labels."""
    scores = json.loads(matrix_json(sparse()))["label_scores"]

    assert scores[0]["f1"] == {"value": 1, "low": pytest.approx(0.3424, abs=1e-4), "high": 1}


def test_json_of_shares_has_no_intervals() -> None:
    """What is no count has no interval anywhere, and the file says that it holds none."""
    content = json.loads(matrix_json(MATRIX, is_exact=False))
    rates = [content["overall"]["accuracy"], content["label_scores"][0]["recall"], *content["most_confused"]]

    assert content["is_exact"] is False
    assert all(rate["low"] is None and rate["high"] is None for rate in rates)


@pytest.mark.parametrize("writer", [matrix_csv, matrix_json])
@pytest.mark.parametrize("normalize", ["none", "true"])
def test_a_sparse_matrix_has_long_forms(writer: object, normalize: str) -> None:
    """Thousands of labels can be written pair by pair."""
    text = writer(sparse(), normalize=normalize)  # type: ignore[operator]

    assert "l2499" in text


@pytest.mark.parametrize("writer", [matrix_markdown, matrix_latex, matrix_html])
def test_a_sparse_matrix_has_no_table(writer: object) -> None:
    """As a table it is refused, with the way that works."""
    with pytest.raises(LimitExceeded, match="csv or json"):
        writer(sparse())  # type: ignore[operator]
    with pytest.raises(LimitExceeded):
        matrix_csv(sparse(), wide=True)


def test_markdown_is_a_table_whatever_the_labels() -> None:
    """Every line of the table has the same number of cells, pipes and line ends in labels notwithstanding."""
    matrix = ConfusionMatrix.from_predictions(NASTY, NASTY, labels=NASTY)
    lines = [line for line in matrix_markdown(matrix).split("\n") if line.startswith("|")]

    assert len(lines) == len(NASTY) + 2
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(NASTY) + 3}
    assert "**1 (100%)**" in lines[2]


def test_markdown_escapes_what_would_be_markup() -> None:
    """Emphasis, links, code and HTML in labels are shown, not obeyed."""
    text = matrix_markdown(ConfusionMatrix.empty(["*a*", "[x](y)", "<img>", "`c`"]))

    assert all(shown in text for shown in ("\\*a\\*", "\\[x\\]\\(y\\)", "\\<img\\>", "\\`c\\`"))


def test_latex_escapes_its_special_characters() -> None:
    """Every character with a meaning in LaTeX is written so that it is printed."""
    text = matrix_latex(ConfusionMatrix.from_predictions(NASTY, NASTY, labels=NASTY), caption=["a\nb"])

    assert r"50\%\_\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    assert r"\textless{}b\textgreater{}\&" in text
    assert text.count("\\\\\n") == len(NASTY) + 2
    assert text.startswith("% a\\x0ab\n")


def test_latex_has_as_many_columns_as_it_says() -> None:
    """The column specification counts one column for names, one a label and one for the sum."""
    lines = matrix_latex(MATRIX).split("\n")
    n_columns = len(lines[1].split("{")[-1].rstrip("}"))

    assert n_columns == 6
    assert {line.count("&") for line in lines if line.startswith(("a &", "b &", "c &"))} == {n_columns - 1}


class Reader(HTMLParser):
    """Collects the tags and the texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Note a tag."""
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)


def test_html_is_a_table_without_script() -> None:
    """Labels are text and never tags; every row and column has a heading; nothing runs."""
    reader = Reader()
    reader.feed(matrix_html(ConfusionMatrix.from_predictions(NASTY, NASTY, labels=NASTY), title="<i>"))

    assert "<b>&" in reader.texts
    assert "<i>" in reader.texts
    assert not {"script", "b", "i"} & set(reader.tags)
    assert reader.tags.count("th") == 2 * len(NASTY) + 3


def test_html_tells_nothing_from_little() -> None:
    """An empty cell has no colour, one with a single image has."""
    text = matrix_html(ConfusionMatrix.from_cells([("a", "a", 999), ("a", "b", 1), ("b", "b", 1)]))

    assert text.count('class="zero"') == 1
    assert "1 (&lt;1%)" in text
