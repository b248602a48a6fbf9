"""Confusion matrices: examples, and everything that must be refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deconfuse.errors import BadData, Invalid, LimitExceeded
from deconfuse.measure.matrix import DENSE_LIMIT, OTHER, Cells, ConfusionMatrix, Pair, matrix_from_cells
from deconfuse.tables import CELLS, check

KINDS = (ConfusionMatrix, Cells)

every_kind = pytest.mark.parametrize("kind", KINDS)


def pets() -> ConfusionMatrix:
    """Ten cats, of which eight are called cats, one a dog and one nothing; five dogs, all called dogs."""
    return ConfusionMatrix(("cat", "dog"), np.array([[8, 1, 1], [0, 5, 0], [0, 0, 0]]))


def test_counts_stand_by_true_row_and_predicted_column() -> None:
    """Rows are truth, columns are prediction, the last column is no predicted label."""
    m = ConfusionMatrix.from_predictions(["dog", "cat", "cat", "cat"], ["dog", "dog", None, "cat"])

    assert m.labels == ("cat", "dog")
    assert m.counts.tolist() == [[1, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert m.support.tolist() == [3, 1]
    assert m.predicted_counts.tolist() == [1, 2]
    assert m.correct.tolist() == [1, 1]
    assert (m.total, m.has_no_true, m.has_no_predicted) == (4, False, True)


def test_labels_are_sorted_as_people_count() -> None:
    """Without labels given, "2" comes before "10"."""
    assert ConfusionMatrix.from_predictions([10, 2, 1], [2, 2, 1]).labels == ("1", "2", "10")


WAYS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "numpy text": np.array,
    "numpy object": lambda values: np.array(values, object),
    "pandas": pd.Series,
    "pandas object": lambda values: pd.Series(values, dtype=object),
    "pandas categorical": lambda values: pd.Series(pd.Categorical(values, categories=["unused", "b", "a", "c"])),
    "arrow": pa.array,
    "arrow dictionary": lambda values: pa.array(values).dictionary_encode(),
    "arrow chunks": lambda values: pa.chunked_array([values[:1], values[1:]]),
    "arrow no chunk": lambda values: pa.chunked_array([pa.array(values, pa.large_string())]),
}


@pytest.mark.parametrize("way", WAYS)
@every_kind
def test_labels_may_come_in_any_container(kind: type[Any], way: str) -> None:
    """Lists, NumPy, pandas and Arrow give the same matrix."""
    true, predicted = ["b", "a", "c", "a"], ["a", "a", "c", "b"]

    assert kind.from_predictions(WAYS[way](true), WAYS[way](predicted)) == kind.from_predictions(true, predicted)


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("as_container", [list, lambda values: pd.Series(values, dtype=object)])
def test_missing_predictions_are_no_label(missing: object, as_container: Any) -> None:
    """None, NaN and pandas' own missing values mean that nothing was predicted."""
    m = ConfusionMatrix.from_predictions(["a", "b"], as_container(["a", missing]))

    assert m.counts.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
@every_kind
def test_missing_truth_raises(kind: type[Any], missing: object) -> None:
    """A sample without truth cannot be counted; the message says how many and where."""
    with pytest.raises(Invalid, match=r"1 samples have no true label .* number 1"):
        kind.from_predictions(["a", missing], ["a", "a"])


def test_integers_that_pandas_made_floats_stay_integers() -> None:
    """A column of integers with a hole comes as floats; its labels are the same as the integers'."""
    m = ConfusionMatrix.from_predictions(np.array([1, 2, 3]), pd.Series([1, None, 3]))

    assert m.labels == ("1", "2", "3")
    assert m.correct.tolist() == [1, 0, 1]


@pytest.mark.parametrize("kind_of_integer", [np.int8, np.uint8, np.int32, np.uint64])
def test_integer_arrays_of_any_width(kind_of_integer: type[Any]) -> None:
    """The width of an integer does not matter."""
    true = np.array([3, 100, 3], kind_of_integer)

    assert ConfusionMatrix.from_predictions(true, true).labels == ("3", "100")


@pytest.mark.parametrize("far", [2**40, 2**63 + 5])
def test_integers_far_apart(far: int) -> None:
    """Identifiers spread over a wide range are labels like any other."""
    true = np.array([1, far], np.uint64)

    assert ConfusionMatrix.from_predictions(true, true[::-1]).labels == ("1", str(far))


def test_any_hashable_is_a_label() -> None:
    """Tuples, bytes, truth values and fractions are kept as their text."""
    values = [("a", 1), b"x", True, 0.5, "plain"]

    assert set(ConfusionMatrix.from_predictions(values, values).labels) == {str(value) for value in values}
    assert ConfusionMatrix.from_predictions([True, False], np.array([True, True])).labels == ("False", "True")
    assert ConfusionMatrix.from_predictions([True, 1], [1, 1]).labels == ("1", "True")


def test_lone_surrogates_are_kept() -> None:
    """A file name that is no valid text can still be a label."""
    assert ConfusionMatrix.from_predictions(["\ud800"], ["\ud800"]).labels == ("\ud800",)


@pytest.mark.parametrize(
    ("true", "predicted"),
    [([1, "1"], [1, 1]), ([1, 2], ["1", "2"]), (["True"], [True]), ([("a",), "('a',)"], ["x", "x"])],
)
@every_kind
def test_two_labels_with_one_text_raise(kind: type[Any], true: list[Any], predicted: list[Any]) -> None:
    """The number 1 and the text "1" would be shown alike; they are never silently one."""
    with pytest.raises(Invalid, match="two labels have the text"):
        kind.from_predictions(true, predicted)


@pytest.mark.parametrize(
    ("true", "predicted", "why"),
    [
        ("abc", "abc", "not a str"),
        ({"a"}, ["a"], "not a set"),
        ({"a": 1}, ["a"], "not a dict"),
        (5, [1], "not 5"),
        ([["a"]], ["a"], "not hashable"),
        (np.zeros((2, 2), int), [1, 2], "one dimension"),
        (["a", "b"], ["a"], "2 true labels, but 1 predicted"),
    ],
)
@every_kind
def test_what_has_no_rows_is_refused(kind: type[Any], true: Any, predicted: Any, why: str) -> None:
    """Texts, sets, tables and columns of different lengths are named for what they are."""
    with pytest.raises(Invalid, match=why):
        kind.from_predictions(true, predicted)


@every_kind
def test_an_unknown_label_raises_and_is_named(kind: type[Any]) -> None:
    """Labels outside the list are never dropped."""
    with pytest.raises(Invalid, match="'fox'"):
        kind.from_predictions(["cat", "fox"], ["cat", "cat"], labels=["cat", "dog"])
    with pytest.raises(Invalid, match="'wolf'"):
        kind.from_predictions(["cat"], ["wolf"], labels=["cat", "dog"])


def test_an_unknown_label_can_go_to_other() -> None:
    """On request it is counted under (other), as truth and as prediction."""
    m = ConfusionMatrix.from_predictions(["cat", "fox"], ["wolf", "cat"], labels=["cat"], unknown="other")

    assert m.labels == ("cat", OTHER)
    assert m.counts.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    with pytest.raises(Invalid, match="'drop'"):
        ConfusionMatrix.from_predictions(["cat"], ["cat"], unknown="drop")  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [["a", "a"], [1, "1"], ["a", None], "ab", [float("nan")]])
@every_kind
def test_lists_of_labels_that_cannot_be_meant(kind: type[Any], labels: Any) -> None:
    """Labels are unique texts and never missing."""
    with pytest.raises(Invalid, match="labels"):
        kind.empty(labels)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")], [[1.0, 1.0]]])
@every_kind
def test_bad_weights_raise(kind: type[Any], weights: Any) -> None:
    """A weight is one finite number of at least 0 a sample."""
    with pytest.raises(Invalid, match="sample_weight"):
        kind.from_predictions(["a", "b"], ["a", "b"], sample_weight=weights)


def test_weights_of_zero_keep_their_label() -> None:
    """A label whose samples all weigh nothing is a label of the matrix."""
    m = ConfusionMatrix.from_predictions(["a", "b"], ["a", "b"], sample_weight=[2, 0])

    assert m.labels == ("a", "b")
    assert (m.total, m.counts.dtype) == (2.0, np.float64)


@every_kind
def test_nothing_counted_is_a_matrix(kind: type[Any]) -> None:
    """No sample, and no label at all, are fine."""
    assert kind.from_predictions([], []).total == 0
    assert kind.from_predictions(np.array([], int), np.array([], int), labels=["a"]) == kind.empty(["a"])
    assert kind.from_predictions(pa.chunked_array([], pa.string()), []).labels == ()


def test_one_label_is_a_matrix() -> None:
    """A model with a single label has a 1 × 1 matrix."""
    assert ConfusionMatrix.from_predictions(["a"], ["a"]).counts.tolist() == [[1, 0], [0, 0]]


@every_kind
def test_codes_are_places_in_the_labels(kind: type[Any]) -> None:
    """-1 is no label, on both sides."""
    m = kind.from_codes([0, 1, -1, 1], np.array([0, -1, 0, 0], np.int8), labels=list("ab"))

    assert matrix_from_cells(m.to_cells()).counts.tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 0]]  # type: ignore[union-attr]
    assert (m.has_no_true, m.has_no_predicted) == (True, True)


@pytest.mark.parametrize(
    ("true", "predicted", "why"),
    [
        ([0, 2], [0, 0], "the code 2"),
        ([0, 0], [0, -2], "the code -2"),
        ([0.0], [0], "integers"),
        ([0], [0, 1], "1 true codes, but 2"),
        ([[0]], [[0]], "one-dimensional"),
        (np.array([2**64 - 1], np.uint64), [0], "the code"),
    ],
)
@every_kind
def test_bad_codes_raise(kind: type[Any], true: Any, predicted: Any, why: str) -> None:
    """A code is checked before it could land in another cell."""
    with pytest.raises(Invalid, match=why):
        kind.from_codes(true, predicted, labels=("a", "b"))


@pytest.mark.parametrize("n", [2**17 - 1, 2**17, 2**17 + 1, 2**18 + 3])
def test_blocks_meet_without_a_seam(n: int) -> None:
    """Counting goes block by block; no row at a border is lost or counted twice."""
    true = np.arange(n) % 3

    m = ConfusionMatrix.from_codes(true, true, labels=list("abc"), sample_weight=np.ones(n))

    assert m == ConfusionMatrix.from_predictions(true, true).merge_labels({"a": ["0"], "b": ["1"], "c": ["2"]})
    assert m.total == n
    assert Cells.from_codes(true, true, labels=list("abc")).compact() == m


def test_the_highest_score_wins() -> None:
    """Of equal scores the first label wins; without thresholds something is always predicted."""
    m = ConfusionMatrix.from_scores(["a", "b", "b"], [[0.2, 0.1], [0.5, 0.5], [-3.0, -2.0]], labels=["a", "b"])

    assert m.counts.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("thresholds", "predicted"),
    [(0.5, [0, 0, -1]), ([0.95, 0.1], [1, 1, 1]), ([0.95, 0.35], [1, -1, 1]), (np.array([2.0, 2.0]), [-1, -1, -1])],
)
def test_the_highest_score_that_reaches_its_threshold_wins(thresholds: Any, predicted: list[int]) -> None:
    """A score equal to its threshold reaches it; where none does, no label is predicted."""
    scores = [[0.6, 0.4], [0.7, 0.3], [0.1, 0.45]]
    m = ConfusionMatrix.from_scores(["a", "b", "b"], scores, labels=["a", "b"], thresholds=thresholds)

    assert m == ConfusionMatrix.from_codes([0, 1, 1], predicted, labels=["a", "b"])


def test_thresholds_are_compared_in_the_type_of_the_scores() -> None:
    """A float32 score of 0.7 reaches the threshold 0.7."""
    m = ConfusionMatrix.from_scores(["a"], np.array([[0.7]], np.float32), labels=["a"], thresholds=0.7)

    assert not m.has_no_predicted


@pytest.mark.parametrize(
    ("true", "scores", "thresholds"),
    [
        (["a"], [[0.5]], None),
        (["a"], [[0.5, np.nan]], None),
        (["a"], [0.5, 0.5], None),
        (["c"], [[0.5, 0.5]], None),
        ([None], [[0.5, 0.5]], None),
        (["a", "a"], [[0.5, 0.5]], None),
        (["a"], [[0.5, 0.5]], [0.5]),
        (["a"], [[0.5, 0.5]], float("nan")),
    ],
)
def test_bad_scores_raise(true: list[Any], scores: Any, thresholds: Any) -> None:
    """Scores that do not fit the samples, labels or thresholds are refused."""
    with pytest.raises(Invalid):
        ConfusionMatrix.from_scores(true, scores, labels=["a", "b"], thresholds=thresholds)


@pytest.mark.parametrize(
    ("true", "predicted", "cells"),
    [
        ("ab", "ab", {(0, 0): 1, (1, 1): 1}),
        ("abc", "a", {(0, 0): 1, (1, 3): 1, (2, 3): 1}),
        ("ab", "abc", {(0, 0): 1, (1, 1): 1, (0, 2): 1, (1, 2): 1}),
        ("ab", "ac", {(0, 0): 1, (1, 2): 1}),
        ("a", "bc", {(0, 1): 1, (0, 2): 1}),
        ("ab", "", {(0, 3): 1, (1, 3): 1}),
        ("", "ab", {(3, 0): 1, (3, 1): 1}),
        ("", "", {(3, 3): 1}),
    ],
    ids=[
        "all right",
        "missed",
        "invented",
        "one for another",
        "two for one",
        "nothing said",
        "nothing true",
        "both empty",
    ],
)
def test_label_sets_by_hand(true: str, predicted: str, cells: dict[tuple[int, int], int]) -> None:
    """The three cases of the multi-label matrix, and its empty sets, worked by hand."""
    m = ConfusionMatrix.from_label_sets([set(true)], [list(predicted)], labels=list("abc"))

    assert {(i, j): int(m.counts[i, j]) for i, j in zip(*np.nonzero(m.counts), strict=True)} == cells


def test_label_sets_may_be_tables_of_truth_values() -> None:
    """Sets and bool[n, K] are two spellings of the same."""
    true, predicted = np.array([[1, 0], [1, 1]]), np.array([[True, True], [False, True]])

    m = ConfusionMatrix.from_label_sets(true, predicted, labels=list("ab"))

    assert m == ConfusionMatrix.from_label_sets([["a"], ["a", "b"]], [["a", "b"], ["b"]], labels=list("ab"))


@pytest.mark.parametrize(
    ("true", "predicted"),
    [(["ab"], [["a"]]), ([["x"]], [["a"]]), ([["a"]], []), ([3], [["a"]]), (np.ones((1, 3)), np.ones((1, 3)))],
)
def test_bad_label_sets_raise(true: Any, predicted: Any) -> None:
    """A text is no set, an unknown label is named, lengths must agree."""
    with pytest.raises(Invalid):
        ConfusionMatrix.from_label_sets(true, predicted, labels=["a", "b"])


def test_cells_have_the_columns_of_the_contract() -> None:
    """Row by row, without zeros, with null for no label."""
    table = check(pets().to_cells(), CELLS, "cells")

    assert table.to_pydict() == {
        "true_label": ["cat", "cat", "cat", "dog"],
        "predicted_label": ["cat", "dog", None, "dog"],
        "count": [8, 1, 1, 5],
    }


def test_cells_from_triples() -> None:
    """Pairs that stand there twice add up; labels are those that occur."""
    m = ConfusionMatrix.from_cells([("b", "a", 1), ("b", "a", 2), ("a", None, 1), (None, "a", 4)])

    assert m.labels == ("a", "b")
    assert m.counts.tolist() == [[0, 0, 1], [3, 0, 0], [4, 0, 0]]


@pytest.mark.parametrize(
    ("cells", "error"),
    [
        ([("a", "b")], Invalid),
        (["abc"], Invalid),
        ([("a", "b", -1)], Invalid),
        ([("a", "b", float("nan"))], Invalid),
        ([("a", "b", "many")], Invalid),
        (pa.table({"true_label": ["a"], "predicted_label": ["a"]}), BadData),
        (pa.table({"true_label": ["a"], "predicted_label": ["a"], "count": pa.array([None], pa.int64())}), BadData),
        (pa.table({"true_label": ["a"], "predicted_label": ["z"], "count": [1]}), Invalid),
    ],
)
@every_kind
def test_bad_cells_raise(kind: type[Any], cells: Any, error: type[Exception]) -> None:
    """Cells that are no cells are refused, never half read."""
    with pytest.raises(error):
        kind.from_cells(cells, labels=["a", "b"])


@pytest.mark.parametrize("counts", [[[1, 0], [0, 0]], [[1, 0, 0], [0, -1, 0], [0, 0, 0]], [[np.nan] * 3] * 3])
def test_bad_counts_raise(counts: Any) -> None:
    """Counts are (K+1) × (K+1), finite and not below 0."""
    with pytest.raises(Invalid, match="counts"):
        ConfusionMatrix(("a", "b"), np.array(counts))


def test_a_matrix_cannot_be_changed() -> None:
    """Counts are read-only and not the caller's array; a matrix is no key of a dict."""
    given = np.zeros((2, 2), np.int64)
    m = ConfusionMatrix(("a",), given)
    given[0, 0] = 1

    assert m.total == 0
    with pytest.raises(ValueError, match="read-only"):
        m.counts[0, 0] = 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(m)


def test_equality_is_by_value() -> None:
    """Labels, counts and unit decide; the order of labels counts."""
    assert pets() == pets()
    assert pets() != pets().align(["dog", "cat"])
    assert pets() != ConfusionMatrix(("cat", "dog"), pets().counts, "label decisions")
    assert pets() != "pets"


@every_kind
def test_adding_needs_the_same_labels(kind: type[Any]) -> None:
    """Other labels, another order, another unit or another type do not add up."""
    with pytest.raises(Invalid, match="align"):
        _ = kind.empty(["a", "b"]) + kind.empty(["b", "a"])
    with pytest.raises(Invalid, match="label decisions"):
        _ = ConfusionMatrix.empty(["a"]) + ConfusionMatrix.from_label_sets([], [], labels=["a"])
    with pytest.raises(TypeError):
        _ = kind.empty(["a"]) + 1


def test_aligning_adds_labels_and_never_loses_counts() -> None:
    """New labels are empty; a label with counts cannot be left out, one without can."""
    wide = pets().align(["ant", "dog", "cat"])

    assert wide.support.tolist() == [0, 5, 10]
    assert wide.align(["cat", "dog"]) == pets()
    with pytest.raises(Invalid, match="'cat' holds counts"):
        pets().align(["dog"])


def test_merging_puts_labels_where_the_first_stood() -> None:
    """Confusions between merged labels become correct."""
    m = ConfusionMatrix.from_cells([("cat", "dog", 2), ("cat", "cat", 1), ("dog", "bus", 1), ("bus", "bus", 4)])
    merged = m.merge_labels({"pet": ["dog", "cat"]})

    assert merged.labels == ("bus", "pet")
    assert merged.counts.tolist() == [[4, 0, 0], [1, 3, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "groups", [{"x": ["fox"]}, {"x": ["cat"], "y": ["cat"]}, {"dog": ["cat"]}, {"x": []}, {"x": ["cat", "cat"]}]
)
def test_bad_groups_raise(groups: dict[str, list[str]]) -> None:
    """Unknown labels, labels in two groups and names that are taken are refused."""
    with pytest.raises(Invalid):
        pets().merge_labels(groups)


def test_restricting_sums_the_others() -> None:
    """(other) stands last, and only if there are others; *no label* stays what it is."""
    assert pets().restrict(["dog", "cat"]).labels == ("dog", "cat")
    assert pets().restrict(["dog"]).counts.tolist() == [[5, 0, 0], [1, 8, 1], [0, 0, 0]]
    assert pets().restrict([OTHER, "dog"]).labels == (OTHER, "dog")
    with pytest.raises(Invalid, match="'fox'"):
        pets().restrict(["fox"])


def test_shares_name_their_denominator() -> None:
    """Rows, columns or everything sum to 1; an empty denominator gives NaN, never 0."""
    assert pets().normalize("true")[0].tolist() == [0.8, 0.1, 0.1]
    assert pets().normalize("pred")[:2, 1].tolist() == [1 / 6, 5 / 6]
    assert pets().normalize("all")[0, 0] == 8 / 15
    assert np.isnan(pets().normalize("true")[2]).all()
    with pytest.raises(Invalid, match="'rows'"):
        pets().normalize("rows")  # type: ignore[arg-type]


def test_a_confused_pair_carries_its_evidence() -> None:
    """Count, support, share and interval; no label is no confusion."""
    (pair,) = pets().most_confused()

    assert pair == Pair("cat", "dog", 1, 10, 0.1, pytest.approx(0.0179, abs=1e-4), pytest.approx(0.4042, abs=1e-4))


def test_pairs_are_not_ranked_by_their_share() -> None:
    """1 of 2 is a higher share than 30 of 100, and says less."""
    m = ConfusionMatrix.from_cells([("a", "b", 1), ("a", "a", 1), ("b", "a", 30), ("b", "b", 70)])

    assert [(pair.true, pair.share) for pair in m.most_confused()] == [("b", 0.3), ("a", 0.5)]
    assert m.most_confused(0) == ()


def test_equal_pairs_come_by_name() -> None:
    """Of pairs with the same evidence the first name comes first, numbers as people count."""
    m = ConfusionMatrix.from_cells([(a, b, 1) for a in ("10", "9", "x") for b in ("10", "9", "x") if a != b])

    assert [(pair.true, pair.predicted) for pair in m.most_confused(3)] == [("9", "10"), ("9", "x"), ("10", "9")]


def test_a_frame_shows_no_label_only_where_there_is_some() -> None:
    """Index and columns say which is which."""
    frame = pets().to_frame()

    assert (frame.index.name, frame.columns.name) == ("True", "Predicted")
    assert frame.columns.tolist() == ["cat", "dog", "(no label)"]
    assert frame.index.tolist() == ["cat", "dog"]
    assert pets().to_frame("true").loc["cat", "cat"] == 0.8


def test_a_notebook_shows_a_plain_table() -> None:
    """Headings, counts, shares and support; labels are text, never markup; no script."""
    shown = pets().merge_labels({"<b>cat</b>": ["cat"]})._repr_html_()

    for part in (
        "True",
        "Predicted",
        "Support",
        "&lt;b&gt;cat&lt;/b&gt;",
        "8<br><small>80 %",
        "(no label)",
        "15 samples",
    ):
        assert part in shown
    assert "<b>" not in shown
    assert "<script" not in shown


def test_a_notebook_shows_pairs_where_labels_are_too_many() -> None:
    """A table of 50 columns cannot be read; the most confused pairs can."""
    codes = np.arange(50)
    shown = ConfusionMatrix.from_codes(codes, (codes + 1) % 50, labels=range(50))._repr_html_()

    assert "most confused pairs" in shown
    assert shown.count("<tr>") == 21


def test_dense_matrices_end_where_cells_begin() -> None:
    """Above 2,000 labels a dense matrix is refused, with the way out named, and Cells takes over by itself."""
    labels = range(DENSE_LIMIT + 1)

    with pytest.raises(LimitExceeded, match="use Cells"):
        ConfusionMatrix.empty(labels)
    assert isinstance(Cells.empty(labels).compact(), Cells)
    assert isinstance(matrix_from_cells(Cells.empty(labels).to_cells()), Cells)
    assert isinstance(Cells.from_codes([5], [2000], labels=labels).restrict(["5"]), ConfusionMatrix)


def test_bad_sparse_state_raises() -> None:
    """Keys ascend and stay in the table; counts belong to them."""
    for keys, counts in (([1, 0], [1, 1]), ([0, 0], [1, 1]), ([4], [1]), ([0], [1, 1]), ([0], [-1])):
        with pytest.raises(Invalid):
            Cells(("a",), np.array(keys, np.uint32), np.array(counts, np.int64))


@pytest.mark.slow
def test_ten_million_rows_of_ten_thousand_labels_fit() -> None:
    """Counted sparse within 200 MB beyond the input, even where hardly any two rows share a cell."""
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 10_000, (2, 10_000_000), dtype=np.int32)
    tracemalloc.start()
    cells = Cells.from_predictions(true, predicted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert cells.total == 10_000_000
    assert peak < 200e6
