"""Proportions with their uncertainty: the one interval that every rate in deconfuse carries.

It stands in a module of its own because both the matrix (which ranks pairs by it) and `measure.intervals` need it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid


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


Ends = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The lower and the upper ends of intervals."""


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
