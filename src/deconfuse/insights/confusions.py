"""Which labels are confused with which, in which direction, and how sure that is.

`confusions` looks at every unordered pair of labels and asks three questions, each of its two directions by itself:

    how often?        count / support of the true label, with its Wilson interval; pairs are ranked by the lower bound
    beyond chance?    one-sided binomial test against the rate at which all *other* pairs are confused, then
                      Benjamini-Hochberg over every pair that could have been confused
    one direction?    exact binomial test of the two counts, split as the two supports are

`order` puts labels that are confused beside each other; `blocks` gathers labels into so few groups that they fit on
a screen. Neither *no label* nor images without a true label are confusions: `findings` speaks of them separately.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.matrix import DENSE_LIMIT, ConfusionMatrix, Matrix, Pair
from deconfuse.measure.rates import wilson
from deconfuse.names import natural_key

FALSE_DISCOVERY_RATE = 0.05
"""Of the pairs called certain, this share may be chance."""

DIRECTION_LEVEL = 0.05
"""Below this p-value one direction is said to dominate."""

CHANCES_OF_PRIOR = 100.0
"""The rate of chance confusion starts from one confusion in this many chances, so that a matrix with few images or
few labels, where other pairs say little, does not make every single error look like a pattern."""

MIN_PATTERN = 2
"""A single image is never a pattern, however few images there are."""

Direction = Literal["one", "both", "unknown"]


@dataclass(frozen=True, slots=True)
class Confusion:
    """An unordered pair of labels that are confused at least once.

    Attributes:
        main: the direction with the higher lower bound.
        reverse: the other direction; its count may be 0, its share NaN where its label has no images.
        q_value: the smaller of the two directions' Benjamini-Hochberg adjusted p-values, 0..1; small means that
            chance does not explain it.
        is_certain: whether `q_value` is at most FALSE_DISCOVERY_RATE.
        direction_p: p-value of the test that both directions have the same rate; NaN where one label has no images.
        direction: "one" where the pair is certain and `main` dominates, "both" where each direction is beyond chance
            by itself, otherwise "unknown".
    """

    main: Pair
    reverse: Pair
    q_value: float
    is_certain: bool
    direction_p: float
    direction: Direction


@dataclass(frozen=True, slots=True)
class Confusions:
    """The confused pairs of a matrix.

    Attributes:
        pairs: ranked by the lower bound of the main direction, then by its count, then by the order of labels; those
            asked for.
        n_pairs: how many unordered pairs are confused at least once, those beyond the limit included.
        n_certain: how many of them are certain.
        n_confused: the (weighted) number of images, or label decisions, that lie off the diagonal.
        chance: the rate at which any one label is taken for any one other, over all pairs.
    """

    pairs: tuple[Confusion, ...]
    n_pairs: int
    n_certain: int
    n_confused: float
    chance: float


@dataclass(frozen=True, slots=True)
class Block:
    """A group of labels, neighbours in the order by similarity.

    Attributes:
        labels: its labels, in that order.
        members: their positions in the matrix.
        support: images whose true label is in the block.
        errors: those of them that were given another label, or none.
        errors_inside: those of `errors` whose predicted label is in the block too.
        share_of_errors: errors_inside / all errors of the matrix; NaN where there is none.
        accuracy_if_merged: accuracy of the whole matrix if the block were one label; NaN where nothing was counted.
    """

    labels: tuple[str, ...]
    members: tuple[int, ...]
    support: float
    errors: float
    errors_inside: float
    share_of_errors: float
    accuracy_if_merged: float


@dataclass(frozen=True, slots=True)
class Entries:
    """The non-zero cells of a matrix as three arrays of one length; code -1 is *no label*."""

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    count: NDArray[np.float64]

    def between_labels(self) -> Entries:
        """The cells off the diagonal whose truth and prediction both are labels."""
        keep = (self.true >= 0) & (self.predicted >= 0) & (self.true != self.predicted)
        return Entries(self.true[keep], self.predicted[keep], self.count[keep])


def entries(matrix: Matrix) -> Entries:
    """The non-zero cells of `matrix`, dense or sparse."""
    if isinstance(matrix, ConfusionMatrix):
        true, predicted = np.nonzero(matrix.counts)
        count = matrix.counts[true, predicted]
    else:
        true, predicted, count = matrix.true_codes, matrix.predicted_codes, matrix.counts
    k = len(matrix.labels)
    return Entries(np.where(true == k, -1, true), np.where(predicted == k, -1, predicted), count.astype(np.float64))


def confusions(matrix: Matrix, *, limit: int | None = None, singles_up_to: int | None = None) -> Confusions:
    """The pairs of labels that are confused in `matrix`, most certain to be frequent first.

    Args:
        matrix: counts; only cells between two different labels are looked at.
        limit: give at most so many pairs; None gives all.
        singles_up_to: give pairs that are neither certain nor met twice only until there are so many pairs; None
            gives all.

    The chance rate of a pair is (errors between all other labels + 1) / (chances for them + CHANCES_OF_PRIOR), where
    every image has one chance to be given each wrong label. Leaving the pair itself out keeps one strong confusion
    from hiding behind the rate that it causes.

    Source: adjusted p-values: Benjamini, Hochberg, JRSS B 57 (1995) 289-300; intervals: Wilson, JASA 22 (1927)
        209-212; direction: the conditional test of two rates, Przyborowski, Wilenski, Biometrika 31 (1940) 313-323.
    """
    k = len(matrix.labels)
    off = entries(matrix).between_labels()
    support = np.asarray(matrix.support, dtype=np.float64)
    n_confused = float(off.count.sum())
    chances = float(support.sum()) * (k - 1)
    chance = n_confused / chances if chances else float("nan")
    if not off.count.size:
        return Confusions((), 0, 0, 0.0, chance)
    first, second, counts = _both_directions(off, k)
    supports = support[np.stack([first, second])]
    rest = (n_confused - counts.sum(axis=0) + 1) / (chances - supports.sum(axis=0) + CHANCES_OF_PRIOR)
    p_values = np.where(counts < MIN_PATTERN, 1.0, _upper_tail(counts, supports, rest))
    q_values = _adjusted(p_values, n_tests=int((support > 0).sum()) * (k - 1))
    low, high = _interval(counts, supports)
    main = (np.nan_to_num(low[1], nan=-1.0) > np.nan_to_num(low[0], nan=-1.0)).astype(np.int64)
    columns = np.arange(first.size)
    ranking = np.lexsort((second, first, -counts[main, columns], -low[main, columns]))
    n_certain = int((q_values.min(axis=0) <= FALSE_DISCOVERY_RATE).sum())
    if singles_up_to is not None:
        is_pattern = np.any((q_values <= FALSE_DISCOVERY_RATE) | (counts >= MIN_PATTERN), axis=0)[ranking]
        n_singles = max(0, singles_up_to - int(is_pattern.sum()))
        ranking = ranking[is_pattern | (np.cumsum(~is_pattern) <= n_singles)]
    pairs = []
    for index in ranking[:limit].tolist():
        names = (matrix.labels[int(first[index])], matrix.labels[int(second[index])])
        sides = []
        for row in (int(main[index]), 1 - int(main[index])):
            n, m = float(counts[row, index]), float(supports[row, index])
            share = n / m if m else float("nan")
            sides.append(Pair(names[row], names[1 - row], n, m, share, float(low[row, index]), float(high[row, index])))
        pairs.append(_confusion(sides[0], sides[1], q_values[:, index]))
    return Confusions(tuple(pairs), int(first.size), n_certain, n_confused, chance)


def _both_directions(off: Entries, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(first int64[P], second int64[P], counts float64[2, P]) of the P unordered pairs in `off`, first < second.

    counts[0] is first taken for second, counts[1] the other direction.
    """
    keys = np.minimum(off.true, off.predicted) * k + np.maximum(off.true, off.predicted)
    pair_keys, which = np.unique(keys, return_inverse=True)
    first, second = np.divmod(pair_keys, k)
    counts = np.zeros((2, pair_keys.size))
    np.add.at(counts, ((off.true != first[which]).astype(np.int64), which), off.count)
    return first, second, counts


def _confusion(main: Pair, reverse: Pair, q_values: NDArray[np.float64]) -> Confusion:
    p = direction_p(main.count, reverse.count, supports=(main.support, reverse.support))
    both = bool((q_values <= FALSE_DISCOVERY_RATE).all())
    q = float(q_values.min())
    is_certain = q <= FALSE_DISCOVERY_RATE
    direction: Direction = "one" if is_certain and p < DIRECTION_LEVEL else "both" if both else "unknown"
    return Confusion(main, reverse, q, is_certain, p, direction)


def direction_p(count: float, reverse: float, *, supports: tuple[float, float] = (1.0, 1.0)) -> float:
    """p-value that two directions of confusion have the same rate, 0..1; NaN where a support or both counts are 0.

    The two counts are compared as a binomial draw with probability supports[0] / sum(supports), two-sided by doubling
    the smaller tail. With equal supports this is the exact binomial test of `count` against `reverse`.

    Example:
        >>> round(direction_p(6, 0), 4), round(direction_p(5, 0), 4)
        (0.0312, 0.0625)
    """
    total = count + reverse
    if not (total > 0 and supports[0] > 0 and supports[1] > 0):
        return float("nan")
    rate = np.float64(supports[0] / (supports[0] + supports[1]))
    upper = float(_upper_tail(np.float64(count), np.float64(total), rate))
    lower = float(_upper_tail(np.float64(reverse), np.float64(total), 1 - rate))
    return min(1.0, 2 * min(upper, lower))


def order(matrix: Matrix) -> tuple[int, ...]:
    """Positions of the labels such that labels which are confused stand beside each other.

    Average linkage on distance 1 - s / max(s), where the similarity s of two labels is the mean of the two rates at
    which each is taken for the other. Each branch is turned so that the label that came first in the matrix comes
    first, which keeps the order alike between versions. Labels that nobody confuses keep their places at the end of
    their branch. With more than DENSE_LIMIT labels the order is that of the names.

    Returns:
        A permutation of 0..K-1; the same for the same counts, always.

    Source: Alsallakh et al., Do convolutional neural networks learn class hierarchy?, 2017 (ordering reveals
        families); Sokal, Michener, Univ. Kansas Sci. Bull. 38 (1958) 1409-1438 (average linkage).
    """
    k = len(matrix.labels)
    if k > DENSE_LIMIT:
        return tuple(sorted(range(k), key=lambda index: natural_key(matrix.labels[index])))
    branches = _merges(matrix)
    return tuple(branches[-1][2]) if branches else tuple(range(k))


def blocks(matrix: Matrix, n: int) -> tuple[Block, ...]:
    """The labels of `matrix` in at most `n` groups, each a stretch of `order`, for an overview that fits.

    Branches of the tree are joined from the most alike upwards until `n` groups are left, none with more than twice
    its share of the labels; what is left over is joined with its neighbours.

    Raises:
        Invalid: n is below 1.
    """
    if n < 1:
        raise Invalid("n", f"{n} groups are not possible; ask for 1 or more")
    k = len(matrix.labels)
    sequence = order(matrix)
    sizes = _group_sizes(matrix, sequence, n) if k <= DENSE_LIMIT else _even_sizes(k, n)
    group = np.empty(k, dtype=np.int64)
    group[np.asarray(sequence, dtype=np.int64)] = np.repeat(np.arange(len(sizes)), sizes)
    cells = entries(matrix)
    right = cells.true == cells.predicted
    known = (cells.true >= 0) & ~right
    inside = known & (cells.predicted >= 0)
    inside[inside] = group[cells.true[inside]] == group[cells.predicted[inside]]
    support = np.bincount(group, weights=np.asarray(matrix.support, dtype=np.float64), minlength=len(sizes))
    errors = np.bincount(group[cells.true[known]], weights=cells.count[known], minlength=len(sizes))
    within = np.bincount(group[cells.true[inside]], weights=cells.count[inside], minlength=len(sizes))
    total, correct, wrong = (float(cells.count[mask].sum()) for mask in (slice(None), right, ~right))
    found, start = [], 0
    for index, size in enumerate(sizes):
        members = sequence[start : start + size]
        start += size
        found.append(
            Block(
                labels=tuple(matrix.labels[member] for member in members),
                members=members,
                support=float(support[index]),
                errors=float(errors[index]),
                errors_inside=float(within[index]),
                share_of_errors=float(within[index]) / wrong if wrong else float("nan"),
                accuracy_if_merged=(correct + float(within[index])) / total if total else float("nan"),
            )
        )
    return tuple(found)


def _upper_tail(hits: Any, trials: Any, rate: Any) -> Any:
    """P(X >= hits) for X binomial(trials, rate), elementwise; 1 where hits is 0. Holds for fractional counts too.

    Source: the regularised incomplete beta function, Abramowitz, Stegun 1964, 26.5.24.
    """
    from scipy.special import betainc

    some = hits > 0
    tail = betainc(np.where(some, hits, 1.0), np.where(some, np.maximum(trials - hits, 0.0) + 1.0, 1.0), rate)
    return np.where(some, tail, 1.0)


def _adjusted(p_values: NDArray[np.float64], *, n_tests: int) -> NDArray[np.float64]:
    """Benjamini-Hochberg adjusted p-values, same shape; the tests not listed are those with p-value 1."""
    flat = p_values.ravel()
    ascending = np.argsort(flat, kind="stable")
    scaled = flat[ascending] * max(n_tests, flat.size) / np.arange(1, flat.size + 1)
    adjusted = np.empty_like(flat)
    adjusted[ascending] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted.reshape(p_values.shape)


def _interval(counts: NDArray[np.float64], supports: NDArray[np.float64]) -> tuple[Any, Any]:
    """Wilson bounds, elementwise, NaN without support; a decision counted beyond the support counts as the support."""
    low, high = wilson(np.minimum(counts, supports), supports)
    return np.asarray(low), np.asarray(high)


def _merges(matrix: Matrix) -> list[tuple[list[int], list[int], list[int], float]]:
    """The tree of labels, most alike first: (left leaves, right leaves, both, distance) a merge; [] below two labels.

    Leaves of `both` stand in the order in which they are drawn.
    """
    k = len(matrix.labels)
    if k < 2:
        return []
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    off = entries(matrix).between_labels()
    support = np.asarray(matrix.support, dtype=np.float64)
    rates = np.zeros((k, k))
    rates[off.true, off.predicted] = off.count / support[off.true]
    similarity = (rates + rates.T) / 2
    largest = float(similarity.max())
    if not largest > 0:
        # Nothing to be alike by: a chain in the given order, all at the distance of strangers.
        return [(list(range(end)), [end], list(range(end + 1)), 1.0) for end in range(1, k)]
    distance = 1 - similarity / largest
    np.fill_diagonal(distance, 0.0)
    leaves: list[list[int]] = [[index] for index in range(k)]
    merges = []
    for left, right, height, _ in linkage(squareform(distance, checks=False), method="average").tolist():
        one, two = sorted((leaves[int(left)], leaves[int(right)]), key=min)
        leaves.append(one + two)
        merges.append((one, two, leaves[-1], float(height)))
    return merges


def _group_sizes(matrix: Matrix, sequence: tuple[int, ...], n: int) -> list[int]:
    """Sizes of at most `n` consecutive groups of `sequence`, cut along the tree of labels."""
    k = len(sequence)
    place = {label: position for position, label in enumerate(sequence)}
    size_at = dict.fromkeys(range(k), 1)  # start of a group -> its size
    largest = max(1, -(-2 * k // n))
    for left, right, both, distance in _merges(matrix):
        if len(size_at) <= n:
            break
        start, middle = place[left[0]], place[right[0]]
        is_whole = size_at.get(start) == len(left) and size_at.get(middle) == len(right)
        if distance < 1 and is_whole and len(both) <= largest:
            size_at[start] += size_at.pop(middle)
    sizes = [size_at[start] for start in sorted(size_at)]
    while len(sizes) > n:
        joined = [sizes[index] + sizes[index + 1] for index in range(len(sizes) - 1)]
        smallest = joined.index(min(joined))
        sizes[smallest : smallest + 2] = [joined[smallest]]
    return sizes


def _even_sizes(k: int, n: int) -> list[int]:
    """Sizes of at most `n` groups of `k` labels that differ by one at most."""
    n = min(n, k)
    return [k // n + (index < k % n) for index in range(n)] if n else []
