"""One confusion with its evidence, and the order in which confusions deserve attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconfuse.measure.coding import BLOCK
from deconfuse.measure.rates import wilson
from deconfuse.names import natural_key

Places = NDArray[np.intp]


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
