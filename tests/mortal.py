"""Processes that die on purpose: by SIGKILL, at a commit point that has a name. The product knows nothing of it.

    deaths = Deaths(folder)            where processes write which points they pass, and read where to die
    deaths.environment()               variables under which every Python process is mortal, its children too
    deaths.passed()                    the points that were passed, in order, each once
    deaths.order(point)                the next process that passes this point dies there, once; the name of a point
                                       is its next time

A point is named by who is at it: the role of the process, the function that writes and the one that had it written,
what is about to happen or has just happened, and which time it is in this process:

    worker: service.training.end | commit before #1         the transaction is written, not committed
    worker: service.training.end | commit after #1          committed, nobody was told
    serve: gateway.operations.put_object > store.local.LocalObjects.put_draft | commit before #3
    worker: engine.sinks.ObjectSink.put > store.blobs.Draft.write | half #7
    worker: … > store.blobs.Draft.secure | secure before #7        all bytes are given to the system, none is safe
    worker: … > store.blobs.Draft.secure | secure after #7         safe, and no row names them
    serve: … > store.blobs.Blobs.remove | remove before #1         the row is gone, the bytes are there

Every process below `environment()` imports this module at its start, as `sitecustomize`.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

VARIABLE = "MORTAL_FOLDER"

SILENT_SECONDS = 4.0

BEAT_SECONDS = 0.05
"""So short that every job has a beat that can be died at."""

TIMED = ("Heart._beat", "Runner._look", "Runner._forget", "Runner._take_up", "keep_order", "Objects.sweep")
"""What happens by the clock, and not once for each time that something is done."""


class Deaths:
    """Where processes die, and where they did not; one object a test."""

    def __init__(self, folder: Path) -> None:
        """Makes `folder`."""
        self.folder = folder
        folder.mkdir()
        (folder / "sitecustomize.py").write_text("import mortal\nmortal.install()\n")

    def environment(self) -> dict[str, str]:
        """All variables of a mortal process."""
        paths = [str(self.folder), str(Path(__file__).parent), *(path for path in sys.path if path)]
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "DECONFUSE_CACHE"}}
        return kept | {VARIABLE: str(self.folder), "PYTHONPATH": os.pathsep.join(paths)}

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Until the block ends no blob finds room on the disk."""
        (self.folder / "full").touch()
        try:
            yield
        finally:
            (self.folder / "full").unlink()

    def passed(self) -> list[str]:
        """Every point that was passed, in the order of its first time."""
        file = self.folder / "passed"
        return list(dict.fromkeys(file.read_text().splitlines())) if file.exists() else []

    def forget(self) -> None:
        """Forget what was passed."""
        (self.folder / "passed").unlink(missing_ok=True)

    def order(self, point: str) -> None:
        """Let the next process that passes `point` die there."""
        draft = self.folder / "draft"
        draft.write_text(point)
        draft.replace(self.folder / "order")

    def is_done(self) -> bool:
        """Whether somebody has died where it was ordered."""
        return not (self.folder / "order").exists()

    def cancel(self) -> None:
        """Let nobody die any more."""
        (self.folder / "order").unlink(missing_ok=True)

    def processes(self) -> dict[int, str]:
        """The command lines of the mortal processes that are alive, by process id."""
        mark = f"{VARIABLE}={self.folder}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # not a process, somebody else's, or just gone
                if mark in (entry / "environ").read_bytes().split(b"\0") and entry.name != str(os.getpid()):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def kill_all(self) -> None:
        """Kill whatever is alive."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def is_timed(point: str) -> bool:
    """Whether a point depends on the clock, so that nobody knows how often it is passed."""
    return any(name in point for name in TIMED)


def name_of(point: str) -> str:
    """A point without its number."""
    return point.rpartition(" #")[0]


def install() -> None:
    """Make this process mortal: wrap everything that writes. Its hearts are fast and its patience is short, too."""
    from deconfuse.engine import jobs
    from deconfuse.engine.runner import Runner
    from deconfuse.store import blobs, database

    jobs.BEAT_SECONDS, jobs.NEWS_SECONDS = BEAT_SECONDS, BEAT_SECONDS / 2
    Runner.__init__.__kwdefaults__["silence"] = SILENT_SECONDS
    _Points(Path(os.environ[VARIABLE])).wrap(blobs, database)


class _Points:
    """The commit points of one process."""

    def __init__(self, folder: Path) -> None:
        self._passed = folder / "passed"
        self._order = folder / "order"
        self._folder = folder
        self._times: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def reach(self, what: str) -> None:
        """Pass a point, or die at it."""
        name = f"{_role()}: {_writer()} | {what}"
        with self._lock:
            self._times[name] += 1
            point = f"{name} #{self._times[name]}"
            descriptor = os.open(self._passed, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, f"{point}\n".encode())
            os.close(descriptor)
            with contextlib.suppress(FileNotFoundError):
                if self._order.read_text() in (point, name):
                    self._order.rename(self._folder / "died")  # of two processes, one gets it
                    os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, blobs: Any, database: Any) -> None:
        """Put points around the transactions and the blobs of these modules."""
        reach = self.reach
        write = database.Database.write
        write_bytes, secure, remove = blobs.Draft.write, blobs.Draft.secure, blobs.Blobs.remove

        @contextlib.contextmanager
        def mortal_write(self: Any) -> Iterator[Any]:
            with write(self) as rows:
                yield rows
                reach("commit before")
            reach("commit after")

        def mortal_write_bytes(self: Any, data: bytes) -> None:
            middle = len(data) // 2
            write_bytes(self, data[:middle])
            reach("half")
            write_bytes(self, data[middle:])

        def mortal_secure(self: Any) -> None:
            reach("secure before")
            secure(self)
            reach("secure after")

        fsync = os.fsync

        def full_fsync(descriptor: int) -> None:
            if (self._folder / "full").exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        os.fsync = full_fsync

        def mortal_remove(self: Any, names: Any) -> None:
            names = list(names)
            if names:
                reach("remove before")
            remove(self, names)

        database.Database.write = mortal_write
        blobs.Draft.write, blobs.Draft.secure, blobs.Blobs.remove = mortal_write_bytes, mortal_secure, mortal_remove


def _role() -> str:
    return next((word for word in sys.argv[1:2] if word.isalpha()), "other")


def _writer() -> str:
    """The function that writes, after the one outside of the store that had it written."""
    frames = [frame for frame in _frames(sys._getframe(2)) if "database.Database" not in frame]
    outside = next((frame for frame in frames if not frame.startswith("store.")), "")
    return frames[0] if frames[0] == outside or not outside else f"{outside} > {frames[0]}"


def _frames(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("deconfuse."):
            yield f"{module.removeprefix('deconfuse.')}.{frame.f_code.co_qualname}"
        frame = frame.f_back


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process that dies nowhere, but is found by `Deaths.processes` all the same."""
    folder = environment[VARIABLE]
    paths = [path for path in environment["PYTHONPATH"].split(os.pathsep) if path != folder]
    return dict(environment) | {"PYTHONPATH": os.pathsep.join(paths)}
