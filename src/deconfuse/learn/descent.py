"""Many penalised logistic regressions over the same rows, minimised together.

A cross-validation asks the same question of the same vectors five times, each time with other rows left out. Asked one
after the other, each reads every vector from memory for a handful of columns, and the processor waits for memory.
Asked together, the vectors are read once for all of them; leaving rows out is a weight of zero, and the scores of the
rows left out, which are what a cross-validation is after, come with the others.

The objective of problem p, with weights W (labels x features), rows x, row weights r and penalty λ, is

    F(W) = 1/Σr · Σ_i r_i · loss(y_i, W x_i)  +  λ/2 · ‖W‖²

where loss is the cross entropy of a softmax, or the sum over labels of the cross entropies of independent sigmoids.
It is strictly convex, so there is one minimum whatever the way there. The way is L-BFGS (Nocedal and Wright,
*Numerical Optimization*, 2nd edition, 2006, algorithm 7.4). Because scores are linear in W, a step along a direction
needs the direction's scores once; the length of the step is then found by Newton's method on one number, without
touching the vectors again. An iteration reads the vectors twice.

Rows are cut into blocks whose borders depend on the number of rows only; threads work on blocks, and sums over blocks
are taken in their order. With the linear algebra library limited to one thread (the caller does that, for it is a
setting of the whole process), results are the same bits whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MEMORY = 8
"""Steps that L-BFGS remembers."""

MAX_ITERATIONS = 500


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where a descent ended.

    Attributes:
        weights: float32[p, k, d], one weight matrix a problem.
        scores: float32[p, k, n], each problem's scores of all rows, those with weight 0 included.
        n_iterations: steps taken.
        is_converged: whether every gradient fell below its tolerance.
    """

    weights: Float32
    scores: Float32
    n_iterations: int
    is_converged: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """What a descent reads, cut into blocks.

    Attributes:
        features: float32[n, d].
        targets: float32[k, n], 0 or 1.
        blocks: slices that cover 0..n in order.
        multi_label: independent sigmoids if true, else softmax over the labels.
        pool: where the blocks are worked on.
    """

    features: Float32
    targets: Float32
    blocks: tuple[slice, ...]
    multi_label: bool
    pool: Executor


def rows_of(features: Float32, targets: Float32, *, multi_label: bool, pool: Executor) -> Rows:
    """`features` (float32[n, d]) and `targets` (float32[k, n], 0 or 1) cut into blocks for the threads of `pool`."""
    n = features.shape[0]
    n_blocks = max(1, min(-(-n // 128), 8)) if n <= 32_768 else -(-n // 4096)
    borders = [n * j // n_blocks for j in range(n_blocks + 1)]
    blocks = tuple(slice(a, b) for a, b in zip(borders, borders[1:], strict=False))
    return Rows(features, targets, blocks, multi_label, pool)


def probabilities_of(scores: Float32, *, multi_label: bool) -> Float32:
    """Softmax over the last axis but one, or the sigmoid of each score: same shape as `scores` (..., k, n)."""
    if multi_label:
        # tanh neither overflows nor warns, whatever the score.
        return (0.5 * np.tanh(0.5 * scores) + 0.5).astype(scores.dtype, copy=False)
    powers = np.exp(scores - scores.max(axis=-2, keepdims=True))
    powers /= powers.sum(axis=-2, keepdims=True)
    return powers


def minimise(
    rows: Rows,
    row_weights: Float32,
    penalties: Float64,
    start: Float32,
    *,
    tolerance: float,
    max_iterations: int = MAX_ITERATIONS,
) -> Minimum:
    """The minimum of each problem.

    Args:
        rows: features float32[n, d] and targets float32[k, n].
        row_weights: float32[p, n], at least 0; a problem whose weights are all 0 has the minimum 0.
        penalties: float64[p], above 0.
        start: float32[p, k, d], where the descent begins.
        tolerance: a problem is done when the norm of its gradient is at most this much.
        max_iterations: after this many steps the place reached is taken as it is.
    """
    descent = _Descent(rows, row_weights, penalties, start)
    gradient = descent.gradient()
    steps: list[tuple[Float32, Float32, Float64]] = []
    n_iterations = 0
    while True:
        is_converged = bool((_dot(gradient, gradient) <= tolerance**2).all())
        if is_converged or n_iterations == max_iterations:
            return Minimum(descent.weights, descent.scores, n_iterations, is_converged)
        step = descent.move(_direction(gradient, steps))
        after = descent.gradient()
        change = after - gradient
        curvature = _dot(step, change)
        # A pair without curvature (a step of length 0, or rounding) would spoil the next direction: weight 0 skips it.
        weight = np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > 0)
        steps = [*steps[-(MEMORY - 1) :], (step, change, weight)]
        gradient = after
        n_iterations += 1


def _direction(gradient: Float32, steps: Sequence[tuple[Float32, Float32, Float64]]) -> Float32:
    """Minus the inverse Hessian, as far as `steps` tell it, times `gradient`: float32[p, k, d]."""
    direction = -gradient
    shares = []
    for step, change, weight in reversed(steps):
        share = weight * _dot(step, direction)
        direction -= _wide(share) * change
        shares.append(share)
    if steps:
        step, change, weight = steps[-1]
        size = _dot(change, change)
        scale = np.divide(1.0, weight * size, out=np.ones_like(size), where=weight * size > 0)
        direction *= _wide(scale)
    for (step, change, weight), share in zip(steps, reversed(shares), strict=True):
        direction += _wide(share - weight * _dot(change, direction)) * step
    return direction


class _Descent:
    """The state of a descent: weights and the scores they give."""

    def __init__(self, rows: Rows, row_weights: Float32, penalties: Float64, start: Float32) -> None:
        totals = np.maximum(row_weights.sum(axis=1, dtype=np.float64), np.finfo(np.float32).tiny)
        self.rows = rows
        self.row_weights = (row_weights / totals[:, None]).astype(np.float32)
        self.penalties = penalties
        self.weights = start
        self.scores = self._scores_of(start)
        self.slopes = np.empty_like(self.scores)

    def gradient(self) -> Float32:
        """The gradient of every problem at its weights: float32[p, k, d]."""
        p, k, d = self.weights.shape

        def part(block: slice) -> Float32:
            errors = probabilities_of(self.scores[:, :, block], multi_label=self.rows.multi_label)
            errors -= self.rows.targets[:, block]
            errors *= self.row_weights[:, None, block]
            return errors.reshape(p * k, -1) @ self.rows.features[block]

        total = np.zeros((p * k, d), dtype=np.float32)
        for summand in self.rows.pool.map(part, self.rows.blocks):
            total += summand
        return total.reshape(p, k, d) + _wide(self.penalties) * self.weights

    def move(self, direction: Float32) -> Float32:
        """Go along `direction` to the lowest place; the step taken, float32[p, k, d]."""
        self._scores_of(direction, out=self.slopes)
        along, size = _dot(self.weights, direction), _dot(direction, direction)
        length = np.zeros(len(self.penalties))
        for _ in range(2):
            first, second = self._derivatives(length)
            first += self.penalties * (along + length * size)
            second += self.penalties * size
            change = np.divide(first, second, out=np.zeros_like(first), where=second > 0)
            # Far from the minimum a softmax is flatter than it looks; more than four times as far is a leap in the dark.
            length = np.clip(length - change, 0, np.where(length > 0, 4 * length, np.inf))
        step = _wide(length) * direction
        self.weights = self.weights + step
        for block in self.rows.blocks:
            self.scores[:, :, block] += _wide(length) * self.slopes[:, :, block]
        return step

    def _derivatives(self, length: Float64) -> tuple[Float64, Float64]:
        """First and second derivative of the losses, penalty left out, at `length` along the slopes: float64[p] each."""
        reach = _wide(length)

        def part(block: slice) -> tuple[Float64, Float64]:
            slopes, weights = self.slopes[:, :, block], self.row_weights[:, block]
            chances = probabilities_of(self.scores[:, :, block] + reach * slopes, multi_label=self.rows.multi_label)
            first = ((chances - self.rows.targets[:, block]) * slopes).sum(axis=1)
            if self.rows.multi_label:
                second = (chances * (1 - chances) * slopes**2).sum(axis=1)
            else:
                weighted = chances * slopes
                second = (weighted * slopes).sum(axis=1) - weighted.sum(axis=1) ** 2
            return (weights * first).sum(axis=1, dtype=np.float64), (weights * second).sum(axis=1, dtype=np.float64)

        firsts, seconds = zip(*self.rows.pool.map(part, self.rows.blocks), strict=True)
        return np.sum(firsts, axis=0), np.sum(seconds, axis=0)

    def _scores_of(self, weights: Float32, out: Float32 | None = None) -> Float32:
        p, k, d = weights.shape
        scores = np.empty((p, k, self.rows.features.shape[0]), dtype=np.float32) if out is None else out
        flat = weights.reshape(p * k, d)

        def part(block: slice) -> None:
            scores[:, :, block] = (flat @ self.rows.features[block].T).reshape(p, k, -1)

        _exhaust(self.rows.pool.map(part, self.rows.blocks))
        return scores


def _exhaust(results: object) -> None:
    for _ in results:  # type: ignore[attr-defined]
        pass


def _dot(a: Float32, b: Float32) -> Float64:
    """The inner product of each problem: float64[p]."""
    p = a.shape[0]
    return np.einsum("pj,pj->p", a.reshape(p, -1), b.reshape(p, -1)).astype(np.float64)


def _wide(values: Float64) -> Float32:
    """float32[p, 1, 1], to be multiplied with weights or scores."""
    return values.astype(np.float32)[:, None, None]


Progress = Callable[[int, int], None]
