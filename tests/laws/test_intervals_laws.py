"""What must always hold for intervals, and how often they cover the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import betainc
from scipy.stats import binom

from deconfuse.measure.intervals import binary_intervals, intervals, mcnemar
from deconfuse.measure.matrix import ConfusionMatrix
from deconfuse.measure.rates import wilson, wilson_f1

counts = st.integers(0, 10_000)
tables = st.integers(1, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k + 1, max_size=k + 1), min_size=k + 1, max_size=k + 1)
)
LABEL_COUNTS, IMAGES, ACCURACIES = (2, 10, 30), (10, 30, 100), (0.7, 0.9, 0.98)


@given(hits=counts, misses=counts, level=st.floats(0.01, 0.999))
def test_wilson_holds_its_share_within_zero_and_one(hits: int, misses: int, level: float) -> None:
    """0 <= low <= share <= high <= 1, and the interval has some width; undefined without trials."""
    low, high = wilson(hits, hits + misses, level=level)

    if hits + misses == 0:
        assert np.isnan([low, high]).all()
    else:
        assert 0 <= low <= hits / (hits + misses) <= high <= 1
        assert low < high


@given(hits=counts, misses=counts)
def test_wilson_is_symmetric(hits: int, misses: int) -> None:
    """Being wrong is the mirror image of being right."""
    low, high = wilson(hits, hits + misses)
    mirrored = wilson(misses, hits + misses)

    assert np.allclose([low, high], [1 - mirrored[1], 1 - mirrored[0]], equal_nan=True)


@given(hits=counts, misses=st.integers(1, 1000), more=st.integers(1, 50))
def test_wilson_grows_with_hits_and_narrows_with_trials(hits: int, misses: int, more: int) -> None:
    """More hits of the same trials lift both ends; the same share of more trials is surer."""
    trials = hits + misses
    low, high = wilson(hits, trials)
    above = wilson(min(hits + more, trials), trials)
    surer = wilson(hits * (more + 1), trials * (more + 1))

    assert above[0] >= low
    assert above[1] >= high
    assert surer[1] - surer[0] < high - low


@given(table=tables, seed=st.integers(0, 2**32))
def test_every_interval_holds_its_value(table: list[list[int]], seed: int) -> None:
    """Low <= value <= high for every score, within the range of the score; undefined together."""
    matrix = ConfusionMatrix(tuple(f"l{i}" for i in range(len(table) - 1)), np.array(table))
    result = intervals(matrix, rng=np.random.default_rng(seed), draws=50)

    for name in ("accuracy", "macro_precision", "macro_recall", "macro_f1", "balanced_accuracy", "kappa", "mcc"):
        found = getattr(result, name)
        lowest = -1 if name in ("kappa", "mcc") else 0
        if np.isnan(found.value):
            assert np.isnan([found.low, found.high]).all()
        else:
            assert lowest - 1e-9 <= found.low <= found.value + 1e-9
            assert found.value - 1e-9 <= found.high <= 1 + 1e-9


@given(seed=st.integers(0, 2**32))
def test_the_same_chance_gives_the_same_intervals(seed: int) -> None:
    """Intervals depend on the matrix and on rng, and on nothing else."""
    matrix = ConfusionMatrix.from_cells([("a", "a", 5), ("a", "b", 2), ("b", "b", 4)])
    first, second = (intervals(matrix, rng=np.random.default_rng(seed), draws=100) for _ in range(2))

    assert (first.macro_f1, first.kappa, first.mcc) == (second.macro_f1, second.kappa, second.mcc)


@given(b=st.integers(0, 500), c=st.integers(0, 500))
def test_mcnemar_does_not_care_which_model_is_first(b: int, c: int) -> None:
    """Swapping the models changes nothing; p lies in 0..1; equal numbers say nothing."""
    p = mcnemar(b, c)

    assert p == mcnemar(c, b)
    assert 0 <= p <= 1
    assert mcnemar(b, b) == 1


EVERY_N = pytest.param(range(3, 1001), marks=pytest.mark.slow)


@pytest.mark.parametrize("trials", [[*range(3, 60), *range(60, 1001, 47)], EVERY_N], ids=["some", "every"])
def test_wilson_covers_as_often_as_it_says(trials: Sequence[int]) -> None:
    """Mean coverage over p uniform in 0..1 is 93 to 97 % for n from 3 to 1,000; exact, by the beta integral."""
    for n in trials:
        hits = np.arange(n + 1)
        low, high = wilson(hits, n)
        covered = betainc(hits + 1, n - hits + 1, high) - betainc(hits + 1, n - hits + 1, low)
        assert 0.93 <= covered.sum() / (n + 1) <= 0.97


@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("n_labels", LABEL_COUNTS)
def test_accuracy_is_covered(n_labels: int, images: int, accuracy: float) -> None:
    """Its Wilson interval covers 90 to 98 %; exact, by the binomial distribution."""
    n = n_labels * images
    hits = np.arange(n + 1)
    low, high = wilson(hits, n)

    assert 0.9 <= binom.pmf(hits, n, accuracy)[(low <= accuracy) & (accuracy <= high)].sum() <= 0.98


def random_truth(rng: np.random.Generator, n_labels: int, accuracy: float) -> NDArray[np.float64]:
    """Shares [K, K] of a model whose recalls are `accuracy` and whose confusions prefer a few labels."""
    shares = np.zeros((n_labels, n_labels))
    for label in range(n_labels):
        others = np.delete(np.arange(n_labels), label)
        shares[label, others] = (1 - accuracy) * rng.dirichlet(np.full(n_labels - 1, 0.5))
        shares[label, label] = accuracy
    return shares


def coverage(n_labels: int, images: int, accuracy: float, *, repetitions: int, draws: int) -> float:
    """How often the interval of macro F1 holds the truth; every repetition has confusions of its own."""
    rng = np.random.default_rng([n_labels, images, int(100 * accuracy)])
    labels, covered = tuple(f"l{i}" for i in range(n_labels)), 0
    for _ in range(repetitions):
        shares = random_truth(rng, n_labels, accuracy)
        f1 = np.mean(2 * np.diag(shares) / (1 + shares.sum(axis=0)))
        counted = np.zeros((n_labels + 1, n_labels + 1), np.int64)
        counted[:-1, :-1] = rng.multinomial(images, shares)
        found = intervals(ConfusionMatrix(labels, counted), rng=rng, draws=draws).macro_f1
        covered += found.low <= f1 <= found.high
    return covered / repetitions


@pytest.mark.parametrize(("n_labels", "images", "accuracy"), [(2, 10, 0.7), (10, 30, 0.9)])
def test_macro_f1_is_covered(n_labels: int, images: int, accuracy: float) -> None:
    """A small version of the grid below, with room for the chance of few repetitions."""
    assert 0.88 <= coverage(n_labels, images, accuracy, repetitions=250, draws=200) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("n_labels", LABEL_COUNTS)
def test_macro_f1_is_covered_everywhere(n_labels: int, images: int, accuracy: float) -> None:
    """Macro F1 is covered 90 to 98 % for all numbers of labels, images a label and accuracies."""
    assert 0.9 <= coverage(n_labels, images, accuracy, repetitions=1000, draws=250) <= 0.98


@given(hits=counts, misses=counts, invented=counts)
def test_the_interval_of_f1_holds_it(hits: int, misses: int, invented: int) -> None:
    """0 <= low <= F1 <= high <= 1 with some width, the same whichever side the errors lie on; undefined together."""
    low, high = wilson_f1(hits, hits + misses, hits + invented)

    if hits + misses == 0:
        assert np.isnan([low, high]).all()
    else:
        assert 0 <= low <= 2 * hits / (2 * hits + misses + invented) + 1e-12
        assert 2 * hits / (2 * hits + misses + invented) - 1e-12 <= high <= 1
        assert low < high
    if hits:
        assert (low, high) == wilson_f1(hits, hits + invented, hits + misses)


def f1_coverage(n_labels: int, images: int, accuracy: float, *, repetitions: int) -> float:
    """How often the interval of a single label's F1 holds the truth, over all labels of all repetitions."""
    rng = np.random.default_rng([n_labels, images, int(100 * accuracy)])
    covered = 0
    for _ in range(repetitions):
        shares = random_truth(rng, n_labels, accuracy)
        counted = rng.multinomial(images, shares)
        f1 = 2 * np.diag(shares) / (1 + shares.sum(axis=0))
        low, high = wilson_f1(np.diag(counted), images, counted.sum(axis=0))
        covered += np.count_nonzero((low <= f1) & (f1 <= high))
    return covered / (repetitions * n_labels)


@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("n_labels", LABEL_COUNTS)
def test_f1_of_a_label_is_covered(n_labels: int, images: int, accuracy: float) -> None:
    """Of 4,000 intervals on each place of the grid below, with room for their chance, 92 to 98.5 % hold the truth."""
    assert 0.92 <= f1_coverage(n_labels, images, accuracy, repetitions=4000 // n_labels) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("n_labels", LABEL_COUNTS)
def test_f1_of_a_label_is_covered_everywhere(n_labels: int, images: int, accuracy: float) -> None:
    """The F1 of a single label is covered 93 to 98 % for all numbers of labels, images a label and accuracies."""
    assert 0.93 <= f1_coverage(n_labels, images, accuracy, repetitions=20_000 // n_labels) <= 0.98


def multi_label_coverage(n_labels: int, images: int, accuracy: float, *, repetitions: int, draws: int) -> list[float]:
    """How often a label's F1 and mean F1, precision and recall of a multi-label model are covered.

    A label is on 5 to 30 % of the images; its recall and precision lie around `accuracy`; labels are independent.
    """
    rng = np.random.default_rng([n_labels, images, int(100 * accuracy)])
    covered, n_f1 = np.zeros(4), 0
    for _ in range(repetitions):
        share = rng.uniform(0.05, 0.3, n_labels)
        recall, precision = np.clip(rng.normal(accuracy, 0.1, (2, n_labels)), 0.3, 0.99)
        both = share * recall
        invented = both * (1 - precision) / precision
        cells = np.stack([1 - share - invented, invented, share - both, both], axis=1)
        binary = rng.multinomial(images, cells).reshape(n_labels, 2, 2)
        f1 = 2 * both / (share + both + invented)
        (low, high), means = binary_intervals(binary, rng=rng, draws=draws)
        seen, called = binary[:, 1].sum(axis=1) > 0, binary[:, :, 1].sum(axis=1) > 0
        truths = f1[seen].mean(), precision[seen & called].mean(), recall[seen].mean()
        covered[0] += np.count_nonzero((low <= f1)[seen] & (f1 <= high)[seen])
        n_f1 += np.count_nonzero(seen)
        covered[1:] += [mean.low <= truth <= mean.high for mean, truth in zip(means, truths, strict=True)]
    return (covered / [n_f1, *3 * [repetitions]]).tolist()


@pytest.mark.parametrize(("n_labels", "images", "accuracy"), [(5, 30, 0.8), (20, 30, 0.8), (10, 300, 0.8)])
def test_multi_label_scores_are_covered(n_labels: int, images: int, accuracy: float) -> None:
    """A small version of the grid below, with room for the chance of few repetitions."""
    of_label, *of_means = multi_label_coverage(n_labels, images, accuracy, repetitions=300, draws=200)

    assert 0.93 <= of_label <= 0.985
    assert min(of_means) >= 0.9
    assert max(of_means) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [0.7, 0.9])
@pytest.mark.parametrize("images", [30, 100, 300])
@pytest.mark.parametrize("n_labels", [3, 10, 40])
def test_multi_label_scores_are_covered_everywhere(n_labels: int, images: int, accuracy: float) -> None:
    """A label's F1 is covered 93 to 98.5 %, and the means 87 to 98.5 %, from 30 images on."""
    of_label, *of_means = multi_label_coverage(n_labels, images, accuracy, repetitions=1000, draws=250)

    assert 0.93 <= of_label <= 0.985
    assert min(of_means) >= 0.87
    assert max(of_means) <= 0.985
