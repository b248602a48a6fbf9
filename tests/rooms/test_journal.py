"""What is told of jobs: in the log and in counts."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from deconfuse.engine.journal import Journal
from deconfuse.store import registry
from deconfuse.store.database import Database
from registries import a_dataset, a_project, a_version
from workers import add_job, now_ms, read_diary, running, until, wait_for


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, as a server logs it."""
    caplog.set_level(logging.INFO, "deconfuse")
    return caplog


def told(log: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The fields of the lines about jobs."""
    return [vars(record)["fields"] for record in log.records if record.getMessage() == "job"]


def ended(log: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Those about the end of an attempt, without its seconds, as soon as there is one."""
    lines = until(lambda: [line for line in told(log) if line["state"] != "started"], what="the line about the end")
    assert all(line.pop("seconds") >= 0 for line in lines)
    return lines


@pytest.mark.parametrize("kind", ["thread", "child"])
def test_a_job_is_told_when_it_starts_and_when_it_is_over(
    database: Database, url: str, tmp_path: Path, log: pytest.LogCaptureFixture, kind: str
) -> None:
    """With what it is about; once each, also where a process of its own does it."""
    version = a_version(database, a_project(database))
    with running(database, url) as runner:
        job = add_job(database, tmp_path / "diary", kind=kind, subject_id=version.id)
        about = {"job": job.id, "kind": kind, "attempt": 1, "project": version.project, "version": version.name}
        assert ended(log) == [{"state": "completed", **about}]

    assert told(log)[0] == {"state": "started", **about}
    assert len(told(log)) == 2
    assert runner.journal.ended == {(kind, "completed"): 1}


def test_a_job_that_fails_says_why(database: Database, url: str, tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    """In the words that its user reads; what it was about may be gone."""
    with running(database, url) as runner:
        job = add_job(database, tmp_path / "diary", "bad")
        about = {"job": job.id, "kind": "thread", "attempt": 1}
        assert ended(log) == [{"state": "failed", **about, "reason": "the data is bad"}]

    assert runner.journal.ended == {("thread", "failed"): 1}


def test_a_job_whose_process_was_killed_is_given_back(
    database: Database, url: str, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    """And taken up again; only the end counts."""
    diary = tmp_path / "diary"
    with running(database, url) as runner:
        job = add_job(database, diary, "wait", kind="child")
        lines = until(lambda: read_diary(diary, "begun"), what="the beginning")
        os.kill(lines[0]["pid"], signal.SIGKILL)
        Path(f"{diary}.go").touch()
        wait_for(database, job, "DONE")
        until(lambda: runner.journal.ended, what="the end")

    states = [(line["state"], line["attempt"]) for line in told(log)]
    assert states == [("started", 1), ("given back", 1), ("started", 2), ("completed", 2)]
    assert runner.journal.ended == {("child", "completed"): 1}


def claimed(database: Database, subject_id: int, *, noun: Any = "dataset") -> registry.Job:
    """A job that somebody is at."""
    with database.write() as rows:
        registry.add_job(rows, "create-dataset", noun=noun, subject_id=subject_id, now_ms=now_ms())
        job = registry.claim_job(rows, kinds=["create-dataset"], worker="one", now_ms=now_ms())
    assert job is not None
    return job


def test_what_failed_by_its_data_has_failed(database: Database, log: pytest.LogCaptureFixture) -> None:
    """Its job did all that there was to do: the status of the dataset decides."""
    dataset = a_dataset(database, a_project(database))
    journal, job = Journal(database), claimed(database, dataset.id)
    with journal.telling(job), database.write() as rows:
        registry.move_dataset(rows, dataset.id, was="CREATE_IN_PROGRESS", becomes="CREATE_FAILED", now_ms=now_ms())
        registry.end_job(rows, job.id, worker="one", becomes="DONE", now_ms=now_ms(), message="No lines.")

    about = {"job": job.id, "kind": "create-dataset", "attempt": 1, "project": dataset.project, "dataset": "train"}
    assert ended(log) == [{"state": "failed", **about, "reason": "No lines."}]
    assert journal.ended == {("create-dataset", "failed"): 1}


def test_a_job_that_is_no_longer_ones_own_is_not_counted(database: Database, log: pytest.LogCaptureFixture) -> None:
    """It was cancelled, or another worker has it; whoever ends it counts it."""
    journal, job = Journal(database), claimed(database, 1)
    with journal.telling(job), database.write() as rows:
        registry.give_back_job(rows, job, becomes="WAITING", now_ms=now_ms())
        registry.claim_job(rows, kinds=[job.kind], worker="two", now_ms=now_ms())
    with database.write() as rows:
        registry.cancel_jobs(rows, "dataset", 1, now_ms=now_ms())
    journal.tell_end(job)

    assert [line["state"] for line in told(log)] == ["started", "lost", "cancelled"]
    assert journal.ended == {}


def test_a_database_that_is_away_keeps_nobody_from_working(
    database: Database, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What became of the job is said not to be known."""
    from deconfuse.errors import Unavailable

    def away() -> Any:
        raise Unavailable("the database is away")

    journal, job = Journal(database), claimed(database, 1)
    monkeypatch.setattr(database, "read", away)
    with journal.telling(job):
        pass

    assert f"what became of job {job.id} is not known: the database is away" in log.text
    assert journal.ended == {}
