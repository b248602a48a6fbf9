"""Thresholds, sweeps and calibration: by hand, against trying everything, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.curves import assumed_thresholds, calibration, sweep
from deconfuse.measure.matrix import ConfusionMatrix


def f1_at(scores: NDArray[Any], truth: NDArray[Any], threshold: float) -> NDArray[np.float64]:
    """F1 of each label at one threshold, spelled out; 0 where there is nothing to find."""
    called = scores >= np.asarray(threshold, scores.dtype)
    return np.asarray(2 * (called & truth).sum(axis=0) / np.maximum(called.sum(axis=0) + truth.sum(axis=0), 1))


def samples(n: int, k: int, *, seed: int, digits: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scores that tell the true label in most samples; rounded, so that many are equal, where digits are given."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, k, n)
    scores = rng.random((n, k)) ** 3
    scores[np.arange(n), label] = rng.random(n) ** 0.3
    return (scores if digits is None else np.round(scores, digits)).astype(np.float32), np.eye(k, dtype=bool)[label]


def test_a_threshold_lies_in_the_middle_of_its_gap() -> None:
    """Ten positives above 0.8, the rest below 0.4: anything between is as good, the middle is given."""
    scores = np.concatenate([np.linspace(0.8, 0.9, 10), np.linspace(0.0, 0.4, 10)])[:, None]

    assert assumed_thresholds(scores, np.arange(20)[:, None] < 10) == pytest.approx([0.6])


def test_of_equally_good_gaps_the_widest_is_taken() -> None:
    """Two cuts give F1 = 2/3; the threshold lies in the wider gap."""
    has = np.array([1] * 10 + [0] * 10 + [1] * 10 + [0] * 10, bool)
    scores = np.repeat([0.9, 0.8, 0.7, 0.1], 10)[:, None]
    f1 = [f1_at(scores, has[:, None], t)[0] for t in (0.85, 0.75, 0.4, 0.05)]

    assert f1 == pytest.approx([2 / 3, 0.5, 0.8, 2 / 3])
    assert assumed_thresholds(scores, has[:, None]) == pytest.approx([0.4])
    assert assumed_thresholds(scores[:20], np.array([1, 0] * 10, bool)[:, None]) == pytest.approx([0.4])


@pytest.mark.parametrize("digits", [None, 2, 1])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_is_better(seed: int, digits: int | None) -> None:
    """Trying every score as a threshold finds no better F1 for any label."""
    scores, truth = samples(150, 4, seed=seed, digits=digits)
    chosen = assumed_thresholds(scores, truth)
    tried = np.array([f1_at(scores, truth, t) for t in np.unique(scores)])

    for label, threshold in enumerate(chosen):
        assert f1_at(scores, truth, threshold)[label] == pytest.approx(tried[:, label].max(), abs=1e-12)


@pytest.mark.parametrize("digits", [None, 2])
@pytest.mark.parametrize("seed", range(5))
def test_rare_labels_share_the_best_common_threshold(seed: int, digits: int | None) -> None:
    """With fewer than ten positives a label takes what gives the best mean F1 over labels with positives."""
    scores, truth = samples(60, 9, seed=seed, digits=digits)
    truth[:, 0] = False
    chosen = assumed_thresholds(scores, truth)
    rare = truth.sum(axis=0) < 10
    means = [f1_at(scores, truth, t)[1:].mean() for t in np.unique(scores)]

    assert len(set(chosen[rare])) == 1
    assert f1_at(scores, truth, chosen[0])[1:].mean() == pytest.approx(max(means), abs=1e-12)


def test_neighbouring_floats_keep_their_threshold() -> None:
    """Where no number fits between two scores, the upper one is the threshold, in single precision too."""
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    scores = np.array([high] * 10 + [low] * 10)[:, None]
    truth = np.arange(20)[:, None] < 10
    threshold = assumed_thresholds(scores, truth)

    m = ConfusionMatrix.from_scores(["a"] * 20, scores, labels=["a"], thresholds=threshold)
    assert m.counts[0].tolist() == [10, 10]


def test_no_positives_at_all() -> None:
    """Without a positive sample nothing can be fitted: 0.5."""
    assert assumed_thresholds(np.full((3, 2), 0.1), np.zeros((3, 2))).tolist() == [0.5, 0.5]
    assert assumed_thresholds(np.zeros((0, 2)), np.zeros((0, 2))).tolist() == [0.5, 0.5]


def test_one_positive_is_enough_for_a_common_threshold() -> None:
    """A model with single positives gets the middle between them and everybody else."""
    scores = np.array([[0.9, 0.2], [0.1, 0.7]])

    assert assumed_thresholds(scores, np.eye(2, dtype=bool)) == pytest.approx([0.45, 0.45])


BAD_TABLES = [
    (np.zeros((2, 2)), np.zeros((2, 3))),
    (np.zeros(2), np.zeros(2)),
    (np.full((2, 1), np.nan), np.zeros((2, 1))),
    (np.full((2, 1), 1.5), np.zeros((2, 1))),
    (np.full((2, 1), -0.1), np.zeros((2, 1))),
]


@pytest.mark.parametrize(("scores", "truth"), BAD_TABLES)
def test_bad_tables_raise(scores: Any, truth: Any) -> None:
    """Scores lie in 0..1 and have the shape of the truth."""
    for measure in (assumed_thresholds, sweep):
        with pytest.raises(Invalid):
            measure(scores, truth)


def test_a_sweep_counts_what_each_threshold_calls() -> None:
    """Each threshold is the binary count of its own; undefined is NaN."""
    scores, truth = samples(80, 3, seed=1, digits=2)
    truth[:, 2] = False
    result = sweep(scores, truth, thresholds=[0.0, 0.3, 0.7, 1.1])

    for t, threshold in enumerate(result.thresholds):
        called = scores >= np.float32(threshold)
        assert result.predicted[t].tolist() == called.sum(axis=0).tolist()
        assert result.true_positives[t].tolist() == (called & truth).sum(axis=0).tolist()
    assert np.isnan(result.precision[3]).all()
    assert np.isnan(result.recall[:, 2]).all()
    assert result.recall[0, :2].tolist() == [1, 1]
    assert sweep(scores, truth).thresholds.tolist() == np.linspace(0, 1, 101).tolist()


@pytest.mark.parametrize("thresholds", [[[0.5]], [np.nan]])
def test_bad_thresholds_of_a_sweep_raise(thresholds: Any) -> None:
    """A list of numbers is needed."""
    with pytest.raises(Invalid, match="thresholds"):
        sweep(np.zeros((1, 1)), np.zeros((1, 1)), thresholds=thresholds)


def test_calibration_by_hand() -> None:
    """Two sure and right, two sure and wrong, one unsure: the error is the mean distance of claim and fact."""
    result = calibration([1.0, 0.95, 0.95, 0.95, 0.3], [True, True, False, False, True], bins=10)

    assert result.count.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 4]
    assert result.accuracy[[2, 9]].tolist() == [1.0, 0.5]
    assert result.probability[9] == pytest.approx(0.9625)
    assert np.isnan(result.accuracy[0])
    assert result.expected_error == pytest.approx((4 * 0.4625 + 0.7) / 5)
    assert result.interval[0][9] < 0.5 < result.interval[1][9]


def test_perfect_calibration_has_no_error() -> None:
    """Half of the predictions of one half are right."""
    assert calibration([0.5, 0.5, 1.0], [True, False, True]).expected_error == 0
    assert np.isnan(calibration([], []).expected_error)


@pytest.mark.parametrize(
    ("probability", "correct", "bins"),
    [([0.5], [True, False], 10), ([[0.5]], [[True]], 10), ([1.2], [True], 10), ([np.nan], [True], 10), ([0.5], [1], 0)],
)
def test_bad_calibration_raises(probability: Any, correct: Any, bins: int) -> None:
    """Probabilities lie in 0..1, each with its truth, in at least one bin."""
    with pytest.raises(Invalid):
        calibration(probability, correct, bins=bins)
