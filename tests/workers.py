"""Jobs for tests of the runner: what they do stands in their payload, and they keep a diary that tests read.

    add_job(database, diary, "wait")          a waiting job of the kind "thread"; kind="child" for a process of its own
    runner_of(database, url)                  a runner that performs them in this process
    python workers.py serve URL [SILENCE]     a server that does nothing else, to be killed
    python workers.py work URL JOB WORKER     its child

What a job does, by its payload's "do":

    nothing     ends at once
    wait        speaks every twentieth of a second until there is a file DIARY.go
    mute        never speaks, and waits for that file
    kill        dies by SIGKILL at the first "times" attempts
    freeze      stops by SIGSTOP at the first "times" attempts
    away        something is away (Unavailable) at the first "times" attempts
    bug         stumbles (ValueError) at the first "times" attempts
    bad         its data is bad
    look        writes to the diary what the process has inherited
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deconfuse.engine.jobs import Heart, Task
from deconfuse.engine.runner import Runner, end_with_stdin, work
from deconfuse.errors import BadData, Unavailable
from deconfuse.store import registry
from deconfuse.store.database import Database, open_database
from deconfuse.store.registry import Job, Rows

SHORT = (0.05,)
"""Pauses before something is tried again."""


def add_job(
    database: Database, diary: Path, do: str = "nothing", *, kind: str = "thread", subject_id: int = 1, **more: Any
) -> Job:
    """A waiting job that writes to this diary."""
    payload = {"do": do, "diary": str(diary), **more}
    with database.write() as rows:
        return registry.add_job(rows, kind, noun="version", subject_id=subject_id, now_ms=now_ms(), payload=payload)


def now() -> datetime:
    """The real present: several processes share it."""
    return datetime.now(UTC)


def now_ms() -> int:
    """The same in milliseconds."""
    return int(time.time() * 1000)


def note(job: Job, what: str, **more: Any) -> None:
    """Append a line to the diary, whole."""
    line = {
        "job": job.id,
        "what": what,
        "attempt": job.n_attempts,
        "pid": os.getpid(),
        "time": time.monotonic(),
        **more,
    }
    descriptor = os.open(job.payload["diary"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.close(descriptor)


def read_diary(path: Path, what: str | None = None) -> list[dict[str, Any]]:
    """The lines of a diary, or those that tell this."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if what is None or line["what"] == what]


def tasks(database: Database) -> Mapping[str, Task]:
    """Both kinds, "thread" and "child", with three attempts, and "stubborn", a child with any number."""

    def perform(job: Job, heart: Heart) -> None:
        note(job, "begun")
        try:
            act(job, heart)
            with database.write() as rows:
                heart.end(rows, "good")
        finally:
            note(job, "over")
        note(job, "ended")

    def fail(rows: Rows, job: Job, message: str) -> None:
        note(job, "failed", message=message)
        if job.payload.get("is_gone"):
            registry.get_version(rows, 4711)

    return {
        "thread": Task(perform, fail),
        "child": Task(perform, fail, is_child=True),
        "stubborn": Task(perform, fail, attempts=0, is_child=True),
    }


def act(job: Job, heart: Heart) -> None:
    """What the payload says; see above."""
    do = job.payload["do"]
    is_early = job.n_attempts <= job.payload.get("times", 1)
    if do in {"wait", "mute"}:
        while not Path(job.payload["diary"] + ".go").exists():
            if do == "wait":
                heart.progress("waiting", 1, 4)
            time.sleep(0.05)
    elif do in {"kill", "freeze"} and is_early:
        os.kill(os.getpid(), signal.SIGKILL if do == "kill" else signal.SIGSTOP)
    elif do == "away" and is_early:
        raise Unavailable("the disk is full")
    elif do == "bug" and is_early:
        raise ValueError("a bug")
    elif do == "bad":
        raise BadData("the data is bad")
    elif do == "look":
        links = {path.name: os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
        note(job, "seen", links=links, session=os.getsid(0), group=os.getpgid(0), environment=dict(os.environ))


def runner_of(database: Database, url: str, *, clock: Callable[[], datetime] = now, **more: Any) -> Runner:
    """A runner of these jobs that is not started; `more` is its own."""
    options: dict[str, Any] = {
        "command": lambda job, worker: [sys.executable, __file__, "work", url, str(job.id), worker],
        "environment": {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "DECONFUSE_TEST": "handed in",
        },
        "n_children": 2,
        "n_threads": 4,
        "pauses": SHORT,
    }
    return Runner(database, tasks(database), clock=clock, **(options | more))


@contextmanager
def running(database: Database, url: str, **more: Any) -> Iterator[Runner]:
    """The same, started, and stopped when the block ends."""
    runner = runner_of(database, url, **more)
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()


def until(is_so: Callable[[], Any], *, seconds: float = 30.0, what: str = "it") -> Any:
    """What `is_so` gives as soon as it is true; fails where that takes longer."""
    deadline = time.monotonic() + seconds
    while not (result := is_so()):
        assert time.monotonic() < deadline, f"{what} took more than {seconds} seconds"
        time.sleep(0.02)
    return result


def get(database: Database, job: Job) -> Job:
    """The job as it is now."""
    with database.read() as rows:
        return registry.get_job(rows, job.id)


def wait_for(database: Database, job: Job, *statuses: str, seconds: float = 30.0) -> Job:
    """The job as soon as it has one of these statuses."""
    until(lambda: get(database, job).status in statuses, seconds=seconds, what=f"job {job.id}")
    return get(database, job)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main(verb: str, url: str, *rest: str) -> None:
    """The programs above."""
    if verb == "work":
        end_with_stdin()
        database = open_database(url)
        work(database, tasks(database), int(rest[0]), worker=rest[1], clock=now, pauses=SHORT)
    else:
        database = open_database(url)
        runner_of(database, url, silence=float(rest[0] if rest else 15)).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
