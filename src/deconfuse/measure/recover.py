"""Whole counts from the shares of an evaluation summary.

AWS's summary gives each cell as a share without saying of what. Its published examples use two denominators: the Rooms
table divides by the images of the true label; the CAP/WATCH file by those of the predicted one. Each denominator is
tried; the one is right under which every cell is a whole number and every row adds up to the images of its label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deconfuse.errors import Invalid

Denominator = Literal["true", "predicted label's true count", "pred", "all"]
Floats = NDArray[np.float64]

EXACT = 2e-7
"""Half-width, as a share, of what an unrounded value may be off: a little more than float32 loses."""

_STATEMENTS: dict[Denominator, str] = {
    "true": "Each value is the share of the test images of the true label",
    "predicted label's true count": (
        "Each value is the count divided by the number of test images of the predicted label, "
        "not of the true one, so the values of a label do not add up to 1"
    ),
    "pred": "Each value is the share of the images that were called the predicted label",
    "all": "Each value is the share of all test images",
}


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """Counts that fit a table of shares.

    Attributes:
        counts: int64[K, K], true × predicted; row i sums to the support of label i.
        denominator: what the shares are shares of.
        statement: that, in one sentence for people.
    """

    counts: NDArray[np.int64]
    denominator: Denominator
    statement: str


def recover_counts(values: ArrayLike, support: ArrayLike) -> Recovered | None:
    """The only whole counts that fit a table of shares, or None where none or several do.

    Tried in this order: shares of the true label; count / test images of the *predicted* label; shares of the
    predictions (whose totals p solve values · p = support); shares of everything. Each first with the values as they
    stand, then as rounded to the decimals they show.

    Args:
        values: float[K, K], true × predicted; shares (0..1) or percentages; a NaN is a cell left out, thus 0.
        support: int[K], test images of each label.

    Raises:
        Invalid: shapes that do not fit, values below 0 or infinite, or supports that are not whole or below 0.

    Example:
        >>> found = recover_counts([[0.75, 0.25], [0.0, 1.0]], [4, 3])
        >>> found.counts.tolist(), found.denominator
        ([[3, 1], [0, 3]], 'true')

    Source: the two published tables, see the module; the recovery of prediction totals follows from
        sum over j of (c_ij / p_j) · p_j = support_i.
    """
    table, n = _check(values, support)
    if not n.sum():
        return None
    # A wrong scale never fits: rows would add up to a hundred times the support, or a hundredth.
    for is_rounded in (False, True):
        for shares in (table, table / 100):
            found = _try_denominators(shares, n, _rounding(shares) if is_rounded else EXACT)
            if found is not None:
                return found
    return None


def _try_denominators(shares: Floats, n: Floats, half_width: float) -> Recovered | None:
    for denominator, statement in _STATEMENTS.items():
        totals = _totals(denominator, shares, n)
        if totals is None:
            continue
        counts = _only_counts(shares, totals, n, half_width)
        if counts is not None and (denominator != "pred" or np.array_equal(counts.sum(axis=0)[None], totals)):
            return Recovered(counts, denominator, statement + "; the counts are exact.")
    return None


def _check(values: ArrayLike, support: ArrayLike) -> tuple[Floats, Floats]:
    table, n = np.asarray(values, np.float64), np.asarray(support, np.float64)
    if table.ndim != 2 or table.shape != (n.size, n.size) or n.ndim != 1:
        raise Invalid("values", f"K × K values and K supports are needed; got {table.shape} and {n.shape}")
    table = np.where(np.isnan(table), 0.0, table)
    if not bool(np.all(np.isfinite(table) & (table >= 0))):
        raise Invalid("values", "shares must be finite and not below 0")
    if not bool(np.all((n >= 0) & (n == np.floor(n)))):
        raise Invalid("support", "numbers of images are whole and not below 0")
    return table, n


def _rounding(shares: Floats) -> float:
    """Half a unit of the last decimal that the shares show; at most half a percent, `EXACT` if they are not rounded."""
    for decimals in range(2, 7):
        scaled = shares * 10**decimals
        if bool(np.all(np.abs(scaled - np.round(scaled)) < 1e-6 * 10 ** (decimals - 2))):
            return 0.5 * 10.0**-decimals + 1e-9
    return EXACT


def _totals(denominator: Denominator, shares: Floats, n: Floats) -> Floats | None:
    """What each cell must be multiplied by, broadcast to [K, K] or [1, K] or [K, 1]."""
    if denominator == "true":
        return n[:, None]
    if denominator == "predicted label's true count":
        return n[None]
    if denominator == "all":
        return np.full((1, 1), n.sum())
    used = shares.any(axis=0)
    solution, _, rank, _ = np.linalg.lstsq(shares[:, used], n, rcond=None)
    if rank < np.count_nonzero(used) or bool(np.any(np.abs(solution) > 1e12)):
        return None
    totals = np.zeros(len(n))
    totals[used] = np.round(solution)
    return totals[None] if bool(np.all(totals >= 0)) else None


def _only_counts(shares: Floats, totals: Floats, n: Floats, half_width: float) -> NDArray[np.int64] | None:
    """The whole counts within half_width of the shares whose rows sum to n, if there is exactly one such table."""
    low = np.maximum(np.ceil((shares - half_width) * totals - 1e-9), 0)
    high = np.floor((shares + half_width) * totals + 1e-9)
    if bool(np.any(low > high)):
        return None
    # Each cell lies between what the rest of its row leaves at most and at least.
    spare_low = n[:, None] - (high.sum(axis=1, keepdims=True) - high)
    spare_high = n[:, None] - (low.sum(axis=1, keepdims=True) - low)
    low, high = np.maximum(low, spare_low), np.minimum(high, spare_high)
    if bool(np.any(low != high)) or bool(np.any(low.sum(axis=1) != n)):
        return None
    return np.asarray(low, np.int64)
