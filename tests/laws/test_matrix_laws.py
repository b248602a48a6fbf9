"""What must always hold for confusion matrices, dense and sparse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deconfuse.measure.matrix import OTHER, Cells, ConfusionMatrix, Matrix, matrix_from_cells

LABELS = ("ant", "bee", "cat", "10", "9")
KINDS = (ConfusionMatrix, Cells)

every_kind = pytest.mark.parametrize("kind", KINDS)
labels = st.sampled_from(LABELS)
pairs = st.lists(st.tuples(labels, st.none() | labels), max_size=60)
# Halves and quarters add up without rounding, whatever the order.
weights = st.integers(0, 40).map(lambda quarters: quarters / 4)
weighted_pairs = st.lists(st.tuples(labels, st.none() | labels, weights), max_size=60)
texts = st.text(max_size=5)


def count(kind: type[Any], rows: list[tuple[str, str | None]], **options: Any) -> Matrix:
    """The matrix of (true, predicted) rows over LABELS."""
    options = {"labels": LABELS} | options
    return kind.from_predictions([true for true, _ in rows], [predicted for _, predicted in rows], **options)


@every_kind
@given(rows=pairs)
def test_total_is_the_number_of_samples(kind: type[Any], rows: list[tuple[str, str | None]]) -> None:
    """Nothing that was counted is dropped."""
    assert count(kind, rows).total == len(rows)


@every_kind
@given(rows=weighted_pairs)
def test_total_is_the_sum_of_weights(kind: type[Any], rows: list[tuple[str, str | None, float]]) -> None:
    """With weights, the total is what they sum up to."""
    matrix = count(kind, [row[:2] for row in rows], sample_weight=[row[2] for row in rows])

    assert matrix.total == sum(row[2] for row in rows)
    assert matrix.counts.dtype == np.float64


@every_kind
@given(rows=pairs, known=st.sets(labels, min_size=1))
def test_unknown_labels_go_to_other(kind: type[Any], rows: list[tuple[str, str | None]], known: set[str]) -> None:
    """A label that is not known is counted under (other), so the total stays."""
    matrix = count(kind, rows, labels=sorted(known), unknown="other")

    assert matrix.labels == (*sorted(known), OTHER)
    assert matrix.total == len(rows)


@every_kind
@given(a=pairs, b=pairs)
def test_addition_commutes(kind: type[Any], a: list[Any], b: list[Any]) -> None:
    """Addition does not care for order: a + b == b + a."""
    assert count(kind, a) + count(kind, b) == count(kind, b) + count(kind, a)


@every_kind
@given(a=pairs, b=pairs, c=pairs)
def test_addition_associates(kind: type[Any], a: list[Any], b: list[Any], c: list[Any]) -> None:
    """(a + b) + c == a + (b + c)."""
    x, y, z = count(kind, a), count(kind, b), count(kind, c)

    assert (x + y) + z == x + (y + z)


@every_kind
@given(rows=pairs)
def test_empty_is_neutral(kind: type[Any], rows: list[Any]) -> None:
    """Adding nothing changes nothing: a + empty(labels) == a."""
    matrix = count(kind, rows)

    assert matrix + kind.empty(LABELS) == matrix


@every_kind
@given(rows=weighted_pairs, cut=st.integers(0, 60))
def test_parts_add_up_to_the_whole(kind: type[Any], rows: list[Any], cut: int) -> None:
    """Counting a split table and adding equals counting the whole, with and without weights."""
    bare = [row[:2] for row in rows]
    heavy = [
        count(kind, [r[:2] for r in part], sample_weight=[r[2] for r in part]) for part in (rows[:cut], rows[cut:])
    ]

    assert count(kind, bare[:cut]) + count(kind, bare[cut:]) == count(kind, bare)
    assert heavy[0] + heavy[1] == count(kind, bare, sample_weight=[row[2] for row in rows])


@every_kind
@given(rows=pairs, groups=st.lists(st.sampled_from("xyz"), min_size=len(LABELS), max_size=len(LABELS)))
def test_merging_keeps_the_total(kind: type[Any], rows: list[Any], groups: list[str]) -> None:
    """Labels put together hold what each held."""
    matrix = count(kind, rows)
    merged = matrix.merge_labels(
        {new: [old for old, g in zip(LABELS, groups, strict=True) if g == new] for new in groups}
    )

    assert merged.total == matrix.total
    assert merged.support.sum() == matrix.support.sum()
    assert merged.correct.sum() >= matrix.correct.sum()


@every_kind
@given(rows=pairs, order=st.permutations(LABELS))
def test_aligning_and_back_is_identity(kind: type[Any], rows: list[Any], order: list[str]) -> None:
    """A permutation of labels moves counts and loses none."""
    matrix = count(kind, rows)

    assert matrix.align(order).align(LABELS) == matrix
    assert matrix.align(order) == count(kind, rows, labels=order)


@every_kind
@given(rows=pairs, keep=st.lists(labels, unique=True))
def test_restricting_keeps_the_total(kind: type[Any], rows: list[Any], keep: list[str]) -> None:
    """Labels that are not kept are summed as (other); rows and columns of the others stay."""
    matrix = count(kind, rows)
    small = matrix.restrict(keep)

    assert small.total == matrix.total
    assert small.support[: len(keep)].tolist() == [matrix.support[LABELS.index(label)] for label in keep]


@every_kind
@given(rows=weighted_pairs, has_weights=st.booleans())
def test_cells_read_back_to_an_equal_matrix(kind: type[Any], rows: list[Any], has_weights: bool) -> None:
    """from_cells(to_cells(m)) == m, labels that hold nothing included."""
    heavy = {"sample_weight": [row[2] for row in rows]} if has_weights else {}
    matrix = count(kind, [row[:2] for row in rows], **heavy)

    assert kind.from_cells(matrix.to_cells()) == matrix
    assert matrix_from_cells(matrix.to_cells()) == count(ConfusionMatrix, [row[:2] for row in rows], **heavy)


@given(sets=st.lists(st.tuples(st.sets(labels), st.sets(labels)), max_size=12))
def test_label_decisions_read_back(sets: list[tuple[set[str], set[str]]]) -> None:
    """The unit of a multi-label matrix survives the way through cells."""
    matrix = ConfusionMatrix.from_label_sets([t for t, _ in sets], [p for _, p in sets], labels=LABELS)

    assert ConfusionMatrix.from_cells(matrix.to_cells()) == matrix


@given(rows=pairs)
def test_dense_and_sparse_agree(rows: list[Any]) -> None:
    """The two sisters give the same numbers under the same names."""
    dense, sparse = count(ConfusionMatrix, rows), count(Cells, rows)

    assert sparse.compact() == dense
    for name in ("support", "predicted_counts", "correct"):
        assert getattr(sparse, name).tolist() == getattr(dense, name).tolist()
    assert (sparse.has_no_true, sparse.has_no_predicted) == (dense.has_no_true, dense.has_no_predicted)
    assert sparse.most_confused(4) == dense.most_confused(4)
    assert sparse.to_cells() == dense.to_cells()


@given(rows=st.lists(st.tuples(texts, texts), max_size=30))
def test_any_text_is_a_label(rows: list[tuple[str, str]]) -> None:
    """Whatever characters a label has, it is kept as it is."""
    matrix = ConfusionMatrix.from_predictions([true for true, _ in rows], [predicted for _, predicted in rows])

    assert set(matrix.labels) == {text for row in rows for text in row}
    assert matrix.total == len(rows)


@given(rows=st.lists(st.tuples(st.integers(-(2**70), 2**70), st.integers(-3, 3)), max_size=30))
def test_integers_count_like_their_texts(rows: list[tuple[int, int]]) -> None:
    """Integers of any size, negative ones included, are counted as the text they are written as."""
    numbers = ConfusionMatrix.from_predictions([true for true, _ in rows], [predicted for _, predicted in rows])
    written = ConfusionMatrix.from_predictions([str(true) for true, _ in rows], [str(p) for _, p in rows])

    assert numbers == written


@given(rows=pairs)
def test_shares_sum_to_one_along_their_own_axis(rows: list[Any]) -> None:
    """Each normalisation divides by what it names; where nothing was counted the share is undefined."""
    matrix = count(ConfusionMatrix, rows)

    for by, axis in (("true", 1), ("pred", 0), ("all", (0, 1))):
        counted = matrix.counts.sum(axis=axis) > 0
        sums = matrix.normalize(by).sum(axis=axis)
        assert np.allclose(sums[counted], 1)
        assert np.isnan(sums[~counted]).all()


@given(sets=st.lists(st.tuples(st.sets(labels), st.sets(labels)), max_size=30), cut=st.integers(0, 30))
def test_label_sets_add_up_and_keep_their_decisions(sets: list[tuple[set[str], set[str]]], cut: int) -> None:
    """The multi-label matrix of parts adds up; its diagonal and margins follow from set arithmetic."""

    def count_sets(part: list[tuple[set[str], set[str]]]) -> ConfusionMatrix:
        return ConfusionMatrix.from_label_sets([t for t, _ in part], [p for _, p in part], labels=LABELS)

    matrix = count_sets(sets)

    assert matrix.unit == "label decisions"
    assert count_sets(sets[:cut]) + count_sets(sets[cut:]) == matrix
    assert matrix.correct.sum() == sum(len(t & p) for t, p in sets)
    assert matrix.counts[-1, -1] == sum(not t and not p for t, p in sets)
    assert matrix.counts[:-1, -1].sum() == sum(len(t - p) for t, p in sets if not p - t)
    assert matrix.counts[-1, :-1].sum() == sum(len(p) for t, p in sets if not t)


@given(rows=pairs)
def test_label_sets_of_one_label_are_the_plain_matrix(rows: list[Any]) -> None:
    """With one true and at most one predicted label a decision is a sample."""
    plain = count(ConfusionMatrix, rows)
    sets = ConfusionMatrix.from_label_sets([[t] for t, _ in rows], [[p] if p else [] for _, p in rows], labels=LABELS)

    assert sets.counts.tolist() == plain.counts.tolist()


@given(rows=pairs)
def test_pairs_come_by_their_lower_bound(rows: list[Any]) -> None:
    """The ranking never rises, holds every confusion, and each interval holds its share."""
    matrix = count(ConfusionMatrix, rows)
    found = matrix.most_confused(100)

    assert sum(pair.count for pair in found) == sum(p is not None and t != p for t, p in rows)
    assert all(a.low >= b.low for a, b in itertools.pairwise(found))
    assert all(pair.low <= pair.share <= pair.high for pair in found)
    assert matrix.most_confused(2) == found[:2]
