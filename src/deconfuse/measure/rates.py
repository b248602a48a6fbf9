"""Shares with their uncertainty: Wilson's interval, which every rate carries, and confusions ranked by it.

The matrix names its most confused pairs in this order; `measure.intervals` has the intervals of other scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid
from deconfuse.measure.labels import BLOCK
from deconfuse.names import natural_key

Ends = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The lower and the upper ends of intervals."""

Places = NDArray[np.intp]


@lru_cache(maxsize=32)
def normal_quantile(level: float) -> float:
    """The z for which a standard normal variable lies within -z..z with probability `level`.

    Raises:
        Invalid: level outside (0, 1).
    """
    if not 0 < level < 1:
        raise Invalid("level", f"{level} is not strictly between 0 and 1")
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(hits: ArrayLike, trials: ArrayLike, *, level: float = 0.95) -> Ends:
    """The Wilson score interval for proportions: (low, high), each in 0..1, with the broadcast shape of the arguments.

    Honest for small counts: 3 of 3 at level 0.95 gives (0.44, 1.0), not (1.0, 1.0).
    Scalars give zero-dimensional results that behave as floats.

    Args:
        hits: successes, 0 <= hits <= trials; weighted counts are taken as they are.
        trials: attempts; 0 gives (NaN, NaN), for nothing is known.
        level: share of such intervals that cover the truth, strictly between 0 and 1.

    Raises:
        Invalid: hits outside 0..trials, or level outside (0, 1).

    Example:
        >>> low, high = wilson(3, 3)
        >>> print(f"{low:.2f} {high:.2f}")
        0.44 1.00

    Source: E. B. Wilson, JASA 22 (1927) 209-212; recommended for small n by
        Brown, Cai, DasGupta, Statistical Science 16 (2001) 101-133.
    """
    z = normal_quantile(level)
    k, n = np.broadcast_arrays(np.asarray(hits, np.float64), np.asarray(trials, np.float64))
    # Sums of float weights may differ in the last digits from the same weights summed in another order.
    slack = 1e-9 * np.maximum(n, 1)
    if not bool(np.all((k >= 0) & (k <= n + slack))):
        raise Invalid("hits", "every number of hits must lie between 0 and its number of trials")
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.minimum(k / n, 1.0)
        centre = share + z * z / (2 * n)
        half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        denominator = 1 + z * z / n
        low = np.where(k == 0, 0.0, (centre - half) / denominator)
        high = np.where(k >= n, 1.0, (centre + half) / denominator)
    undefined = n == 0
    low = np.where(undefined, np.nan, np.clip(low, 0.0, 1.0))
    high = np.where(undefined, np.nan, np.clip(high, 0.0, 1.0))
    return low[()], high[()]


def wilson_f1(hits: ArrayLike, support: ArrayLike, predicted: ArrayLike, *, level: float = 0.95) -> Ends:
    """The interval of F1: (low, high), each in 0..1, with the broadcast shape of the arguments.

    Of the samples that have the label or were called it, the share of those that did both is Jaccard's index
    J = hits / (support + predicted - hits). It is a proportion, so it has Wilson's interval; F1 = 2 J / (1 + J) only
    grows with J, so the ends of the one are the ends of the other.

    Args:
        hits: samples that have the label and were called it.
        support: samples that have it; where there is none, F1 is undefined and so are its ends (NaN, NaN).
        predicted: samples that were called it.
        level: share of such intervals that cover the truth, strictly between 0 and 1.

    Raises:
        Invalid: hits outside 0..support or 0..predicted, or level outside (0, 1).

    Example:
        >>> low, high = wilson_f1(14, 14, 14)
        >>> print(f"{low:.2f} {high:.2f}")
        0.88 1.00

    Source: `wilson`; an interval goes through a monotone function end by end. How often such intervals cover the truth
        is measured in `tests/laws/test_intervals_laws.py`.
    """
    k, n, p = (np.asarray(counts, np.float64) for counts in (hits, support, predicted))
    if not bool(np.all(k <= np.minimum(n, p) * (1 + 1e-9))):
        raise Invalid("hits", "every number of hits must lie between 0 and the samples of its label")
    low, high = (2 * end / (1 + end) for end in wilson(k, n + p - k, level=level))
    return np.where(n > 0, low, np.nan)[()], np.where(n > 0, high, np.nan)[()]


@dataclass(frozen=True, slots=True)
class Pair:
    """One confusion with its evidence.

    Attributes:
        true: the label the samples have.
        predicted: another label, which they were given.
        count: how many samples (or which weight of them).
        support: samples that are truly `true`, however they were called.
        share: count / support.
        low: lower end of the Wilson 95 % interval of the share.
        high: its upper end.
    """

    true: str
    predicted: str
    count: float
    support: float
    share: float
    low: float
    high: float


def rank_pairs(
    labels: tuple[str, ...],
    support: NDArray[Any],
    cells: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]],
    n: int,
) -> tuple[Pair, ...]:
    """The n pairs with the highest lower bound, then count, then in the order of their names.

    Args:
        labels: the K labels.
        support: [K], samples of each true label.
        cells: true codes, predicted codes and counts (above 0) of the confusions.
        n: how many.

    Source: ranking by the lower bound is advocated by E. Miller, "How not to sort by average rating" (2009), with
        Wilson's interval.
    """
    true, predicted, counts = cells
    by_name = sorted(range(len(labels)), key=lambda place: natural_key(labels[place]))
    rank = np.empty(len(labels), np.intp)
    rank[by_name] = np.arange(len(labels))
    low_ends = np.empty(len(counts))
    for block in (slice(start, start + BLOCK) for start in range(0, len(counts), BLOCK)):
        low_ends[block] = wilson(counts[block], support[true[block]])[0]
    keys = (
        lambda at: low_ends[at],
        lambda at: counts[at],
        lambda at: -rank[true[at]],
        lambda at: -rank[predicted[at]],
    )
    order = _first(keys, len(counts), max(n, 0))
    low, high = wilson(counts[order], support[true[order]])
    return tuple(
        Pair(
            true=labels[true[i]],
            predicted=labels[predicted[i]],
            count=counts[i].item(),
            support=support[true[i]].item(),
            share=float(counts[i] / support[true[i]]),
            low=float(low[place]),
            high=float(high[place]),
        )
        for place, i in enumerate(order)
    )


def _first(keys: Sequence[Callable[[Places], NDArray[Any]]], size: int, n: int) -> Places:
    """Where the n highest of `size` stand, highest first; later keys decide between equals.

    Sorting everything would take seconds where millions of cells hold something, and so would later keys.
    """
    chosen, open_ = [], np.arange(size)
    for key in keys:
        if len(open_) <= n or n == 0:
            break
        values = key(open_)
        bar = np.partition(values, -n)[-n]
        sure = open_[values > bar]
        chosen.append(sure)
        n -= len(sure)
        open_ = open_[values == bar]
    found = np.concatenate([*chosen, open_[:n]])
    return found[np.lexsort(tuple(-key(found) for key in reversed(keys)))]
