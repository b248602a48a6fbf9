"""The head: probabilities, what a fit gives, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import worlds
from deconfuse.errors import Invalid
from deconfuse.learn.head import Head, check_rows, fit_head

LABELS = ("leaf", "sea", "sun")


def rows(n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and truth of n images a label."""
    vectors, labels, _ = worlds.clusters(dict.fromkeys(LABELS, n))
    return vectors, np.array([[label == name for name in LABELS] for label in labels])


def small_head(*, multi_label: bool = False, temperature: float = 1.0) -> Head:
    """A head on two dimensions whose scores are easy to say."""
    weights = np.array([[1, 0], [0, 1], [0, 0]], np.float32)
    return Head(LABELS, weights, np.array([0, 0, 1], np.float32), temperature, multi_label)


def test_single_label_probabilities_are_a_softmax() -> None:
    """Scores 2, 0, 1 give exp(2), 1, exp(1) over their sum."""
    actual = small_head().probabilities(np.array([[2, 0]], np.float32))

    powers = np.exp([2, 0, 1])
    np.testing.assert_allclose(actual, [powers / powers.sum()], rtol=1e-6)


def test_multi_label_probabilities_are_sigmoids() -> None:
    """Each label has a probability of its own."""
    actual = small_head(multi_label=True).probabilities(np.array([[2, 0]], np.float32))

    np.testing.assert_allclose(actual, [1 / (1 + np.exp([-2, 0, -1]))], rtol=1e-6)


def test_temperature_divides_the_scores() -> None:
    """At temperature 2, scores 4, 0, 1 count as 2, 0, 0.5; the highest stays the highest."""
    actual = small_head(temperature=2).probabilities(np.array([[4, 0]], np.float32))

    powers = np.exp([2, 0, 0.5])
    np.testing.assert_allclose(actual, [powers / powers.sum()], rtol=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_huge_scores_stay_finite(multi_label: bool) -> None:
    """Scores of ±1e30 give 0 and 1, without a warning."""
    vectors = np.array([[1e30, -1e30], [-1e30, -1e30]], np.float32)
    actual = small_head(multi_label=multi_label).probabilities(vectors)

    assert np.isfinite(actual).all()
    assert actual[0].tolist()[:2] == [1, 0]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("k", [2, 3, 10, 33])
def test_an_image_has_one_probability_alone_or_among_others(k: int, multi_label: bool) -> None:
    """The same bits whatever the batch and the place in it."""
    rng = np.random.default_rng(k)
    vectors = rng.standard_normal((29, 67), dtype=np.float32)
    weights = rng.standard_normal((k, 67), dtype=np.float32)
    head = Head(tuple(map(str, range(k))), weights, weights[:, 0].copy(), 0.7, multi_label)
    together = head.probabilities(vectors)

    assert (np.concatenate([head.probabilities(vectors[i : i + 1]) for i in range(29)]) == together).all()
    assert (head.probabilities(vectors[::-1])[::-1] == together).all()


def test_no_image_gives_no_row() -> None:
    """An empty batch is answered with an empty table."""
    assert small_head().probabilities(np.empty((0, 2), np.float32)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2,), (1, 3), (1, 1, 2)])
def test_embeddings_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """The message says which shape is needed."""
    with pytest.raises(Invalid, match=r"\(n, 2\) is needed"):
        small_head().probabilities(np.zeros(shape, np.float32))


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_fit_learns_clear_clouds(multi_label: bool) -> None:
    """Three clouds far apart are told apart, and probabilities say so."""
    vectors, truth = rows()
    head = fit_head(vectors, truth, labels=LABELS, multi_label=multi_label, penalty=1e-3)

    assert (head.probabilities(vectors).argmax(axis=1) == truth.argmax(axis=1)).all()
    assert head.weights.dtype == head.bias.dtype == np.float32
    assert head.probabilities(vectors)[truth].min() > 0.5


def test_a_shift_and_a_stretch_of_all_embeddings_change_nothing() -> None:
    """Probabilities do not depend on where the backbone puts its zero and how long its unit is."""
    vectors, truth = rows()
    plain = fit_head(vectors, truth, labels=LABELS, multi_label=False, penalty=1e-3)
    moved = fit_head(7 * vectors + 3, truth, labels=LABELS, multi_label=False, penalty=1e-3)

    np.testing.assert_allclose(moved.probabilities(7 * vectors + 3), plain.probabilities(vectors), atol=1e-4)


def test_a_strong_penalty_says_nothing() -> None:
    """With an enormous penalty every label gets the same probability."""
    vectors, truth = rows()
    head = fit_head(vectors, truth, labels=LABELS, multi_label=False, penalty=1e6)

    np.testing.assert_allclose(head.probabilities(vectors), 1 / 3, atol=1e-4)


def test_constant_embeddings_give_the_shares_of_the_labels() -> None:
    """Where images cannot be told apart, only how frequent a label is can be learned."""
    truth = np.repeat(np.eye(3, dtype=bool), [10, 20, 70], axis=0)
    head = fit_head(np.full((100, 5), 3.3, np.float32), truth, labels=LABELS, multi_label=False, penalty=1e-6)

    np.testing.assert_allclose(head.probabilities(np.full((1, 5), 3.3, np.float32)), [[0.1, 0.2, 0.7]], atol=1e-3)


def test_an_absent_label_gets_a_small_finite_probability() -> None:
    """A label without a single image does not run away to minus infinity."""
    vectors, truth = rows()
    few = truth[:, 2] == 0
    head = fit_head(vectors[few], truth[few], labels=LABELS, multi_label=False, penalty=1e-4)

    assert np.isfinite(head.weights).all()
    assert 0 < head.probabilities(vectors[few])[:, 2].max() < 0.05


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    """One NaN would silently become a model of NaNs."""
    vectors, truth = rows(2)
    vectors[3, 3] = value

    with pytest.raises(Invalid, match="not finite"):
        fit_head(vectors, truth, labels=LABELS, multi_label=False, penalty=1e-3)


@pytest.mark.parametrize(
    ("vectors", "truth", "labels", "field"),
    [
        (np.zeros((0, 4), np.float32), np.zeros((0, 2), bool), "ab", "embeddings"),
        (np.zeros((2, 0), np.float32), np.eye(2, dtype=bool), "ab", "embeddings"),
        (np.zeros(4, np.float32), np.eye(2, dtype=bool), "ab", "embeddings"),
        (np.zeros((2, 4), np.float32), np.eye(2), "ab", "truth"),
        (np.zeros((2, 4), np.float32), np.eye(3, dtype=bool), "ab", "truth"),
        (np.zeros((1, 4), np.float32), np.ones((1, 1), bool), "a", "labels"),
        (np.zeros((2, 4), np.float32), np.eye(2, dtype=bool), "aa", "labels"),
        (np.zeros((2, 4), np.float32), np.ones((2, 2), bool), "ab", "truth"),
        (np.zeros((2, 4), np.float32), np.zeros((2, 2), bool), "ab", "truth"),
    ],
)
def test_rows_that_cannot_be_fitted_are_refused(
    vectors: np.ndarray, truth: np.ndarray, labels: str, field: str
) -> None:
    """Empty tables, shapes that do not fit, one label, a label twice, two truths, none: each names its argument."""
    with pytest.raises(Invalid) as caught:
        check_rows(vectors, truth, tuple(labels), multi_label=False)

    assert caught.value.field == field


def test_several_and_no_labels_are_possible_in_a_multi_label_model() -> None:
    """Only a single-label model needs exactly one true label a row."""
    check_rows(np.zeros((2, 4), np.float32), np.array([[True, True], [False, False]]), "ab", multi_label=True)


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan")])
def test_a_penalty_has_to_be_above_0(penalty: float) -> None:
    """Without one there may be no minimum."""
    vectors, truth = rows(2)
    with pytest.raises(Invalid, match="above 0"):
        fit_head(vectors, truth, labels=LABELS, multi_label=False, penalty=penalty)
