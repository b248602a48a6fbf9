"""What is told of jobs: a line in the log when one is taken up and when that is over, and how many ended how.

    {…,"event":"job","state":"started","job":7,"kind":"train","attempt":1,"project":"rooms","version":"1"}
    {…,"event":"job","state":"failed","job":7,"kind":"train","attempt":1,"project":"rooms","version":"1","seconds":2.5,
     "reason":"The manifest s3://photos/train.manifest cannot be read: …"}

A job has failed also where it is done and what it was about has failed by its data: a training that ended with
TRAINING_FAILED. The reason is what the user is told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from deconfuse.errors import NotFound, Unavailable
from deconfuse.store import registry
from deconfuse.store.database import Database
from deconfuse.store.registry import Job, Rows

log = logging.getLogger(__name__)

State = Literal["completed", "failed", "given back", "cancelled", "lost"]
"""How it ended with one worker: a job that was given back waits for another one; one that was lost has found it."""


class Journal:
    """Tells of the jobs of one runner; from any thread."""

    def __init__(self, database: Database) -> None:
        """Nothing was told yet; `database` is asked what became of a job."""
        self._database = database
        self._ended: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    @property
    def ended(self) -> Mapping[tuple[str, str], int]:
        """How many jobs were completed and failed, by (kind, state), since the journal began."""
        with self._lock:
            return dict(self._ended)

    @contextmanager
    def telling(self, job: Job) -> Iterator[None]:
        """Tell that a job is taken up, and after the block what became of it."""
        began = time.monotonic()
        about = self._about(job)  # before the work: a deletion leaves nothing to be asked
        _tell("started", about)
        try:
            yield
        finally:
            self.tell_end(job, about, round(time.monotonic() - began, 3))

    def tell_end(self, job: Job, about: Mapping[str, Any] | None = None, seconds: float | None = None) -> None:
        """Tell what became of a job that was taken up as `job`.

        Args:
            job: as it was claimed.
            about: what is told of it anyway; None is what the database says of it.
            seconds: how long the work took; None where that is not known.
        """
        try:
            with self._database.read() as rows:
                left = registry.get_job(rows, job.id)
                subject, status = _subject(rows, job)
        except (NotFound, Unavailable) as error:
            log.warning("what became of job %d is not known: %s", job.id, error)
            return
        state = _state(job, left, status)
        fields = _fields(job) | subject if about is None else dict(about)
        fields |= {} if seconds is None else {"seconds": seconds}
        _tell(state, fields | ({"reason": left.message} if state == "failed" else {}))
        if state in ("completed", "failed"):
            with self._lock:
                self._ended[job.kind, state] += 1

    def _about(self, job: Job) -> dict[str, Any]:
        try:
            with self._database.read() as rows:
                return _fields(job) | _subject(rows, job)[0]
        except Unavailable:
            return _fields(job)


def _fields(job: Job) -> dict[str, Any]:
    return {"job": job.id, "kind": job.kind, "attempt": job.n_attempts}


def _tell(state: str, fields: Mapping[str, Any]) -> None:
    log.info("job", extra={"fields": {"state": state, **fields}})


def _subject(rows: Rows, job: Job) -> tuple[dict[str, str], str]:
    """What a job is about, by its names, and its status; nothing where it is gone."""
    try:
        if job.noun == "version":
            version = registry.get_version(rows, job.subject_id)
            return {"project": version.project, "version": version.name}, version.status
        dataset = registry.get_dataset(rows, job.subject_id)
        return {"project": dataset.project, "dataset": dataset.kind}, dataset.status
    except NotFound:
        return {}, ""


def _state(job: Job, left: Job, subject_status: str) -> State:
    """What became of `job` with this worker, after which its row is `left`."""
    if left.status == "CANCELLED":
        return "cancelled"
    if left.n_attempts > job.n_attempts:
        return "lost"
    if left.status in ("WAITING", "RUNNING"):
        return "given back"
    return "failed" if left.status == "FAILED" or subject_status.endswith("FAILED") else "completed"
