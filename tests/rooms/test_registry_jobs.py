"""Jobs: claimed once, alive while their worker speaks, taken up again when it falls silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deconfuse.errors import NotFound, Stale
from deconfuse.store import registry
from deconfuse.store.database import Database, open_database
from registries import NOW, a_project, a_version


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database of each kind."""
    database = open_database("sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    yield database
    database.close()


def add(database: Database, kind: str = "train", subject_id: int = 1) -> registry.Job:
    """A waiting job."""
    with database.write() as rows:
        return registry.add_job(rows, kind, noun="version", subject_id=subject_id, now_ms=NOW, payload={"seed": 7})


def claim(database: Database, worker: str = "w1", *kinds: str, now_ms: int = NOW) -> registry.Job | None:
    """What this worker gets."""
    with database.write() as rows:
        return registry.claim_job(rows, kinds=kinds or ["train"], worker=worker, now_ms=now_ms)


def test_jobs_are_taken_in_the_order_in_which_they_were_asked_for(database: Database) -> None:
    """The oldest of the kinds that a worker can do; None when none waits."""
    train, copy, again = add(database), add(database, "copy"), add(database)

    taken = [
        claim(database, f"w{number}", *kinds) for number, kinds in enumerate([("copy",), (), (), ("copy", "train")])
    ]

    assert [job and job.id for job in taken] == [copy.id, train.id, again.id, None]


def test_a_claimed_job_says_whose_it_is(database: Database) -> None:
    """Status, worker, time and attempt change; what was asked for stays."""
    waiting = add(database)
    running = claim(database, now_ms=NOW + 5)

    assert (waiting.status, waiting.worker, waiting.beat_ms, waiting.n_attempts) == ("WAITING", None, None, 0)
    assert running is not None
    assert (running.status, running.worker, running.beat_ms, running.n_attempts) == ("RUNNING", "w1", NOW + 5, 1)
    assert (running.payload, running.noun, running.subject_id, running.created_ms) == ({"seed": 7}, "version", 1, NOW)
    assert claim(database, "w2") is None


def test_a_worker_tells_how_far_it_is(database: Database) -> None:
    """Progress and message are kept until it says otherwise; a bare beat changes the time only."""
    job = add(database)
    claim(database)
    with database.write() as rows:
        registry.beat(rows, job.id, worker="w1", now_ms=NOW + 1, percent=40.5, message="embedding\0")
        registry.beat(rows, job.id, worker="w1", now_ms=NOW + 2)
        told = registry.get_job(rows, job.id)

    assert (told.percent, told.message, told.beat_ms) == (40.5, "embedding?", NOW + 2)


@pytest.mark.parametrize("becomes", ["DONE", "FAILED"])
def test_an_ended_job_stays_ended(database: Database, becomes: registry.JobStatus) -> None:
    """Nobody has it any more, and its worker cannot speak again."""
    job = add(database)
    claim(database)
    with database.write() as rows:
        registry.end_job(rows, job.id, worker="w1", becomes=becomes, now_ms=NOW + 9, message="so it is")
        ended = registry.get_job(rows, job.id)

    assert (ended.status, ended.worker, ended.ended_ms, ended.message) == (becomes, None, NOW + 9, "so it is")
    assert ended.percent == (100 if becomes == "DONE" else 0)
    for act in (registry.beat, registry.end_job):
        rest = {"becomes": "DONE"} if act is registry.end_job else {}
        with pytest.raises(Stale, match="w1"), database.write() as rows:
            act(rows, job.id, worker="w1", now_ms=NOW, **rest)


def test_a_silent_job_is_taken_up_again(database: Database) -> None:
    """Another worker gets it as the second attempt; the first one's word is worth nothing from then on."""
    job = add(database)
    claim(database)
    with database.write() as rows:
        (silent,) = registry.list_jobs(rows, statuses=["RUNNING"])
        registry.give_back_job(rows, silent, becomes="WAITING", now_ms=NOW + 60)

    again = claim(database, "w2", now_ms=NOW + 61)

    assert again is not None
    assert (again.id, again.worker, again.n_attempts, again.ended_ms) == (job.id, "w2", 2, None)
    with pytest.raises(Stale), database.write() as rows:
        registry.beat(rows, job.id, worker="w1", now_ms=NOW + 62)


def test_a_job_whose_worker_speaks_in_time_is_not_given_back(database: Database) -> None:
    """Between looking and taking it spoke: Stale, and it goes on. One that was tried often enough fails instead."""
    job = add(database)
    claim(database)
    with database.write() as rows:
        (silent,) = registry.list_jobs(rows, statuses=["RUNNING"])
        registry.beat(rows, job.id, worker="w1", now_ms=NOW + 5)
    with pytest.raises(Stale, match="spoken"), database.write() as rows:
        registry.give_back_job(rows, silent, becomes="FAILED", now_ms=NOW + 60)
    with database.write() as rows:
        (silent,) = registry.list_jobs(rows, statuses=["RUNNING"])
        registry.give_back_job(rows, silent, becomes="FAILED", now_ms=NOW + 60)
        failed = registry.get_job(rows, job.id)

    assert (failed.status, failed.ended_ms, failed.n_attempts) == ("FAILED", NOW + 60, 1)


def test_jobs_go_with_what_they_are_about(database: Database) -> None:
    """Cancelling takes waiting and running ones of one thing; the worker learns of it at its next word."""
    running, waiting, other = add(database), add(database), add(database, subject_id=2)
    claim(database)
    with database.write() as rows:
        assert registry.cancel_jobs(rows, "version", 1, now_ms=NOW + 1) == 2
        assert registry.cancel_jobs(rows, "version", 1, now_ms=NOW + 1) == 0
        assert [job.id for job in registry.list_jobs(rows)] == [other.id]
        cancelled = registry.list_jobs(rows, statuses=["CANCELLED"], about=("version", 1))

    assert [job.id for job in cancelled] == [running.id, waiting.id]
    with pytest.raises(Stale), database.write() as rows:
        registry.end_job(rows, running.id, worker="w1", becomes="DONE", now_ms=NOW)


def test_old_jobs_are_forgotten(database: Database) -> None:
    """Only those that ended before then."""
    ended, running = add(database), add(database)
    for worker in ("w1", "w2"):
        claim(database, worker)
    with database.write() as rows:
        registry.end_job(rows, ended.id, worker="w1", becomes="DONE", now_ms=NOW + 1)
        assert registry.remove_ended_jobs(rows, before_ms=NOW + 1) == 0
        assert registry.remove_ended_jobs(rows, before_ms=NOW + 2) == 1
        assert [job.id for job in registry.list_jobs(rows)] == [running.id]
        with pytest.raises(NotFound, match="job"):
            registry.get_job(rows, ended.id)


def test_what_a_lost_worker_writes_is_undone(database: Database) -> None:
    """The end of the training and the end of its job are one transaction: without the job, the version stays."""
    version = a_version(database, a_project(database))
    job = add(database, subject_id=version.id)
    silent = claim(database)
    assert silent is not None
    with database.write() as rows:
        registry.give_back_job(rows, silent, becomes="WAITING", now_ms=NOW + 60)

    def finish() -> None:
        with database.write() as rows:
            registry.end_version(rows, version.id, becomes="TRAINING_COMPLETED", now_ms=NOW + 61, message="done")
            registry.end_job(rows, job.id, worker="w1", becomes="DONE", now_ms=NOW + 61)

    with pytest.raises(Stale):
        finish()

    with database.read() as rows:
        assert registry.get_version(rows, version.id) == version


def test_a_job_is_not_given_back_to_a_status_that_it_cannot_have(database: Database) -> None:
    """Only WAITING and FAILED follow; anything else is a bug, as is asking for a status that no job has."""
    add(database)
    job = claim(database)
    assert job is not None

    with database.write() as rows:
        with pytest.raises(ValueError, match="cannot become RUNNING"):
            registry.give_back_job(rows, job, becomes="RUNNING", now_ms=NOW)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="ENDED"):
            registry.list_jobs(rows, statuses=["ENDED"])  # type: ignore[list-item]
