"""Intervals and tests of `measure` against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, dirichlet

from deconfuse.measure.intervals import dirichlet_draws, mcnemar
from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.measure.rates import wilson


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("trials", [1, 2, 3, 10, 97, 1000])
def test_wilson(trials: int, level: float) -> None:
    """Scipy's Wilson interval, for every number of hits of several numbers of trials."""
    for hits in {0, 1, trials // 3, trials // 2, trials - 1, trials}:
        expected = binomtest(hits, trials).proportion_ci(level, method="wilson")
        assert wilson(hits, trials, level=level) == (pytest.approx(expected.low), pytest.approx(expected.high))


@pytest.mark.parametrize("b", [0, 1, 4, 30])
@pytest.mark.parametrize("c", [0, 2, 9, 400])
def test_mcnemar(b: int, c: int) -> None:
    """The exact test is a two-sided binomial test of b among b + c."""
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0

    assert mcnemar(b, c) == pytest.approx(expected)


def test_shares_of_a_row_have_the_moments_of_their_dirichlet_distribution() -> None:
    """Mean and variance of the drawn diagonal are scipy's for the documented weights."""
    counts = np.array([[7, 2, 1], [0, 12, 0], [1, 0, 4]])
    padded = np.zeros((4, 4), np.int64)
    padded[:3, :3] = counts
    drawn = dirichlet_draws(ConfusionMatrix(("a", "b", "c"), padded), rng=np.random.default_rng(0), draws=40_000)

    for label, row in enumerate(counts):
        weights = row + 1 / 9
        weights *= (weights.sum() - 1) / weights.sum()
        shares = drawn.correct[label] / row.sum()
        assert shares.mean() == pytest.approx(dirichlet.mean(weights)[label], abs=0.005)
        assert shares.var() == pytest.approx(dirichlet.var(weights)[label], rel=0.05)
