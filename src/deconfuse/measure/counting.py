"""Pairs of small integers to counts, dense or sparse, in blocks.

Dense: `bincount` on true * side + predicted, one block of rows after the other, so that the temporary arrays stay in
the processor's cache (twice as fast as one pass over everything). Sparse: the same keys, sorted in place and counted
by their run lengths. Both leave nothing behind but the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.coding import BLOCK

Pairs = Callable[[int, int], tuple[NDArray[np.intp], NDArray[np.intp]]]
"""Gives the codes (true, predicted), each in 0..side-1, of the rows start..stop."""

SPARSE_BLOCK = 1 << 24
"""Rows whose keys are sorted together; 64 MiB of keys below 65,536 labels."""


SET_BLOCK = 1 << 14
"""Label sets multiplied together; products of so few are exact in float64."""


def check_weights(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """float64[n] of weights, or None where there are none.

    Raises:
        Invalid: not one finite number of at least 0 for each of the n rows.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (n,):
        raise Invalid("sample_weight", f"{n} weights are needed, one a sample; got the shape {weights.shape}")
    if not bool(np.all(np.isfinite(weights) & (weights >= 0))):
        raise Invalid("sample_weight", "weights must be finite and not below 0")
    return weights


def code_pairs(true: Any, predicted: Any, n_labels: int) -> tuple[Pairs, int]:
    """Blocks of checked codes, and the number of rows.

    Args:
        true: integer[n], each -1 (no label) or in 0..n_labels-1.
        predicted: the same.
        n_labels: K; *no label* leaves here as the code K.

    Raises:
        Invalid: the arrays are not integers of one dimension and one length. Blocks raise it for a code out of range.
    """
    arrays = []
    for name, values in (("true", true), ("predicted", predicted)):
        array = np.asarray(values)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise Invalid(name, f"a one-dimensional array of integers is needed, not {array.dtype} {array.shape}")
        arrays.append((name, array))
    if len(arrays[0][1]) != len(arrays[1][1]):
        raise Invalid("predicted", f"{len(arrays[0][1])} true codes, but {len(arrays[1][1])} predicted ones")

    def pairs(start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        sides = [_checked(array[start:stop], n_labels, name) for name, array in arrays]
        return sides[0], sides[1]

    return pairs, len(arrays[0][1])


def _checked(codes: NDArray[Any], n_labels: int, name: str) -> NDArray[np.intp]:
    if not len(codes):
        return codes.astype(np.intp)
    # Read as unsigned, a negative code is a huge one: in the usual case one comparison serves both ends.
    if codes.view(f"u{codes.itemsize}").max() < n_labels:
        return codes.astype(np.intp, copy=False)
    low, high = int(codes.min()), int(codes.max())
    if low < -1 or high >= n_labels:
        bad = low if low < -1 else high
        raise Invalid(name, f"the code {bad} is neither -1 (no label) nor one of 0..{n_labels - 1}")
    whole = codes.astype(np.intp, copy=False)
    return np.where(whole < 0, n_labels, whole) if low < 0 else whole


def count_dense(
    pairs: Pairs, n: int, shape: tuple[int, int], weights: NDArray[np.float64] | None = None
) -> NDArray[Any]:
    """[rows, columns]: how often, or with which weight, each pair occurs; int64, or float64 with weights."""
    rows, columns = shape
    cells = rows * columns
    total = np.zeros(cells, np.int64 if weights is None else np.float64)
    for start, stop in blocks(n, max(BLOCK, cells)):
        true, predicted = pairs(start, stop)
        keys = true * columns
        keys += predicted
        total += np.bincount(keys, None if weights is None else weights[start:stop], cells)
    return total.reshape(shape)


def key_type(side: int) -> np.dtype[Any]:
    """The smallest type that holds every key of a side × side matrix."""
    return np.dtype(np.uint32 if side * side <= np.iinfo(np.uint32).max else np.uint64)


def count_sparse(
    pairs: Pairs, n: int, side: int, weights: NDArray[np.float64] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(keys, counts) of the pairs that occur, keys = true * side + predicted, ascending."""
    kind = key_type(side)
    keys, counts = np.empty(0, kind), np.empty(0, np.int64 if weights is None else np.float64)
    for start, stop in blocks(n, SPARSE_BLOCK):
        block = np.empty(stop - start, kind)
        for low, high in blocks(stop - start, BLOCK):
            true, predicted = pairs(start + low, start + high)
            block[low:high] = true * side + predicted
        if weights is None:
            block.sort()
            found = _runs(block)
        else:
            found = add_up(block, weights[start:stop])
        del block
        keys, counts = found if not len(keys) else merge_sparse(keys, counts, *found)
    return keys, counts


def _runs(keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct ones of sorted keys, and how often each occurs."""
    is_first = np.empty(len(keys), bool)
    is_first[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    counts = np.flatnonzero(is_first)
    del is_first
    distinct = keys[counts]
    # Starts become lengths in place, block by block: with as many cells as rows each further copy would be felt.
    last = len(counts) - 1
    for low, high in blocks(last, BLOCK):
        counts[low:high] = counts[low + 1 : high + 1] - counts[low:high]
    counts[last:] = len(keys) - counts[last:]
    return distinct, counts


def add_up(keys: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Distinct keys, ascending, with the sum of the counts of each."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.intp)
    return keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts


def merge_sparse(
    keys: NDArray[Any], counts: NDArray[Any], more_keys: NDArray[Any], more_counts: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The sum of two sparse counts."""
    return add_up(np.concatenate([keys, more_keys]), np.concatenate([counts, more_counts]))


def blocks(n: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and stop of consecutive blocks of at most `size` of n rows."""
    return ((start, min(start + size, n)) for start in range(0, n, size))


def count_label_sets(truth: NDArray[np.bool_], called: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64[K+1, K+1]: the decisions of the multi-label confusion matrix, see `ConfusionMatrix.from_label_sets`.

    Args:
        truth: bool[n, K], the true labels of each sample.
        called: bool[n, K], its predicted labels.
    """
    n, k = truth.shape
    counts = np.zeros((k + 1, k + 1), np.int64)
    for start, stop in blocks(n, SET_BLOCK):
        t, p = truth[start:stop], called[start:stop]
        missed, invented = t & ~p, p & ~t
        misses, invents = np.asarray(missed.any(axis=1)), np.asarray(invented.any(axis=1))
        has_truth = np.asarray(t.any(axis=1))
        counts[np.arange(k), np.arange(k)] += np.count_nonzero(t & p, axis=0)
        counts[:k, k] += np.count_nonzero(missed[misses & ~invents], axis=0)
        counts[k, :k] += np.count_nonzero(invented[~has_truth], axis=0)
        counts[k, k] += np.count_nonzero(~has_truth & ~invents)
        # Whom an invented label stands against: the labels missed, or all true ones where none was missed.
        against = np.where(misses[:, None], missed, t)[invents].astype(np.float64)
        counts[:k, :k] += (against.T @ invented[invents].astype(np.float64)).astype(np.int64)
    return counts
