"""One claimed job from its start to its end: somebody performs it, and its heart says meanwhile that it is alive.

    perform ──▶ its last transaction ends the job                    DONE
            ──▶ an error that says what is wrong with the data       FAILED, by `fail`, in one transaction
            ──▶ disk full, database away, or an error of ours        WAITING again after a pause; in the end FAILED
            ──▶ the job is no longer ours                            nothing more

A heart beats every two seconds in a thread of its own, whatever the work is doing, and sooner where there is something
to tell. When it learns that the job was cancelled or given to somebody else, the work stops at its next word. A
database that is away stops neither: the heart goes on trying, and what the work could not write sends the job back to
wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from deconfuse.errors import DeconfuseError, NotFound, Stale, Unavailable
from deconfuse.store import registry
from deconfuse.store.database import Database, to_ms
from deconfuse.store.registry import Job, Rows

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0

NEWS_SECONDS = 0.5
"""How soon what is said is told, and how often at most."""

PAUSES_SECONDS = (15.0, 60.0, 180.0)
"""How long a job is kept before it is given back because something was away, by attempt; later ones as the last."""

RETRY_SECONDS = 2.0
"""How long a word that the database could not take waits for the next try."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is done for jobs of one kind.

    Attributes:
        perform: does the job; its last transaction calls `Heart.end`. It must bear being killed at any moment and
            begun again.
        fail: writes into the transaction what becomes of the job's subject when it cannot be done, and why.
        attempts: after so many the job fails; 0 means as often as it takes, whatever goes wrong, unless what it is
            about is not found.
        is_child: whether it runs in a process of its own, and not in a thread of the server.
    """

    perform: Callable[[Job, Heart], None]
    fail: Callable[[Rows, Job, str], None]
    attempts: int = 3
    is_child: bool = False


class Heart:
    """Speaks for the worker of a job, from any thread.

    Attributes:
        job: as it was claimed.
        worker: who has it.
    """

    def __init__(self, database: Database, job: Job, *, worker: str, clock: Callable[[], datetime]) -> None:
        """Takes a job that `worker` has claimed; nothing is said before `beating`."""
        self.job = job
        self.worker = worker
        self.database = database
        self._clock = clock
        self._said: tuple[float, str] | None = None
        self._step = ("", to_ms(clock()))
        self._last_ms = job.beat_ms or 0
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._is_over = threading.Event()
        self._is_stopping = False

    def progress(self, step: str, done: int, total: int) -> None:
        """Say how far a step is, with the time that is left for it; told with the next beat.

        Raises:
            Stale: the work is to stop, for the job is no longer this worker's, or its server is stopping.
        """
        name, began_ms = self._step
        if name != step:
            began_ms = to_ms(self._clock())
            self._step = (step, began_ms)
        share = done / total if total > 0 else 0.0
        words = f"{step}, {int(100 * share)} % done"
        if 0 < done < total:
            seconds = max(0, to_ms(self._clock()) - began_ms) / 1000
            words += f", {time_left(seconds * (total - done) / done)}"
        self.say(100 * share, words)

    def say(self, percent: float, message: str) -> None:
        """Say how far the job is, from 0 to 100, and a sentence; told with the next beat.

        Raises:
            Stale: as `progress`.
        """
        if self._said != (percent, message):
            self._said = (percent, message)
            self._news.set()
        self.check()

    def check(self) -> None:
        """Return while the work may go on.

        Raises:
            Stale: as `progress`.
        """
        if self._is_over.is_set():
            why = "its server is stopping" if self._is_stopping else f"it is no longer that of {self.worker}"
            raise Stale(f"the job {self.job.id} is to stop: {why}")

    def guard(self, rows: Rows) -> None:
        """Hold a transaction to this worker's having the job; best last, after the rows of its subject.

        Raises:
            Stale: it no longer has it; the transaction is then undone.
        """
        registry.beat(rows, self.job.id, worker=self.worker, now_ms=self.now_ms())

    def end(self, rows: Rows, message: str = "") -> None:
        """End the job, DONE, in the last transaction of its work; best last in it.

        Raises:
            Stale: as `guard`.
        """
        now_ms = self.now_ms()
        registry.end_job(rows, self.job.id, worker=self.worker, becomes="DONE", now_ms=now_ms, message=message)

    def now_ms(self) -> int:
        """The present moment, later than each given before: no two beats look alike."""
        with self._lock:
            self._last_ms = max(self._last_ms + 1, to_ms(self._clock()))
            return self._last_ms

    def stop(self) -> None:
        """Make the work stop at its next word, because its server is stopping."""
        self._is_stopping = True
        self._is_over.set()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._is_stopping

    @property
    def is_lost(self) -> bool:
        """Whether it has learnt that the job is no longer its worker's."""
        return self._is_over.is_set() and not self._is_stopping

    def pause(self, seconds: float) -> bool:
        """Wait, but not longer than the work may go on: whether it still may."""
        return not self._is_over.wait(seconds)

    def wait_and_say(self, seconds: float, message: str) -> None:
        """Wait, as `pause`, and tell meanwhile what for."""
        self._said = (0.0, message)
        self._news.set()
        self.pause(seconds)

    @contextmanager
    def beating(self, seconds: float = float("inf")) -> Iterator[None]:
        """Beat until the block ends, but not longer than so many seconds."""
        is_done = threading.Event()
        beat = (is_done, seconds)
        thread = threading.Thread(target=self._beat_until, args=beat, name=f"heart-{self.job.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_done.set()
            self._news.set()
            thread.join()

    def _beat_until(self, is_done: threading.Event, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_done.wait(NEWS_SECONDS):
            self._news.wait(BEAT_SECONDS - NEWS_SECONDS)
            if is_done.is_set() or time.monotonic() > deadline:
                return
            self._news.clear()
            try:
                self._beat()
            except Stale:
                self._is_over.set()
                return
            except Unavailable:
                continue  # said again with the next beat
            except Exception:
                log.exception("the heart of job %d missed a beat", self.job.id)

    def _beat(self) -> None:
        percent, message = self._said or (None, None)
        with self.database.write() as rows:
            now_ms = self.now_ms()
            registry.beat(rows, self.job.id, worker=self.worker, now_ms=now_ms, percent=percent, message=message)


def perform_job(
    database: Database,
    job: Job,
    task: Task,
    *,
    worker: str,
    clock: Callable[[], datetime],
    pauses: Sequence[float] = PAUSES_SECONDS,
) -> None:
    """Do a job that `worker` has claimed; when this returns it has ended, waits for another worker, or was lost.

    Args:
        database: the registry's.
        job: as it was claimed.
        task: how jobs of its kind are done.
        worker: who has it.
        clock: the present moment.
        pauses: see `PAUSES_SECONDS`.
    """
    perform_with(Heart(database, job, worker=worker, clock=clock), task, pauses=pauses)


def perform_with(heart: Heart, task: Task, *, pauses: Sequence[float] = PAUSES_SECONDS) -> None:
    """Do the job of this heart; see `perform_job`."""
    with heart.beating():
        try:
            task.perform(heart.job, heart)
            settle(heart, lambda: _end(heart))
        except Exception as error:  # noqa: BLE001  # whatever it is, the job must not stay as it is
            stumble(heart, task, error, pauses)
        except BaseException:  # the process is asked to end
            settle(heart, lambda: leave(heart, is_attempt=False))
            raise


def stumble(heart: Heart, task: Task, error: Exception, pauses: Sequence[float]) -> None:
    """What becomes of a job whose work raised `error`; see `PAUSES_SECONDS` for `pauses`."""
    if heart.is_lost:
        return
    is_final = isinstance(error, DeconfuseError) and not isinstance(error, Unavailable)
    if not task.attempts and not isinstance(error, NotFound):
        is_final = False  # it must be done, and what it is about is there
    if is_final and not heart.is_stopping:
        message = str(error)
        settle(heart, lambda: fail(heart, task, message))
        return
    why = str(error) if isinstance(error, DeconfuseError) else type(error).__name__
    if not isinstance(error, DeconfuseError):
        log.error("job %d of the kind %s stumbled", heart.job.id, heart.job.kind, exc_info=error)
    if not is_last_attempt(task, heart.job):
        # Without a pause every attempt would be over before a disk has room again.
        heart.wait_and_say(pauses[min(heart.job.n_attempts, len(pauses)) - 1], f"Waiting to begin again: {why}.")
    if heart.is_stopping:
        settle(heart, lambda: leave(heart, is_attempt=False))
    else:
        settle(heart, lambda: leave_or_fail(heart, task, why))


def settle(heart: Heart, act: Callable[[], None]) -> None:
    """Write by `act` what becomes of the job, as soon as the database takes it; nothing where the job is lost."""
    while True:
        try:
            act()
        except Stale:
            return
        except Unavailable as error:
            log.warning("what becomes of job %d cannot be written yet: %s", heart.job.id, error)
            if heart.pause(RETRY_SECONDS):
                continue
        return


def leave(heart: Heart, *, is_attempt: bool) -> None:
    """Give the job back, to wait for another worker.

    Raises:
        Stale: it is no longer this worker's.
        Unavailable: the database is away.
    """
    with heart.database.write() as rows:
        registry.leave_job(rows, heart.job.id, worker=heart.worker, is_attempt=is_attempt)


def leave_or_fail(heart: Heart, task: Task, why: str) -> None:
    """Give the job back after an attempt, or let it fail where there were enough; raises as `leave`."""
    if is_last_attempt(task, heart.job):
        fail(heart, task, exhausted(heart.job, why))
    else:
        leave(heart, is_attempt=True)


def is_last_attempt(task: Task, job: Job) -> bool:
    """Whether a job is not begun again after this attempt."""
    return task.attempts > 0 and job.n_attempts >= task.attempts


def exhausted(job: Job, why: str) -> str:
    """What a user is told of a job that was begun often enough."""
    return f"internal error, after {job.n_attempts} attempts: {why}"


def fail(heart: Heart, task: Task, message: str) -> None:
    """End the job and what it is about, FAILED, in one transaction; raises as `leave`."""

    def end(rows: Rows) -> None:
        now_ms = heart.now_ms()
        registry.end_job(rows, heart.job.id, worker=heart.worker, becomes="FAILED", now_ms=now_ms, message=message)

    fail_by(end, heart.database, heart.job, task, message)


def fail_by(end: Callable[[Rows], None], database: Database, job: Job, task: Task, message: str) -> None:
    """End what a job is about by its task, and the job by `end`, in one transaction.

    Raises:
        Stale: `end` says that the job is somebody else's.
        Unavailable: the database is away.
    """
    try:
        with database.write() as rows:
            task.fail(rows, job, message)
            end(rows)
    except Unavailable:
        raise
    except Exception as error:
        # Its subject has moved on or is gone; or `fail` is wrong. The job must end all the same.
        if not isinstance(error, DeconfuseError):
            log.exception("job %d of the kind %s cannot fail", job.id, job.kind)
        with database.write() as rows:
            end(rows)


def time_left(seconds: float) -> str:
    """How long something will take, in words.

    Example:
        >>> time_left(12.3)
        'about 12 seconds left'
        >>> time_left(100)
        'about 2 minutes left'
    """
    for size, unit, most in ((1, "second", 90), (60, "minute", 90 * 60), (3600, "hour", float("inf"))):
        if seconds < most:
            number = max(1, round(seconds / size))
            return f"about {number} {unit}{'' if number == 1 else 's'} left"
    return ""


def _end(heart: Heart) -> None:
    """End a job whose work has not done so itself."""
    with heart.database.write() as rows:
        heart.end(rows)
