"""The runner with real processes: killed, frozen, cancelled, told to stop; and a database that goes away."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import workers
from clusters import Cluster
from deconfuse.engine import runner as runners
from deconfuse.store import registry
from deconfuse.store.database import Database, open_database
from workers import add_job, get, is_alive, now_ms, read_diary, running, until, wait_for


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    """Where jobs write what they do."""
    return tmp_path / "diary"


def begun(diary: Path, *, n: int = 1) -> int:
    """The process that has begun the n-th attempt, as soon as it has."""
    lines = until(lambda: len(read_diary(diary, "begun")) >= n and read_diary(diary, "begun"), what="the beginning")
    pid: int = lines[n - 1]["pid"]
    return pid


def go(diary: Path) -> None:
    """Let waiting jobs end."""
    Path(f"{diary}.go").touch()


def check_never_twice_at_once(diary: Path) -> None:
    """Of one job, no attempt begins while the process of an earlier one is still at it."""
    at_work: dict[int, dict[str, int]] = {}
    for line in read_diary(diary):
        before = at_work.get(line["job"])
        if line["what"] == "begun":
            assert before is None or not is_alive(before["pid"]), line
            at_work[line["job"]] = line
        elif line["what"] == "over":
            del at_work[line["job"]]


def test_jobs_are_taken_up_at_once(database: Database, url: str, diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In threads, as soon as the runner is told of them, and not when it would look by itself."""
    monkeypatch.setattr(runners, "POLL_SECONDS", 60.0)
    with running(database, url, silence=300.0) as runner:
        time.sleep(0.5)
        job = add_job(database, diary)
        runner.wake()
        assert wait_for(database, job, "DONE", seconds=20).message == "good"

    assert {line["pid"] for line in read_diary(diary)} == {os.getpid()}


@pytest.mark.slow
def test_no_more_jobs_are_at_work_than_there_are_places(database: Database, url: str, diary: Path) -> None:
    """Of each kind; a place that becomes free is filled."""
    jobs = [add_job(database, diary, "wait", kind=kind) for kind in ("thread", "child") for _ in range(3)]
    with running(database, url, n_children=1, n_threads=2):
        until(lambda: len(read_diary(diary, "begun")) == 3)
        time.sleep(1.5)
        assert [get(database, job).status for job in jobs] == ["RUNNING"] * 2 + ["WAITING", "RUNNING"] + ["WAITING"] * 2
        go(diary)
        for job in jobs:
            wait_for(database, job, "DONE")

    assert [get(database, job).n_attempts for job in jobs] == [1] * 6
    check_never_twice_at_once(diary)


def test_a_child_inherits_nothing(database: Database, url: str, diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket and no file of its parent, not even one meant to be inherited; the environment is what it is given."""
    monkeypatch.setenv("DECONFUSE_HIDDEN", "secret")
    with socket.create_server(("127.0.0.1", 0)) as listener, running(database, url):
        listener.set_inheritable(True)
        wait_for(database, add_job(database, diary, "look", kind="child"), "DONE")

    (seen,) = read_diary(diary, "seen")
    assert not [link for link in seen["links"].values() if "socket:" in link]
    assert "pipe:" in seen["links"]["0"]
    assert seen["links"]["1"] == "/dev/null"
    assert seen["session"] == seen["group"] == seen["pid"] != os.getpid()
    assert seen["environment"]["DECONFUSE_TEST"] == "handed in"
    assert "DECONFUSE_HIDDEN" not in seen["environment"]


def test_a_killed_child_is_replaced_at_once(database: Database, url: str, diary: Path) -> None:
    """Its job is given back when it dies, not when it has been silent for long; the next attempt completes."""
    job = add_job(database, diary, "wait", kind="child")
    with running(database, url):
        os.kill(begun(diary), signal.SIGKILL)
        killed = time.monotonic()
        begun(diary, n=2)
        assert time.monotonic() - killed < 10
        go(diary)
        wait_for(database, job, "DONE")

    assert (get(database, job).n_attempts, len(read_diary(diary, "ended"))) == (2, 1)
    check_never_twice_at_once(diary)


@pytest.mark.slow
def test_a_job_that_always_kills_its_process_fails(database: Database, url: str, diary: Path) -> None:
    """After three attempts, with a message that says what happened; another job is not held up by it."""
    job = add_job(database, diary, "kill", kind="child", times=99)
    with running(database, url, n_children=1):
        failed = wait_for(database, job, "FAILED")
        wait_for(database, add_job(database, diary, kind="child"), "DONE")

    why = "internal error, after 3 attempts: its process was killed by signal 9"
    assert [failed.message, *(line["message"] for line in read_diary(diary, "failed"))] == [why, why]
    assert len([line for line in read_diary(diary, "begun") if line["job"] == job.id]) == 3


@pytest.mark.slow
def test_a_job_that_must_be_done_is_never_given_up(database: Database, url: str, diary: Path) -> None:
    """With 0 attempts it is begun as often as it takes."""
    job = add_job(database, diary, "kill", kind="stubborn", times=4)
    with running(database, url):
        assert wait_for(database, job, "DONE", seconds=60).n_attempts == 5


@pytest.mark.parametrize("do", ["away", "bug"])
def test_a_child_that_stumbles_gives_its_job_back_itself(database: Database, url: str, diary: Path, do: str) -> None:
    """Its attempt counts once, and the next one completes."""
    job = add_job(database, diary, do, kind="child")
    with running(database, url):
        assert wait_for(database, job, "DONE").n_attempts == 2


def test_a_child_that_cannot_be_started_is_an_attempt(database: Database, url: str, diary: Path) -> None:
    """A program that is not there: the job fails in the end, and says why."""
    job = add_job(database, diary, kind="child")
    with running(database, url, command=lambda job, worker: ["/nowhere/python"]):
        failed = wait_for(database, job, "FAILED")

    assert "after 3 attempts: no process can be started: [Errno 2]" in failed.message


def test_a_child_that_cannot_begin_is_not_begun_again_at_once(database: Database, url: str, diary: Path) -> None:
    """What it needs may be away for a while, as the disk's last room; the job says what it waits for."""
    job = add_job(database, diary, kind="child")
    with running(database, url, command=lambda job, worker: [sys.executable, "-c", "exit(8)"], pauses=(4.0,)):
        until(lambda: get(database, job).message, what="the message")
        waiting = get(database, job)

    assert (waiting.status, waiting.n_attempts) == ("RUNNING", 1)
    assert waiting.message == "Waiting to begin again: its process ended with exit code 8."
    assert (get(database, job).status, get(database, job).n_attempts) == ("WAITING", 0)


def test_a_child_without_a_word_about_its_end_is_an_attempt(database: Database, url: str, diary: Path) -> None:
    """A process that ends well and has not done its job."""
    job = add_job(database, diary, kind="child")
    with running(database, url, command=lambda job, worker: [sys.executable, "-c", ""]):
        assert wait_for(database, job, "FAILED").message.endswith("its process ended and left it undone")


@pytest.mark.slow
def test_a_frozen_child_is_replaced(database: Database, url: str, diary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed before its job is given back: two are never at one job."""
    monkeypatch.setattr(runners, "STARTING_SECONDS", 2.0)
    job = add_job(database, diary, "freeze", kind="child")
    with running(database, url, silence=6.0):
        assert wait_for(database, job, "DONE", seconds=60).n_attempts == 2

    assert not is_alive(begun(diary))
    check_never_twice_at_once(diary)


def test_a_cancelled_job_stops_its_child(database: Database, url: str, diary: Path) -> None:
    """Within seconds; nothing is said about the thing that is no more."""
    job = add_job(database, diary, "wait", kind="child")
    with running(database, url):
        pid = begun(diary)
        with database.write() as rows:
            registry.cancel_jobs(rows, "version", 1, now_ms=now_ms())
        until(lambda: not is_alive(pid), seconds=8)

    assert (get(database, job).status, read_diary(diary, "failed")) == ("CANCELLED", [])


@pytest.mark.slow
def test_a_cancelled_child_that_never_speaks_is_killed(
    database: Database, url: str, diary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has had its time to notice."""
    monkeypatch.setattr(runners, "GRACE_SECONDS", 1.0)
    add_job(database, diary, "mute", kind="child")
    with running(database, url, silence=5.0):
        pid = begun(diary)
        with database.write() as rows:
            registry.cancel_jobs(rows, "version", 1, now_ms=now_ms())
        until(lambda: not is_alive(pid), seconds=10)


@pytest.mark.parametrize("do", ["wait", "mute"])
def test_nothing_is_left_after_stop(database: Database, url: str, diary: Path, do: str) -> None:
    """No process and no thread; what was at work waits as if it had not been begun."""
    before = set(threading.enumerate())
    jobs = [add_job(database, diary, do, kind="child"), add_job(database, diary, "wait")]
    runner = workers.runner_of(database, url)
    runner.start()
    until(lambda: len(read_diary(diary, "begun")) == 2)
    pids = {line["pid"] for line in read_diary(diary, "begun")} - {os.getpid()}
    began = time.monotonic()
    runner.stop()

    assert time.monotonic() - began < 10
    assert not [pid for pid in pids if is_alive(pid)]
    assert set(threading.enumerate()) == before
    assert [(get(database, job).status, get(database, job).n_attempts) for job in jobs] == [("WAITING", 0)] * 2
    runner.stop()


def test_stop_does_not_wait_for_ever(database: Database, url: str, diary: Path) -> None:
    """A thread that does not listen keeps nobody: its job waits for another server, and its end counts no more."""
    job = add_job(database, diary, "mute")
    runner = workers.runner_of(database, url)
    runner.start()
    begun(diary)
    began = time.monotonic()
    runner.stop(0.5)

    assert time.monotonic() - began < 4
    assert get(database, job).status == "WAITING"
    go(diary)
    until(lambda: read_diary(diary, "over"))
    assert get(database, job).status == "WAITING"
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith(("job", "heart"))])


def test_stop_before_start_is_nothing(database: Database, url: str) -> None:
    """A server that could not open its port stops what it has not started."""
    workers.runner_of(database, url).stop()


@contextlib.contextmanager
def a_server(url: str, *, silence: float = 4.0) -> Iterator[subprocess.Popen[str]]:
    """A process that runs jobs, ready."""
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, workers.__file__, "serve", url, str(silence)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield server
        finally:
            server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("do", ["wait", "mute"])
def test_a_killed_server_takes_its_children_along(database: Database, url: str, diary: Path, do: str) -> None:
    """Within seconds; after a restart the job is taken up again and completes."""
    job = add_job(database, diary, do, kind="child")
    with a_server(url) as server:
        pid = begun(diary)
        server.kill()
        server.wait()
        until(lambda: not is_alive(pid), seconds=5)
    assert get(database, job).status == "RUNNING"
    with a_server(url):
        begun(diary, n=2)
        go(diary)
        assert wait_for(database, job, "DONE").n_attempts == 2

    check_never_twice_at_once(diary)


@pytest.mark.slow
def test_a_server_that_is_frozen_loses_its_jobs(database: Database, url: str, diary: Path) -> None:
    """Another takes them up; when it wakes, its thread learns so and changes nothing."""
    job = add_job(database, diary, "wait")
    with a_server(url) as first:
        begun(diary)
        first.send_signal(signal.SIGSTOP)
        with running(database, url, silence=4.0):
            begun(diary, n=2)
            first.send_signal(signal.SIGCONT)
            until(lambda: len(read_diary(diary, "over")) == 1, seconds=10)
            go(diary)
            done = wait_for(database, job, "DONE")

    assert (done.n_attempts, len(read_diary(diary, "ended"))) == (2, 1)


@pytest.mark.slow
def test_a_database_that_is_held_for_long_costs_no_job(database: Database, url: str, diary: Path) -> None:
    """Workers cannot speak while one transaction lasts; nobody takes their jobs for that."""
    jobs = [add_job(database, diary, "wait", kind=kind) for kind in ("thread", "child")]
    with running(database, url, silence=3.0):
        until(lambda: len(read_diary(diary, "begun")) == 2)
        with database.write():
            time.sleep(6)
        time.sleep(5)
        go(diary)
        for job in jobs:
            assert wait_for(database, job, "DONE").n_attempts == 1


@pytest.mark.slow
def test_jobs_of_a_kind_that_nobody_here_knows_are_left_alone(database: Database, url: str, diary: Path) -> None:
    """Another server's, silent or not."""
    strange = add_job(database, diary, kind="strange")
    with running(database, url, silence=1.0) as runner:
        with database.write() as rows:
            registry.claim_job(rows, kinds=["strange"], worker="elsewhere", now_ms=now_ms())
        time.sleep(2.5)
        runner.wake()

    assert get(database, strange).status == "RUNNING"


def test_a_silent_worker_at_its_last_attempt_fails_its_job(database: Database, url: str, diary: Path) -> None:
    """With what the job is about, or without it where that is gone."""
    jobs = [add_job(database, diary, is_gone=is_gone) for is_gone in (False, True)]
    with database.write() as rows:
        for job in jobs:
            for attempt in range(3):
                registry.claim_job(rows, kinds=["thread"], worker=f"{job.id}-{attempt}", now_ms=now_ms())
                if attempt < 2:
                    registry.leave_job(rows, job.id, worker=f"{job.id}-{attempt}")
    with running(database, url, silence=1.0):
        failed = [wait_for(database, job, "FAILED") for job in jobs]

    why = "internal error, after 3 attempts: its worker was not heard of any more"
    assert [job.message for job in failed] == [why, why]


def test_ended_jobs_are_forgotten_after_a_week(database: Database, url: str, diary: Path) -> None:
    """By the clock that is handed in; younger ones stay."""
    job = add_job(database, diary)

    def is_known() -> bool:
        with database.read() as rows:
            return bool(registry.list_jobs(rows, statuses=["DONE"]))

    with running(database, url):
        wait_for(database, job, "DONE")
    for days, is_left in ((6, True), (8, False)):
        with running(database, url, clock=lambda days=days: workers.now() + timedelta(days=days)):
            time.sleep(0.5)
            assert is_known() is is_left


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_two_servers_never_perform_one_job_twice(
    request: pytest.FixtureRequest, url: str, diary: Path, kind: str
) -> None:
    """Hundreds of tiny jobs, each performed exactly once, by both of them."""
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
    database = open_database(url)
    with database.write() as rows:
        payload = {"do": "nothing", "diary": str(diary)}
        jobs = [
            registry.add_job(rows, "thread", noun="version", subject_id=1, now_ms=now_ms(), payload=payload).id
            for _ in range(300)
        ]
    with a_server(url), running(database, url):
        until(lambda: len(read_diary(diary, "ended")) >= 300, seconds=120)
        with database.read() as rows:
            done = registry.list_jobs(rows, statuses=["DONE"])
    database.close()

    assert sorted(line["job"] for line in read_diary(diary, "begun")) == jobs
    assert [(job.id, job.n_attempts) for job in done] == [(number, 1) for number in jobs]
    assert len({line["pid"] for line in read_diary(diary, "begun")}) == 2


@pytest.mark.postgres
def test_jobs_outlive_a_database_that_is_away(postgres_cluster: Cluster, postgres_url: str, diary: Path) -> None:
    """PostgreSQL is stopped for longer than a worker may be silent: beats and claims go on afterwards."""
    database = open_database(postgres_url)
    jobs = [add_job(database, diary, "wait", kind=kind) for kind in ("thread", "child")]
    with running(database, postgres_url, silence=5.0) as runner:
        until(lambda: len(read_diary(diary, "begun")) == 2)
        threads = {thread.name for thread in threading.enumerate()}
        postgres_cluster.stop()
        try:
            time.sleep(8)
        finally:
            postgres_cluster.start()
        time.sleep(7)
        assert threads <= {thread.name for thread in threading.enumerate()}
        beats = [get(database, job).beat_ms or 0 for job in jobs]
        assert min(beats) > now_ms() - 5_000
        go(diary)
        jobs.append(add_job(database, diary))
        runner.wake()
        done = [wait_for(database, job, "DONE") for job in jobs]
    database.close()

    assert [job.n_attempts for job in done] == [1, 1, 1]
    check_never_twice_at_once(diary)
