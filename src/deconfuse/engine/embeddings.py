"""Embeddings of images, each different image computed once: addresses → sha256, vectors, facts, problems.

`embed` is the one loop over images. A thread takes an image through reading, hashing, decoding and the backbone, as
one image a call on as many threads as processors is the fastest way through ONNX Runtime on a CPU; what the cache
knows is only read and hashed. The results do not depend on the number of threads, on the order of the images, or on
what was cached.

An image that cannot be used is a value, reported with its address, and never an exception.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deconfuse.engine.cache import SEGMENT_ROWS, EmbeddingCache
from deconfuse.errors import BadData, BadImage, Denied, NotFound, Problem, Unavailable
from deconfuse.tables import Split
from deconfuse.vision.images import Facts, Limits, check_facts, decode, thumbnail

if TYPE_CHECKING:
    from deconfuse.vision.backbone import Backbone

INTERRUPT_SECONDS = 0.2
"""How long an interruption waits for images that are being computed."""

Fetch = Callable[[str], bytes]
Progress = Callable[[int, int], None]
LimitsOf = Callable[[str], Limits]


@dataclass(frozen=True, slots=True)
class Embedded:
    """What `embed` found out about n images.

    Attributes:
        sha256: of each image's bytes, 64 hexadecimal digits; None where it could not be read.
        row_of: the row of each image in `vectors`; None where it cannot be used.
        vectors: float32[m, D], one row for each different usable image, in the order of their first appearance.
        facts: m entries, format, size and number of bytes of each different image.
        problem_at: by position, what is wrong with an image that cannot be used.
        warnings: what went wrong with the cache; no image is lost by it.
        n_new: how many images were decoded and run; the others were known by their hash.
    """

    sha256: tuple[str | None, ...]
    row_of: tuple[int | None, ...]
    vectors: NDArray[np.float32]
    facts: tuple[Facts, ...]
    problem_at: Mapping[int, Problem]
    warnings: tuple[Problem, ...]
    n_new: int

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem, in the order of the images, and then the warnings."""
        return (*(self.problem_at[row] for row in sorted(self.problem_at)), *self.warnings)


def embed(
    uris: Sequence[str],
    fetch: Fetch,
    *,
    backbone: Backbone,
    cache: EmbeddingCache | None,
    limits: Limits | LimitsOf,
    progress: Progress | None = None,
    threads: int | None = None,
    lines: Sequence[int | None] | None = None,
    splits: Sequence[Split | None] | None = None,
) -> Embedded:
    """The embedding of each image; each different one is read, hashed, decoded and run once, and kept in `cache`.

    Args:
        uris: n addresses; one that is listed twice is read once.
        fetch: gives the bytes of an image; called from several threads.
        backbone: gives the pixels and the embedding of a decoded image.
        cache: where embeddings are found and kept; None keeps nothing.
        limits: the rules for images, or a function that gives those for an address.
        progress: called from this thread with (images done, images in all), about ten times a second.
        threads: images worked on at once; None takes the number of processors this process may use.
        lines: for each image, the line of the manifest or CSV it stands on, told in its problem.
        splits: for each image, the side it is on, told in its problem.

    Raises:
        KeyboardInterrupt: and whatever `progress` raises, within a second; images finished until then are kept.
    """
    limits_of: LimitsOf = limits if callable(limits) else lambda _: limits
    distinct = list(dict.fromkeys(uris))
    work = _Work(distinct, fetch, limits_of, backbone, cache)
    work.run(threads=threads or processors(), progress=progress)
    return _collect(work, uris, lines, splits)


def processors() -> int:
    """How many processors this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class _Work:
    """One call of `embed` under way; several threads take images from it.

    Row i of every list is image i. Images with the same bytes, judged by the same limits, share the work of the
    first thread that hashed one of them: `owner` says which row that was.
    """

    def __init__(
        self, uris: list[str], fetch: Fetch, limits_of: LimitsOf, backbone: Backbone, cache: EmbeddingCache | None
    ) -> None:
        self.uris = uris
        self.fetch = fetch
        self.limits_of = limits_of
        self.backbone = backbone
        self.cache = cache
        self.vectors = np.empty((len(uris), backbone.card.dimensions), np.float32)
        self.places = np.full(len(uris), -1, np.int64)
        self.keys: list[tuple[bytes, Limits] | None] = [None] * len(uris)
        self.facts: list[Facts | None] = [None] * len(uris)
        self.faults: dict[int, tuple[str, str]] = {}
        self.owner: dict[tuple[bytes, Limits], int] = {}
        self.warnings: list[Problem] = []
        self.n_new = 0
        self._fresh: list[tuple[int, bytes]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._is_stopped = threading.Event()
        self._all_ended = threading.Event()
        self._n_running = 0
        self._n_done = 0
        self._failure: BaseException | None = None

    def run(self, *, threads: int, progress: Progress | None) -> None:
        """Work on every image, and return when all are done."""
        if self.cache is not None:
            self.cache.refresh()
        # Daemon threads, not a pool: the interpreter joins a pool's threads when it ends, and an interruption would
        # then wait for the largest image under way.
        crew = [threading.Thread(target=self._take, daemon=True) for _ in range(min(threads, len(self.uris)))]
        self._n_running = len(crew)
        try:
            for member in crew:
                member.start()
            while crew and not self._all_ended.wait(0.1):
                self._tell(progress)
            self._tell(progress)
        except BaseException:
            self._is_stopped.set()
            self._all_ended.wait(INTERRUPT_SECONDS)
            self._keep(at_least=1)
            raise
        if self._failure is not None:
            raise self._failure
        self._keep(at_least=1)
        self._finish()

    def _tell(self, progress: Progress | None) -> None:
        if progress is not None and self._failure is None:
            progress(self._n_done, len(self.uris))

    def _take(self) -> None:
        """Work on one image after the other until none is left; the life of one thread."""
        try:
            for i in self._numbers:
                if i >= len(self.uris) or self._is_stopped.is_set():
                    break
                self._guarded(i)
                with self._lock:
                    self._n_done += 1
                self._keep(at_least=SEGMENT_ROWS)
        except BaseException as error:  # noqa: BLE001  (raised again by the thread that waits)
            self._failure = self._failure or error
            self._is_stopped.set()
        with self._lock:
            self._n_running -= 1
            if self._n_running == 0:
                self._all_ended.set()

    def _guarded(self, i: int) -> None:
        """Work on image i; what is wrong with the image, and not with deconfuse, is written down."""
        try:
            self._one(i)
        except BadImage as error:
            self.faults[i] = (error.code, error.why)
        except (BadData, NotFound, Denied) as error:
            self.faults[i] = ("ERROR_INVALID_IMAGE", str(error))
        except OSError as error:
            self.faults[i] = ("ERROR_INVALID_IMAGE", f"the file cannot be read: {error.strerror or error}")
        except MemoryError:
            self.faults[i] = ("ERROR_INVALID_IMAGE", "there is not enough memory to decode this image")

    def _one(self, i: int) -> None:
        uri = self.uris[i]
        data = self.fetch(uri)
        limits = self.limits_of(uri)
        key = (hashlib.sha256(data).digest(), limits)
        self.keys[i] = key
        with self._lock:
            if self.owner.setdefault(key, i) != i:
                return
        place = self.cache.locate(key[0]) if self.cache is not None else -1
        if self.cache is not None and place >= 0:
            facts = self.cache.facts(place)
            check_facts(facts, limits)
            self.facts[i] = facts
            self.places[i] = place
            return
        image, facts = decode(data, limits)
        self.vectors[i] = self.backbone.embed(self.backbone.pixels(image)[None])[0]
        small = thumbnail(image) if self.cache is not None else b""
        with self._lock:
            self.facts[i] = facts
            self.n_new += 1
            self._fresh.append((i, small))

    def _keep(self, *, at_least: int) -> None:
        """Write the images finished since the last time as a segment, if there are enough of them."""
        with self._lock:
            if len(self._fresh) < at_least:
                return
            fresh, self._fresh = self._fresh, []
        if self.cache is None or self.warnings:
            return
        fresh.sort()
        rows = [i for i, _ in fresh]
        keys = [key for i in rows if (key := self.keys[i])]
        facts = [fact for i in rows if (fact := self.facts[i])]
        try:
            self.cache.add(
                [digest.hex() for digest, _ in keys],
                self.vectors[rows],
                thumbnails=[small for _, small in fresh],
                facts=facts,
            )
        except Unavailable as error:
            message = f"{error}; the training goes on, and the next one computes these embeddings again"
            self.warnings.append(Problem("WARNING_CACHE_NOT_WRITTEN", message, level="warning"))

    def _finish(self) -> None:
        """Fetch the vectors of the images that the cache knew."""
        if self.cache is None:
            return
        rows = np.flatnonzero(self.places >= 0)
        self.cache.gather(self.places[rows], rows, self.vectors)
        if self.n_new and not self.warnings:
            self.cache.merge_small()
        self.warnings.extend(self.cache.problems)
        self.cache.problems.clear()


def _collect(
    work: _Work, uris: Sequence[str], lines: Sequence[int | None] | None, splits: Sequence[Split | None] | None
) -> Embedded:
    """The results of `work`, by position in `uris`, whichever thread was first at an image."""
    vectors = work.vectors
    facts: list[Facts] = []
    row_of_key: dict[tuple[bytes, Limits], int] = {}
    found_of: dict[str, tuple[int | None, str | None, tuple[str, str] | None]] = {}
    for i, uri in enumerate(work.uris):
        key = work.keys[i]
        if key is None:
            found_of[uri] = (None, None, work.faults.get(i))
            continue
        owner = work.owner[key]
        fact = work.facts[owner]
        if fact is not None and key not in row_of_key:
            # A row only ever moves to the front, over rows that were read: the owner is never before row i.
            row_of_key[key] = len(facts)
            if owner != len(facts):
                vectors[len(facts)] = vectors[owner]
            facts.append(fact)
        found_of[uri] = (row_of_key.get(key), key[0].hex(), work.faults.get(owner))
    found = [found_of[uri] for uri in uris]
    return Embedded(
        sha256=tuple(sha256 for _, sha256, _ in found),
        row_of=tuple(row for row, _, _ in found),
        vectors=vectors[: len(facts)],
        facts=tuple(facts),
        problem_at={
            n: Problem(*fault, uri=uris[n], line=lines[n] if lines else None, split=splits[n] if splits else None)
            for n, (_, _, fault) in enumerate(found)
            if fault is not None
        },
        warnings=tuple(work.warnings),
        n_new=work.n_new,
    )
