"""Confused pairs, the order of labels, and blocks."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest, false_discovery_control

from deconfuse.errors import Invalid
from deconfuse.insights.confusions import (
    MIN_PATTERN,
    _adjusted,
    _upper_tail,
    blocks,
    confusions,
    direction_p,
    entries,
    order,
)
from deconfuse.measure.matrix import Cells, ConfusionMatrix, matrix_from_cells


def matrix(counts: list[list[int]], labels: str = "abcdefgh") -> ConfusionMatrix:
    """A matrix of single-letter labels from K rows of K counts."""
    rows = np.zeros((len(counts) + 1, len(counts) + 1), np.int64)
    rows[:-1, :-1] = counts
    return ConfusionMatrix(tuple(labels[: len(counts)]), rows)


def families(n_families: int, size: int, *, seed: int = 0) -> tuple[ConfusionMatrix, NDArray[np.int64]]:
    """Labels of planted families, shuffled, that are confused inside their family; and the family of each label."""
    rng = np.random.default_rng(seed)
    family = rng.permutation(np.repeat(np.arange(n_families), size))
    k = family.size
    rate = np.where(family[:, None] == family[None, :], 0.3 / (size - 1), 0.05 / k)
    np.fill_diagonal(rate, 0.0)
    np.fill_diagonal(rate, 1 - rate.sum(axis=1))
    return dense(np.array([rng.multinomial(100, row) for row in rate])), family


def dense(counts: NDArray[np.int64]) -> ConfusionMatrix:
    """A matrix of numbered labels from [K, K] counts."""
    rows = np.zeros((len(counts) + 1, len(counts) + 1), np.int64)
    rows[:-1, :-1] = counts
    return ConfusionMatrix(tuple(f"l{k:04}" for k in range(len(counts))), rows)


def test_pairs_are_ranked_by_the_lower_bound_not_by_the_rate() -> None:
    """30 of 100 comes before 2 of 4, though half is more than a third."""
    found = confusions(matrix([[70, 30, 0, 0], [0, 100, 0, 0], [0, 0, 2, 2], [0, 0, 0, 90]]))

    assert [(pair.main.true, pair.main.predicted) for pair in found.pairs] == [("a", "b"), ("c", "d")]
    assert found.pairs[0].main.low > found.pairs[1].main.low
    assert found.pairs[0].main.share < found.pairs[1].main.share


def test_both_directions_are_one_pair_led_by_the_surer_one() -> None:
    """A pair stands once, its main direction is the one with the higher lower bound."""
    found = confusions(matrix([[90, 10], [30, 70]]))

    assert found.n_pairs == 1
    assert (found.pairs[0].main.true, found.pairs[0].main.count) == ("b", 30)
    assert (found.pairs[0].reverse.true, found.pairs[0].reverse.count) == ("a", 10)
    assert found.n_confused == 40


def test_directions_are_one_both_or_unknown() -> None:
    """Twenty against none goes one way; twenty against eighteen goes both; two against none cannot be told."""
    one = confusions(matrix([[80, 20], [0, 100]])).pairs[0]
    both = confusions(matrix([[80, 20], [18, 82]])).pairs[0]
    unknown = confusions(matrix([[98, 2], [0, 100]])).pairs[0]

    assert (one.direction, both.direction, unknown.direction) == ("one", "both", "unknown")


def test_a_direction_is_judged_by_rates_where_supports_differ() -> None:
    """20 of 200 against 2 of 20 is the same rate, so no direction dominates."""
    pair = confusions(matrix([[180, 20], [2, 18]])).pairs[0]

    assert pair.direction_p > 0.5
    assert pair.direction != "one"


@pytest.mark.parametrize(("n", "m"), [(5, 0), (6, 0), (9, 1), (8, 2), (50, 30), (3, 3)])
def test_equal_supports_give_the_exact_binomial_test(n: int, m: int) -> None:
    """The p-value of a direction is scipy's, where both labels have equally many images."""
    assert direction_p(n, m) == pytest.approx(binomtest(n, n + m, 0.5).pvalue)


def test_a_direction_without_images_is_undefined() -> None:
    """NaN where one label has no images or nothing was confused."""
    assert np.isnan(direction_p(3, 0, supports=(10, 0)))
    assert np.isnan(direction_p(0, 0))


def test_upper_tail_is_the_binomial_one() -> None:
    """P(X >= k) agrees with scipy, and is 1 for k = 0."""
    for k, n, p in [(1, 10, 0.1), (5, 20, 0.02), (20, 20, 0.5), (0, 7, 0.3)]:
        assert float(_upper_tail(np.float64(k), np.float64(n), np.float64(p))) == pytest.approx(
            binomtest(k, n, p, alternative="greater").pvalue
        )


def test_adjusted_p_values_are_benjamini_and_hochbergs() -> None:
    """The adjustment agrees with scipy's, the unlisted tests being those with p-value 1."""
    p_values = np.random.default_rng(3).uniform(0, 0.2, 40)
    reference = false_discovery_control(np.append(p_values, np.ones(60)))[:40]

    np.testing.assert_allclose(_adjusted(p_values, n_tests=100), reference)


def test_evenly_scattered_errors_are_not_certain() -> None:
    """Where every label is taken for every other at the same low rate, no pair stands out."""
    rng = np.random.default_rng(0)
    counts = rng.binomial(100, 0.01, (20, 20))
    np.fill_diagonal(counts, 80)
    found = confusions(dense(counts))

    assert found.n_pairs > 50
    assert found.n_certain == 0


def test_one_planted_pair_is_certain_and_first() -> None:
    """Among scattered errors the pair that is really confused is found, and only it."""
    rng = np.random.default_rng(0)
    counts = rng.binomial(100, 0.005, (20, 20))
    np.fill_diagonal(counts, 85)
    counts[3, 7] = 12
    found = confusions(dense(counts))

    assert (found.pairs[0].main.true, found.pairs[0].main.predicted) == ("l0003", "l0007")
    assert found.n_certain == 1


def test_the_only_pair_of_two_labels_can_be_certain() -> None:
    """With two labels there are no other pairs to compare with; thirty of a hundred is certain all the same."""
    assert confusions(matrix([[70, 30], [30, 70]])).pairs[0].is_certain


def test_a_single_image_is_never_certain() -> None:
    """One of one is no pattern."""
    found = confusions(matrix([[0, 1], [0, 500]]))

    assert MIN_PATTERN == 2
    assert not found.pairs[0].is_certain


@pytest.mark.parametrize("counts", [[[3]], [[0, 0], [0, 0]], [[4, 0], [0, 2]], [[0, 0], [0, 9]]])
def test_nothing_confused_gives_no_pairs(counts: list[list[int]]) -> None:
    """One label, no counts, and only right answers have no confused pair."""
    found = confusions(matrix(counts))

    assert (found.pairs, found.n_pairs, found.n_confused) == ((), 0, 0.0)


def test_no_label_is_no_confusion() -> None:
    """Images without a predicted or true label are in no pair."""
    found = confusions(matrix_from_cells([("a", "a", 5), ("a", None, 3), (None, "b", 2)], labels=["a", "b"]))

    assert found.n_pairs == 0


def test_a_label_that_was_never_true_has_an_undefined_reverse() -> None:
    """Where the other label has no images the reverse rate is NaN, not 0."""
    pair = confusions(matrix([[5, 5], [0, 0]])).pairs[0]

    assert np.isnan(pair.reverse.share)
    assert pair.reverse.support == 0


def test_weights_are_taken_as_they_are() -> None:
    """Fractional counts give fractional shares and a p-value between those of the whole counts around."""
    found = confusions(matrix_from_cells([("a", "a", 7.5), ("a", "b", 2.5), ("b", "b", 10.0)]))

    assert found.pairs[0].main.share == pytest.approx(0.25)


def test_a_limit_keeps_the_totals() -> None:
    """Asking for one pair still tells how many there are."""
    found = confusions(matrix([[5, 1, 2], [1, 5, 1], [3, 1, 5]]), limit=1)

    assert (len(found.pairs), found.n_pairs) == (1, 3)


def test_sparse_and_dense_agree() -> None:
    """Cells give the same pairs, order and blocks as the dense matrix of the same counts."""
    full, _ = families(5, 4)
    sparse = Cells.from_cells(full.to_cells())

    assert confusions(sparse) == confusions(full)
    assert order(sparse) == order(full)
    assert [block.labels for block in blocks(sparse, 6)] == [block.labels for block in blocks(full, 6)]


def test_entries_are_the_cells() -> None:
    """The entries of a matrix add up to its total; -1 is no label."""
    found = entries(matrix_from_cells([("a", None, 2), (None, "a", 3), ("a", "b", 1)]))

    assert sorted(zip(found.true.tolist(), found.predicted.tolist(), found.count.tolist(), strict=True)) == [
        (-1, 0, 3.0),
        (0, -1, 2.0),
        (0, 1, 1.0),
    ]


def test_order_puts_families_together() -> None:
    """Of neighbours in the order, at least nine in ten are of one planted family (by name it is one in twenty)."""
    confused, family = families(20, 6)
    sequence = np.array(order(confused))
    together = (family[sequence][1:] == family[sequence][:-1]).mean()

    assert sorted(sequence) == list(range(120))
    assert together >= 0.9 * 5 / 6


def test_order_keeps_the_given_order_where_nothing_is_confused() -> None:
    """Without confusions there is nothing to be alike by."""
    assert order(matrix([[5, 0, 0], [0, 5, 0], [0, 0, 0]])) == (0, 1, 2)
    assert order(matrix([[5]])) == (0,)
    assert order(ConfusionMatrix.empty([])) == ()


def test_order_brings_the_confused_pair_together_from_the_ends() -> None:
    """First and last label, confused with each other, become neighbours; the earlier one stays first."""
    assert order(matrix([[50, 0, 0, 9], [0, 50, 0, 0], [0, 0, 50, 0], [8, 0, 0, 50]])) == (0, 3, 1, 2)


def test_order_of_very_many_labels_is_that_of_names() -> None:
    """Above the dense limit the order is natural: 2 before 10."""
    cells = Cells.from_codes(np.arange(2_500), np.arange(2_500), labels=[str(k) for k in range(2_500)][::-1])

    assert order(cells) == tuple(range(2_500))[::-1]


def test_order_of_a_thousand_labels_takes_no_time() -> None:
    """A thousand labels are ordered in about a second, so that a page never waits for it."""
    confused, _ = families(100, 10)
    start = time.perf_counter()
    order(confused)

    assert time.perf_counter() - start < 3


def test_blocks_find_the_families() -> None:
    """As many blocks as planted families are the families, and hold nearly all errors."""
    confused, family = families(8, 5)
    found = blocks(confused, 8)

    assert len(found) == 8
    assert all(len({int(family[member]) for member in block.members}) == 1 for block in found)
    assert sum(block.share_of_errors for block in found) > 0.85


def test_blocks_cover_every_label_once_and_count_every_error() -> None:
    """Each label is in one block; supports and errors add up to those of the matrix."""
    confused, _ = families(6, 4)
    found = blocks(confused, 7)

    assert sorted(member for block in found for member in block.members) == list(range(24))
    assert sum(block.support for block in found) == confused.total
    assert sum(block.errors for block in found) == confused.total - confused.correct.sum()


def test_merging_a_block_gives_the_accuracy_it_promises() -> None:
    """accuracy_if_merged is what merge_labels gives."""
    confused, _ = families(4, 3)
    block = blocks(confused, 4)[0]
    merged = confused.merge_labels({"block": list(block.labels)})

    assert block.accuracy_if_merged == pytest.approx(merged.correct.sum() / merged.total)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (5, 1), (5, 5), (5, 9), (40, 7), (2_500, 12)])
def test_blocks_are_never_more_than_asked_for(k: int, n: int) -> None:
    """Any number of labels fits into any number of blocks, sparse or not."""
    codes = np.arange(k)
    confused = matrix_from_cells([(f"l{i}", f"l{(i + 1) % k}", 1) for i in codes.tolist()])
    found = blocks(confused, n)

    assert len(found) <= n
    assert sum(len(block.labels) for block in found) == k


def test_blocks_of_nothing_are_refused_or_undefined() -> None:
    """Zero blocks cannot be; an empty matrix has blocks whose shares are undefined."""
    with pytest.raises(Invalid, match="1 or more"):
        blocks(matrix([[1]]), 0)
    found = blocks(ConfusionMatrix.empty(["a", "b"]), 1)

    assert np.isnan(found[0].share_of_errors)
    assert np.isnan(found[0].accuracy_if_merged)
