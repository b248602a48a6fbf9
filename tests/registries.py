"""Builders for tests of the registry: a project with a dataset or a version in it, lines, and many threads at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from deconfuse.errors import DeconfuseError
from deconfuse.store import registry
from deconfuse.store.database import Database

NOW = 1_690_556_751_958
Result = TypeVar("Result")


def a_project(database: Database, name: str = "rooms") -> registry.Project:
    """A project of this name."""
    with database.write() as rows:
        return registry.add_project(rows, name, now_ms=NOW)


def a_dataset(database: Database, project: registry.Project, kind: registry.DatasetKind = "train") -> registry.Dataset:
    """A dataset that is being created."""
    with database.write() as rows:
        return registry.add_dataset(rows, project.id, kind, now_ms=NOW)


def a_version(database: Database, project: registry.Project, name: str = "1") -> registry.Version:
    """A version that is being trained."""
    with database.write() as rows:
        return registry.add_version(rows, project.id, name, now_ms=NOW, output=("bucket", "prefix"))


def lines(n_lines: int, *, first: int = 0, n_labels: int = 50, size_bytes: int = 400) -> Iterator[registry.EntryRow]:
    """Lines first, first + 1, … for as many images; each has one label, and one in a thousand an error."""
    for number in range(first, first + n_lines):
        label = f"label-{number % n_labels}"
        uri = f"s3://bucket/images/{number:06d}.jpg"
        line = b'{"source-ref":"%s"}' % uri.encode()
        yield registry.EntryRow(uri, line.ljust(size_bytes), (label,), has_errors=number % 1000 == 7)


def at_once(n_threads: int, act: Callable[[int], Result]) -> list[Result | DeconfuseError]:
    """What `act` gives or raises in each of so many threads that begin together."""
    barrier = Barrier(n_threads)

    def begin(number: int) -> Result | DeconfuseError:
        barrier.wait()
        try:
            return act(number)
        except DeconfuseError as error:
            return error

    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(begin, range(n_threads)))
