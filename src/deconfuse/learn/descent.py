"""Many penalised logistic regressions over the same rows, minimised together.

A cross-validation asks the same question of the same vectors five times, each time with other rows left out. Asked one
after the other, each reads every vector from memory for a handful of columns, and the processor waits for memory.
Asked together, the vectors are read once for all of them; leaving rows out is a weight of zero, and the scores of the
rows left out, which are what a cross-validation is after, come with the others.

The objective of problem p, with weights W (labels x features), rows x, row weights r and penalty λ, is

    F(W) = 1/Σr · Σ_i r_i · loss(y_i, W x_i)  +  λ/2 · ‖W‖²

where loss is the cross entropy of a softmax, or the sum over labels of the cross entropies of independent sigmoids.
It is strictly convex, so there is one minimum whatever the way there. The way is L-BFGS (Nocedal and Wright,
*Numerical Optimization*, 2nd edition, 2006, algorithm 7.4). Two things make it short:

- Embeddings have a few directions of large spread and a thousand of small spread. The `Rows` know the 32 largest, and a
  guess of the inverse Hessian made from them replaces L-BFGS's multiple of the identity; that halves the steps.
- Scores are linear in W, so a step along a direction needs that direction's scores once. Slope and curvature along it
  are then known anywhere without touching the vectors again. A step reads the vectors twice.

Rows are cut into blocks whose borders depend on the number of rows only; threads work on blocks, and sums over blocks
are taken in their order. With the linear algebra library limited to one thread (the caller does that, for it is a
setting of the whole process), results are the same bits whatever the number of threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Step = tuple[Float32, Float32, Float64]

MEMORY = 8
"""Steps that L-BFGS remembers."""

MAX_STEPS = 500

N_AXES = 32
"""Directions of large spread that the guess of the inverse Hessian knows."""

CURVATURE = 0.05
"""How curved the loss of one row is along its score, as the guess has it: p(1 - p) of a p near 0.95. A wrong value
costs steps, never the minimum; on embeddings of photographs 0.02 to 0.1 do equally well."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a descent reads.

    Attributes:
        features: float32[n, d].
        targets: float32[k, n], 0 or 1.
        multi_label: independent sigmoids if true, else softmax over the labels.
        blocks: slices that cover 0..n in order.
        axes: float32[d, a], orthonormal: the directions along which the features are largest.
        spreads: float64[a], the mean square of the features along each.
        pool: where the blocks are worked on.
    """

    features: Float32
    targets: Float32
    multi_label: bool
    blocks: tuple[slice, ...]
    axes: Float32
    spreads: Float64
    pool: Executor


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where a descent ended.

    Attributes:
        weights: float32[p, k, d], one weight matrix a problem.
        scores: float32[p, k, n], each problem's scores of all rows, those with weight 0 included.
        n_steps: steps taken.
        is_converged: whether every gradient fell to its tolerance.
    """

    weights: Float32
    scores: Float32
    n_steps: int
    is_converged: bool


def rows_of(features: Float32, targets: Float32, *, multi_label: bool, pool: Executor) -> Rows:
    """The rows, cut into blocks for the threads of `pool`.

    Args:
        features: float32[n, d].
        targets: float32[k, n], 0 or 1.
        multi_label: independent sigmoids if true, else softmax over the labels.
        pool: kept in the result.
    """
    n = features.shape[0]
    n_blocks = max(1, min(n // 256, 4)) if n <= 16_384 else -(-n // 4096)
    borders = [n * j // n_blocks for j in range(n_blocks + 1)]
    blocks = tuple(slice(start, end) for start, end in itertools.pairwise(borders))
    axes, spreads = _main_axes(features[:8192])
    return Rows(features, targets, multi_label, blocks, axes, spreads, pool)


def probabilities_of(scores: Float32, *, multi_label: bool, axis: int) -> Float32:
    """Softmax over the labels, which are along `axis`, or the sigmoid of each score: same shape as `scores`."""
    if multi_label:
        # tanh neither overflows nor warns, whatever the score.
        chances: Float32 = np.tanh(np.float32(0.5) * scores)
        chances += np.float32(1)
        chances *= np.float32(0.5)
        return chances
    chances = scores - scores.max(axis=axis, keepdims=True)
    np.exp(chances, out=chances)
    chances /= chances.sum(axis=axis, keepdims=True)
    return chances


def minimise(
    rows: Rows,
    row_weights: Float32,
    penalty: float,
    start: Float32,
    *,
    tolerance: float,
    scores: Float32 | None = None,
    progress: Callable[[int], None] | None = None,
) -> Minimum:
    """The minimum of each problem.

    Args:
        rows: n rows with d features, k labels.
        row_weights: float32[p, n], at least 0; a problem whose weights are all 0 has the minimum 0.
        penalty: λ, above 0.
        start: float32[p, k, d], where the descent begins.
        tolerance: a problem is done when the norm of its gradient is at most this times √λ; then F is above its minimum
            by at most half the square of this, for F is at least as curved as its penalty. `MAX_STEPS` end it too.
        scores: float32[p, k, n], those of `start` where they are known; they are overwritten.
        progress: told the number of steps after each.
    """
    descent = _Descent(rows, row_weights, penalty, start, scores)
    gradient = descent.gradient()
    steps: list[Step] = []
    n_steps = 0
    while True:
        is_converged = bool((_dot(gradient, gradient) <= tolerance**2 * penalty).all())
        if is_converged or n_steps == MAX_STEPS:
            return Minimum(descent.weights, descent.scores, n_steps, is_converged)
        direction = _direction(gradient, steps, rows, penalty)
        step = descent.move(direction, _dot(gradient, direction))
        after = descent.gradient()
        change = after - gradient
        curvature = _dot(step, change)
        # A pair without curvature (a step of length 0, or rounding) would spoil the next direction: weight 0 skips it.
        weight = np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > 0)
        steps = [*steps[-(MEMORY - 1) :], (step, change, weight)]
        gradient = after
        n_steps += 1
        if progress is not None:
            progress(n_steps)


def _main_axes(features: Float32) -> tuple[Float32, Float64]:
    """The axes of largest spread and the spreads, by subspace iteration; a rough result does.

    Source: Halko, Martinsson, Tropp, SIAM Review 53 (2011) 217-288, algorithm 4.4.
    """
    n, d = features.shape
    rank = min(N_AXES, n, d)
    axes = np.random.default_rng(0).standard_normal((d, rank), dtype=np.float32)
    for _ in range(4):
        axes = np.linalg.qr(features.T @ (features @ axes)).Q
    shadows = features @ axes
    spreads, turn = np.linalg.eigh((shadows.T @ shadows).astype(np.float64) / n)
    return axes @ turn.astype(np.float32), np.maximum(spreads, 0)


def _direction(gradient: Float32, steps: Sequence[Step], rows: Rows, penalty: float) -> Float32:
    """Minus the inverse Hessian, as far as `steps` and the axes tell it, times `gradient`: float32[p, k, d]."""
    direction = -gradient
    shares = []
    for step, change, weight in reversed(steps):
        share = weight * _dot(step, direction)
        direction -= _wide(share) * change
        shares.append(share)
    inverse = 1 / (CURVATURE * rows.spreads + penalty)
    rest = inverse.max()
    flat = direction.reshape(-1, direction.shape[2])
    along = (flat @ rows.axes) * (inverse - rest).astype(np.float32)
    direction *= np.float32(rest)
    direction += (along @ rows.axes.T).reshape(direction.shape)
    for (step, change, weight), share in zip(steps, reversed(shares), strict=True):
        direction += _wide(share - weight * _dot(change, direction)) * step
    return direction


class _Descent:
    """The state of a descent: weights and the scores they give."""

    def __init__(
        self, rows: Rows, row_weights: Float32, penalty: float, start: Float32, scores: Float32 | None
    ) -> None:
        totals = np.maximum(row_weights.sum(axis=1, dtype=np.float64), np.finfo(np.float32).tiny)
        self.rows = rows
        self.row_weights = (row_weights / totals[:, None]).astype(np.float32)
        self.penalty = penalty
        self.weights = start
        self.slopes = np.empty((*start.shape[:2], rows.features.shape[0]), dtype=np.float32)
        self.scores = np.empty_like(self.slopes) if scores is None else scores
        if scores is None:
            self._score(start, self.scores)

    def gradient(self) -> Float32:
        """The gradient of every problem at its weights: float32[p, k, d]."""
        p, k, d = self.weights.shape

        def part(block: slice) -> Float32:
            errors = probabilities_of(self.scores[:, :, block], multi_label=self.rows.multi_label, axis=1)
            errors -= self.rows.targets[:, block]
            errors *= self.row_weights[:, None, block]
            product: Float32 = errors.reshape(p * k, -1) @ self.rows.features[block]
            return product

        total = np.zeros((p * k, d), dtype=np.float32)
        for summand in self.rows.pool.map(part, self.rows.blocks):
            total += summand
        gradient = total.reshape(p, k, d)
        gradient += np.float32(self.penalty) * self.weights
        return gradient

    def move(self, direction: Float32, slope: Float64) -> Float32:
        """Go along `direction` about as far as it falls; the step taken, float32[p, k, d].

        Slope and curvature are looked at where a Newton step would end, at length 1. Past the valley, the line through
        the two slopes says where its floor is, which is between the two, for F is convex. Before it, a Newton step
        from there does, but no farther than to length 4.

        Args:
            direction: float32[p, k, d].
            slope: float64[p], that of F at the start of `direction`.
        """
        self._score(direction, self.slopes)
        along, size = _dot(self.weights, direction), _dot(direction, direction)
        first, second = self._derivatives()
        first += self.penalty * (along + size)
        second += self.penalty * size
        rise = first - slope
        back = np.divide(-slope, rise, out=np.zeros_like(rise), where=rise > 0)
        ahead = 1 + np.divide(-first, second, out=np.zeros_like(second), where=second > 0)
        length = np.where(first > 0, back, np.minimum(ahead, 4.0))
        # Rounding can turn a direction uphill once nothing is left to gain.
        reach = _wide(np.where(slope < 0, np.maximum(length, 0), 0))
        step = reach * direction
        self.weights = self.weights + step
        for block in self.rows.blocks:
            self.scores[:, :, block] += reach * self.slopes[:, :, block]
        return step

    def _derivatives(self) -> tuple[Float64, Float64]:
        """First and second derivative of the losses, penalty left out, one slope away from here: float64[p] each."""

        def part(block: slice) -> tuple[Float64, Float64]:
            slopes, weights = self.slopes[:, :, block], self.row_weights[:, block]
            chances = probabilities_of(self.scores[:, :, block] + slopes, multi_label=self.rows.multi_label, axis=1)
            weighted = chances * slopes
            first = weighted.sum(axis=1) - (self.rows.targets[:, block] * slopes).sum(axis=1)
            squares = (weighted * slopes).sum(axis=1)
            second = squares - ((weighted**2).sum(axis=1) if self.rows.multi_label else weighted.sum(axis=1) ** 2)
            return (weights * first).sum(axis=1, dtype=np.float64), (weights * second).sum(axis=1, dtype=np.float64)

        firsts, seconds = zip(*self.rows.pool.map(part, self.rows.blocks), strict=True)
        return np.sum(firsts, axis=0), np.sum(seconds, axis=0)

    def _score(self, weights: Float32, scores: Float32) -> None:
        p, k, d = weights.shape
        flat = weights.reshape(p * k, d)

        def part(block: slice) -> None:
            scores[:, :, block] = (flat @ self.rows.features[block].T).reshape(p, k, -1)

        list(self.rows.pool.map(part, self.rows.blocks))


def _dot(a: Float32, b: Float32) -> Float64:
    """The inner product of each problem: float64[p]."""
    p = a.shape[0]
    products: Float64 = np.einsum("pj,pj->p", a.reshape(p, -1), b.reshape(p, -1)).astype(np.float64)
    return products


def _wide(values: Float64) -> Float32:
    """float32[p, 1, 1], to be multiplied with weights or scores."""
    return values.astype(np.float32)[:, None, None]
