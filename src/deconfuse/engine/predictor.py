"""A loaded model: image bytes in, labels with probabilities out.

One predictor holds one head and shares a backbone with any number of others. Images are decoded under the limits of
folders, as in training; an image that cannot be read is an answer with a problem, so that the others are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import BadImage, DeconfuseError, Invalid, Problem
from deconfuse.learn.head import Head
from deconfuse.vision.backbone import Backbone
from deconfuse.vision.images import FOLDER_LIMITS, Limits, decode

Threshold = float | Literal["assumed"] | None
"""None: every label. A number in 0..1: labels with at least this probability. "assumed": each label's own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one image.

    Attributes:
        uri: the image, as it was named.
        names: the labels of the model.
        scores: float32[K], one probability a label; None where the image could not be read.
        thresholds: one assumed threshold a label.
        problem: why the image could not be read, or None.
    """

    uri: str
    names: tuple[str, ...]
    scores: NDArray[np.float32] | None
    thresholds: tuple[float, ...]
    problem: Problem | None = None

    def labels(self, *, top: int | None = None, threshold: Threshold = None) -> list[tuple[str, float]]:
        """Labels with their probabilities, most probable first, at most `top` of them.

        A threshold counts as reached when the probability equals it.
        """
        if self.scores is None:
            return []
        least = np.asarray(self.thresholds if threshold == "assumed" else (threshold or 0.0), dtype=np.float64)
        order = np.argsort(-self.scores, kind="stable")
        reached = np.broadcast_to(self.scores.astype(np.float64) >= least, self.scores.shape)
        return [(self.names[k], float(self.scores[k])) for k in order if reached[k]][:top]


class Predictor:
    """A head on a backbone, ready to answer; safe to use from several threads."""

    def __init__(self, head: Head, thresholds: tuple[float, ...], backbone: Backbone) -> None:
        self.head = head
        self.thresholds = thresholds
        self.backbone = backbone

    def scores(self, data: bytes, *, limits: Limits = FOLDER_LIMITS) -> NDArray[np.float32]:
        """float32[K], the probability of each label for the image in `data`.

        Raises:
            BadImage: the image cannot be read or breaks the limits.
        """
        image, _ = decode(data, limits)
        embedding = self.backbone.embed(self.backbone.pixels(image)[np.newaxis])
        return np.asarray(self.head.probabilities(embedding)[0], dtype=np.float32)

    def answer(self, uri: str, fetch: Callable[[str], bytes], *, limits: Limits = FOLDER_LIMITS) -> Answer:
        """What the model says of the image `uri`; a problem in reading it is part of the answer."""
        try:
            scores = self.scores(fetch(uri), limits=limits)
        except DeconfuseError as error:
            code = error.code if isinstance(error, BadImage) else "ERROR_INVALID_IMAGE"
            return Answer(uri, self.head.labels, None, self.thresholds, Problem(code, str(error), uri=uri))
        return Answer(uri, self.head.labels, scores, self.thresholds)

    def answers(self, uris: Iterable[str], fetch: Callable[[str], bytes], *, threads: int = 1) -> Iterator[Answer]:
        """The answers for `uris`, in their order, with `threads` images in work at once."""
        with ThreadPoolExecutor(max_workers=threads) as pool:
            try:
                yield from pool.map(lambda uri: self.answer(uri, fetch), uris)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def parse_threshold(text: str | None) -> Threshold:
    """A threshold as written on the command line: nothing, a number in 0..1, or "assumed".

    Raises:
        Invalid: anything else.
    """
    if text is None:
        return None
    if text == "assumed":
        return "assumed"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise Invalid("--threshold", f"{text!r} is neither a number from 0 to 1 nor 'assumed'")
    return value
