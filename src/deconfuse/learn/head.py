"""The head: from an image's embedding to one probability a label.

    scores        = weights · embedding + bias
    probabilities = softmax(scores / temperature)             every image has one label
                  = sigmoid(scores / temperature), each       an image may have several

It is a logistic regression with a quadratic penalty. Embeddings are centred and scaled before the fit, and that is
undone in the weights and the bias afterwards, so that nothing but a matrix, a vector and a number has to be kept.

What a head does not do: choose its penalty or its temperature (`learn.trial`), or become bytes (`learn.bundle`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid
from deconfuse.learn.descent import Float32, Float64, Rows, minimise, probabilities_of, rows_of

CONSTANT = 1.0
"""The value of the feature that carries the bias; the typical embedding has length 1 beside it."""

TOLERANCE = 1e-4
"""How closely a fit is finished (`descent.minimise`): probabilities are within 1e-4 of those of the minimum."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear classifier on embeddings.

    Attributes:
        labels: the labels, in the order of the rows of `weights`.
        weights: float32[k, d].
        bias: float32[k].
        temperature: above 0; above 1 it makes probabilities less extreme. It never changes which label is highest.
        multi_label: whether each label has a probability of its own, or all share 1.
    """

    labels: tuple[str, ...]
    weights: Float32
    bias: Float32
    temperature: float
    multi_label: bool

    def probabilities(self, embeddings: Float32) -> Float32:
        """The probability of each label: float32[n, k], 0 to 1; rows sum to 1 unless `multi_label`.

        Args:
            embeddings: float32[n, d], one row an image.

        Raises:
            Invalid: `embeddings` has not two axes, or not as many columns as the weights.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.weights.shape[1]:
            raise Invalid("embeddings", f"has shape {embeddings.shape}; (n, {self.weights.shape[1]}) is needed")
        # Not a matrix product: its library may add up a row differently according to its place and the threads at hand,
        # and an image must have one probability, alone or among others.
        scores = np.einsum("nd,kd->nk", embeddings.astype(np.float32, copy=False), self.weights) + self.bias
        return tempered(scores, self.temperature, multi_label=self.multi_label)


@dataclass(frozen=True, slots=True)
class Frame:
    """How embeddings become features: (embedding - centre) * scale, and one constant feature more.

    Attributes:
        centre: float32[d], the mean embedding.
        scale: 1 / root of the mean squared distance from the centre, so that the typical feature vector has length 1
            and one penalty means the same for every backbone.
    """

    centre: Float32
    scale: float

    def features(self, embeddings: Float32, order: NDArray[np.intp]) -> Float32:
        """The features of the rows of `embeddings` in this order: float32[n, d + 1]."""
        features = np.empty((len(order), embeddings.shape[1] + 1), dtype=np.float32)
        for start in range(0, len(order), 4096):
            part = slice(start, start + 4096)
            features[part, :-1] = embeddings[order[part]]
            features[part, :-1] -= self.centre
            features[part, :-1] *= np.float32(self.scale)
        features[:, -1] = CONSTANT
        return features

    def head(self, weights: Float32, *, labels: tuple[str, ...], temperature: float, multi_label: bool) -> Head:
        """The head that gives embeddings the scores that `weights` (float32[k, d + 1]) give their features."""
        exact = weights.astype(np.float64)
        plain = exact[:, :-1] * self.scale
        bias = exact[:, -1] * CONSTANT - plain @ self.centre.astype(np.float64)
        return Head(labels, plain.astype(np.float32), bias.astype(np.float32), temperature, multi_label)


def frame_of(embeddings: Float32, order: NDArray[np.intp]) -> Frame:
    """The frame of these rows; they are summed in this order, so that the order fixes the bits."""
    total, squares = np.zeros(embeddings.shape[1]), np.zeros(embeddings.shape[1])
    for start in range(0, len(order), 4096):
        part = embeddings[order[start : start + 4096]].astype(np.float64)
        total += part.sum(axis=0)
        squares += (part**2).sum(axis=0)
    centre = total / len(order)
    variance = float(np.maximum(squares / len(order) - centre**2, 0).sum())
    # Identical embeddings say nothing; whatever the scale, their features stay 0 but for rounding.
    is_flat = variance <= 1e-10 * float((squares / len(order)).sum())
    return Frame(centre.astype(np.float32), 0.0 if is_flat else variance**-0.5)


def fit_head(
    embeddings: Float32,
    truth: NDArray[np.bool_],
    *,
    labels: Sequence[str],
    multi_label: bool,
    penalty: float,
) -> Head:
    """The head that minimises the penalised log loss on these rows, at temperature 1.

    Args:
        embeddings: float32[n, d], one row an image.
        truth: bool[n, k], column j is labels[j]; exactly one true a row unless `multi_label`.
        labels: k labels.
        multi_label: independent sigmoids if true, else a softmax.
        penalty: above 0; multiplies half the sum of the squared weights, while the loss is a mean over rows. The bias
            is the weight of a constant feature of `CONSTANT` and penalised like the others.

    Raises:
        Invalid: shapes do not fit, a value is not finite, or a row's truth is not possible.
    """
    check_rows(embeddings, truth, labels, multi_label=multi_label)
    if not penalty > 0:
        raise Invalid("penalty", f"is {penalty}; it must be above 0")
    order = np.arange(len(embeddings))
    frame = frame_of(embeddings, order)
    features, targets = frame.features(embeddings, order), np.ascontiguousarray(truth.T, dtype=np.float32)
    with ThreadPoolExecutor(1) as pool:
        rows = rows_of(features, targets, multi_label=multi_label, pool=pool)
        weights = fit_weights(rows, np.ones((1, len(order)), dtype=np.float32), penalty)[0]
    return frame.head(weights, labels=tuple(labels), temperature=1.0, multi_label=multi_label)


def fit_weights(rows: Rows, row_weights: Float32, penalty: float) -> Float32:
    """The weights of a fit for each row of `row_weights`, started from 0: float32[p, k, d]."""
    start = np.zeros((len(row_weights), rows.targets.shape[0], rows.features.shape[1]), dtype=np.float32)
    return minimise(rows, row_weights, penalty, start, tolerance=TOLERANCE).weights


def tempered(scores: Float32, temperature: float, *, multi_label: bool) -> Float32:
    """The probabilities float32[n, k] of `scores` float32[n, k] at this temperature."""
    return probabilities_of(scores / np.float32(temperature), multi_label=multi_label, axis=1)


def check_rows(embeddings: Float32, truth: NDArray[np.bool_], labels: Sequence[str], *, multi_label: bool) -> None:
    """Refuse rows from which no head can be fitted.

    Raises:
        Invalid: `embeddings` is not a table of finite numbers with at least one row and column; `truth` is not boolean
            of shape [n, k]; there are fewer than two labels, or one twice; a row has no true label where it needs one,
            or several where it may have only one.
    """
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise Invalid("embeddings", f"has shape {embeddings.shape}; at least one row and one column are needed")
    if truth.dtype != np.bool_ or truth.shape != (len(embeddings), len(labels)):
        needed = f"bool of shape ({len(embeddings)}, {len(labels)})"
        raise Invalid("truth", f"is {truth.dtype} of shape {truth.shape}; {needed} is needed")
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise Invalid("labels", "at least two labels are needed, each once")
    # A sum is finite only if every summand is, and needs no table of booleans; the rare overflow is looked at closely.
    if not np.isfinite(embeddings.sum(dtype=np.float64)) and not np.isfinite(embeddings).all():
        raise Invalid("embeddings", "holds values that are not finite")
    n_true = truth.sum(axis=1)
    if not multi_label and (n_true != 1).any():
        row = int(np.flatnonzero(n_true != 1)[0])
        raise Invalid("truth", f"row {row} has {n_true[row]} true labels; exactly one is needed")


def log_loss(scores: Float32, targets: Float32, *, multi_label: bool) -> Float64:
    """The loss of each row: float64[n], at least 0; the sum over labels if `multi_label`.

    Args:
        scores: float32[k, n].
        targets: float32[k, n], 0 or 1.
        multi_label: independent sigmoids if true, else a softmax.
    """
    exact = scores.astype(np.float64)
    losses: Float64 = -(targets * exact).sum(axis=0)
    if multi_label:
        losses += np.logaddexp(0, exact).sum(axis=0)
    else:
        highest = exact.max(axis=0)
        losses += highest + np.log(np.exp(exact - highest).sum(axis=0))
    return losses
