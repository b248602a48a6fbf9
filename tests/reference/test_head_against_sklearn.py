"""The head against scikit-learn's logistic regression: the same objective, so the same minimum."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

import worlds
from deconfuse.learn.head import CONSTANT, fit_head, frame_of
from deconfuse.learn.trial import best_temperature, run_trial

LABELS = ("leaf", "sea", "sun", "sky")


def rows(dimensions: int = 40, spread: float = 2.5) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Overlapping, unbalanced clouds, away from zero: embeddings, codes and hashes."""
    counts = {"leaf": 90, "sea": 60, "sun": 40, "sky": 10}
    vectors, labels, hashes = worlds.clusters(counts, dimensions=dimensions, spread=spread)
    return vectors + 3, np.array([LABELS.index(label) for label in labels]), hashes


def reference(penalty: float, n: int) -> LogisticRegression:
    """scikit-learn's form of our objective: C is 1 / (penalty * n), and the bias is a feature like the others."""
    return LogisticRegression(C=1 / (penalty * n), fit_intercept=False, tol=1e-10, max_iter=20_000)


def framed(vectors: np.ndarray) -> np.ndarray:
    """Centred, scaled to a mean squared length of 1, and the constant feature."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    centred /= np.sqrt((centred**2).sum(axis=1).mean())
    return np.hstack([centred, np.full((len(vectors), 1), CONSTANT)])


def test_the_frame_centres_and_scales() -> None:
    """The features a fit sees are those the reference is given."""
    vectors, _, _ = rows()
    order = np.arange(len(vectors))

    np.testing.assert_allclose(frame_of(vectors, order).features(vectors, order), framed(vectors), atol=1e-5)


@pytest.mark.parametrize("dimensions", [3, 40, 400])
@pytest.mark.parametrize("penalty", [1e-1, 1e-2, 1e-3, 1e-4])
def test_softmax_has_the_same_minimum(penalty: float, dimensions: int) -> None:
    """With fewer and with more images than dimensions, probabilities agree within 1e-4."""
    vectors, codes, _ = rows(dimensions)
    head = fit_head(vectors, np.eye(4, dtype=bool)[codes], labels=LABELS, multi_label=False, penalty=penalty)
    model = reference(penalty, len(codes)).fit(framed(vectors), codes)

    np.testing.assert_allclose(head.probabilities(vectors), model.predict_proba(framed(vectors)), atol=1e-4)


@pytest.mark.parametrize("penalty", [1e-1, 1e-2, 1e-3, 1e-4])
def test_sigmoids_have_the_same_minimum(penalty: float) -> None:
    """Each label of a multi-label head is a logistic regression of its own."""
    vectors, _, _ = rows()
    truth = vectors[:, :4] + np.random.default_rng(0).normal(0, 1, (len(vectors), 4)) > 3
    head = fit_head(vectors, truth, labels=LABELS, multi_label=True, penalty=penalty)
    expected = [
        reference(penalty, len(truth)).fit(framed(vectors), truth[:, label]).predict_proba(framed(vectors))[:, 1]
        for label in range(4)
    ]

    np.testing.assert_allclose(head.probabilities(vectors), np.transpose(expected), atol=1e-4)


def test_out_of_fold_probabilities_are_those_of_cross_val_predict() -> None:
    """The folds fitted together are the folds fitted one by one, and the penalty is the best of those tried."""
    vectors, codes, hashes = rows()
    truth = np.eye(4, dtype=bool)[codes]
    trial = run_trial(vectors, truth, hashes, labels=LABELS, multi_label=False)
    scores = np.empty((len(codes), 4))
    for fold in range(5):
        out = trial.fold == fold
        model = reference(trial.penalty, int((~out).sum())).fit(framed(vectors)[~out], codes[~out])
        scores[out] = model.decision_function(framed(vectors)[out])
    temperature = best_temperature(scores.T.astype(np.float32), truth.T.astype(np.float32), multi_label=False)
    powers = np.exp(scores / temperature)

    assert trial.head.temperature == pytest.approx(temperature, rel=1e-3)
    np.testing.assert_allclose(trial.probabilities, powers / powers.sum(axis=1, keepdims=True), atol=2e-4)


def test_the_penalty_chosen_is_as_good_as_the_best_of_a_finer_search() -> None:
    """Searched by scikit-learn over 9 penalties, the out-of-fold log loss at temperature 1 is hardly lower."""
    vectors, codes, hashes = rows()
    trial = run_trial(vectors, np.eye(4, dtype=bool)[codes], hashes, labels=LABELS, multi_label=False)
    split = PredefinedSplit(trial.fold)
    losses = []
    for penalty in 10.0 ** np.linspace(-1.25, -3.25, 9):
        model = reference(penalty, int(len(codes) * 0.8)).set_params(tol=1e-3)
        chances = cross_val_predict(model, framed(vectors), codes, cv=split, method="predict_proba")
        losses.append(-np.log(chances[np.arange(len(codes)), codes]).mean())

    assert -np.log(trial.probabilities[np.arange(len(codes)), codes]).mean() < 1.02 * min(losses)
