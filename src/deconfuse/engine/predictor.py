"""A loaded model: image bytes in, labels with probabilities out.

One predictor holds one head and shares a backbone with any number of others. Images are decoded under the limits of
folders, as in training; an image that cannot be read is an answer with a problem, so that the others are answered.

`Models` holds several of them for a server: at most so many heads, the one that was not asked for longest leaves
first; and at most so many images in work, whatever the model.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deconfuse.errors import BadData, BadImage, DeconfuseError, Invalid, Problem, TooFast
from deconfuse.learn.bundle import CARD_NAME, HEAD_NAME, read_bundle
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


NEVER = 2.0
"""The threshold of a label that has none: no probability reaches it."""


class Models:
    """Loaded models of a server, bounded and shared; safe to use from any number of threads.

    Every model is a head on the one backbone, which is loaded with the first of them.
    """

    def __init__(
        self, load_backbone: Callable[[], Backbone], *, most_models: int, most_at_once: int, most_waiting: int
    ) -> None:
        """Holds nothing yet.

        Args:
            load_backbone: gives the backbone; called once.
            most_models: heads kept; 1 or more.
            most_at_once: images in work at once; 1 or more.
            most_waiting: images that may wait for that; one more is refused.
        """
        self._load_backbone = load_backbone
        self._most_models = most_models
        self._most_at_once = most_at_once
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._backbone_lock = threading.Lock()
        self._backbone: Backbone | None = None
        self._kept: OrderedDict[Hashable, Future[Predictor]] = OrderedDict()
        self._n_at_work = 0
        self._waiting: deque[threading.Lock] = deque()

    def __len__(self) -> int:
        """How many models are kept, those that are being loaded among them."""
        with self._lock:
            return len(self._kept)

    def get(self, key: Hashable, load: Callable[[], tuple[bytes, bytes]]) -> Predictor:
        """The model `key`, loaded first where it is not kept; who asks meanwhile waits for the same loading.

        Args:
            key: what tells this model from every other.
            load: gives the bytes of its card and of its head.

        Raises:
            BadData: the model was trained on another backbone.
            Damaged: card and head are not what they should be.
            DeconfuseError: whatever `load` raises; nothing is kept, and the next one who asks loads again.
        """
        with self._lock:
            kept = self._kept.get(key)
            is_mine = kept is None
            if kept is None:
                kept = self._kept[key] = Future()
            self._kept.move_to_end(key)
            while len(self._kept) > self._most_models:
                self._kept.popitem(last=False)
        if is_mine:
            try:
                kept.set_result(self._read(load))
            except BaseException as error:
                self._drop(key, kept)
                kept.set_exception(error)
                raise
        return kept.result()

    def forget(self, key: Hashable) -> None:
        """Let go of the model `key`; images in work on it are finished. One that is not kept is no error."""
        with self._lock:
            self._kept.pop(key, None)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn at the processors, in the order of asking, and keep it while the block runs.

        Raises:
            TooFast: `most_waiting` wait already.
        """
        self._take_turn()
        try:
            yield
        finally:
            self._pass_on()

    def _read(self, load: Callable[[], tuple[bytes, bytes]]) -> Predictor:
        card_json, head_bytes = load()
        head, card = read_bundle({CARD_NAME: card_json, HEAD_NAME: head_bytes})
        with self._backbone_lock:
            if self._backbone is None:
                self._backbone = self._load_backbone()
            backbone = self._backbone
        named = card.get("backbone")
        trained_on = named.get("key") if isinstance(named, dict) else None
        if trained_on != backbone.card.key:
            raise BadData(
                f"the model was trained on the backbone {trained_on}, and this server has {backbone.card.key}; "
                "train it again"
            )
        thresholds = card.get("thresholds") or [None] * len(head.labels)
        return Predictor(head, tuple(NEVER if each is None else float(each) for each in thresholds), backbone)

    def _drop(self, key: Hashable, failed: Future[Predictor]) -> None:
        with self._lock:
            if self._kept.get(key) is failed:
                del self._kept[key]

    def _take_turn(self) -> None:
        with self._lock:
            if self._n_at_work < self._most_at_once:
                self._n_at_work += 1
                return
            if len(self._waiting) >= self._most_waiting:
                raise TooFast(
                    f"{self._n_at_work} images are in work and {len(self._waiting)} wait, and no more are taken; "
                    "try again a little later"
                )
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # until `_pass_on` opens it: the turn then goes from hand to hand

    def _pass_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._n_at_work -= 1


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
