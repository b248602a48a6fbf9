"""A trial: every training image judged by a head that never saw it, and the head that saw them all.

    holdout   which images are the test set, where none was given
    folds     which fifth of the training images an image belongs to
    run_trial penalty by cross-validation → out-of-fold probabilities → temperature → final head

Sides and folds come from the bytes of an image's sha256, never from a generator or from the order of files, so that an
image keeps its place when others are added, removed or relabelled, and numbers of two versions can be compared.

Nothing here looks at a test image.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import Invalid
from deconfuse.learn.descent import Float32, Rows, minimise, probabilities_of, rows_of
from deconfuse.learn.head import TOLERANCE, Head, check_rows, frame_of, log_loss, tempered
from deconfuse.tables import Split

N_FOLDS = 5

TEST_PERCENT = 20

PENALTIES = tuple(10 ** (-step / 4) for step in range(4, 25, 2))
"""Tried from strong to weak, each fit starting where the one before ended."""

MAX_CHOOSING_ROWS = 20_000
"""The penalty is chosen on at most so many rows."""

CHOOSING_TOLERANCE = 0.1
"""How closely the fits that only compare penalties are finished: their losses are right to about 0.001."""

MAX_SCORES = 120_000_000
"""Fits whose scores would be more than so many numbers are done one group after the other, to bound memory."""

CLEAR_RISE = 0.005
"""A loss this share above the least one ends the search; weaker penalties cost the most time."""

TEMPERATURES = (0.05, 20.0)
"""Between these the temperature is looked for."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What a cross-validation gives.

    Attributes:
        head: fitted on all rows.
        probabilities: float32[n, k], of each row by the head that was fitted without the row's fold, at the head's
            temperature.
        fold: int8[n], 0 to 4.
        penalty: the penalty chosen.
        tried: each penalty tried with its out-of-fold loss, in the order tried.
        notes: sentences about anything unusual.
    """

    head: Head
    probabilities: Float32
    fold: NDArray[np.int8]
    penalty: float
    tried: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]


def holdout(samples: Sequence[tuple[str, Sequence[str]]]) -> list[Split]:
    """The side of each sample, "train" or "test", by its hash.

    An image is a test image when the first 8 bytes of its sha256, read as a big-endian number, leave less than 20 when
    divided by 100. Then labels lend: a label of which every image is on one side gives one to the other, the
    image with the largest hash to training, the one with the smallest hash to the test. An image that is the only one
    of some label trains. Training comes first: no image is lent to the test that would leave one of its labels without
    a training image. The order of the samples does not matter, and equal hashes are always on the same side.

    Args:
        samples: (sha256 in hexadecimal, labels) of each sample; the same sha256 may come several times.

    Raises:
        Invalid: a sha256 is not 64 hexadecimal digits.
    """
    hashes = [_checked(sha256) for sha256, _ in samples]
    images_of: dict[str, set[str]] = {}
    labels_of: dict[str, set[str]] = {}
    for sha256, (_, labels) in zip(hashes, samples, strict=True):
        for label in labels:
            images_of.setdefault(label, set()).add(sha256)
        labels_of.setdefault(sha256, set()).update(labels)
    test = {sha256 for sha256 in hashes if int(sha256[:16], 16) % 100 < TEST_PERCENT}
    for label in sorted(images_of):
        if images_of[label] <= test:
            test.discard(max(images_of[label]))
    for label in sorted(images_of):
        if len(images_of[label]) > 1 and not images_of[label] & test:
            spare = (
                image
                for image in sorted(images_of[label])
                if all(images_of[other] - test - {image} for other in labels_of[image])
            )
            test.update(itertools.islice(spare, 1))
    return ["test" if sha256 in test else "train" for sha256 in hashes]


def folds(sha256s: Sequence[str]) -> NDArray[np.int8]:
    """The fold of each image, int8[n], 0 to 4: bytes 8 to 15 of its sha256, as a big-endian number, modulo 5.

    Other bytes than `holdout` looks at, so that the folds are a fifth each also among the images that train.

    Raises:
        Invalid: a sha256 is not 64 hexadecimal digits.
    """
    return np.array([int(_checked(sha256)[16:32], 16) % N_FOLDS for sha256 in sha256s], dtype=np.int8)


def run_trial(
    embeddings: Float32,
    truth: NDArray[np.bool_],
    sha256s: Sequence[str],
    *,
    labels: Sequence[str],
    multi_label: bool,
    progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> Trial:
    """Cross-validate, choose the penalty and the temperature, and fit on everything.

    The result is the same, to the bit, whatever the number of threads and the order of the rows. While it runs, the
    linear algebra library is limited to one thread in the whole process; trials that overlap in one process keep
    results equal within rounding only.

    Args:
        embeddings: float32[n, d], one row a sample.
        truth: bool[n, k], column j is labels[j]; exactly one true a row unless `multi_label`.
        sha256s: of the images' bytes, 64 hexadecimal digits; equal ones share a fold.
        labels: k labels, at least two.
        multi_label: independent sigmoids if true, else a softmax.
        progress: told (done, total) as fits are finished; an exception it raises ends the trial.
        threads: how many threads work; None is as many as the linear algebra library would use.

    Raises:
        Invalid: shapes do not fit, a value is not finite, a hash is none, or a row's truth is not possible.
    """
    from threadpoolctl import ThreadpoolController

    check_rows(embeddings, truth, labels, multi_label=multi_label)
    if len(sha256s) != len(embeddings):
        raise Invalid("sha256s", f"{len(sha256s)} hashes were given for {len(embeddings)} embeddings")
    fold = folds(sha256s)
    order = _order(truth, sha256s)
    if threads is not None and threads < 1:
        raise Invalid("threads", f"is {threads}; at least one is needed")
    controller = ThreadpoolController()
    threads = threads or max((library["num_threads"] for library in controller.info()), default=1)
    with controller.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        course = _Course(embeddings, truth, fold, order, multi_label=multi_label, pool=pool, progress=progress)
        return course.trial(tuple(labels))


class _Course:
    """One trial on its way; rows stand in the order of their hashes."""

    def __init__(
        self,
        embeddings: Float32,
        truth: NDArray[np.bool_],
        fold: NDArray[np.int8],
        order: NDArray[np.intp],
        *,
        multi_label: bool,
        pool: Executor,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.order, self.fold, self.multi_label = order, fold[order], multi_label
        self.frame = frame_of(embeddings, order)
        features = self.frame.features(embeddings, order)
        targets = np.ascontiguousarray(truth[order].T, dtype=np.float32)
        self.rows = rows_of(features, targets, multi_label=multi_label, pool=pool)
        self.progress = progress or (lambda done, total: None)
        self.n_fits = len(PENALTIES) * N_FOLDS + N_FOLDS + 1

    def trial(self, labels: tuple[str, ...]) -> Trial:
        tried, start = self._choose()
        penalty = _best(tried)
        weights, scores = self._fit(penalty, start)
        temperature = best_temperature(scores, self.rows.targets, multi_label=self.multi_label)
        chances = np.empty((len(self.order), len(labels)), dtype=np.float32)
        chances[self.order] = tempered(np.ascontiguousarray(scores.T), temperature, multi_label=self.multi_label)
        fold = np.empty_like(self.fold)
        fold[self.order] = self.fold
        head = self.frame.head(weights, labels=labels, temperature=temperature, multi_label=self.multi_label)
        return Trial(head, chances, fold, penalty, tuple(tried), self._notes(labels))

    def _choose(self) -> tuple[list[tuple[float, float]], Float32]:
        """Each penalty tried with its out-of-fold loss, and the weights of the folds at the best one."""
        rows, fold = self._choosing_rows()
        is_trained = (fold != np.arange(N_FOLDS)[:, None]).astype(np.float32)
        weights = np.zeros((N_FOLDS, rows.targets.shape[0], rows.features.shape[1]), dtype=np.float32)
        scores = np.zeros((*weights.shape[:2], len(fold)), dtype=np.float32)
        best = weights
        tried: list[tuple[float, float]] = []
        for penalty in PENALTIES:
            weights = minimise(rows, is_trained, penalty, weights, tolerance=CHOOSING_TOLERANCE, scores=scores).weights
            judged = _held_out(scores, fold)
            temperature = best_temperature(judged, rows.targets, multi_label=self.multi_label)
            losses = log_loss(judged / np.float32(temperature), rows.targets, multi_label=self.multi_label)
            tried.append((penalty, float(losses.mean())))
            self.progress(len(tried) * N_FOLDS, self.n_fits)
            if _best(tried) == penalty:
                best = weights
            elif _is_past_best(tried):
                break
        return tried, best

    def _choosing_rows(self) -> tuple[Rows, NDArray[np.int8]]:
        """The rows on which the penalty is chosen, and their folds."""
        rows = self.rows
        chosen = _stratified(rows.targets, MAX_CHOOSING_ROWS)
        if len(chosen) == len(self.order):
            return rows, self.fold
        targets = np.ascontiguousarray(rows.targets[:, chosen])
        few = rows_of(rows.features[chosen], targets, multi_label=self.multi_label, pool=rows.pool)
        return few, self.fold[chosen]

    def _fit(self, penalty: float, start: Float32) -> tuple[Float32, Float32]:
        """The weights of the final head, float32[k, d], and the out-of-fold scores of all rows, float32[k, n]."""
        k, n = self.rows.targets.shape
        row_weights = (self.fold != np.arange(N_FOLDS + 1)[:, None]).astype(np.float32)
        begin = np.concatenate([start, start.mean(axis=0, keepdims=True)])
        judged = np.empty((k, n), dtype=np.float32)
        together = max(1, min(MAX_SCORES // (k * n), N_FOLDS + 1))
        for first in range(0, N_FOLDS + 1, together):
            group = slice(first, first + together)
            minimum = minimise(
                self.rows,
                row_weights[group],
                penalty,
                begin[group],
                tolerance=TOLERANCE,
                progress=functools.partial(self._tell, self.n_fits - N_FOLDS - 1 + first, together),
            )
            for problem, scores in enumerate(minimum.scores, start=first):
                judged[:, self.fold == problem] = scores[:, self.fold == problem]
        self.progress(self.n_fits, self.n_fits)
        # The last problem of the last group is the one that leaves no row out.
        return minimum.weights[-1], judged

    def _tell(self, done: int, together: int, n_steps: int) -> None:
        """A fit more every sixth step: how many are left is not known, some thirty are usual, and a bar should move."""
        self.progress(done + min(n_steps // 6, together - 1), self.n_fits)

    def _notes(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        notes = []
        for label, row in zip(labels, self.rows.targets > 0, strict=True):
            homes = np.unique(self.fold[row])
            if len(homes) == 1:
                n = int(row.sum())
                start = "The one training image" if n == 1 else f"All {n:,} training images"
                them = "shares no fold with another" if n == 1 else "share one fold"
                judged = "it" if n == 1 else "them"
                notes.append(
                    f"{start} of {label} {them}, so the head that judged {judged} had seen none of that label."
                )
        return tuple(notes)


def _best(tried: Sequence[tuple[float, float]]) -> float:
    """The penalty with the least loss; of equals the strongest."""
    return min(tried, key=lambda pair: (pair[1], -pair[0]))[0]


def _is_past_best(tried: Sequence[tuple[float, float]]) -> bool:
    """Whether the loss has risen by more than `CLEAR_RISE`, or twice in a row."""
    losses = [loss for _, loss in tried]
    return losses[-1] > min(losses) * (1 + CLEAR_RISE) or losses[-2] > min(losses)


def best_temperature(scores: Float32, targets: Float32, *, multi_label: bool) -> float:
    """The temperature, within `TEMPERATURES`, at which the probabilities of `scores` lose least.

    The loss is convex in 1/temperature, so Newton's method finds it, kept between bounds that the sign of the slope
    narrows. As in Platt's scaling, n images that were all judged right are no proof of certainty: a share of 1/(n + 1)
    of every truth is spread evenly, over the labels or, with sigmoids, over yes and no. Scores that say nothing give 1.

    Args:
        scores: float32[k, n].
        targets: float32[k, n], 0 or 1.
        multi_label: independent sigmoids if true, else a softmax.

    Source: Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017, section 4.2; Platt,
        Probabilistic Outputs for Support Vector Machines, Advances in Large Margin Classifiers, 1999, section 2.2.
    """
    k, n = scores.shape
    doubt = 1 / (n + 1)
    targets = targets * np.float32(1 - doubt) + np.float32(doubt / (2 if multi_label else k))
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    inverse = 1.0
    for _ in range(60):
        slope, curvature = _slope(scores, targets, inverse, multi_label=multi_label)
        if curvature == 0 and slope == 0:
            break
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        newton = inverse - slope / curvature if curvature > 0 else low
        after = newton if low < newton < high else (low * high) ** 0.5
        if abs(after - inverse) <= 1e-7 * inverse:
            break
        inverse = after
    return 1 / inverse


def _slope(scores: Float32, targets: Float32, inverse: float, *, multi_label: bool) -> tuple[float, float]:
    """First and second derivative of the total loss by 1/temperature."""
    slope = curvature = 0.0
    for start in range(0, scores.shape[1], 8192):
        part = scores[:, start : start + 8192]
        chances = probabilities_of(part * np.float32(inverse), multi_label=multi_label, axis=0)
        weighted = chances * part
        slope += float((weighted - targets[:, start : start + 8192] * part).sum(dtype=np.float64))
        squares = weighted**2 if multi_label else weighted.sum(axis=0) ** 2
        curvature += float((weighted * part).sum(dtype=np.float64) - squares.sum(dtype=np.float64))
    return slope, curvature


def _held_out(scores: Float32, fold: NDArray[np.int8]) -> Float32:
    """Each row's scores by the problem that left it out: float32[k, n] of float32[p, k, n]."""
    return np.ascontiguousarray(scores[fold, :, np.arange(scores.shape[2])].T)


def _order(truth: NDArray[np.bool_], sha256s: Sequence[str]) -> NDArray[np.intp]:
    """The rows by hash, then by truth."""
    return np.array(
        sorted(range(len(sha256s)), key=lambda row: (sha256s[row].lower(), truth[row].tobytes())), dtype=np.intp
    )


def _stratified(targets: Float32, at_most: int) -> NDArray[np.intp]:
    """At most so many rows, in order, every label with its share of them: the first of each label, by hash."""
    n = targets.shape[1]
    if n <= at_most:
        return np.arange(n)
    sizes = targets.sum(axis=1)
    # An image with several labels stands for its rarest, which can spare it least.
    stratum = np.where(targets > 0, sizes[:, None], np.inf).argmin(axis=0)
    rank = np.empty(n)
    for label in range(len(targets)):
        members = np.flatnonzero(stratum == label)
        rank[members] = np.arange(len(members)) / max(len(members), 1)
    return np.sort(np.argsort(rank, kind="stable")[:at_most])


def _checked(sha256: str) -> str:
    lower = sha256.lower()
    if not _SHA256.fullmatch(lower):
        raise Invalid("sha256", f"{sha256!r} is not 64 hexadecimal digits")
    return lower
