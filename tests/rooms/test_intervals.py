"""Intervals: known numbers, what is undefined, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deconfuse.errors import Invalid
from deconfuse.measure.intervals import binary_intervals, dirichlet_draws, intervals, mcnemar
from deconfuse.measure.matrix import Cells, ConfusionMatrix
from deconfuse.measure.rates import wilson, wilson_f1
from deconfuse.measure.scores import label_scores_from_binary, macro


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (3, 3, 0.44, 1.00),
        (5, 5, 0.57, 1.00),
        (9, 10, 0.60, 0.98),
        (18, 20, 0.70, 0.97),
        (45, 50, 0.79, 0.96),
        (90, 100, 0.83, 0.94),
        (900, 1000, 0.88, 0.92),
        (0, 30, 0.00, 0.11),
        (2, 4, 0.15, 0.85),
    ],
)
def test_wilson_of_numbers_everybody_meets(hits: int, trials: int, low: float, high: float) -> None:
    """The intervals printed in the documentation."""
    assert wilson(hits, trials) == (pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))


def test_wilson_takes_arrays_of_any_shape() -> None:
    """Hits and trials are broadcast; without trials both ends are NaN."""
    low, high = wilson([[0, 1], [2, 0]], [4, 0][:1])

    assert low.shape == high.shape == (2, 2)
    assert np.isnan(wilson(0, 0)).all()
    assert wilson(0, 5)[0] == 0
    assert wilson(5, 5)[1] == 1


@pytest.mark.parametrize(
    ("hits", "trials", "level"), [(4, 3, 0.95), (-1, 3, 0.95), (np.nan, 3, 0.95), (1, 3, 0), (1, 3, 1), (1, 3, 95)]
)
def test_wilson_refuses_what_is_no_proportion(hits: float, trials: float, level: float) -> None:
    """Hits lie in 0..trials, a level strictly between 0 and 1."""
    with pytest.raises(Invalid):
        wilson(hits, trials, level=level)


def exact_draws(counts: np.ndarray[Any, Any], rng: np.random.Generator, draws: int) -> np.ndarray[Any, Any]:
    """[draws, K, K]: the same tables drawn cell by cell, as the formula stands."""
    k, n = len(counts), counts.sum(axis=1, keepdims=True)
    weights = counts + 1 / k**2
    weights *= np.maximum(weights.sum(axis=1, keepdims=True) - 1, 1) / weights.sum(axis=1, keepdims=True)
    gammas = rng.standard_gamma(weights, (draws, k, k))
    return np.asarray(gammas / gammas.sum(axis=-1, keepdims=True) * n)


@pytest.mark.parametrize(("k", "n", "wrong"), [(2, 5, 0.3), (3, 3, 0.5), (4, 12, 0.2), (8, 10, 0.4)])
def test_broken_sticks_are_dirichlet_draws(k: int, n: int, wrong: float) -> None:
    """Diagonal and column sums have the distribution of tables drawn cell by cell."""
    rng = np.random.default_rng(k)
    true = np.repeat(np.arange(k), n)
    m = ConfusionMatrix.from_codes(
        true, np.where(rng.random(len(true)) < wrong, rng.integers(0, k, len(true)), true), labels=range(k)
    )
    drawn = dirichlet_draws(m, rng=rng, draws=20_000)
    exact = exact_draws(m.counts[:-1, :-1].astype(float), rng, 20_000)

    levels = (0.025, 0.25, 0.5, 0.75, 0.975)
    for found, expected in (
        (drawn.correct[:-1].T, np.einsum("dii->di", exact)),
        (drawn.predicted[:-1].T, exact.sum(axis=1)),
    ):
        assert np.quantile(found, levels, axis=0) == pytest.approx(np.quantile(expected, levels, axis=0), abs=0.02 * n)


def test_draws_keep_the_support() -> None:
    """Each drawn table holds as many samples as the counted one, no label included; empty rows stay empty."""
    m = ConfusionMatrix.from_cells(
        [("a", "b", 3), ("b", None, 2), ("c", "c", 5), (None, "a", 1)], labels=["a", "b", "c", "d"]
    )
    drawn = dirichlet_draws(m, rng=np.random.default_rng(0), draws=300)

    assert drawn.predicted.sum(axis=0) == pytest.approx(np.full(300, 11), abs=0.01)
    assert drawn.support.tolist() == [3, 2, 5, 0, 1]
    assert not drawn.correct[3].any()


def test_sparse_matrices_are_drawn_alike() -> None:
    """The same chance gives the same intervals for Cells and for the dense matrix."""
    rng = np.random.default_rng(2)
    true, predicted = rng.integers(0, 5, 60), rng.integers(-1, 5, 60)
    dense, sparse = (
        intervals(kind.from_codes(true, predicted, labels=range(5)), rng=np.random.default_rng(9), draws=200)
        for kind in (ConfusionMatrix, Cells)
    )

    assert (dense.macro_f1, dense.kappa, dense.accuracy) == (sparse.macro_f1, sparse.kappa, sparse.accuracy)


def test_undefined_scores_have_undefined_intervals() -> None:
    """A label without samples has NaN for F1 and its ends; an empty matrix has nothing but NaN."""
    m = ConfusionMatrix.from_cells([("a", "a", 3), ("a", "b", 1)], labels=["a", "b", "c"])
    result = intervals(m, rng=np.random.default_rng(0), draws=100)
    empty = intervals(ConfusionMatrix.empty(["a"]), rng=np.random.default_rng(0), draws=100)

    assert np.isnan(result.f1[0]).tolist() == np.isnan(result.f1[1]).tolist() == [False, True, True]
    assert np.isnan([empty.macro_f1.low, empty.accuracy.high, empty.kappa.low, empty.mcc.high]).all()
    assert intervals(ConfusionMatrix.empty([]), rng=np.random.default_rng(0), draws=9).f1[0].shape == (0,)


def test_few_images_make_wide_intervals() -> None:
    """Three of three right says little about F1; three hundred of three hundred much."""
    few, many = (
        intervals(ConfusionMatrix.from_cells([("a", "a", n), ("b", "b", n)]), rng=np.random.default_rng(0)).macro_f1
        for n in (3, 300)
    )

    assert (few.value, few.high) == (1, 1)
    assert few.low < 0.75 < 0.98 < many.low


@pytest.mark.parametrize("options", [{"level": 0}, {"level": 1}, {"draws": 0}])
def test_bad_options_raise(options: dict[str, Any]) -> None:
    """Level and number of draws must mean something."""
    with pytest.raises(Invalid):
        intervals(ConfusionMatrix.empty(["a"]), rng=np.random.default_rng(0), **options)


def test_a_thousand_labels_stay_in_bounds() -> None:
    """Work and memory grow with the cells that hold something; all intervals are there."""
    codes = np.repeat(np.arange(1000), 5)
    predicted = np.where(np.arange(len(codes)) % 5, codes, (codes + 1) % 1000)
    m = ConfusionMatrix.from_codes(codes, predicted, labels=range(1000))
    result = intervals(m, rng=np.random.default_rng(0), draws=300)

    assert result.f1[0].shape == (1000,)
    assert result.macro_f1.low < 0.8 < result.macro_f1.high


@pytest.mark.parametrize(
    ("b", "c", "p"), [(5, 0, 0.0625), (6, 0, 0.03125), (9, 1, 0.0215), (8, 2, 0.1094), (0, 0, 1), (3, 3, 1)]
)
def test_mcnemar_of_small_numbers(b: int, c: int, p: float) -> None:
    """Below six images one way, nothing reaches 0.05."""
    assert mcnemar(b, c) == pytest.approx(p, abs=1e-4)
    assert mcnemar([b, b], [c, c]).tolist() == pytest.approx([p, p], abs=1e-4)


@pytest.mark.parametrize(("b", "c"), [(-1, 2), (1, -2), (0.5, 1), (np.nan, 1)])
def test_mcnemar_needs_whole_numbers(b: float, c: float) -> None:
    """Images are counted."""
    with pytest.raises(Invalid):
        mcnemar(b, c)


def test_intervals_of_a_multi_label_model_hold_its_scores() -> None:
    """Each lies around the score counted; a label that no sample has is undefined and in no mean."""
    counts = np.array([[[90, 5], [2, 20]], [[50, 0], [30, 40]], [[100, 3], [0, 0]]])
    (low, high), means = binary_intervals(counts, rng=np.random.default_rng(1))
    scores = label_scores_from_binary(counts)

    assert np.all((low[:2] <= scores.f1[:2]) & (scores.f1[:2] <= high[:2]))
    assert np.isnan([low[2], high[2]]).all()
    assert [mean.value for mean in means] == [macro(scores).f1, macro(scores).precision, macro(scores).recall]
    assert all(0 < mean.low < mean.value < mean.high < 1 for mean in means)


def test_f1_is_no_surer_than_what_it_is_made_of() -> None:
    """Fourteen of fourteen: precision and recall are known from 78 % on, and F1 claims no more than Jaccard allows."""
    m = ConfusionMatrix.from_cells([("hat", "hat", 14), ("cap", "cap", 30)])
    low, high = intervals(m, rng=np.random.default_rng(0), draws=100).f1

    assert (low[1], high[1]) == (pytest.approx(0.8794, abs=1e-4), 1)
    assert low[1] == pytest.approx(2 * wilson(14, 14)[0] / (1 + wilson(14, 14)[0]))


def test_f1_has_one_interval_wherever_it_is_shown() -> None:
    """The same counts give the same ends from a matrix of one label an image and from tables of several."""
    m = ConfusionMatrix.from_cells([("a", "a", 8), ("a", "b", 3), ("b", "b", 9), ("b", "a", 1)])
    binary = [[[9, 1], [3, 8]], [[8, 3], [1, 9]]]
    single = intervals(m, rng=np.random.default_rng(0), draws=100).f1
    several, _ = binary_intervals(binary, rng=np.random.default_rng(0), draws=100)

    assert np.array_equal(single, several)
    assert np.array_equal(single, wilson_f1([8, 9], [11, 10], [9, 12]))


@pytest.mark.parametrize(("hits", "support", "predicted"), [(4, 3, 5), (4, 5, 3), (-1, 2, 2)])
def test_f1_of_impossible_counts_raises(hits: int, support: int, predicted: int) -> None:
    """More hits than samples that have the label, or were called it, cannot be."""
    with pytest.raises(Invalid):
        wilson_f1(hits, support, predicted)
