"""Laws of confused pairs, order, blocks and findings, over any matrix."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.insights.confusions import blocks, confusions, order
from deconfuse.insights.findings import find
from deconfuse.measure.matrix import ConfusionMatrix


@st.composite
def matrices(draw: st.DrawFn) -> ConfusionMatrix:
    """Any small matrix, *no label* included."""
    k = draw(st.integers(1, 7))
    numbers = draw(st.lists(st.integers(0, 40), min_size=(k + 1) ** 2, max_size=(k + 1) ** 2))
    return ConfusionMatrix(tuple(f"label{i}" for i in range(k)), np.array(numbers).reshape(k + 1, k + 1))


@given(matrices())
def test_every_confused_image_is_in_one_pair(matrix: ConfusionMatrix) -> None:
    """The counts of all pairs add up to everything off the diagonal between labels."""
    found = confusions(matrix)
    inner = matrix.counts[:-1, :-1]

    assert sum(pair.main.count + pair.reverse.count for pair in found.pairs) == inner.sum() - np.trace(inner)
    assert len({frozenset((pair.main.true, pair.main.predicted)) for pair in found.pairs}) == found.n_pairs


@given(matrices())
def test_pairs_are_ranked_by_lower_bound(matrix: ConfusionMatrix) -> None:
    """The lower bound of the main direction never rises, and is never below that of the reverse."""
    pairs = confusions(matrix).pairs

    assert all(one.main.low >= two.main.low for one, two in itertools.pairwise(pairs))
    assert all(not pair.reverse.low > pair.main.low for pair in pairs)


@given(matrices(), st.randoms(use_true_random=False))
def test_the_order_of_labels_changes_no_finding(matrix: ConfusionMatrix, chance: object) -> None:
    """Aligning to a permutation keeps which pairs are certain, and their evidence."""
    labels = list(matrix.labels)
    chance.shuffle(labels)  # type: ignore[attr-defined]
    one, two = (
        {
            (pair.main.true, pair.main.predicted): (pair.main, pair.is_certain)
            for pair in confusions(each).pairs
            if pair.main.low != pair.reverse.low
        }
        for each in (matrix, matrix.align(labels))
    )

    assert one == two


@given(matrices())
def test_order_is_a_permutation_and_stays(matrix: ConfusionMatrix) -> None:
    """Every label stands once, and the same counts give the same order."""
    assert sorted(order(matrix)) == list(range(len(matrix.labels)))
    assert order(matrix) == order(matrix)


@given(matrices(), st.integers(1, 9))
def test_blocks_are_stretches_of_the_order(matrix: ConfusionMatrix, n: int) -> None:
    """Blocks one after the other are the order, at most n of them, with every error in one."""
    found = blocks(matrix, n)

    assert tuple(member for block in found for member in block.members) == order(matrix)
    assert len(found) <= n
    assert sum(block.errors for block in found) == matrix.counts[:-1].sum() - matrix.correct.sum()


@given(matrices())
def test_the_same_counts_give_the_same_findings(matrix: ConfusionMatrix) -> None:
    """Findings are a function of the counts, and there is always one."""
    found = find(matrix)

    assert found == find(matrix)
    assert found
