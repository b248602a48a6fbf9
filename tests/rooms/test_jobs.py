"""One claimed job from its start to its end: a real database, a real heart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deconfuse.engine.jobs import Heart, Task, perform_job, time_left
from deconfuse.errors import BadData, NotFound, Stale, Unavailable
from deconfuse.store import database as databases
from deconfuse.store import registry
from deconfuse.store.database import Database, open_database
from deconfuse.store.registry import Job, Rows
from registries import NOW, a_project, a_version
from stores import Clock
from workers import get

Work = Callable[[Job, Heart], None]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    is_sqlite = request.param == "sqlite"
    database = open_database(f"sqlite:///{tmp_path}/jobs.db" if is_sqlite else request.getfixturevalue("postgres_url"))
    yield database
    database.close()


def a_job(database: Database, *, n_attempts: int = 1) -> Job:
    """The only open job, of a version, claimed by w1 for the n-th time."""
    with database.write() as rows:
        registry.cancel_jobs(rows, "version", 1, now_ms=NOW)
        number = registry.add_job(rows, "train", noun="version", subject_id=1, now_ms=NOW).id
        for _ in range(n_attempts):
            job = registry.claim_job(rows, kinds=["train"], worker="w1", now_ms=NOW)
            if job is not None and job.n_attempts < n_attempts:
                registry.leave_job(rows, number, worker="w1")
        assert job is not None
        return job


def perform(database: Database, job: Job, work: Work, *, attempts: int = 3, told: list[str] | None = None) -> Job:
    """The job after somebody has performed it; what `fail` was told is appended to `told`."""

    def fail(rows: Rows, job: Job, message: str) -> None:
        if told is not None:
            told.append(message)

    perform_job(database, job, Task(work, fail, attempts), worker="w1", clock=Clock(), pauses=(0.01,))
    return get(database, job)


def stumble(error: Exception) -> Work:
    """Work that raises this."""

    def work(job: Job, heart: Heart) -> None:
        raise error

    return work


def test_a_job_ends_with_its_work(database: Database) -> None:
    """The work ends it in its own transaction; where it has nothing to write, the job ends all the same."""

    def work(job: Job, heart: Heart) -> None:
        with database.write() as rows:
            heart.guard(rows)
            heart.end(rows, "so it is")

    ended = perform(database, a_job(database), work)
    silent = perform(database, a_job(database), lambda job, heart: None)

    assert (ended.status, ended.message, ended.worker, ended.percent) == ("DONE", "so it is", None, 100)
    assert (silent.status, silent.message) == ("DONE", "")


@pytest.mark.parametrize("error", [BadData("no image can be read"), NotFound("bucket", "photos"), Stale("moved")])
def test_a_job_that_cannot_be_done_fails_with_the_reason(database: Database, error: Exception) -> None:
    """At the first attempt, for another one would meet the same."""
    told: list[str] = []

    failed = perform(database, a_job(database), stumble(error), told=told)

    assert (failed.status, failed.message, told) == ("FAILED", str(error), [str(error)])


@pytest.mark.parametrize("error", [Unavailable("the disk is full"), ValueError("a bug"), MemoryError()])
def test_what_may_pass_is_tried_again(database: Database, error: Exception) -> None:
    """Something away, or an error of ours: the job waits again; after the last attempt it fails with a message."""
    told: list[str] = []

    first = perform(database, a_job(database), stumble(error), told=told)
    endless = perform(database, a_job(database, n_attempts=7), stumble(error), attempts=0, told=told)

    assert (first.status, first.n_attempts, endless.status, told) == ("WAITING", 1, "WAITING", [])

    last = perform(database, a_job(database, n_attempts=3), stumble(error), told=told)

    why = str(error) if isinstance(error, Unavailable) else type(error).__name__
    assert (last.status, told) == ("FAILED", [f"internal error, after 3 attempts: {why}"])
    assert last.message == told[0]


def test_a_job_that_must_be_done_fails_only_when_its_subject_is_gone(database: Database) -> None:
    """With 0 attempts everything else is tried again."""
    found = {}
    for error in (BadData("no"), Stale("moved"), NotFound("version", "1")):
        found[type(error)] = perform(database, a_job(database, n_attempts=5), stumble(error), attempts=0).status

    assert found == {BadData: "WAITING", Stale: "WAITING", NotFound: "FAILED"}


def test_its_subject_fails_with_it_in_one_transaction(database: Database) -> None:
    """A version whose job fails is told so at the same moment."""
    version = a_version(database, a_project(database))

    def fail(rows: Rows, job: Job, message: str) -> None:
        registry.end_version(rows, version.id, becomes="TRAINING_FAILED", now_ms=NOW + 1, message=message)

    job = a_job(database)
    perform_job(database, job, Task(stumble(BadData("too few labels")), fail), worker="w1", clock=Clock())

    with database.read() as rows:
        failed = registry.get_version(rows, version.id)
    assert (failed.status, failed.message) == ("TRAINING_FAILED", "too few labels")
    assert get(database, job).status == "FAILED"


@pytest.mark.parametrize("error", [NotFound("version", "1"), ValueError("a bug")])
def test_a_job_fails_even_when_its_subject_cannot(
    database: Database, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It has moved on or is gone, or we have erred: no job stays open for that."""

    def fail(rows: Rows, job: Job, message: str) -> None:
        registry.add_project(rows, "half-done", now_ms=NOW)
        raise error

    job = a_job(database)
    perform_job(database, job, Task(stumble(BadData("no")), fail), worker="w1", clock=Clock())

    assert (get(database, job).status, get(database, job).message) == ("FAILED", "no")
    with database.read() as rows:
        assert registry.list_projects(rows, limit=9).items == ()
    assert ("cannot fail" in caplog.text) is isinstance(error, ValueError)


def test_a_cancelled_job_stops_at_its_next_word(database: Database) -> None:
    """Within seconds, in the midst of the work, and without a word about it."""
    job = a_job(database)
    told: list[str] = []
    with database.write() as rows:
        registry.cancel_jobs(rows, "version", 1, now_ms=NOW + 1)
    began = time.monotonic()

    def work(job: Job, heart: Heart) -> None:
        while time.monotonic() < began + 20:
            heart.progress("reading images", 1, 2)
            time.sleep(0.01)

    cancelled = perform(database, job, work, told=told)

    assert (cancelled.status, told) == ("CANCELLED", [])
    assert time.monotonic() - began < 6


def test_a_worker_that_has_lost_its_job_changes_nothing(database: Database) -> None:
    """Whether its work comes to an end, is guarded, fails or stumbles."""

    def guarded(job: Job, heart: Heart) -> None:
        with database.write() as rows:
            registry.add_project(rows, "rooms", now_ms=NOW)
            heart.guard(rows)

    for work in (guarded, stumble(BadData("bad")), stumble(ValueError()), lambda job, heart: None):
        job = a_job(database)
        with database.write() as rows:
            registry.give_back_job(rows, job, becomes="WAITING", now_ms=NOW)
            taken = registry.claim_job(rows, kinds=["train"], worker="w2", now_ms=NOW)
        after = perform(database, job, work)
        with database.write() as rows:
            registry.cancel_jobs(rows, "version", 1, now_ms=NOW)
            assert registry.list_projects(rows, limit=9).items == ()

        assert after == taken


def test_progress_is_told_with_the_time_that_is_left(database: Database) -> None:
    """By step, in words; the job's row has it after the next beat."""
    clock = Clock()
    seen: list[Job] = []

    def work(job: Job, heart: Heart) -> None:
        heart.progress("reading images", 0, 200)
        clock.advance(seconds=30)
        heart.progress("reading images", 50, 200)
        deadline = time.monotonic() + 10
        while not seen and time.monotonic() < deadline:
            time.sleep(0.05)
            seen.extend(told for told in [get(database, job)] if told.message)

    perform_job(database, a_job(database), Task(work, lambda rows, job, why: None), worker="w1", clock=clock)

    assert [(job.percent, job.message) for job in seen] == [(25, "reading images, 25 % done, about 2 minutes left")]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "about 1 second"),
        (1.4, "about 1 second"),
        (89, "about 89 seconds"),
        (600, "about 10 minutes"),
        (7200, "about 2 hours"),
    ],
)
def test_the_time_left_is_said_in_a_unit_that_fits(seconds: float, words: str) -> None:
    """Seconds up to a minute and a half, minutes up to an hour and a half, then hours."""
    assert time_left(seconds) == f"{words} left"


def test_progress_bears_any_numbers(database: Database) -> None:
    """Nothing to do, more done than there was, a clock that runs backwards."""
    clock = Clock()
    heart = Heart(database, a_job(database), worker="w1", clock=clock)
    heart.progress("a", 0, 0)
    heart.progress("a", 5, 3)
    clock.now -= timedelta(days=1)
    heart.progress("a", 1, 3)
    heart.progress("b" * 10_000, 1, 3)


def test_no_two_beats_look_alike(database: Database) -> None:
    """Even where the clock stands still or is put back: that is how others see that a worker lives."""
    clock = Clock()
    heart = Heart(database, a_job(database), worker="w1", clock=clock)
    first = heart.now_ms()
    clock.now -= timedelta(hours=1)

    assert first < heart.now_ms() < heart.now_ms()


def test_a_stopping_server_counts_no_attempt(database: Database) -> None:
    """The job waits again as if it had not been begun, whatever the work raised when it was told."""
    job = a_job(database)
    heart = Heart(database, job, worker="w1", clock=Clock())

    def work(job: Job, heart: Heart) -> None:
        heart.stop()
        with pytest.raises(Stale, match="stopping"):
            heart.progress("reading images", 1, 2)
        raise OSError("closed")

    from deconfuse.engine.jobs import perform_with

    perform_with(heart, Task(work, lambda rows, job, why: None))

    assert (get(database, job).status, get(database, job).n_attempts) == ("WAITING", 0)


def test_a_process_that_is_asked_to_end_gives_its_job_back(database: Database) -> None:
    """Ctrl-C in a child: the job waits, and the process ends as asked."""
    job = a_job(database)

    def work(job: Job, heart: Heart) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(database, job, work)

    assert (get(database, job).status, get(database, job).n_attempts) == ("WAITING", 0)


@pytest.mark.slow
def test_a_heart_outlives_a_database_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the database for longer than anyone waits: beats fail, and go on afterwards, as does the work."""
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0.1)
    database = open_database(f"sqlite:///{tmp_path}/jobs.db")
    other = open_database(f"sqlite:///{tmp_path}/jobs.db")
    job = a_job(database)
    is_held = threading.Event()

    def work(job: Job, heart: Heart) -> None:
        with other.write():
            is_held.set()
            with pytest.raises(Unavailable), database.write() as rows:
                heart.guard(rows)
            heart.progress("reading images", 1, 4)
            time.sleep(4.5)
        deadline = time.monotonic() + 10
        while get(database, job).percent == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert get(database, job).percent == 25
        with database.write() as rows:
            heart.end(rows)

    ended = perform(database, job, work)

    assert (ended.status, ended.n_attempts) == ("DONE", 1)
    database.close()
    other.close()


@pytest.mark.slow
def test_what_becomes_of_a_job_is_written_when_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work has failed while the database was away: that is told as soon as it can be."""
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0.1)
    database = open_database(f"sqlite:///{tmp_path}/jobs.db")
    other = open_database(f"sqlite:///{tmp_path}/jobs.db")
    job = a_job(database)
    is_held, is_let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with other.write():
            is_held.set()
            is_let_go.wait(3)

    def work(job: Job, heart: Heart) -> None:
        threading.Thread(target=hold).start()
        is_held.wait()
        raise BadData("no image can be read")

    failed = perform(database, job, work)

    assert (failed.status, failed.message) == ("FAILED", "no image can be read")
    database.close()
    other.close()
