"""Jobs: long work that outlives the request that asked for it.

    WAITING ──▶ RUNNING ──▶ DONE | FAILED | CANCELLED
       ▲  │        │
       │  └────────┼──────▶ CANCELLED
       └───────────┘        its worker was not heard of

A worker takes a job by one statement, so that no two have the same one, however many servers share the database. From
then on it says every few seconds that it is alive. When it falls silent the job is given back, and another worker
takes it up; the first, should it still live, is told by `Stale` at its next word that the job is no longer its own.
What a job changes belongs into the transaction in which it speaks as the job's worker: then a worker that has lost
its job cannot change anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, delete, select, update

from deconfuse.errors import Stale
from deconfuse.store.rows import Moves, check_all_known, check_move, one_row, storable
from deconfuse.store.schema import JOBS
from deconfuse.store.tags import Noun

JobStatus = Literal["WAITING", "RUNNING", "DONE", "FAILED", "CANCELLED"]

JOB_MOVES: Moves = {
    "WAITING": frozenset({"RUNNING", "CANCELLED"}),
    "RUNNING": frozenset({"DONE", "FAILED", "WAITING", "CANCELLED"}),
    "DONE": frozenset(),
    "FAILED": frozenset(),
    "CANCELLED": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Job:
    """A job.

    Attributes:
        id: its number here; numbers are never given twice, and earlier jobs are taken first.
        kind: what is to be done, in the words of who asks and who does it.
        noun: what it is about,
        subject_id: and which of them.
        payload: what its worker must know beside that.
        message: what its worker said last.
        percent: how far it is, 0 to 100, as far as its worker can tell.
        created_ms: when it was asked for, in milliseconds since 1970.
        n_attempts: how often it was taken, without those times when its worker left it for no fault of the job's.
        worker: who has it; None while nobody does.
        beat_ms: when its worker spoke last; None before it was first taken.
        ended_ms: when it ended; None before.
    """

    id: int
    kind: str
    noun: Noun
    subject_id: int
    payload: Mapping[str, Any] = field(hash=False)
    status: JobStatus = "WAITING"
    message: str = ""
    percent: float = 0.0
    created_ms: int = 0
    n_attempts: int = 0
    worker: str | None = None
    beat_ms: int | None = None
    ended_ms: int | None = None


def add_job(
    rows: Connection,
    kind: str,
    *,
    noun: Noun,
    subject_id: int,
    now_ms: int,
    payload: Mapping[str, Any] | None = None,
) -> Job:
    """A new job, WAITING for a worker as soon as this transaction ends."""
    values = {"kind": kind, "noun": noun, "subject_id": subject_id, "payload": dict(payload or {})}
    start = {"status": "WAITING", "message": "", "percent": 0.0, "created_ms": now_ms, "n_attempts": 0}
    number = rows.scalar(JOBS.insert().values(**values, **start).returning(JOBS.c.id))
    return get_job(rows, number)


def claim_job(rows: Connection, *, kinds: Collection[str], worker: str, now_ms: int) -> Job | None:
    """The oldest waiting job of one of these kinds, which `worker` has from now on; None where none waits.

    A worker has a name that nobody had before, another one at each claim: by it a job knows whose it is.
    """
    waiting = select(JOBS.c.id).where(JOBS.c.status == "WAITING", JOBS.c.kind.in_(kinds)).order_by(JOBS.c.id).limit(1)
    # Another server may be about to take the oldest one: PostgreSQL then looks at the next.
    chosen = waiting.with_for_update(skip_locked=True).scalar_subquery()
    taken = {"status": "RUNNING", "worker": worker, "beat_ms": now_ms, "n_attempts": JOBS.c.n_attempts + 1}
    statement = update(JOBS).where(JOBS.c.id == chosen, JOBS.c.status == "WAITING").values(**taken)
    row = rows.execute(statement.returning(*JOBS.c)).one_or_none()
    return None if row is None else _job(row)


def beat(
    rows: Connection,
    job_id: int,
    *,
    worker: str,
    now_ms: int,
    percent: float | None = None,
    message: str | None = None,
) -> None:
    """Say as the job's worker that one is alive, and how far.

    Raises:
        Stale: the job is no longer this worker's: it was given back, cancelled, or is gone.
    """
    said: dict[str, Any] = {"beat_ms": now_ms}
    if percent is not None:
        said["percent"] = percent
    if message is not None:
        said["message"] = storable(message)
    if rows.execute(update(JOBS).where(_own(job_id, worker)).values(**said)).rowcount == 0:
        raise _lost(job_id, worker)


def end_job(
    rows: Connection,
    job_id: int,
    *,
    worker: str,
    becomes: Literal["DONE", "FAILED"],
    now_ms: int,
    message: str = "",
) -> None:
    """End a job as its worker; Stale where it is no longer this worker's."""
    ended: dict[str, Any] = {"status": becomes, "message": storable(message), "worker": None, "ended_ms": now_ms}
    if becomes == "DONE":
        ended["percent"] = 100.0
    if rows.execute(update(JOBS).where(_own(job_id, worker)).values(**ended)).rowcount == 0:
        raise _lost(job_id, worker)


def leave_job(rows: Connection, job_id: int, *, worker: str, is_attempt: bool = True) -> None:
    """Give a job back as its worker, WAITING for another one; Stale where it is no longer this worker's.

    Args:
        rows: the transaction.
        job_id: the job.
        worker: who has it.
        is_attempt: whether it counts as an attempt; it does not where a server is stopped in the middle of it.
    """
    n_attempts = JOBS.c.n_attempts - (0 if is_attempt else 1)
    left = {"status": "WAITING", "worker": None, "n_attempts": n_attempts}
    if rows.execute(update(JOBS).where(_own(job_id, worker)).values(**left)).rowcount == 0:
        raise _lost(job_id, worker)


def give_back_job(
    rows: Connection, job: Job, *, becomes: Literal["WAITING", "FAILED"], now_ms: int, message: str | None = None
) -> None:
    """Take a silent job from its worker: WAITING for another one, or FAILED where it has been tried often enough.

    Without a `message` the last one that its worker said stays.

    Raises:
        Stale: its worker has spoken since `job` was read, or has lost it already.
    """
    check_move("jobs", JOB_MOVES, was="RUNNING", becomes=becomes)
    freed: dict[str, Any] = {"status": becomes, "worker": None, "ended_ms": now_ms if becomes == "FAILED" else None}
    if message is not None:
        freed["message"] = storable(message)
    same = (JOBS.c.worker == job.worker) & (JOBS.c.beat_ms == job.beat_ms) & (JOBS.c.n_attempts == job.n_attempts)
    matching = (JOBS.c.id == job.id) & (JOBS.c.status == "RUNNING") & same
    if rows.execute(update(JOBS).where(matching).values(**freed)).rowcount == 0:
        raise Stale(f"the job {job.id} is not the one that was read: its worker has spoken, or another one has it")


def cancel_jobs(rows: Connection, noun: Noun, subject_id: int, *, now_ms: int) -> int:
    """Cancel every job about this thing that has not ended: how many; their workers learn of it at their next word."""
    open_jobs = JOBS.c.status.in_(("WAITING", "RUNNING"))
    matching = (JOBS.c.noun == noun) & (JOBS.c.subject_id == subject_id) & open_jobs
    ended = {"status": "CANCELLED", "worker": None, "ended_ms": now_ms}
    return rows.execute(update(JOBS).where(matching).values(**ended)).rowcount


def get_job(rows: Connection, job_id: int) -> Job:
    """The job with this number; NotFound where there is none."""
    return _job(one_row(rows, select(*JOBS.c).where(JOBS.c.id == job_id), "job", str(job_id)))


def list_jobs(
    rows: Connection,
    *,
    statuses: Collection[JobStatus] = ("WAITING", "RUNNING"),
    about: tuple[Noun, int] | None = None,
) -> tuple[Job, ...]:
    """Jobs with one of these statuses in the order in which they were asked for, all or those about one thing."""
    check_all_known(JOBS, JOB_MOVES, statuses)
    statement = select(*JOBS.c).where(JOBS.c.status.in_(statuses)).order_by(JOBS.c.id)
    if about is not None:
        statement = statement.where(JOBS.c.noun == about[0], JOBS.c.subject_id == about[1])
    return tuple(_job(row) for row in rows.execute(statement))


def remove_ended_jobs(rows: Connection, *, before_ms: int) -> int:
    """Forget jobs that ended before then: how many."""
    is_over = JOBS.c.status.in_(("DONE", "FAILED", "CANCELLED"))
    return rows.execute(delete(JOBS).where(is_over, JOBS.c.ended_ms < before_ms)).rowcount


def _own(job_id: int, worker: str) -> ColumnElement[bool]:
    return (JOBS.c.id == job_id) & (JOBS.c.status == "RUNNING") & (JOBS.c.worker == worker)


def _lost(job_id: int, worker: str) -> Stale:
    return Stale(f"the job {job_id} is no longer that of {worker}")


def _job(row: Row[Any]) -> Job:
    return Job(**row._mapping)
