"""The runner of a server: takes up jobs as they come, each once, and sees to it that none is left lying.

    database ──claim──▶ a thread of the server            short work
                   └──▶ a child process, with a thread    trainings: killed, or out of memory, they take nothing along
                        that waits for its end

A child is told of its parent's end by its standard input: a pipe that nothing is written to, and that the system
closes when the parent dies, however it dies. It inherits nothing else but the standard error, to complain.

A job is taken from a worker that has fallen silent, whoever's it was. Silent is who does not change what stands in the
job's row while this runner, which looks there by writing transactions as workers do, sees the row without a gap: so
clocks of two machines are never compared, and after an outage of the database every worker has all the time again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from deconfuse.engine.jobs import (
    PAUSES_SECONDS,
    Heart,
    Task,
    exhausted,
    fail_by,
    is_last_attempt,
    leave,
    leave_or_fail,
    perform_job,
    perform_with,
    settle,
    stumble,
)
from deconfuse.engine.journal import Journal
from deconfuse.errors import NotFound, Stale, Unavailable
from deconfuse.store import registry
from deconfuse.store.database import Database, to_ms
from deconfuse.store.registry import Job, Rows

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often a runner looks for jobs of which nobody has told it."""

SILENT_SECONDS = 15.0

STARTING_SECONDS = 60.0
"""So long a child's parent speaks for it: on a busy machine it may take as long before it speaks itself."""

GRACE_SECONDS = 10.0
"""How long a child that has lost its job may take to notice."""

KEPT = timedelta(days=7)
"""How long an ended job is remembered."""

FORGET_SECONDS = 3600.0


@dataclass(slots=True)
class _Hand:
    """A job at which this runner is."""

    heart: Heart
    task: Task
    thread: threading.Thread | None = None
    process: subprocess.Popen[bytes] | None = None
    lost_since: float | None = None


@dataclass(frozen=True, slots=True)
class _Sight:
    """A job's row that has not changed since this moment of the monotonic clock."""

    row: tuple[str | None, int | None, int]
    since: float


class Runner:
    """Performs jobs until it is stopped; any number of them may share a database.

    Attributes:
        journal: tells of its jobs.
    """

    def __init__(
        self,
        database: Database,
        tasks: Mapping[str, Task],
        *,
        command: Callable[[Job, str], list[str]],
        environment: Mapping[str, str],
        clock: Callable[[], datetime],
        n_children: int,
        n_threads: int,
        silence: float = SILENT_SECONDS,
        pauses: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            database: the registry's.
            tasks: what is done for jobs, by their kind.
            command: the command line of the process that does a job under a worker's name, by `work`.
            environment: of that process; all of it.
            clock: the present moment.
            n_children: processes at once.
            n_threads: jobs in threads at once.
            silence: seconds after which a worker that was not heard of has lost its job.
            pauses: seconds before a job is given back for which something was away, by attempt.
        """
        self.journal = Journal(database)
        self._database = database
        self._tasks = tasks
        self._command = command
        self._environment = dict(environment)
        self._clock = clock
        self._places = {True: n_children, False: n_threads}
        self._silence = silence
        self._pauses = pauses
        self._hands: dict[str, _Hand] = {}
        self._sights: dict[int, _Sight] = {}
        self._looked = self._forgot = -FORGET_SECONDS
        self._lock = threading.Lock()
        self._call = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="runner", daemon=True)

    def start(self) -> None:
        """Begin to take up jobs."""
        self._thread.start()

    def wake(self) -> None:
        """Look for jobs now; from any thread."""
        self._call.set()

    def stop(self, seconds: float = 10.0) -> None:
        """Return when no process is left, every job waits for another server, and threads at work had `seconds`."""
        deadline = time.monotonic() + seconds
        self._is_stopping.set()
        self._call.set()
        with self._lock:
            hands = list(self._hands.values())
            for hand in hands:
                hand.heart.stop()
                _close_stdin(hand.process)
        if self._thread.is_alive():
            self._thread.join(seconds)
        for hand in hands:
            _join(hand.thread, deadline - time.monotonic())
        for hand in hands:
            if hand.process is not None:
                hand.process.kill()
        for hand in hands:
            _join(hand.thread, 1.0 if hand.process else 0.0)
            with contextlib.suppress(Stale, Unavailable):  # Stale: it has been seen to
                leave(hand.heart, is_attempt=False)

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            for act in (self._take_up, self._look, self._forget):
                try:
                    act()
                except Unavailable as error:
                    log.warning("jobs cannot be seen to: %s", error)
                except Exception:
                    log.exception("jobs cannot be seen to")
            self._call.wait(min(POLL_SECONDS, self._silence / 5))
            self._call.clear()

    def _take_up(self) -> None:
        """Claim jobs while there is room for them."""
        for is_child, places in self._places.items():
            kinds = [kind for kind, task in self._tasks.items() if task.is_child is is_child]
            while kinds and self._n_busy(is_child=is_child) < places and not self._is_stopping.is_set():
                worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(8)}"
                with self._database.write() as rows:
                    job = registry.claim_job(rows, kinds=kinds, worker=worker, now_ms=to_ms(self._clock()))
                if job is None:
                    break
                self._begin(job, worker)

    def _n_busy(self, *, is_child: bool) -> int:
        with self._lock:
            return sum(hand.task.is_child is is_child for hand in self._hands.values())

    def _begin(self, job: Job, worker: str) -> None:
        heart = Heart(self._database, job, worker=worker, clock=self._clock)
        hand = _Hand(heart, self._tasks[job.kind])
        hand.thread = threading.Thread(target=self._perform, args=(hand,), name=f"job-{job.id}", daemon=True)
        with self._lock:
            is_welcome = not self._is_stopping.is_set()
            if is_welcome:
                self._hands[worker] = hand
        if not is_welcome:
            settle(heart, lambda: leave(heart, is_attempt=False))
            return
        try:
            hand.thread.start()
        except RuntimeError:  # the system gives us no more threads
            self._drop(hand)
            settle(heart, lambda: leave(heart, is_attempt=False))
            raise

    def _perform(self, hand: _Hand) -> None:
        try:
            with self.journal.telling(hand.heart.job):
                if hand.task.is_child:
                    self._attend(hand)
                else:
                    perform_with(hand.heart, hand.task, pauses=self._pauses)
        except Exception:
            log.exception("job %d was dropped", hand.heart.job.id)
        finally:
            self._drop(hand)
            self.wake()

    def _drop(self, hand: _Hand) -> None:
        with self._lock:
            self._hands.pop(hand.heart.worker, None)

    def _attend(self, hand: _Hand) -> None:
        """Let a child do the job, and see after its end to what it has left."""
        heart = hand.heart
        try:
            with self._lock:
                if not heart.is_stopping:
                    hand.process = self._spawn(heart)
        except OSError as error:
            with heart.beating():
                stumble(heart, hand.task, Unavailable(f"no process can be started: {error}"), self._pauses)
            return
        if hand.process is None:
            settle(heart, lambda: leave(heart, is_attempt=False))
            return
        with heart.beating(STARTING_SECONDS):
            code = hand.process.wait()
        _close_stdin(hand.process)
        if heart.is_stopping:
            settle(heart, lambda: leave(heart, is_attempt=False))
            return
        if code <= 0 and hand.task.attempts:
            why = f"its process was killed by signal {-code}" if code else "its process ended and left it undone"
            settle(heart, lambda: leave_or_fail(heart, hand.task, why))
            return
        # It could not even begin, as on a full disk; or nothing would end its being begun but a pause.
        with heart.beating():
            stumble(heart, hand.task, Unavailable(f"its process ended with exit code {code}"), self._pauses)

    def _spawn(self, heart: Heart) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(heart.job, heart.worker),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=self._environment,
            close_fds=True,
            start_new_session=True,  # a Ctrl-C is the parent's
        )

    def _look(self) -> None:
        """Give back the jobs of workers that have fallen silent; end children that have lost theirs."""
        if time.monotonic() - self._looked < self._silence / 5:
            return
        with self._database.write() as rows:
            running = registry.list_jobs(rows, statuses=["RUNNING"])
        now = time.monotonic()
        if now - self._looked > self._silence / 2:
            self._sights.clear()  # neither could workers speak meanwhile, as far as we know
        self._looked = now
        before, self._sights = self._sights, {}
        for job in running:
            row = (job.worker, job.beat_ms, job.n_attempts)
            sight = before.get(job.id)
            self._sights[job.id] = sight if sight is not None and sight.row == row else _Sight(row, now)
            if now - self._sights[job.id].since >= self._silence:
                self._give_back(job)
        self._end_lost_children({job.worker for job in running}, now)

    def _give_back(self, job: Job) -> None:
        """Take a job from its silent worker."""
        task = self._tasks.get(job.kind)
        with self._lock:
            hand = self._hands.get(job.worker or "")
        if task is None:
            return  # another server's, which knows what it is
        if hand is not None and hand.process is not None:
            hand.process.kill()  # the thread that waits for its end sees to the rest
            return
        log.warning("job %d of the kind %s is given back: %s is silent", job.id, job.kind, job.worker)
        with contextlib.suppress(Stale):
            if is_last_attempt(task, job):
                message = exhausted(job, "its worker was not heard of any more")
                fail_by(lambda rows: self._free(rows, job, message), self._database, job, task, message)
            else:
                with self._database.write() as rows:
                    self._free(rows, job)
            if hand is None:  # a thread of ours tells it by itself
                self.journal.tell_end(job)

    def _free(self, rows: Rows, job: Job, message: str | None = None) -> None:
        becomes: Literal["WAITING", "FAILED"] = "WAITING" if message is None else "FAILED"
        registry.give_back_job(rows, job, becomes=becomes, now_ms=to_ms(self._clock()), message=message)

    def _end_lost_children(self, workers: set[str | None], now: float) -> None:
        with self._lock:
            hands = [hand for hand in self._hands.values() if hand.process is not None]
        for hand in hands:
            if hand.heart.worker in workers:
                hand.lost_since = None
            elif hand.lost_since is None:
                hand.lost_since = now
            elif now - hand.lost_since >= GRACE_SECONDS and hand.process is not None:
                hand.process.kill()

    def _forget(self) -> None:
        """Remove what is known of jobs that ended long ago."""
        if time.monotonic() - self._forgot >= FORGET_SECONDS:
            self._forgot = time.monotonic()
            with self._database.write() as rows:
                registry.remove_ended_jobs(rows, before_ms=to_ms(self._clock() - KEPT))


def work(
    database: Database,
    tasks: Mapping[str, Task],
    job_id: int,
    *,
    worker: str,
    clock: Callable[[], datetime],
    pauses: Sequence[float] = PAUSES_SECONDS,
) -> None:
    """Do a job as the child of a runner; the process ends at once when its standard input does.

    A job that is no longer this worker's is left alone.

    Args:
        database: the registry's.
        tasks: what is done for jobs, by their kind.
        job_id: the job,
        worker: and under which name the runner has claimed it.
        clock: the present moment.
        pauses: seconds before the job is given back for which something was away, by attempt.

    Raises:
        Unavailable: the database is away.
    """
    end_with_stdin()
    try:
        with database.read() as rows:
            job = registry.get_job(rows, job_id)
    except NotFound:
        return
    if job.status == "RUNNING" and job.worker == worker:
        perform_job(database, job, tasks[job.kind], worker=worker, clock=clock, pauses=pauses)


def end_with_stdin() -> None:
    """End this process, from now on, at the moment when its standard input ends."""
    threading.Thread(target=_end_after_stdin, name="stdin", daemon=True).start()


def _end_after_stdin() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(1)


def _close_stdin(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.stdin is not None:
        process.stdin.close()


def _join(thread: threading.Thread | None, seconds: float) -> None:
    if thread is not None:
        with contextlib.suppress(RuntimeError):  # not started yet, and it never will be
            thread.join(max(0.0, seconds))
