"""The table behind every static view."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.errors import Invalid, LimitExceeded
from deconfuse.measure.matrix import Cells, ConfusionMatrix
from deconfuse.measure.text import count_text, percent_text
from deconfuse.report.grid import decimal_text, grid, share_text, short_count_text

MATRIX = ConfusionMatrix.from_cells([("a", "a", 3), ("a", "b", 1), ("b", None, 2)], labels=["a", "b", "c"])


def test_no_label_is_shown_only_where_it_holds_something() -> None:
    """A column for *no label* stands last; no row is there, since every image has a true label."""
    shown = grid(MATRIX)

    assert shown.rows == ("a", "b", "c")
    assert shown.columns == ("a", "b", "c", None)


@pytest.mark.parametrize(("normalize", "axis"), [("true", 1), ("pred", 0), ("all", None)])
def test_shares_add_up_along_their_own_denominator(normalize: str, axis: int | None) -> None:
    """Shares of the true label sum to 1 a row, shares of the predicted label a column, shares of all in all."""
    sums = np.nansum(grid(MATRIX, normalize=normalize).shares, axis=axis)

    assert np.all(np.isclose(sums, 1) | (sums == 0))


@pytest.mark.parametrize("normalize", ["none", "true", "pred", "all"])
def test_orientation_turns_the_view_only(normalize: str) -> None:
    """With predictions on rows the same shares stand at the mirrored places; what they are shares of stays."""
    upright, turned = grid(MATRIX, normalize=normalize), grid(MATRIX, normalize=normalize, orientation="aws")

    np.testing.assert_array_equal(turned.shares, upright.shares.T)
    assert (turned.row_axis, turned.column_axis) == ("predicted", "true")
    assert turned.rows == upright.columns


def test_right_answers_are_those_with_the_same_label() -> None:
    """The diagonal is found by label, also where there are more columns than rows; *no label* is never right."""
    shown = grid(MATRIX, order=[2, 0, 1])

    assert [shown.rows[i] == shown.columns[j] for i, j in np.argwhere(shown.is_right)] == [True] * 3


@pytest.mark.parametrize("order", [[0, 1], [0, 0, 1], [0, 1, 3]])
def test_an_order_that_is_no_permutation_is_refused(order: list[int]) -> None:
    """Nothing is ever left out of a view by its order."""
    with pytest.raises(Invalid):
        grid(MATRIX, order=order)


def test_a_sparse_matrix_is_no_table() -> None:
    """Above 2,000 labels a table is refused, and the message says what to do instead."""
    with pytest.raises(LimitExceeded, match="--labels"):
        grid(Cells.empty([f"label {i}" for i in range(2001)]))


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 2))
def test_percentages_are_rounded_half_to_even(part: int, rest: int, decimals: int) -> None:
    """A percentage is the exact quotient rounded half to even, except that little is never 0 and much never 100."""
    count, denominator = min(part, rest), rest
    exact = round(Fraction(100 * count, denominator), decimals)
    text = percent_text(count, denominator, decimals=decimals)

    if text[0] not in "<>":
        assert Fraction(text[:-1]) == exact
    assert (text == f"{0:.{decimals}f}%") == (count == 0)


@pytest.mark.parametrize(("count", "expected"), [(25, "2%"), (35, "4%"), (575, "58%"), (1, "<1%"), (999, ">99%")])
def test_percentages_of_a_thousand(count: int, expected: str) -> None:
    """Halves go to the even number, exactly, where floating point would be a hair below."""
    assert percent_text(count, 1000) == expected


def test_undefined_is_a_dash() -> None:
    """Nothing of nothing is neither 0 nor 100 percent."""
    assert (percent_text(0, 0), share_text(float("nan")), decimal_text(float("nan"))) == ("–", "–", "–")


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0"), (999, "999"), (9999, "9999"), (99_950, "100k"), (1_500_000, "1.5M"), (10**12, "1T")],
)
def test_short_counts_take_five_characters(count: int, expected: str) -> None:
    """Large counts are shortened to thousands and millions, never written as powers of ten."""
    assert short_count_text(count) == expected
    assert len(short_count_text(count)) <= 5


def test_weighted_counts_keep_their_fractions() -> None:
    """A weight is shown with up to two decimals; a tiny one is not shown as nothing."""
    assert [count_text(value) for value in (2.5, 2.0, 0.001, 1234.567)] == ["2.5", "2", "<0.01", "1,234.57"]
