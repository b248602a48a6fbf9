"""Counts from published shares, and when there are none to be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deconfuse.errors import Invalid
from deconfuse.measure.recover import recover_counts

CAP_WATCH = [[0.9948717948717949, 0.008547008547008548], [0.1794871794871795, 0.7008547008547008]]

ROOMS_SUPPORT = [4, 3, 11, 2, 3, 2, 3, 8, 11, 3]
# AWS's guide prints predictions in rows: this is its table, in whole percent, transposed below.
ROOMS = np.array(
    [
        [75, 0, 0, 0, 0, 0, 33, 0, 0, 0],
        [0, 67, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 82, 50, 0, 0, 0, 0, 9, 0],
        [0, 0, 0, 50, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 33, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 100, 0, 0, 0, 0],
        [25, 0, 0, 0, 0, 0, 67, 0, 0, 0],
        [0, 33, 0, 0, 0, 0, 0, 88, 0, 0],
        [0, 0, 18, 0, 67, 0, 0, 12, 91, 33],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 67],
    ]
).T


def random_counts(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Counts of 2 to 29 labels of which each has samples and is predicted."""
    k = int(rng.integers(2, 30))
    return rng.integers(0, 20, (k, k)) * (rng.random((k, k)) < 0.4) + np.diag(rng.integers(1, 50, k))


SHARES: dict[str, Any] = {
    "true": lambda c: c / c.sum(axis=1, keepdims=True),
    "predicted label's true count": lambda c: c / c.sum(axis=1)[None],
    "pred": lambda c: c / c.sum(axis=0),
    "all": lambda c: c / c.sum(),
}


def test_awss_sample_gives_back_its_images() -> None:
    """CAP/WATCH: 388, 2, 70, 164, divided by the images of the predicted label; and it is said."""
    found = recover_counts(CAP_WATCH, [390, 234])

    assert found is not None
    assert found.counts.tolist() == [[388, 2], [70, 164]]
    assert found.denominator == "predicted label's true count"
    assert "of the predicted label, not of the true one" in found.statement


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_the_rooms_table_gives_back_its_images(scale: float) -> None:
    """Whole percentages, or the same as shares, give the fifty test images with 39 right ones."""
    found = recover_counts(ROOMS * scale, ROOMS_SUPPORT)

    assert found is not None
    assert found.denominator == "true"
    assert found.counts.sum(axis=1).tolist() == ROOMS_SUPPORT
    assert np.trace(found.counts) == 39
    assert np.array_equal(np.round(100 * found.counts / np.array(ROOMS_SUPPORT)[:, None]), ROOMS)


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("denominator", SHARES)
def test_every_denominator_is_found(denominator: str, kind: type[Any], scale: float) -> None:
    """Of fifty random tables each comes back, as shares or percentages, in double or single precision."""
    rng = np.random.default_rng(3)
    for counts in (random_counts(rng) for _ in range(50)):
        found = recover_counts((SHARES[denominator](counts) * scale).astype(kind), counts.sum(axis=1))

        assert found is not None
        assert np.array_equal(found.counts, counts)
        # Some tables fit two readings; whichever is named, it explains the values.
        assert np.allclose(SHARES[found.denominator](counts), SHARES[denominator](counts))


@pytest.mark.parametrize("denominator", SHARES)
def test_rounded_shares_give_the_counts_or_nothing(denominator: str) -> None:
    """From whole percentages a table comes back right, or it is admitted that several fit."""
    rng = np.random.default_rng(4)
    tables = [random_counts(rng) for _ in range(60)]
    answers = [recover_counts(np.round(100 * SHARES[denominator](c)), c.sum(axis=1)) for c in tables]

    for counts, found in zip(tables, answers, strict=True):
        assert found is None or np.array_equal(found.counts, counts)
    assert any(found is not None for found in answers)


def test_a_label_without_images_is_an_empty_row() -> None:
    """Labels that have no test images do not hinder the others; a cell left out is 0."""
    found = recover_counts([[0.5, 0.5], [np.nan, np.nan]], [4, 0])

    assert found is not None
    assert found.counts.tolist() == [[2, 2], [0, 0]]


def test_a_label_never_predicted_is_an_empty_column() -> None:
    """Shares of predictions have no total for it."""
    found = recover_counts([[2 / 3, 0.0], [1 / 3, 0.0]], [2, 1])

    assert found is not None
    assert found.counts.tolist() == [[2, 0], [1, 0]]


@pytest.mark.parametrize(
    ("values", "support"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], [7, 13]),
        ([[0.5, 0.5], [0.0, 1.0]], [1001, 3]),
        ([[0.0, 0.0], [0.0, 0.0]], [3, 3]),
        ([[1.0, 0.0], [0.0, 1.0]], [0, 0]),
        ([[1e300, 0.0], [0.0, 1e300]], [3, 3]),
    ],
)
def test_values_that_fit_nothing(values: list[list[float]], support: list[int]) -> None:
    """None where no whole counts fit, or where several would."""
    assert recover_counts(values, support) is None


@pytest.mark.parametrize(
    ("values", "support"),
    [
        ([[1.0]], [1, 1]),
        ([1.0], [1]),
        ([[1.0, 0.0]], [1]),
        ([[-1.0]], [1]),
        ([[float("inf")]], [1]),
        ([[1.0]], [1.5]),
        ([[1.0]], [-1]),
        ([[1.0]], [float("nan")]),
    ],
)
def test_what_is_no_table_is_refused(values: Any, support: Any) -> None:
    """Shapes, negative shares and supports that are no numbers of images raise."""
    with pytest.raises(Invalid):
        recover_counts(values, support)
